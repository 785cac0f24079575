# SPDX-License-Identifier: Apache-2.0
# envd: build, test, measure. `make help` lists the targets.
#
# Sources are found, not listed: every .c in a module folder belongs to the daemon; all of them but
# envd/main.c also to the tests. Each tests/unit/test_X.c is one cmocka program, each
# tests/fuzz/fuzz_X.c one fuzz target with the corpus tests/fuzz/corpus/X/; other .c files in those
# two folders are helpers, linked into every program there.
#
# Each variant has a folder of its own below build/, so that they never mix:
#   release   static-pie, hardened, stripped: build/envd, its symbols in build/envd.debug
#   asan      address and undefined-behaviour sanitizers: build/envd-asan
#   tsan      thread sanitizer: build/envd-tsan
#   faults    asan, and system calls and allocations that fail (tests/faults): build/envd-faults
#   fuzz      libFuzzer with asan: build/fuzz/fuzz_X
#   coverage  the fuzz targets by gcc, which count the lines that they run: build/coverage/fuzz_X

VARIANT ?= release
ARCH    ?=
BUILD   := build/$(VARIANT)$(ARCH:%=-%)
MODULES := base rpc pty fs watch envd
# A floor of a module is a folder below it (ARCHITECTURE.md).
FLOORS  := $(MODULES) rpc/codec rpc/http pty/cgroup pty/seccomp fs/http watch/engine \
           envd/boot envd/client envd/commands envd/control envd/relay envd/upgrade
PREFIX  ?= /usr
# What `envd -version` and X-Envd-Version say; a packager may set another (envd/version.h).
VERSION_REPORTED ?= 0.9.1+c1
# The project's own version (semver.org): of packages and archives, and in what `envd -build` says.
VERSION ?= 1.0.0
SECONDS ?= 60
V       ?= 0

