# edgeai - `make nonn2s` runs the main job, `make test` the tests; both set everything up first.
PREFIX ?= /usr/local
BUILD ?= build
ARCH ?= native
OPT ?= -O3
ONEDNN ?= 1
LUAJIT ?= luajit
# All processors, unless make was told a number.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wpointer-arith \
  -Wwrite-strings -Wformat=2 -Wconversion -Wno-sign-conversion
CFLAGS ?= $(OPT) -g -march=$(ARCH)
unexport CFLAGS # those of a sanitized build are not for the plugins that its tests compile
BASE_FLAGS := -std=gnu11 -fPIC -pthread -fvisibility=hidden -fno-math-errno -fno-trapping-math \
  -ffp-contract=off -fopenmp-simd $(WARN) -DEA_WITH_ONEDNN=$(ONEDNN)
PKGS := luajit libpng libjpeg zlib libzip jansson openblas lapacke igraph
CPPFLAGS += $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS := $(shell pkg-config --libs libpng libjpeg zlib libzip jansson openblas lapacke igraph 2>/dev/null) \
  $(if $(filter 1,$(ONEDNN)),-ldnnl -lgomp) -lm -pthread
CLI_LIBS := $(shell pkg-config --libs luajit 2>/dev/null) -lreadline

CORE_SRC := $(sort $(filter-out core/cli/%,$(wildcard core/*/*.c)))
CLI_SRC := $(sort $(wildcard core/cli/*.c))
CORE_OBJ := $(CORE_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o) $(BUILD)/core/cli/embedded.o
LUA_SRC := $(sort $(shell find lua -name '*.lua'))
TEST_SRC := $(sort $(wildcard tests/c/test_*.c))
TEST_BIN := $(TEST_SRC:%.c=$(BUILD)/%)
VERSION := $(shell sed -n 's/.*EA_VERSION "\(.*\)"/\1/p' core/edgeai.h)
ABI := $(shell sed -n 's/.*EA_ABI = \([0-9]*\).*/\1/p' core/edgeai.h)

all: $(BUILD)/edgeai $(BUILD)/libedgeai.so $(BUILD)/libedgeai.a

# One word a file; `make V=1` shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $(1)')

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,cc   $<)
	$(Q)$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# Products and sums in one instruction, where nobody else computes the same numbers.
$(BUILD)/core/ops/conv2d_winograd_tiles.o $(BUILD)/core/ops/conv2d_direct_tiles.o: BASE_FLAGS += -ffp-contract=fast

$(BUILD)/libedgeai.a: $(CORE_OBJ)
	$(call say,ar   $@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/libedgeai.so: $(CORE_OBJ)
	$(call say,link $@)
	$(Q)$(CC) -shared -Wl,-soname,libedgeai.so.$(ABI) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)
	$(Q)ln -sf libedgeai.so $@.$(ABI)

# The whole library is in the program, its public symbols exported: LuaJIT's FFI finds them there.
$(BUILD)/edgeai: $(CLI_OBJ) $(BUILD)/libedgeai.a
	$(call say,link $@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -rdynamic $(CLI_OBJ) -Wl,--whole-archive $(BUILD)/libedgeai.a \
	  -Wl,--no-whole-archive -o $@ $(CLI_LIBS) $(LIBS)

# The header as LuaJIT reads it: edgeai/cdef.lua. $(1): the library that plain luajit loads.
define cdef
$(Q)mkdir -p $(dir $(2))
$(Q){ printf 'return { library = "%s", abi = $(ABI), text = [==[\n' '$(1)' && \
  $(CC) -E -P -DEA_FFI core/edgeai.h | sed -f core/cli/handles.sed && \
  echo ']==] }'; } > $(2).tmp && mv $(2).tmp $(2)
endef

$(BUILD)/lua/edgeai/cdef.lua: core/edgeai.h core/cli/handles.sed Makefile
	$(call cdef,libedgeai.so.$(ABI),$@)

# The comments that document the ops: edgeai/op_comments.lua.
$(BUILD)/lua/edgeai/op_comments.lua: core/cli/op_comments.lua core/ops/ops.def $(wildcard core/ops/*.c)
	@mkdir -p $(@D)
	$(Q)$(LUAJIT) core/cli/op_comments.lua $@ core/ops

# The public headers in the program, for `edgeai plugin build`: they are always of its own version.
$(BUILD)/lua/edgeai/cli/headers.lua: core/edgeai.h core/edgeai_op.h Makefile
	@mkdir -p $(@D)
	$(Q){ echo 'return {'; for h in edgeai.h edgeai_op.h; do \
	  printf '["%s"] = [=====[\n' $$h && cat core/$$h && echo ']=====],'; done; echo '}'; } > $@.tmp && mv $@.tmp $@

# Changes when a Lua file appears or goes.
$(BUILD)/lua.list: FORCE
	@mkdir -p $(@D)
	@echo '$(LUA_SRC)' | cmp -s - $@ || echo '$(LUA_SRC)' > $@

$(BUILD)/core/cli/embedded.c: $(LUA_SRC) $(BUILD)/lua.list $(BUILD)/lua/edgeai/cdef.lua \
  $(BUILD)/lua/edgeai/op_comments.lua $(BUILD)/lua/edgeai/cli/headers.lua core/cli/embed.lua
	@mkdir -p $(@D)
	$(call say,lua  $@)
	$(Q)$(LUAJIT) core/cli/embed.lua $@ lua $(BUILD)/lua

$(BUILD)/core/cli/embedded.o: $(BUILD)/core/cli/embedded.c core/cli/embedded.h
	$(Q)$(CC) -Icore/cli -O0 -c $< -o $@

$(BUILD)/tests/c/%: tests/c/%.c $(BUILD)/libedgeai.a
	@mkdir -p $(@D)
	$(call say,test $@)
	$(Q)$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(CFLAGS) $(LDFLAGS) -Icore -MMD -MP $< -o $@ \
	  -Wl,--whole-archive $(BUILD)/libedgeai.a -Wl,--no-whole-archive $(LIBS) -lcmocka

# ---- packages ------------------------------------------------------------------------------------
# `make deps` installs what is missing (Debian and its relatives); nothing happens when all is there.
BUILD_DEPS := gcc libc6-dev pkg-config luajit libluajit-5.1-dev libopenblas-pthread-dev liblapacke-dev \
  libigraph-dev libpng-dev libjpeg-dev zlib1g-dev libzip-dev libjansson-dev libreadline-dev \
  librandom123-dev $(if $(filter 1,$(ONEDNN)),libdnnl-dev)
RUN_DEPS := dataset-fashion-mnist gnuplot-nox curl ca-certificates
TEST_DEPS := libcmocka-dev lua-busted
CHECK_DEPS := lua-check clang clang-format g++ luarocks valgrind gcovr
DEPS ?= $(BUILD_DEPS) $(RUN_DEPS) $(TEST_DEPS)

deps:
	@command -v dpkg-query >/dev/null || { echo 'edgeai: not a Debian system; please install yourself: $(DEPS)'; exit 0; }; \
	missing=; for p in $(DEPS); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "edgeai: installing$$missing"; \
	if [ "$$(id -u)" = 0 ]; then as=env; \
	elif command -v sudo >/dev/null; then as='sudo env'; \
	else echo "edgeai: please run as root: apt-get install$$missing"; exit 1; fi; \
	$$as DEBIAN_FRONTEND=noninteractive apt-get update -q && \
	$$as DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing

# ARGS are the program's: make nonn2s ARGS='--set students=3 --seed 7', make nonn2s ARGS=--resume.
# What comes after `deps` runs in a second make: this one looked for the libraries too early.
nonn2s:
	@$(MAKE) --no-print-directory deps DEPS='$(BUILD_DEPS) $(RUN_DEPS)'
	@$(MAKE) --no-print-directory $(JOBS) all
	$(BUILD)/edgeai run experiments/nonn2s.lua $(ARGS)

# ---- tests ---------------------------------------------------------------------------------------
test:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) run-tests

run-tests: all $(TEST_BIN)
	@BUILD=$(BUILD) sh tests/run.sh $(TEST_BIN)

include tests/check.mk

.PHONY: check-long
# 200 kills of a training at random instants, and every call of every writer failing in turn.
check-long:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory $(JOBS) all
	@EDGEAI_LONG=1 EDGEAI_KILLS=$${EDGEAI_KILLS:-200} \
	  $(BUILD)/edgeai test --verbose tests/lua/crash_spec.lua tests/lua/faults_spec.lua

# ---- speed ---------------------------------------------------------------------------------------
# Results are kept outside of the clone, one JSON object a line, and set against the last ones of
# this machine. ARGS='train.wrn-16-1 --seconds 10': some of them, longer.
BENCH_HISTORY ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/edgeai/bench-history.jsonl
bench: all
	$(BUILD)/edgeai bench --precision f32,bf16 --history '$(BENCH_HISTORY)' $(ARGS)

# Hours: the main job for three seeds in f32 and in bf16. What is finished is not run again.
bf16-check:
	@$(MAKE) --no-print-directory deps DEPS='$(BUILD_DEPS) $(RUN_DEPS)'
	@$(MAKE) --no-print-directory $(JOBS) all
	$(BUILD)/edgeai run experiments/bf16_accuracy.lua $(ARGS)

# Reference (api/*.md), manual page and editors' definitions, all out of the comments.
docs: all
	@$(BUILD)/edgeai eval 'dofile("docs/reference/make.lua")("$(BUILD)/docs")'

# ---- installation --------------------------------------------------------------------------------
LUA_DIR := $(DESTDIR)$(PREFIX)/share/lua/5.1
SHARE := $(DESTDIR)$(PREFIX)/share
LUA_INSTALLED := $(filter-out edgeai/cli/% edgeai/repl/%,$(LUA_SRC:lua/%=%))

# What `require "edgeai"` finds: one pattern of package.path that finds this file is enough.
define entry
local folder = debug.getinfo(1, "S").source:match("^@(.*)edgeai%.lua$$")
for _, pattern in ipairs { folder .. "?.lua", folder .. "?/init.lua" } do
  if not (package.path .. ";"):find(pattern .. ";", 1, true) then
    package.path = package.path .. ";" .. pattern
  end
end
return require "edgeai.init"
endef
export entry

# The Lua files into $(1); they load the library $(2), a path or a name to be found on package.cpath.
define install_lua
$(Q)for f in $(LUA_INSTALLED); do install -D -m 644 lua/$$f $(1)/$$f || exit 1; done
$(Q)install -m 644 $(BUILD)/lua/edgeai/op_comments.lua $(1)/edgeai/op_comments.lua
$(call cdef,$(2),$(1)/edgeai/cdef.lua)
$(Q)echo "$$entry" > $(1)/edgeai.lua
endef

install: docs
	$(call say,to   $(DESTDIR)$(PREFIX))
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include $(LUA_DIR) \
	  $(SHARE)/man/man1 $(SHARE)/edgeai/library $(SHARE)/edgeai/zoo
	$(Q)install -m 755 $(BUILD)/edgeai $(DESTDIR)$(PREFIX)/bin/edgeai
	$(Q)install -m 755 $(BUILD)/libedgeai.so $(DESTDIR)$(PREFIX)/lib/libedgeai.so.$(VERSION)
	$(Q)ln -sf libedgeai.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libedgeai.so.$(ABI)
	$(Q)ln -sf libedgeai.so.$(ABI) $(DESTDIR)$(PREFIX)/lib/libedgeai.so
	$(Q)install -m 644 $(BUILD)/libedgeai.a $(DESTDIR)$(PREFIX)/lib/libedgeai.a
	$(Q)install -m 644 core/edgeai.h core/edgeai_op.h $(DESTDIR)$(PREFIX)/include
	$(Q)printf '%s\n' 'prefix=$(abspath $(PREFIX))' 'libdir=$${prefix}/lib' \
	  'includedir=$${prefix}/include' 'Name: edgeai' 'Description: Edge deep learning runtime' \
	  'Version: $(VERSION)' 'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -ledgeai' \
	  'Libs.private: $(strip $(LIBS))' > $(DESTDIR)$(PREFIX)/lib/pkgconfig/edgeai.pc
	$(Q)install -m 644 $(BUILD)/docs/edgeai.1 $(SHARE)/man/man1/edgeai.1
	$(Q)install -m 644 experiments/zoo/* $(SHARE)/edgeai/zoo
	$(Q)install -m 644 $(BUILD)/docs/edgeai.d.lua $(SHARE)/edgeai/library/edgeai.d.lua
	$(Q)for p in $(notdir $(wildcard plugins/*)); do install -d $(SHARE)/edgeai/plugins/$$p && \
	  install -m 644 $$(find plugins/$$p -type f ! -name '*.so') $(SHARE)/edgeai/plugins/$$p || exit 1; \
	  CC='$(CC)' CFLAGS='$(CFLAGS)' XDG_CACHE_HOME=$(BUILD)/cache \
	    $(BUILD)/edgeai plugin build $(SHARE)/edgeai/plugins/$$p >/dev/null || exit 1; done
	$(call install_lua,$(LUA_DIR),$(abspath $(PREFIX))/lib/libedgeai.so.$(ABI))

# What `luarocks make` calls, by the rockspec: into the rock's LUADIR, LIBDIR and BINDIR.
rock: all
	$(call install_lua,$(LUADIR),libedgeai)
	$(Q)install -D -m 755 $(BUILD)/libedgeai.so $(LIBDIR)/libedgeai.so
	$(Q)install -D -m 755 $(BUILD)/edgeai $(BINDIR)/edgeai

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/edgeai $(DESTDIR)$(PREFIX)/lib/libedgeai.* \
	  $(DESTDIR)$(PREFIX)/lib/pkgconfig/edgeai.pc $(DESTDIR)$(PREFIX)/include/edgeai.h \
	  $(DESTDIR)$(PREFIX)/include/edgeai_op.h $(SHARE)/man/man1/edgeai.1
	rm -rf $(LUA_DIR)/edgeai.lua $(LUA_DIR)/edgeai $(SHARE)/edgeai

clean:
	rm -rf $(BUILD) $(BUILD)-*

.PHONY: all deps nonn2s test run-tests bench bf16-check docs install rock uninstall clean FORCE
.DELETE_ON_ERROR:
-include $(CORE_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TEST_BIN:=.d)
include tests/fuzz/Makefile.inc
include tests/peers/Makefile.inc
