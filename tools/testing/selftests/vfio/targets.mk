# SPDX-License-Identifier: GPL-2.0-only
#
# Tests of the type1 backend. A Makefile includes this after lib.mk; custom
# programs, because whoever includes it may have rules for TEST_GEN_PROGS.

TYPE1_TESTS := bar_fault_storm_test
TYPE1_TESTS += bar_first_use_test
TYPE1_TESTS += bar_layout_test
TYPE1_TESTS += bar_zap_test
TYPE1_TESTS += container_domain_test
TYPE1_TESTS += container_fdinfo_test
TYPE1_TESTS += container_race_test
TYPE1_TESTS += device_fail_nth
TYPE1_TESTS += device_inode_test
TYPE1_TESTS += group_window_test
TYPE1_TESTS += hot_reset_test
TYPE1_TESTS += module_fail_nth
TYPE1_TESTS += pasid_device_test
TYPE1_TESTS += pasid_fail_nth
TYPE1_TESTS += pasid_limits_test
TYPE1_TESTS += pasid_owner_test
TYPE1_TESTS += pasid_random_test
TYPE1_TESTS += pasid_trace_test
TYPE1_TESTS += pasid_uapi_test
TYPE1_TESTS += pasid_window_test
TYPE1_TESTS += pci_log_test
TYPE1_TESTS += pci_trigger_test
TYPE1_TESTS += peer_dma_test
TYPE1_TESTS += peer_fail_nth
TYPE1_TESTS += peer_host_test
TYPE1_TESTS += peer_pins_test
TYPE1_TESTS += peer_random_test
TYPE1_TESTS += peer_reap_test
TYPE1_TESTS += peer_reset_test
TYPE1_TESTS += peer_update_test
TYPE1_TESTS += peer_walk_test
TYPE1_TESTS += peer_window_test
TYPE1_TESTS += type1_fuzz_test
TYPE1_TESTS += type1_memcg_test

TYPE1_LIB := type1
TYPE1_LIB += type1_bench
TYPE1_LIB += type1_delay
TYPE1_LIB += type1_edu
TYPE1_LIB += type1_fail
TYPE1_LIB += type1_fd
TYPE1_LIB += type1_file
TYPE1_LIB += type1_find
TYPE1_LIB += type1_fuzz
TYPE1_LIB += type1_fuzz_check
TYPE1_LIB += type1_fuzz_container
TYPE1_LIB += type1_fuzz_device
TYPE1_LIB += type1_fuzz_file
TYPE1_LIB += type1_fuzz_memory
TYPE1_LIB += type1_fuzz_pasid
TYPE1_LIB += type1_fuzz_process
TYPE1_LIB += type1_fuzz_region
TYPE1_LIB += type1_fuzz_round
TYPE1_LIB += type1_fuzz_run
TYPE1_LIB += type1_fuzz_send
TYPE1_LIB += type1_iommu
TYPE1_LIB += type1_pasid
TYPE1_LIB += type1_pci
TYPE1_LIB += type1_rig
TYPE1_LIB += type1_stall
TYPE1_LIB += type1_touch
TYPE1_LIB += type1_vtest

TEST_PROGS += device_inode_test.sh
TEST_PROGS += vfio_probe_test.sh
# Not what starts QEMU, libvirt or DPDK in the machine: that compiles programs there.
TEST_PROGS_EXTENDED += bind.sh run_vm_tests.sh
TEST_PROGS_EXTENDED += kernel_state.sh
TEST_PROGS_EXTENDED += tap_lib.sh
TEST_PROGS_EXTENDED += vmtest.sh vmtest-init.sh vmtest-run.sh vmtest_test.sh

TYPE1_OBJ := $(OUTPUT)/type1_obj
TYPE1_LIB_O := $(TYPE1_LIB:%=$(TYPE1_OBJ)/%.o)
TYPE1_CFLAGS := -Wall -O2 -g -std=gnu11 -MD $(KHDR_INCLUDES) -pthread

TEST_CUSTOM_PROGS += $(TYPE1_TESTS:%=$(OUTPUT)/%)
# What a test tests is installed with it, but is no test.
TEST_GEN_PROGS_EXTENDED += $(OUTPUT)/vfio-probe
EXTRA_CLEAN += $(TYPE1_TESTS:%=$(OUTPUT)/%) $(TYPE1_OBJ)

all: $(TYPE1_TESTS:%=$(OUTPUT)/%) $(OUTPUT)/vfio-probe

$(TYPE1_OBJ):
	mkdir -p $@

$(TYPE1_LIB_O): $(TYPE1_OBJ)/%.o: lib/%.c | $(TYPE1_OBJ)
	$(CC) $(TYPE1_CFLAGS) $(CFLAGS) -c $< -o $@

$(TYPE1_TESTS:%=$(TYPE1_OBJ)/%.o): $(TYPE1_OBJ)/%.o: %.c | $(TYPE1_OBJ)
	$(CC) $(TYPE1_CFLAGS) $(CFLAGS) -c $< -o $@

$(TYPE1_TESTS:%=$(OUTPUT)/%): $(OUTPUT)/%: $(TYPE1_OBJ)/%.o $(TYPE1_LIB_O)
	$(CC) $(TYPE1_CFLAGS) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

# The Makefile there knows what it is made from.
.PHONY: $(OUTPUT)/vfio-probe
$(OUTPUT)/vfio-probe:
	$(MAKE) -C ../../../vfio OUTPUT=$(OUTPUT)/

-include $(wildcard $(TYPE1_OBJ)/*.d)