# A sub-make takes as many jobs as there are cores, unless the caller chose.
SUBMAKE = +@$(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# V=1 shows the commands, otherwise a line says what is made.
Q   := $(if $(filter 1,$(V)),,@)
say  = $(if $(filter 1,$(V))$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '%-7s %s\n' '$(1)' '$(2)')

# Clients and toolchains that the tests use. Relative, as every path that make itself reads: the
# clone's own path may contain a space.
TOOLS    := build/tools

### compiler

ifeq ($(origin CC),default)
CC       := gcc
endif
CSTD     := -std=gnu11

# Another architecture, by Debian's cross compiler and that architecture's libraries (SYSROOT).
ifeq ($(ARCH),arm64)
CROSS    := aarch64-linux-gnu-
SYSROOT  := build/sysroot-arm64
# Also where the caller names a compiler for this machine; of that, ccache is kept.
override CC := $(strip $(filter ccache,$(CC)) $(CROSS)gcc --sysroot=$(SYSROOT))
export UNIT_RUNNER := qemu-aarch64-static -L $(SYSROOT)
else ifneq ($(ARCH),)
$(error ARCH is arm64, or not given)
endif
MACHINE  := $(if $(ARCH),aarch64,$(shell uname -m))

WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wno-unused-parameter
STATIC   := -l:libevent_core.a -l:libprotobuf-c.a -l:libz.a -l:libmd.a -l:libseccomp.a -lpthread
SHARED   := -levent_core -lprotobuf-c -lz -lmd -lseccomp -lpthread
INSTRUMENT :=
LINK     :=
LIBS     := $(SHARED)

ifeq ($(VARIANT),release)
PACKED   := -Wl,-z,pack-relative-relocs
PACKED   := $(if $(filter x86_64,$(MACHINE)),$(PACKED))
# Relative relocations packed, and unwind tables in the .debug file only: 90 KB less to load.
INSTRUMENT := -O2 -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
            -fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
            $(if $(filter x86_64,$(MACHINE)),-fcf-protection)
LINK     := -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,-z,noexecstack $(PACKED) \
            -Wl,-T,scripts/cold.ld
LIBS     := $(STATIC)
else ifeq ($(VARIANT),asan)
INSTRUMENT := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
            -fno-sanitize-recover=undefined
LINK     := -fsanitize=address,undefined
else ifeq ($(VARIANT),faults)
# libevent's calls are wrapped too, so it is its archive that is linked.
INSTRUMENT := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
            -fno-sanitize-recover=undefined
FAULT_SRC := $(wildcard tests/faults/*.c)
FAULT_OBJ := $(FAULT_SRC:%.c=$(BUILD)/%.o)
WRAPPED  := $(shell scripts/wrapped $(FAULT_SRC))
LINK     := -fsanitize=address,undefined $(WRAPPED:%=-Wl,--wrap=%)
LIBS     := -l:libevent_core.a -lprotobuf-c -lz -lmd -lseccomp -lpthread
else ifeq ($(VARIANT),tsan)
CC       := clang
INSTRUMENT := -O1 -fno-omit-frame-pointer -fsanitize=thread
LINK     := -fsanitize=thread
else ifeq ($(VARIANT),fuzz)
CC       := clang
# From clang 17 on "undefined" has "function", also for C: it refuses that protobuf-c calls
# initialisers through a pointer to another type.
INSTRUMENT := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
            -fno-sanitize=function -fno-sanitize-recover=undefined -DFUZZING
LINK     := -fsanitize=fuzzer,address,undefined
else ifeq ($(VARIANT),coverage)
INSTRUMENT := -O0 --coverage -DFUZZING
LINK     := --coverage
REPLAY_OBJ := $(BUILD)/tests/fuzz/replay/replay.o
else ifeq ($(VARIANT),lint-gcc)
INSTRUMENT := -O2 -Werror
else ifeq ($(VARIANT),lint-analyzer)
# gcc's, by path; with more inlining it takes a member that is set for one that is not.
INSTRUMENT := -O1 -fanalyzer -Werror
else ifeq ($(VARIANT),lint-clang)
CC       := clang
INSTRUMENT := -O1 -Werror
else
$(error VARIANT is one of: release asan tsan faults fuzz coverage)
endif

ALL_CPPFLAGS = -D_GNU_SOURCE -I. -I$(BUILD)/gen $(CPPFLAGS)
ALL_CFLAGS   = $(CSTD) -g -fPIE -ffile-prefix-map="$(CURDIR)"=. $(INSTRUMENT) $(CFLAGS)
COMPILE      = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP

### sources

PROTO    := $(wildcard rpc/proto/*.proto)
# libprotobuf-c has no code for protobuf's well-known types: it is generated as ours is.
GEN_C    := $(PROTO:rpc/proto/%.proto=$(BUILD)/gen/%.pb-c.c) \
            $(BUILD)/gen/google/protobuf/timestamp.pb-c.c
PROTOC   := protoc-c --proto_path=$(BUILD)/gen --proto_path=/usr/include --c_out=$(BUILD)/gen
SRC      := $(wildcard $(FLOORS:%=%/*.c))
LIB_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(filter-out envd/main.c,$(SRC))) $(GEN_C:.c=.o)
MAIN_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter envd/main.c,$(SRC)))

UNIT_SRC := $(wildcard tests/unit/*.c)
UNIT     := $(patsubst tests/%.c,$(BUILD)/%,$(filter tests/unit/test_%,$(UNIT_SRC)))
# What qemu's user mode can't do: clone3 and children that share memory, openat2, exact mappings,
# sock_diag.
# A guest of that architecture runs these too: make test-vm PARTS=arm64.
UNEMULATED := $(if $(ARCH),fs_tar port_forward proc spawn spawn_hang thread)
UNIT_RUN := $(filter-out $(UNEMULATED:%=$(BUILD)/unit/test_%),$(UNIT))
UNIT_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/unit/test_%,$(UNIT_SRC)))

FUZZ_SRC := $(wildcard tests/fuzz/*.c)
FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(filter tests/fuzz/fuzz_%,$(FUZZ_SRC)))
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/fuzz/fuzz_%,$(FUZZ_SRC)))
LLHTTP_OBJ := $(patsubst %,$(BUILD)/llhttp/%.o,api http llhttp)

# Messages for the tests of the codecs.
TEST_PROTO := $(wildcard tests/proto/*.proto)
TEST_GEN_C := $(TEST_PROTO:%.proto=$(BUILD)/gen/%.pb-c.c) \
            $(patsubst %,$(BUILD)/gen/google/protobuf/%.pb-c.c,any duration empty wrappers)
TEST_GEN_OBJ := $(TEST_GEN_C:.c=.o)

DAEMON   := $(if $(filter release,$(VARIANT)),build/envd$(ARCH:%=-%),build/envd-$(VARIANT))

### build

.PHONY: all
all: $(if $(MAIN_OBJ),$(DAEMON),$(LIB_OBJ))

build/envd$(ARCH:%=-%): $(BUILD)/envd-unstripped
	$(call say,STRIP,$@)
	$(Q)$(CROSS)objcopy --only-keep-debug $< $@.debug
	$(Q)$(CROSS)strip -o $@ $<
	$(Q)$(CROSS)objcopy --add-gnu-debuglink=$@.debug $@

$(BUILD)/envd-unstripped: $(LIB_OBJ) $(MAIN_OBJ) scripts/cold.ld
	$(call say,LINK,$@)
	$(Q)$(CC) -static-pie $(LINK) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

build/envd-asan build/envd-tsan build/envd-faults: $(LIB_OBJ) $(MAIN_OBJ) $(FAULT_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) -pie $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

# The published files name nothing of protobuf-c, so that buf and grpcurl can use them. The build
# adds its options to copies: `const char *` for strings, and no pack functions (rpc/codec/codec.h
# has its own). protoc-gen-c 1.4 knows no `optional` of proto3: a oneof of its own is the same on the
# wire and in JSON.
PB_C_OPTIONS = const_strings: true, gen_pack_helpers: false
PB_C_PROTO   = sed -E -e 's/^( *)optional ([A-Za-z0-9_.]+) ([a-z0-9_]+) = ([0-9]+);/\1oneof opt_\3 { \2 \3 = \4; }/' \
            -e '/^package /a import "protobuf-c/protobuf-c.proto";' \
            -e '/^package /a option (pb_c_file) = { $(PB_C_OPTIONS) };'

$(BUILD)/gen/%.proto: rpc/proto/%.proto
	@mkdir -p $(@D)
	@$(PB_C_PROTO) $< >$@

# One file may import another, so all copies are made first.
$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h: $(BUILD)/gen/%.proto | build/deps $(PROTO:rpc/proto/%=$(BUILD)/gen/%)
	$(call say,PROTO,rpc/proto/$*.proto)
	$(Q)$(PROTOC) $<

$(BUILD)/gen/tests/%.pb-c.c $(BUILD)/gen/tests/%.pb-c.h: tests/%.proto | build/deps
	@mkdir -p $(@D)
	$(call say,PROTO,$<)
	$(Q)$(PROTOC) --proto_path=. $<

$(BUILD)/gen/google/%.pb-c.c $(BUILD)/gen/google/%.pb-c.h: /usr/include/google/%.proto | build/deps
	@mkdir -p $(@D)
	$(call say,PROTO,$<)
	$(Q)$(PROTOC) $<

# Whether what a build needs is there, looked at once. What is missing is named in one line.
build/deps: | $(if $(ARCH),$(SYSROOT))
	@scripts/deps-check $(CC)
	@mkdir -p $(@D) && touch $@

/usr/include/google/%.proto: | build/deps ;

# What the daemon says of its own build: the commit, and the commit's date, so that the same
# sources give the same bytes.
$(BUILD)/gen/build_info.h: FORCE
	@mkdir -p $(@D)
	@VERSION='$(VERSION)' VERSION_REPORTED='$(VERSION_REPORTED)' scripts/build-info >$@.$$$$; cmp -s $@.$$$$ $@ && rm $@.$$$$ || mv $@.$$$$ $@

# Other flags or another compiler make the objects stale as a changed source does.
$(BUILD)/flags: FORCE | build/deps
	@mkdir -p $(@D)
	@echo '$(COMPILE) $(WARN) $(LINK) $(LIBS)' >$@.$$$$; cmp -s $@.$$$$ $@ && rm $@.$$$$ || mv $@.$$$$ $@

ifneq ($(ARCH),)
$(SYSROOT): scripts/packages-build.txt scripts/packages-arm64.txt
	@scripts/packages build $(ARCH)
	@scripts/sysroot $(ARCH) $@
	@touch $@

$(BUILD)/flags: $(SYSROOT)
endif

$(BUILD)/%.o: %.c $(BUILD)/flags | $(GEN_C) $(BUILD)/gen/build_info.h
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(WARN) -c -o $@ $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags | $(GEN_C)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -c -o $@ $<

$(patsubst %.c,$(BUILD)/%.o,$(UNIT_SRC) $(FUZZ_SRC)) $(TEST_GEN_OBJ): | $(TEST_GEN_C)

# The server that the Connect project's conformance suite tests: its messages are generated from
# the suite's own files, which are a Go module (tests/conformance/run fetches it).
CONFORMANCE := connectrpc.com/conformance@v1.0.6
CONFORMANCE_PROTO := $(TOOLS)/go/pkg/mod/$(CONFORMANCE)/proto
CONFORMANCE_SRC := $(wildcard tests/conformance/*.c)
CONFORMANCE_GEN_C := $(patsubst %,$(BUILD)/gen/connectrpc/conformance/v1/%.pb-c.c,\
            config server_compat service)

$(BUILD)/conformance-server: $(CONFORMANCE_SRC:%.c=$(BUILD)/%.o) $(CONFORMANCE_GEN_C:.c=.o) \
		$(TEST_GEN_OBJ) $(BUILD)/libenvd.a
	$(call say,LINK,$@)
	$(Q)$(CC) -pie $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

$(CONFORMANCE_SRC:%.c=$(BUILD)/%.o): | $(CONFORMANCE_GEN_C) $(TEST_GEN_C)

$(BUILD)/gen/connectrpc/%.proto: PB_C_OPTIONS = const_strings: true, c_package: "conformance"
$(BUILD)/gen/connectrpc/%.proto: $(CONFORMANCE_PROTO)/connectrpc/%.proto
	@mkdir -p $(@D)
	@$(PB_C_PROTO) $< >$@

$(CONFORMANCE_GEN_C): $(CONFORMANCE_GEN_C:.pb-c.c=.proto)
	$(call say,PROTO,$@)
	$(Q)$(PROTOC) $(@:.pb-c.c=.proto)

$(BUILD)/libenvd.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)ar crsD $@ $^

$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(UNIT_OBJ) $(TEST_GEN_OBJ) $(BUILD)/libenvd.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -pie $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_OBJ) $(REPLAY_OBJ) $(TEST_GEN_OBJ) $(LLHTTP_OBJ) \
		$(BUILD)/libenvd.a
	$(call say,LINK,$@)
	$(Q)$(CC) -pie $(LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

# What the request parser is compared with (tests/fuzz/oracle.h).
$(BUILD)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -O1 -fPIE -I/usr/share/include/llhttp -c -o $@ $<

.PHONY: FORCE
.SECONDARY:
.DELETE_ON_ERROR:

### use

# Packages of a build. `make run` and `make test` install what they need; `make` installs nothing.
.PHONY: deps
deps:
	@scripts/packages build

# Serves this machine alone: loopback, and no web page gets an answer.
.PHONY: run
run:
	@scripts/packages build run
	$(SUBMAKE) all
	@scripts/run $(PORT)

# share/envd/ is for those who write clients: messages and services for buf and grpcurl, and the
# HTTP endpoints for OpenAPI.
SHARE    := $(DESTDIR)$(PREFIX)/share
MAN      := $(wildcard docs/man/*.[1-8] man/*.[1-8])
.PHONY: install
install: $(DAEMON)
	install -D -m 0755 $(DAEMON) "$(DESTDIR)$(PREFIX)/bin/envd"
	install -d "$(DESTDIR)$(PREFIX)/lib/systemd/system"
	sed 's,/usr/bin/envd,$(PREFIX)/bin/envd,' systemd/envd.service \
		>"$(DESTDIR)$(PREFIX)/lib/systemd/system/envd.service"
	install -m 0644 systemd/envd.socket systemd/envd-vsock.socket \
		"$(DESTDIR)$(PREFIX)/lib/systemd/system"
	install -D -m 0644 systemd/50-envd.preset \
		"$(DESTDIR)$(PREFIX)/lib/systemd/system-preset/50-envd.preset"
	install -D -m 0644 -t "$(SHARE)/envd/proto" $(PROTO)
	$(if $(wildcard docs/openapi.yaml),install -D -m 0644 -t "$(SHARE)/envd" docs/openapi.yaml)
	install -D -m 0644 completions/envd "$(SHARE)/bash-completion/completions/envd"
	install -D -m 0644 completions/_envd "$(SHARE)/zsh/site-functions/_envd"
	$(foreach page,$(MAN),install -D -m 0644 -t "$(SHARE)/man/man$(subst .,,$(suffix $(page)))" $(page);)

# Two builds of the last commit, in different directories, have the same bytes.
.PHONY: reproducible
reproducible:
	@scripts/packages build
	@scripts/reproducible

# What was linked: the linker says from which files, the package database from which packages.
.PHONY: sbom
sbom: $(DAEMON).cdx.json
$(DAEMON).cdx.json: $(DAEMON) scripts/sbom
	$(Q)$(CC) -static-pie $(LINK) $(LDFLAGS) -Wl,--trace -o $(BUILD)/envd-traced $(LIB_OBJ) $(MAIN_OBJ) \
		$(LIBS) >$(BUILD)/linked.txt
	$(Q)scripts/sbom $(BUILD)/linked.txt $(DAEMON) $(SYSROOT) >$@
	@echo "$@: $$(grep -c '"bom-ref": "pkg:' $@) packages"

# The files of a release, in build/dist: packages, archives, an OCI image, symbols, SBOM, checksums. The
# same commit gives the same bytes. DIST_ARCHS=amd64 leaves the cross-built one out.
DIST_ARCHS ?= amd64 arm64
.PHONY: dist dist-stage $(DIST_ARCHS:%=dist-%)
dist:
	@scripts/packages build dist
	@rm -rf build/dist
	$(SUBMAKE) $(DIST_ARCHS:%=dist-%)
	@scripts/dist/dist '$(VERSION)' build/dist $(DIST_ARCHS)
	@cat build/dist/SHA256SUMS

$(DIST_ARCHS:%=dist-%):
	+@$(MAKE) --no-print-directory ARCH=$(patsubst dist-amd64,,$(@:dist-arm64=arm64)) sbom dist-stage

dist-stage: $(DAEMON)
	+@$(MAKE) -s --no-print-directory install DESTDIR=build/dist/stage/$(or $(ARCH),amd64) PREFIX=/usr

# Installs, upgrades and removes what make dist made: SYSTEMS="debian ubuntu alpine arm64".
.PHONY: test-dist
test-dist: dist
	@scripts/packages dist-test newcomer $(if $(filter arm64,$(DIST_ARCHS)),arm64)
	@tests/dist/run $(if $(SYSTEMS),--systems '$(SYSTEMS)') $(if $(ONLY),--only '$(ONLY)')

### tests: each suite ends with the line "N passed, N failed"
#
# A suite is a target below, or a folder tests/X/ with a program `run` in it: make X runs it, and
# make X-asan runs it on the daemon with sanitizers. Both look for the daemon in $ENVD.
# The grammar runs with sanitizers only: make grammar-asan.
FOLDERS  := $(filter-out bench compare dist faults grammar lib mutants newcomer pods soak vm,$(patsubst tests/%/run,%,$(wildcard tests/*/run)))
# The longest come first.
LONGEST  := conformance vm control process
SUITES   ?= $(LONGEST) unit unit-asan unit-tsan process-asan fuzz-replay grammar-asan faults-few \
            $(filter-out $(LONGEST),$(FOLDERS)) $(filter-out process-asan,$(SANITIZED:%=%-asan))
