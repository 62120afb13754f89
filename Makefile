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
TESTDEBS := g++ python3 perl redis-server sqlite3 criu python3-protobuf runc util-linux procps nginx iproute2 nftables postgresql openssh-server openssh-client golang-go tmux vim less
LINTDEBS := clang clang-tidy clang-format cppcheck libclang-rt-14-dev libsystemd-dev

CFLAGS ?= -O2 -g
# A finding ends the process, so that the test fails. gcc's warnings about formats see the sanitizer's null checks.
SANFLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer \
             $(if $(findstring clang,$(CC)),,-Wno-format-truncation))
# An alternate stack of ours would be inherited by restored tasks; the killed tools of test_remote_killed are fewer, as each is slower.
SANENV  = $(if $(SAN),ASAN_OPTIONS=use_sigaltstack=0 TSAN_OPTIONS=die_after_fork=0:report_thread_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 REMOTE_ROUNDS=20)
ALLCFLAGS = -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter -pthread -Icriu-lite -I. -I$(BUILD) \
            $(shell pkg-config --cflags $(PKGS)) $(SANFLAGS) $(CFLAGS)
# Linked in where there is an archive, but for libsmartcols, which is loaded when it is wanted: a program that runs for
# 2 ms must not spend a quarter of one in the dynamic linker.
linked  = $(if $(filter /%,$(shell $(CC) -print-file-name=$(1:-l%=lib%.a))),$(1:-l%=-l:lib%.a),$(1))
LIBS    = $(eval LIBS := $(foreach l,$(shell pkg-config --libs $(filter-out smartcols,$(PKGS))) -lz,$(call linked,$l)) -pthread)$(LIBS)

PROTO  := $(wildcard proto/*.proto)
PBC    := $(PROTO:proto/%.proto=$(BUILD)/proto/%.pb-c.c)
SRC    := $(wildcard criu-lite/*/*.c dump/*.c dump/types/*.c restore/*.c restore/types/*.c)
# What only clients of the service need is not in the program.
CLIENT := $(wildcard criu-lite/lib/client*.c criu-lite/lib/libcriu*.c)
OBJ    := $(patsubst %.c,$(BUILD)/obj/%.o,$(filter-out $(CLIENT),$(SRC)))
PBO    := $(PBC:.c=.o)
LIBOBJ := $(filter-out $(BUILD)/obj/criu-lite/cmd/main.o,$(OBJ)) $(PBO)

# Public libraries, each lib$(NAME): its sources, its headers, what it exports. criu-lite itself has the same objects.
LIBRARIES := criu-lite-fd criu-lite-client door
LIBSRC_criu-lite-fd := $(wildcard criu-lite/lib/fd*.c)
LIBHDR_criu-lite-fd := $(addprefix criu-lite/lib/,fdpass.h fdframe.h fdlisten.h fdupgrade.h)
LIBTEXT_criu-lite-fd := descriptors between processes: passing, hand-off, upgrade
LIBSRC_criu-lite-client := $(wildcard criu-lite/lib/client*.c) criu-lite/lib/fdpass.c
LIBHDR_criu-lite-client := criu-lite/lib/client.h
LIBSRC_door := $(wildcard criu-lite/lib/door*.c) criu-lite/lib/fdpass.c
LIBHDR_door := criu-lite/lib/door.h
LIBTEXT_door := doors of Solaris
LIBTEXT_criu-lite-client := requests to a checkpoint service
# Messages that a library has, and what it needs of others, by pkg-config name.
LIBPB_criu-lite-client := rpc
LIBREQ_criu-lite-fd :=
LIBREQ_door :=
# Where the headers are, and by which name pkg-config knows it, if not $(NAME).
LIBINC_criu-lite-fd := /criu-lite
LIBINC_criu-lite-client := /criu-lite
LIBPC_door := libdoor
LIBREQ_criu-lite-client := libprotobuf-c

.PHONY: all deps tests check test lint bench demo soak install clean
.SECONDARY:

all: $(BUILD)/criu-lite $(LIBRARIES:%=$(BUILD)/lib/lib%.a) $(LIBRARIES:%=$(BUILD)/lib/lib%.so) $(BUILD)/lib/libcriu.so.2

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

# Shared libraries come into programs that are not ours, and have no sanitizer.
PICFLAGS = $(filter-out $(SANFLAGS),$(ALLCFLAGS)) -fPIC

$(BUILD)/pic/%.o: %.c | $(PBC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PICFLAGS) -MMD -MP -c -o $@ $<

# Hidden, so that a program may have messages of the same names.
$(BUILD)/pic/proto/%.o: $(BUILD)/proto/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(PICFLAGS) -fvisibility=hidden -c -o $@ $<

define library
-include $(LIBSRC_$(1):%.c=$(BUILD)/pic/%.d)

$(BUILD)/lib/lib$(1).a: $(LIBSRC_$(1):%.c=$(BUILD)/obj/%.o) $(LIBPB_$(1):%=$(BUILD)/proto/%.pb-c.o)
	@mkdir -p $$(@D)
	$(Q)rm -f $$@ && ar rcs $$@ $$^

$(BUILD)/lib/lib$(1).so: $(LIBSRC_$(1):%.c=$(BUILD)/pic/%.o) $(LIBPB_$(1):%=$(BUILD)/pic/proto/%.pb-c.o) criu-lite/lib/$(1).map
	@mkdir -p $$(@D)
	$(Q)$(CC) $(PICFLAGS) $(LDFLAGS) -shared -Wl,-soname,lib$(1).so.1 -Wl,--version-script=criu-lite/lib/$(1).map \
	  -o $$@.1 $$(filter %.o,$$^) $$(if $(LIBREQ_$(1)),$$(shell pkg-config --libs $(LIBREQ_$(1)))) && ln -sf lib$(1).so.1 $$@

.PHONY: install-$(1)
install-$(1): all
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include$(LIBINC_$(1)) $(LIBHDR_$(1))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib $(BUILD)/lib/lib$(1).a
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib $(BUILD)/lib/lib$(1).so.1
	ln -sf lib$(1).so.1 $(DESTDIR)$(PREFIX)/lib/lib$(1).so
	mkdir -p $(DESTDIR)$(PREFIX)/lib/pkgconfig
	printf 'prefix=%s\nincludedir=$$$${prefix}/include\nlibdir=$$$${prefix}/lib\n\nName: %s\nDescription: %s\nVersion: %s\nRequires.private: %s\nCflags: -I$$$${includedir}\nLibs: -L$$$${libdir} -l%s\n' \
	  $(PREFIX) $(1) '$(LIBTEXT_$(1))' 0.1 '$(LIBREQ_$(1))' $(1) > $(DESTDIR)$(PREFIX)/lib/pkgconfig/$(or $(LIBPC_$(1)),$(1)).pc
endef
$(foreach l,$(LIBRARIES),$(eval $(call library,$(l))))

# CRIU's library interface, under CRIU's soname.
LIBCRIU := $(patsubst %.c,$(BUILD)/pic/%.o,$(CLIENT) criu-lite/lib/fdpass.c) $(BUILD)/pic/proto/rpc.pb-c.o
-include $(LIBCRIU:.o=.d)

$(BUILD)/lib/libcriu.so.2: $(LIBCRIU) criu-lite/lib/libcriu.map
	@mkdir -p $(@D)
	$(Q)$(CC) $(PICFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(@F) -Wl,--version-script=criu-lite/lib/libcriu.map \
	  -o $@ $(LIBCRIU) $(shell pkg-config --libs libprotobuf-c)

.PHONY: install-libcriu
install-libcriu: all
	install -D -m 644 criu-lite/lib/criu.h $(DESTDIR)$(PREFIX)/include/criu/criu.h
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/lib $(BUILD)/lib/libcriu.so.2
	ln -sf libcriu.so.2 $(DESTDIR)$(PREFIX)/lib/libcriu.so
	mkdir -p $(DESTDIR)$(PREFIX)/lib/pkgconfig
	printf 'prefix=%s\n\nName: criu\nDescription: %s\nVersion: %s\nCflags: -I$${prefix}/include\nLibs: -L$${prefix}/lib -lcriu\n' \
	  $(PREFIX) 'checkpoint and restore, the interface of CRIU' 4.2 > $(DESTDIR)$(PREFIX)/lib/pkgconfig/criu.pc

# Unit tests: one program per file, with everything but main.o.
UNIT   := $(wildcard tests/unit/*/test_*.c tests/unit/test_*.c)
UNITBIN := $(UNIT:%.c=$(BUILD)/%)

