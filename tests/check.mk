# What guards the repository beyond `make test`. Each build has its own folder, build-NAME.
#   make check      before something is finished: the first five below, tens of minutes
#   make lint       the house's rules, luacheck, format of the C code
#   make warnings   everything compiled by gcc and clang, a warning is an error
#   make sanitize   all tests under the address and undefined behaviour sanitizers, and once more the
#                   plugins' specs with their C files under them (that alone: make sanitize-plugins)
#   make leaks      all specs, each of which must give back what it took
#   make gc-stress  all specs, while garbage is collected all the time
#   make tsan       threads: pool, loader and training under the thread sanitizer
#   make valgrind   the C tests under valgrind, which sees into foreign libraries
#   make coverage   which lines of core/ the tests run; fails under 90 %
check:
	@$(MAKE) --no-print-directory deps DEPS='$(BUILD_DEPS) $(RUN_DEPS) $(TEST_DEPS) $(CHECK_DEPS)'
	@for part in lint warnings sanitize leaks gc-stress; do \
	  $(MAKE) --no-print-directory $$part || exit 1; done
	@echo 'check: lint, warnings, sanitizers, leaks and garbage collector stress passed'

# As Debian 12's clang-format 14 does it.
FORMATTED = $(shell find core tests plugins -name '*.[ch]' -o -name '*.cpp' 2>/dev/null)

lint: all
	BUILD=$(BUILD) $(BUILD)/edgeai run tests/lint.lua
	luacheck --quiet lua tests core/cli docs $(wildcard experiments plugins)
	@clang-format --dry-run -Werror $(FORMATTED) 2>&1 | grep error: && \
	  { echo 'lint: `make format` lays C out as .clang-format says'; exit 1; } || true

format:
	clang-format -i $(FORMATTED)

# Once more without oneDNN and for a CPU without vector extensions: other code is compiled then.
# pass-failed: clang says that it cannot vectorise tanh; gcc can, and that is no matter of right or wrong.
warnings:
	@for cc in gcc clang; do \
	  $(MAKE) --no-print-directory $(JOBS) all test-programs BUILD=$(BUILD)-$$cc CC=$$cc \
	    CFLAGS='-O2 -march=$(ARCH) -Werror -Wno-pass-failed' && \
	  $(MAKE) --no-print-directory $(JOBS) test-programs BUILD=$(BUILD)-$$cc/plain CC=$$cc ONEDNN=0 \
	    CFLAGS='-O2 -Werror -Wno-pass-failed' || exit 1; \
	done
	@for f in tests/fuzz/*.c; do clang -fsyntax-only -Icore $(CPPFLAGS) $(WARN) \
	  -Wno-missing-prototypes -Werror $$f || exit 1; done

test-programs: $(TEST_BIN)

# OpenBLAS, igraph and oneDNN keep memory until the end, so leaks are looked for by the tests' own
# counters instead. When oneDNN 2.6.3 makes code for AMX, it reads a number behind a table of its own
# (and does not use it), which may be the last mapped byte here: it makes none.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SANITIZED := ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 EDGEAI_SANITIZED=1 \
  DNNL_MAX_CPU_ISA=AVX512_CORE_BF16
MAKE_SANITIZED = $(MAKE) --no-print-directory $(JOBS) BUILD=$(BUILD)-sanitize \
  CFLAGS='-O1 -g -march=$(ARCH) $(SANITIZE)' LDFLAGS='$(LDFLAGS) $(SANITIZE)'
sanitize:
	@$(SANITIZED) $(MAKE_SANITIZED) run-tests
	@$(MAKE) --no-print-directory sanitize-plugins

# On copies: what is compiled beside the C files themselves is for the program that users run.
sanitize-plugins:
	@$(MAKE_SANITIZED) all
	@rm -rf $(BUILD)-sanitize/plugins && cp -r plugins $(BUILD)-sanitize && \
	  rm -f $(BUILD)-sanitize/plugins/*/*.so && cd $(BUILD)-sanitize && export $(SANITIZED) \
	  CC='$(CC)' CFLAGS='-O1 -g -march=$(ARCH) -Werror $(SANITIZE)' && \
	  ./edgeai plugin test $(notdir $(wildcard plugins/*))

leaks: all
	$(BUILD)/edgeai test --leaks tests/lua

gc-stress: all
	$(BUILD)/edgeai test --gc-stress tests/lua

# Lua itself is not compiled for it; its threads are the core's. Foreign libraries neither: what they
# do with threads is left to them.
TSAN := -fsanitize=thread -fno-omit-frame-pointer
TSAN_C := core loader graph no_memory op_calls
TSAN_SPECS := train_spec resume_spec conv_spec
tsan:
	@$(MAKE) --no-print-directory $(JOBS) all test-programs BUILD=$(BUILD)-tsan \
	  CFLAGS='-O1 -g -march=$(ARCH) $(TSAN)' LDFLAGS='$(LDFLAGS) $(TSAN)'
	@export TSAN_OPTIONS='halt_on_error=1' EDGEAI_SANITIZED=1; \
	  for t in $(TSAN_C); do $(BUILD)-tsan/tests/c/test_$$t >$(BUILD)-tsan/log 2>&1 || \
	    { cat $(BUILD)-tsan/log; exit 1; }; echo "ok     $$t"; done && \
	  $(BUILD)-tsan/edgeai test $(TSAN_SPECS:%=tests/lua/%.lua)

# For a CPU that valgrind knows: it has no AVX-512. Lost memory counts, too.
VALGRIND := valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
  --show-leak-kinds=definite
valgrind:
	@$(MAKE) --no-print-directory $(JOBS) test-programs BUILD=$(BUILD)-valgrind CFLAGS='-O1 -g'
	@for t in $(TEST_SRC:tests/c/%.c=%); do \
	  $(VALGRIND) $(BUILD)-valgrind/tests/c/$$t >$(BUILD)-valgrind/log 2>&1 || \
	    { cat $(BUILD)-valgrind/log; exit 1; }; echo "ok     $$t"; done

# The programs that specs start count as well. Whether tests pass is asked elsewhere: those that limit
# what a program may write fail here, where it also writes its counts.
COVERAGE := --coverage -fprofile-update=atomic
coverage:
	@rm -f $$(find $(BUILD)-coverage -name '*.gcda' 2>/dev/null)
	@-EDGEAI_SANITIZED=1 $(MAKE) --no-print-directory $(JOBS) run-tests BUILD=$(BUILD)-coverage \
	  CFLAGS='-O1 -g -march=$(ARCH) $(COVERAGE)' LDFLAGS='$(LDFLAGS) $(COVERAGE) -Wl,-u,__gcov_dump'
	@gcovr --root . --filter core/ --sort-uncovered --fail-under-line 90 $(BUILD)-coverage

.PHONY: check lint format warnings test-programs sanitize sanitize-plugins leaks gc-stress tsan \
  valgrind coverage