# With sanitizers the daemon's own suites, for the SDKs' send it nothing that those do not.
SANITIZED := $(filter conformance files http process upgrade watch,$(FOLDERS))

# The test clients, Go and Node of build/tools/ come first; what Go fetches and builds stays in build/.
TOOL_ENV := PATH="$(CURDIR)/$(TOOLS)/venv/bin:$$PATH:/usr/sbin:/sbin" \
            GOPATH="$(CURDIR)/$(TOOLS)/go" GOCACHE="$(CURDIR)/$(TOOLS)/go-cache" \
            GOFLAGS=-modcacherw GOTOOLCHAIN=local

.PHONY: test
test:
	@scripts/packages build test
	@scripts/toolchain
	$(SUBMAKE) test-programs
	$(if $(filter %-asan,$(SUITES)),$(SUBMAKE) VARIANT=asan test-programs)
	$(if $(filter %-tsan,$(SUITES)),$(SUBMAKE) VARIANT=tsan unit-programs)
	$(if $(filter fuzz-replay,$(SUITES)),$(SUBMAKE) VARIANT=fuzz fuzz-programs)
	@$(TOOL_ENV) scripts/test $(SUITES)

# What suites are built from, before they run side by side.
.PHONY: test-programs unit-programs
test-programs: all unit-programs

