# edgeai - `make nonn2s` runs the main job, `make test` the tests; both set everything up first.
PREFIX ?= /usr/local
BUILD ?= build
ARCH ?= native
CC ?= gcc
OPT ?= -O3
ONEDNN ?= 1

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS ?= $(OPT) -g -march=$(ARCH)
BASE_FLAGS := -std=gnu11 -fPIC -pthread -fvisibility=hidden -fno-math-errno -fno-trapping-math \
  -ffp-contract=off -fopenmp-simd $(WARN) -DEA_WITH_ONEDNN=$(ONEDNN)
PKGS := luajit libpng libjpeg zlib libzip jansson openblas lapacke igraph
CPPFLAGS += $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS := $(shell pkg-config --libs libpng libjpeg zlib libzip jansson openblas lapacke igraph 2>/dev/null) \
  $(if $(filter 1,$(ONEDNN)),-ldnnl) -lm -pthread
CLI_LIBS := $(shell pkg-config --libs luajit 2>/dev/null) -lreadline

CORE_SRC := $(sort $(filter-out core/cli/%,$(wildcard core/*/*.c)))
CLI_SRC := $(sort $(wildcard core/cli/*.c))
CORE_OBJ := $(CORE_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
LUA_SRC := $(sort $(shell find lua -name '*.lua'))

all: $(BUILD)/edgeai $(BUILD)/libedgeai.so $(BUILD)/libedgeai.a

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libedgeai.a: $(CORE_OBJ)
	rm -f $@ && ar rcs $@ $^

$(BUILD)/libedgeai.so: $(CORE_OBJ)
	$(CC) -shared -Wl,-soname,libedgeai.so.0 $(CFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)

.PHONY: all
-include $(CORE_OBJ:.o=.d) $(CLI_OBJ:.o=.d)
