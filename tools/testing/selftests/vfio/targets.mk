# SPDX-License-Identifier: GPL-2.0-only
#
# Tests of the type1 backend. A Makefile includes this after lib.mk; custom
# programs, because the Makefile may have its own rules for TEST_GEN_PROGS.

# Where what is tested by programs: BARs and devices that have them, device memory as a
# target of DMA, PASIDs, what a container maps, and all of it at random. Besides, bench/
# measures, clients/ has what starts QEMU, libvirt or DPDK in the machine, and lib/ is
# for programs of all rooms. Programs are built side by side.
TYPE1_ROOMS := bar container fuzz pasid peer
# All that are there, for a topic of the series brings its own.
TYPE1_TESTS := $(sort $(basename $(notdir $(foreach room,$(TYPE1_ROOMS), \
	$(wildcard $(room)/*_test.c $(room)/*_fail_nth.c)))))
vpath %.c $(TYPE1_ROOMS)
TYPE1_LIB := $(patsubst lib/%.c,%,$(wildcard lib/type1*.c))

# Beside this file, as kselftest looks for them by their path after it has copied them.
TEST_PROGS += $(wildcard device_inode_test.sh vfio_probe_test.sh)
# Not the clients: they compile programs for the machine.
TEST_PROGS_EXTENDED += bind.sh run_vm_tests.sh
TEST_PROGS_EXTENDED += kernel_state.sh
TEST_PROGS_EXTENDED += tap_lib.sh user_lib.sh
TEST_PROGS_EXTENDED += vmtest.sh vmtest-init.sh vmtest-run.sh vmtest_test.sh

TYPE1_OBJ := $(OUTPUT)/libtype1
TYPE1_LIB_A := $(TYPE1_OBJ)/libtype1.a
TYPE1_LIB_O := $(TYPE1_LIB:%=$(TYPE1_OBJ)/%.o)
TYPE1_CFLAGS := -Wall -O2 -g -std=gnu11 -MD -MP $(KHDR_INCLUDES) -pthread
# The one for the compiler, unless somebody has named another
ifeq ($(origin AR),default)
AR := $(CROSS_COMPILE)ar
endif

# The fuzzer's parts are of no use to others.
TYPE1_FUZZ_O := $(patsubst fuzz/%.c,$(TYPE1_OBJ)/%.o,$(filter-out %_test.c,$(wildcard fuzz/*.c)))

TEST_CUSTOM_PROGS += $(TYPE1_TESTS:%=$(OUTPUT)/%)
# What a test tests is installed with it, but is no test.
TEST_GEN_PROGS_EXTENDED += $(OUTPUT)/vfio-probe
EXTRA_CLEAN += $(TYPE1_TESTS:%=$(OUTPUT)/%) $(TYPE1_OBJ)

all: $(TYPE1_TESTS:%=$(OUTPUT)/%) $(OUTPUT)/vfio-probe

$(TYPE1_OBJ):
	mkdir -p $@

$(TYPE1_LIB_O): $(TYPE1_OBJ)/%.o: lib/%.c | $(TYPE1_OBJ)
	$(CC) $(TYPE1_CFLAGS) $(CFLAGS) -c $< -o $@

# Not with what is left in it of a file that is gone
$(TYPE1_LIB_A): $(TYPE1_LIB_O)
	$(RM) $@
	$(AR) rcs $@ $^

$(TYPE1_TESTS:%=$(TYPE1_OBJ)/%.o) $(TYPE1_FUZZ_O): $(TYPE1_OBJ)/%.o: %.c | $(TYPE1_OBJ)
	$(CC) $(TYPE1_CFLAGS) $(CFLAGS) -c $< -o $@

$(TYPE1_TESTS:%=$(OUTPUT)/%): $(OUTPUT)/%: $(TYPE1_OBJ)/%.o $(TYPE1_LIB_A)
	$(CC) $(TYPE1_CFLAGS) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(TYPE1_LIB_A) $(LDLIBS) -o $@

$(OUTPUT)/type1_fuzz_test: $(TYPE1_FUZZ_O)

# The Makefile there knows what it is made from.
.PHONY: $(OUTPUT)/vfio-probe
$(OUTPUT)/vfio-probe:
	$(MAKE) -C ../../../vfio OUTPUT=$(OUTPUT)/

-include $(wildcard $(TYPE1_OBJ)/*.d)