unit-programs: $(UNIT)

.PHONY: unit unit-asan unit-tsan
unit: $(UNIT_RUN)
	@scripts/as-root env UNIT_RUNNER='$(UNIT_RUNNER)' scripts/unit $(UNIT_RUN)
	$(if $(UNEMULATED),@echo "left to a guest: $(UNEMULATED)" >&2)

unit-asan unit-tsan:
	$(SUBMAKE) VARIANT=$(@:unit-%=%) unit

.PHONY: fuzz fuzz-replay fuzz-programs
fuzz:
	@scripts/packages build test
	$(SUBMAKE) VARIANT=fuzz fuzz-programs
	@scripts/fuzz $(SECONDS)

fuzz-replay:
	$(SUBMAKE) VARIANT=fuzz fuzz-programs
	@scripts/fuzz replay

# How many lines of each parser its fuzz target runs, over the stored inputs and those that `make fuzz`
# has added.
.PHONY: fuzz-report
fuzz-report:
	@scripts/packages build test
	$(SUBMAKE) VARIANT=coverage fuzz-programs
	@scripts/fuzz-report

fuzz-programs: $(FUZZ)

.PHONY: $(FOLDERS) $(FOLDERS:%=%-asan)
$(FOLDERS): all
	@scripts/packages test
	@scripts/toolchain
	@$(TOOL_ENV) $(if $(PEER),ENVD_PEER='$(PEER)') ENVD=$${ENVD:-build/envd} tests/$@/run

