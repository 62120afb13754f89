# criu-lite: everything is built under build/. V=1 shows commands, CC=clang and
# SAN=address,undefined choose compiler and sanitizers (each in a directory of its own).
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
PREFIX ?= /usr/local
comma  := ,
BUILD  := build$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))$(if $(findstring clang,$(CC)),/clang)
Q      := $(if $(V),,@)

PKGS   := libprotobuf-c libnl-3.0 json-c libxxhash libcap smartcols libelf uuid
DEBS   := gcc make pkg-config protobuf-compiler protobuf-c-compiler libprotobuf-c-dev libnl-3-dev check \
          libjson-c-dev libxxhash-dev libcap-dev libsmartcols-dev libelf-dev zlib1g-dev uuid-dev
TESTDEBS := python3 perl redis-server sqlite3 criu python3-protobuf util-linux procps
LINTDEBS := clang clang-tidy clang-format cppcheck libclang-rt-14-dev

CFLAGS ?= -O2 -g
# A finding ends the process, so that the test fails. gcc's warnings about formats see the sanitizer's null checks.
SANFLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer \
             $(if $(findstring clang,$(CC)),,-Wno-format-truncation))
# An alternate stack of ours would be inherited by restored tasks; the killed tools of test_remote are fewer, as each is slower.
SANENV  = $(if $(SAN),ASAN_OPTIONS=use_sigaltstack=0 UBSAN_OPTIONS=print_stacktrace=1 REMOTE_ROUNDS=20)
ALLCFLAGS = -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter -pthread -Icriu-lite -I. -I$(BUILD) \
            $(shell pkg-config --cflags $(PKGS)) $(SANFLAGS) $(CFLAGS)
# Linked in where there is an archive: a program that runs for 4 ms must not spend one in the dynamic linker.
LIBS    = -Wl,-Bstatic $(shell pkg-config --libs $(filter-out smartcols,$(PKGS))) -lz -Wl,-Bdynamic \
          $(shell pkg-config --libs smartcols) -pthread

PROTO  := $(wildcard proto/*.proto)
PBC    := $(PROTO:proto/%.proto=$(BUILD)/proto/%.pb-c.c)
SRC    := $(wildcard criu-lite/*/*.c dump/*.c dump/types/*.c restore/*.c restore/types/*.c)
OBJ    := $(SRC:%.c=$(BUILD)/obj/%.o)
PBO    := $(PBC:.c=.o)
LIBOBJ := $(filter-out $(BUILD)/obj/criu-lite/cmd/main.o,$(OBJ)) $(PBO)

.PHONY: all deps tests check test lint bench demo soak install clean
.SECONDARY:

all: $(BUILD)/criu-lite

$(BUILD)/criu-lite: $(OBJ) $(PBO)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@.new $^ $(LIBS) && mv -f $@.new $@

$(BUILD)/proto/%.pb-c.c $(BUILD)/proto/%.pb-c.h: proto/%.proto
	@mkdir -p $(@D)
	$(Q)protoc -Iproto --c_out=$(BUILD)/proto $<

$(PBO): $(BUILD)/proto/%.pb-c.o: $(BUILD)/proto/%.pb-c.c | $(PBC)
	$(Q)$(CC) $(ALLCFLAGS) -c -o $@ $<

$(BUILD)/obj/%.o: %.c | $(PBC)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(ALLCFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d)

# Unit tests: one program per file, with everything but main.o.
UNIT   := $(wildcard tests/unit/*/test_*.c tests/unit/test_*.c)
UNITBIN := $(UNIT:%.c=$(BUILD)/%)

$(UNITBIN): $(BUILD)/%: %.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@ $< $(LIBOBJ) $(LIBS) $(shell pkg-config --libs check)

# Helper programs of the tests.
TARGETS := $(patsubst %.c,$(BUILD)/%,$(filter-out $(UNIT),$(wildcard tests/*/*.c)))

$(TARGETS): $(BUILD)/%: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -pthread -o $@ $<

DPKG_MISSING = $(shell for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done)
define install_debs
	@missing="$(call DPKG_MISSING,$(1))"; [ -z "$$missing" ] || \
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }
endef

deps:
	$(call install_debs,$(DEBS))

tests: all $(UNITBIN) $(TARGETS)

# The sub-make reads pkg-config again, after deps.
check:
	@$(MAKE) --no-print-directory tests
	@$(SANENV) BUILD=$(BUILD) tests/run.py $(TESTARGS)

test: deps
	$(call install_debs,$(TESTDEBS))
	@$(MAKE) --no-print-directory check

soak: deps
	$(call install_debs,$(TESTDEBS))
	@$(MAKE) --no-print-directory check TESTARGS=--full

demo: deps
	@$(MAKE) --no-print-directory all
	@CL=$(BUILD)/criu-lite tests/demo.sh

bench: deps
	@$(MAKE) --no-print-directory tests
	@CL=$(BUILD)/criu-lite BUILD=$(BUILD) tests/bench/bench.py $(BENCHARGS)

lint:
	$(call install_debs,$(LINTDEBS))
	@$(MAKE) --no-print-directory $(PBC)
	@tests/lint.sh "$(ALLCFLAGS)" $(SRC)

install: all
	install -D -m 755 $(BUILD)/criu-lite $(DESTDIR)$(PREFIX)/sbin/criu-lite
	$(if $(wildcard docs/*.[1-8]),install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(wildcard docs/*.8))

clean:
	rm -rf build
