# edgeai - `make nonn2s` runs the main job, `make test` the tests; both set everything up first.
PREFIX ?= /usr/local
BUILD ?= build
ARCH ?= native
CC ?= gcc
OPT ?= -O3
ONEDNN ?= 1
LUAJIT ?= luajit

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS ?= $(OPT) -g -march=$(ARCH)
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
VERSION := 0.1.0
ABI := 0

all: $(BUILD)/edgeai $(BUILD)/libedgeai.so $(BUILD)/libedgeai.a

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libedgeai.a: $(CORE_OBJ)
	rm -f $@ && ar rcs $@ $^

$(BUILD)/libedgeai.so: $(CORE_OBJ)
	$(CC) -shared -Wl,-soname,libedgeai.so.$(ABI) $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)
	ln -sf libedgeai.so $@.$(ABI)

# The whole library is in the program, its public symbols exported: LuaJIT's FFI finds them there.
$(BUILD)/edgeai: $(CLI_OBJ) $(BUILD)/libedgeai.a
	$(CC) $(CFLAGS) $(LDFLAGS) -rdynamic -Wl,--warn-unresolved-symbols $(CLI_OBJ) -Wl,--whole-archive $(BUILD)/libedgeai.a \
	  -Wl,--no-whole-archive -o $@ $(CLI_LIBS) $(LIBS)

# The header as LuaJIT reads it: edgeai/cdef.lua. $(1): the library that plain luajit loads.
define cdef
@mkdir -p $(dir $(2))
{ printf 'return { library = "%s", abi = 1, text = [==[\n' '$(1)' && \
  $(CC) -E -P -DEA_FFI core/edgeai.h | sed -f core/cli/handles.sed && \
  echo ']==] }'; } > $(2).tmp && mv $(2).tmp $(2)
endef

$(BUILD)/lua/edgeai/cdef.lua: core/edgeai.h core/cli/handles.sed Makefile
	$(call cdef,libedgeai.so.$(ABI),$@)

# Changes when a Lua file appears or goes.
$(BUILD)/lua.list: FORCE
	@mkdir -p $(@D)
	@echo '$(LUA_SRC)' | cmp -s - $@ || echo '$(LUA_SRC)' > $@

$(BUILD)/core/cli/embedded.c: $(LUA_SRC) $(BUILD)/lua.list $(BUILD)/lua/edgeai/cdef.lua core/cli/embed.lua
	@mkdir -p $(@D)
	$(LUAJIT) core/cli/embed.lua $@ lua $(BUILD)/lua

$(BUILD)/core/cli/embedded.o: $(BUILD)/core/cli/embedded.c core/cli/embedded.h
	$(CC) -Icore/cli -O0 -c $< -o $@

$(BUILD)/tests/c/%: tests/c/%.c $(BUILD)/libedgeai.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(CFLAGS) $(LDFLAGS) -Icore -MMD -MP $< -o $@ \
	  -Wl,--whole-archive $(BUILD)/libedgeai.a -Wl,--no-whole-archive $(LIBS) -lcmocka

clean:
	rm -rf $(BUILD)

.PHONY: all clean FORCE
.DELETE_ON_ERROR:
-include $(CORE_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