$(FOLDERS:%=%-asan):
	@scripts/packages test
	@scripts/toolchain
	$(SUBMAKE) VARIANT=asan all
	@$(TOOL_ENV) ENVD=build/envd-asan tests/$(@:%-asan=%)/run

# Calls of the daemon that fail (tests/faults): make test tries ten seeds.
.PHONY: faults faults-few
faults faults-few:
	@scripts/packages test
	@scripts/toolchain
	$(SUBMAKE) VARIANT=faults all
	@$(TOOL_ENV) ENVD=build/envd-faults tests/faults/run --seeds $(or $(SEEDS),$(if $(findstring few,$@),1-10,1-40))

# Requests of a grammar to a whole daemon (tests/grammar). make test tries the first 150 seeds;
# fuzz-daemon goes on for SECONDS=, from SEED=.
.PHONY: grammar-asan fuzz-daemon
grammar-asan fuzz-daemon:
	@scripts/packages test
	@scripts/toolchain
	$(SUBMAKE) VARIANT=asan all
	@$(TOOL_ENV) ENVD=build/envd-asan tests/grammar/run \
		$(if $(findstring fuzz,$@),--seconds $(SECONDS)) $(if $(SEED),--seeds $(SEED))

# One daemon under many clients (tests/soak) for HOURS= or MINUTES=, 2.5 minutes. SEED= repeats the
# choices of a run; WITHOUT=ports,freezer leaves actors out.
.PHONY: soak soak-asan
soak soak-asan:
	@scripts/packages test
	@scripts/toolchain
	$(SUBMAKE) $(if $(findstring asan,$@),VARIANT=asan) all
	@$(TOOL_ENV) ENVD=build/envd$(@:soak%=%) tests/soak/run $(if $(SEED),--seed $(SEED)) \
		$(if $(WITHOUT),--without $(WITHOUT)) \
		$(if $(HOURS),--hours $(HOURS)) $(if $(MINUTES),--minutes $(MINUTES))