$(UNITBIN): $(BUILD)/%: %.c $(LIBOBJ) $(wildcard tests/unit/*.h tests/unit/*/*.h)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALLCFLAGS) $(LDFLAGS) -o $@ $< $(LIBOBJ) $(LIBS) $(shell pkg-config --libs check)

# Helper programs of the tests.
TARGETS := $(patsubst %.c,$(BUILD)/%,$(filter-out $(UNIT) tests/bench/sdbus.c,$(wildcard tests/*/*.c)))

$(TARGETS): $(BUILD)/%: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -pthread -o $@ $< $(TARGETLIBS)

$(BUILD)/tests/trees/doors $(BUILD)/tests/trees/doorset $(BUILD)/tests/bench/doors: TARGETLIBS = -Icriu-lite $(BUILD)/lib/libdoor.a $(if $(SAN),-fsanitize=$(SAN))
$(BUILD)/tests/trees/doors $(BUILD)/tests/trees/doorset $(BUILD)/tests/bench/doors: $(BUILD)/lib/libdoor.a

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
	@BUILD=$(BUILD) tests/bench/doors.py
	@CL=$(BUILD)/criu-lite tests/bench/rpc.py
	@CL=$(BUILD)/criu-lite tests/bench/tcp.py

lint:
	$(call install_debs,$(LINTDEBS))
	@$(MAKE) --no-print-directory $(PBC)
	@tests/lint.sh "$(ALLCFLAGS)" $(SRC)

# Solaris has it as a program of its own.
.PHONY: install-fdetach
install-fdetach:
	install -d $(DESTDIR)$(PREFIX)/sbin
	printf '#!/bin/sh\nexec "$${0%%/*}/criu-lite" door detach "$$@"\n' > $(DESTDIR)$(PREFIX)/sbin/fdetach
	chmod 755 $(DESTDIR)$(PREFIX)/sbin/fdetach

install: all install-fdetach $(LIBRARIES:%=install-%) install-libcriu
	install -D -m 755 $(BUILD)/criu-lite $(DESTDIR)$(PREFIX)/sbin/criu-lite
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system docs/criu-lite.socket docs/criu-lite.service
	sed -i 's|/usr/local/sbin|$(PREFIX)/sbin|' $(DESTDIR)$(PREFIX)/lib/systemd/system/criu-lite.service
	$(foreach s,1 3 8,$(if $(wildcard docs/*.$(s)),install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$(s) $(wildcard docs/*.$(s));))

clean:
	rm -rf build
