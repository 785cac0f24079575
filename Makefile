# envd: build, test, measure. `make help` lists the targets.
#
# Sources are found, not listed: every .c in a module folder belongs to the daemon, but for main.c
# every one also belongs to the tests, each tests/unit/test_X.c is one cmocka program, each
# tests/fuzz/fuzz_X.c one fuzz target.

VARIANT ?= release
BUILD   := build/$(VARIANT)
MODULES := base rpc pty fs watch envd

CC      ?= gcc
CSTD     = -std=gnu11
WARN     = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
           -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wno-unused-parameter
HARDEN   = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fstack-clash-protection
OPT      = -O2 -g -ffunction-sections -fdata-sections
LIBS     = -l:libevent_core.a -l:libprotobuf-c.a -l:libz.a -l:libmd.a -lpthread
LDFLAGS_ = -Wl,--gc-sections -Wl,-z,relro,-z,now

ifeq ($(VARIANT),asan)
OPT      = -O1 -g -fno-omit-frame-pointer
HARDEN   = -fsanitize=address,undefined -fno-sanitize-recover=undefined
LIBS     = -levent_core -lprotobuf-c -lz -lmd -lpthread
LDFLAGS_ = -fsanitize=address,undefined
endif
ifeq ($(VARIANT),tsan)
CC       = clang
OPT      = -O1 -g -fno-omit-frame-pointer
HARDEN   = -fsanitize=thread
LIBS     = -levent_core -lprotobuf-c -lz -lmd -lpthread
LDFLAGS_ = -fsanitize=thread
endif

CPPFLAGS_ = -D_GNU_SOURCE -I. -I$(BUILD)/gen
CFLAGS_   = $(CSTD) $(OPT) $(HARDEN) $(WARN) $(CFLAGS)

PROTO    := $(wildcard rpc/proto/*.proto)
GEN_C    := $(PROTO:rpc/proto/%.proto=$(BUILD)/gen/%.pb-c.c)
SRC      := $(wildcard $(MODULES:%=%/*.c))
LIB_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(filter-out envd/main.c,$(SRC))) $(GEN_C:.c=.o)
MAIN_OBJ := $(BUILD)/envd/main.o
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all unit clean help
all: build/envd

build/envd: $(BUILD)/envd-full
	@objcopy --only-keep-debug $< build/envd.debug
	@strip -o $@ $<

$(BUILD)/envd-full: $(LIB_OBJ) $(MAIN_OBJ)
	$(CC) -static-pie $(LDFLAGS_) -o $@ $^ $(LIBS)

$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h: rpc/proto/%.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=rpc/proto --c_out=$(BUILD)/gen $<

$(BUILD)/%.o: %.c | $(GEN_C)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_) $(CFLAGS_) -fPIE -MMD -MP -c -o $@ $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(CC) $(CPPFLAGS_) $(CSTD) $(OPT) $(HARDEN) -fPIE -MMD -MP -c -o $@ $<

$(BUILD)/libenvd.a: $(LIB_OBJ)
	@rm -f $@
	ar crs $@ $^

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libenvd.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_) $(CFLAGS_) -fPIE -pie -MMD -MP -MF $@.d $(LDFLAGS_) -o $@ $< $(BUILD)/libenvd.a $(LIBS) -lcmocka

# Runs every unit test; one that fails does not hide the others.
unit: $(UNIT)
	@failed=0; for t in $(UNIT); do $$t >$$t.log 2>&1 || { failed=1; echo "FAILED: $$t"; cat $$t.log; }; done; exit $$failed

clean:
	rm -rf build

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d $(BUILD)/*.d)