# Small faults put into the code one at a time: which test notices (tests/mutants)? ONLY=name,name for
# some of them; TURN=today or TURN=N for a dozen.
.PHONY: mutants
mutants:
	@scripts/packages build test
	@scripts/toolchain
	@CC='$(CC)' $(TOOL_ENV) tests/mutants/run $(if $(ONLY),--only '$(ONLY)') $(if $(TURN),--turn '$(TURN)')

# The model of tests/watch with more seeds than `make watch` tries.
.PHONY: watch-model
watch-model: all
	@scripts/packages test
	@scripts/toolchain
	@$(TOOL_ENV) ENVD=$${ENVD:-build/envd} tests/watch/run -k test_model --seeds $(or $(SEEDS),1-200)

.PHONY: bench compare test-containers test-vm
test-containers: all
	@scripts/packages test pods
	@scripts/toolchain
	@$(TOOL_ENV) ENVD=$${ENVD:-build/envd} tests/pods/run $(if $(ONLY),-k '$(ONLY)')


BENCH_SRC := $(wildcard tests/bench/client/*.c)

build/bench/client: $(BENCH_SRC) tests/bench/client/client.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CSTD) -D_GNU_SOURCE -O2 -g $(WARN) -static -o $@ $(BENCH_SRC)

# Ours, the bare system and PEER=/path/to/another/envd in turn; ONLY=commands,idle for some of it.
bench: all build/bench/client
	@scripts/packages build bench
	@tests/bench/peers
	@scripts/as-root tests/bench/run $(if $(PEER),--peer '$(PEER)') $(if $(ONLY),--only '$(ONLY)')

# The tracer of tests/loop, and the names of this machine's system calls.
build/gen/loop/syscall_names.h:
	@mkdir -p $(@D)
	@echo '#include <sys/syscall.h>' | $(CC) -dM -E - | \
		sed -nE 's/^#define (__NR_([a-z0-9_]+)) .*/{\1, "\2"},/p' | sort >$@

build/loop-trace: tests/loop/trace.c build/gen/loop/syscall_names.h
	$(call say,CC,$@)
	$(Q)$(CC) $(CSTD) -D_GNU_SOURCE -O1 -g $(WARN) -Ibuild/gen/loop -o $@ $<

loop loop-asan test-programs: build/loop-trace

# Where PEER=/path/to/another/envd answers differently, unless tests/compare/rules.toml says so;
# ONLY=pattern for some of the cases.
compare: all
	$(if $(PEER),,$(error compare needs another envd: make compare PEER=/path/to/envd))
	@scripts/as-root tests/compare/run $(if $(PEER),--peer '$(PEER)') $(if $(ONLY),--only '$(ONLY)')

# vm is the part that make test has time for.
vm: PARTS = initramfs
test-vm vm: all
	@scripts/packages vm $(if $(shell command -v cargo),,cargo)
	@scripts/toolchain
	$(if $(filter arm64,$(or $(PARTS),arm64)),$(SUBMAKE) ARCH=arm64 all unit-programs)
	@$(TOOL_ENV) tests/vm/run $(if $(PEER),--peer '$(PEER)') $(PARTS)

# What a fresh system shows to somebody who has just cloned: SYSTEMS="debian ubuntu", USERS="root
# newcomer", STEPS="run documents test", and SUITES for make test there.
.PHONY: test-newcomer
test-newcomer:
	@scripts/packages newcomer
	@tests/newcomer/run $(if $(SYSTEMS),--systems '$(SYSTEMS)') $(if $(USERS),--users '$(USERS)') \
		$(if $(STEPS),--steps '$(STEPS)') $(if $(filter command line,$(origin SUITES)),--suites '$(SUITES)')

.PHONY: lock
lock:
	@scripts/lock

### lint

FORMATTED := $(shell find $(wildcard $(MODULES) tests) -name '*.[ch]' -not -path '*/gen/*')
TIDIED    := $(SRC) $(UNIT_SRC) $(FUZZ_SRC) tests/fuzz/replay/replay.c

.PHONY: lint lint-all lint-format lint-includes lint-fatal lint-mutants lint-compile lint-analyze \
        lint-tidy lint-cppcheck lint-shell lint-docs lint-man lint-license
lint:
	@scripts/packages lint
	$(SUBMAKE) -k -Otarget lint-all
	@echo 'lint: clean'

lint-all: lint-format lint-includes lint-fatal lint-mutants lint-shell lint-docs lint-man lint-license lint-cppcheck lint-tidy
	$(SUBMAKE) VARIANT=lint-gcc lint-compile
	$(SUBMAKE) VARIANT=lint-analyzer lint-analyze

# clang-format leaves long comments as they are.
lint-format:
	@clang-format --dry-run --Werror $(FORMATTED)
	@for file in $(FORMATTED); do \
		expand "$$file" | LC_ALL=C.UTF-8 grep -nE '^.{101}' | sed "s|^|$$file:|"; \
	done | { ! grep .; }

lint-includes:
	@scripts/include-check

# Each fatal() says why nothing from outside reaches it.
lint-fatal:
	@scripts/fatal-check

# The text that a mutant replaces is there.
lint-mutants:
	@tests/mutants/run --check

lint-compile: $(TIDIED:%.c=$(BUILD)/%.o)

# clang's analyzer is among the checks of clang-tidy.
lint-analyze: $(SRC:%.c=$(BUILD)/%.o)

# The name is set on each path on which open_parent returns 0; the analyzer does not follow the loop.
build/lint-analyzer/fs/place.o: CFLAGS += -Wno-analyzer-null-argument
# main has found out which of the two sides is the guest's.
build/lint-analyzer/envd/commands/cmd_cp.o: CFLAGS += -Wno-analyzer-null-argument

lint-tidy:
	$(SUBMAKE) VARIANT=lint-clang $(TIDIED:%.c=build/lint-clang/%.tidy)

# The object comes first: it knows which headers the verdict depends on.
build/lint-clang/%.tidy: %.c build/lint-clang/%.o .clang-tidy
	$(call say,TIDY,$<)
	$(Q)clang-tidy --quiet $< -- $(CSTD) $(ALL_CPPFLAGS) $(WARN) 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

lint-cppcheck:
	@cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability \
		--inline-suppr --error-exitcode=1 --suppress=missingIncludeSystem \
		-D_GNU_SOURCE -D__$(MACHINE)__ -I. --include=/usr/include/$$(gcc -print-multiarch)/sys/queue.h \
		$(wildcard $(MODULES) tests/unit tests/fuzz)

# Links between documents, the names of limits that docs/limits.md lists, and whether the table of
# differences and the completion of the shells are current.
lint-docs:
	@scripts/link-check
	@scripts/differences --check
	@scripts/completions --check

lint-man:
	@mandoc -Tlint -Wwarning $(MAN)

# Every file that can hold a comment names its licence.
lint-license:
	@lacking=$$(git grep -IL 'SPDX-License-Identifier: Apache-2.0' -- . ':!*.md' ':!*.txt' \
		':!*.in' ':!*.json' ':!*.asc' ':!LICENSE' ':!tests/fuzz/corpus' ':!*.pb'); \
	for file in $$lacking; do echo "$$file: no SPDX line"; done; test -z "$$lacking"

lint-shell:
	@shellcheck $(shell grep -lE '^\#!.*sh$$' scripts/* scripts/dist/* scripts/dist/*/* .ci/* tests/*/* 2>/dev/null)

# The suites' logs belong to root.
.PHONY: clean
clean:
	@rm -rf build 2>/dev/null || scripts/as-root rm -rf build

.PHONY: help
help:
	@sed -n 's/^\#H \{0,1\}//p' Makefile

#H make              build/envd; make deps installs what that needs
#H make run          build and serve on 127.0.0.1:49983 (PORT=), installing what that needs
#H make install      DESTDIR= PREFIX=/usr: binary, systemd unit, proto files, man pages, completion
#H
#H make test         every suite, about ten minutes; SUITES="unit sdk" for some
#H make unit         one suite: unit http process files watch control cgroup cmd client loop sdk
#H                   secure versions packages container conformance; with -asan or -tsan: on a daemon with that sanitizer
#H make client       the commands on the host; PEER=another envd: against that too
#H make versions     features by versions of E2B's SDKs; WRITE=1 writes docs/compatibility/sdks.md
#H make test-newcomer  fresh Debian and Ubuntu: run, the documents' commands, test
#H make test-dist    make dist, and install, upgrade and remove what it made; SYSTEMS="debian ubuntu alpine arm64" ONLY=upgrade
#H make test-containers  envd in containers and Pods, by podman; ONLY=terminal
#H make test-vm      boot guests with envd in them; PARTS="initramfs cgroup ..."
#H make fuzz         SECONDS=60 for each fuzz target
#H make fuzz-daemon  SECONDS=60 of requests of a grammar to a whole daemon; SEED= where to begin
#H make fuzz-report  lines of each parser that the fuzz targets' inputs run
#H make faults       calls of the daemon fail at random, for SEEDS=1-40
#H make soak         one daemon under every kind of client for HOURS= or MINUTES=; SEED=; soak-asan
#H make mutants      which test notices each fault of tests/mutants; ONLY=name,name, TURN=today
#H make watch-model  the model test of watches for SEEDS=1-200
#H make lint         format, warnings, clang-tidy, gcc's analyzer, cppcheck, shellcheck, includes
#H
#H make bench        measure; PEER=another envd to compare with, ONLY=commands,idle,...
#H make compare      undeclared differences between the answers of PEER=another envd and ours
#H make sbom         what is linked into build/envd (CycloneDX)
#H make dist         packages, archives and the OCI image of a release, in build/dist
#H make reproducible two builds of the last commit have the same bytes
#H make lock         newest test clients into the lock files
#H make clean        remove build/
#H
#H VARIANT=asan|tsan|faults and ARCH=arm64 build another build/envd-...; V=1 shows the commands.

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
