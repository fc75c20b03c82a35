/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The user space side of VFIO's type1 backend, for the tests next door.
 *
 * Calls come in pairs: one with "__" in front returns 0 or -errno, so that a test
 * can ask for the very error; the other ends the test when the call fails.
 */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_H
#define SELFTESTS_VFIO_LIB_TYPE1_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/pci_regs.h>
#include <linux/types.h>

#include "../../../../vfio/uapi.h"
#include "../../../../../drivers/vfio/vfio_test.h"

/* Seconds that a test may take. The harness has 30, which a busy host does not. */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	200
#endif

#define T1_MAX_GROUPS	8
#define T1_BDF_LEN	16

/* type1.c: containers, groups, DMA */

struct t1_group {
	int id;
	int fd;
	int users;	/* open devices; 0: the slot is free */
};

struct t1_container {
	int fd;
	struct t1_group groups[T1_MAX_GROUPS];
};

int __t1_container_open(struct t1_container *c);
void t1_container_open(struct t1_container *c);
void t1_container_close(struct t1_container *c);

/* A group is opened with the first of its devices, and closed with the last. */
int __t1_group_get(struct t1_container *c, int id, struct t1_group **group);
void t1_group_put(struct t1_group *group);

int __t1_map(struct t1_container *c, void *vaddr, __u64 iova, __u64 size, __u32 flags);
void t1_map(struct t1_container *c, void *vaddr, __u64 iova, __u64 size, __u32 flags);
/* @unmapped may be NULL; otherwise it gets the number of bytes unmapped. */
int __t1_unmap(struct t1_container *c, __u64 iova, __u64 size, __u64 *unmapped);
void t1_unmap(struct t1_container *c, __u64 iova, __u64 size);
int __t1_unmap_all(struct t1_container *c, __u64 *unmapped);
/* With the @bitmap of 64 pages of that size */
int __t1_unmap_dirty(struct t1_container *c, __u64 iova, __u64 size, __u64 pgsize, __u64 *bitmap,
		     __u64 *unmapped);
/* VFIO_IOMMU_DIRTY_PAGES; the range and its @bitmap of 64 pages are for GET_BITMAP */
int __t1_dirty_pages(struct t1_container *c, __u32 flags, __u64 iova, __u64 size, __u64 *bitmap);
/* The same two with @bitmap_size bytes, of pages of T1_PAGE */
int __t1_unmap_bitmap(struct t1_container *c, __u64 iova, __u64 size, void *bitmap,
		      __u64 bitmap_size, __u64 *unmapped);
int __t1_get_bitmap(struct t1_container *c, __u64 iova, __u64 size, void *bitmap,
		    __u64 bitmap_size);
/* A capability of VFIO_IOMMU_GET_INFO, in @buf; NULL when there is none such. */
struct vfio_info_cap_header *t1_info_cap(struct t1_container *c, __u16 id, void *buf, size_t size);
/* How many more mappings the container takes */
unsigned int t1_dma_avail(struct t1_container *c);
/* The number after @key in the container's fdinfo, -1 when there is none */
long t1_told(struct t1_container *c, const char *key);
/* Locked memory of this process, in KiB */
__u64 t1_locked_kib(void);

/* type1_pci.c: devices */

struct t1_device {
	char bdf[T1_BDF_LEN];
	int fd;
	struct t1_group *group;
	struct vfio_region_info regions[VFIO_PCI_NUM_REGIONS];
};

int __t1_device_open(struct t1_device *dev, struct t1_container *c, const char *bdf);
void t1_device_open(struct t1_device *dev, struct t1_container *c, const char *bdf);
void t1_device_close(struct t1_device *dev);
/* One more file of a device that is open already. */
int t1_device_reopen(struct t1_device *dev);

/* @offset counts from the start of the BAR. */
__u64 t1_bar_offset(struct t1_device *dev, int bar, __u64 offset);
__u64 t1_bar_size(struct t1_device *dev, int bar);
int __t1_bar_mmap(struct t1_device *dev, int bar, __u64 offset, size_t size, void **addr);
void *t1_bar_mmap(struct t1_device *dev, int bar, __u64 offset, size_t size);

int __t1_config_read(struct t1_device *dev, int pos, int size, __u32 *value);
int __t1_config_write(struct t1_device *dev, int pos, int size, __u32 value);
__u32 t1_config_read(struct t1_device *dev, int pos, int size);
void t1_config_write(struct t1_device *dev, int pos, int size, __u32 value);
/* Position of a capability, 0 when the device has none such. */
int t1_find_cap(struct t1_device *dev, int id);

void t1_set_command(struct t1_device *dev, __u16 mask, bool on);
/* That of its BARs */
void t1_set_memory(struct t1_device *dev, bool on);
/* Need the PCI Express and the power management capability, respectively. */
void t1_flr(struct t1_device *dev);
void t1_set_power_state(struct t1_device *dev, int state);

/* The address of a function that is to have D1 and D2 goes there. */
#define T1_D1D2		"/sys/module/vfio_test_pci/parameters/d1d2"
#define T1_D1D2_HINT	"run as root, with the module vfio_test_pci"

int __t1_reset(struct t1_device *dev);
int __t1_hot_reset(struct t1_device *dev, const int *group_fds, unsigned int count);
/* For @count interrupts of a kind; @values are as @data, one of VFIO_IRQ_SET_DATA_*, says. */
int __t1_trigger(struct t1_device *dev, __u32 index, __u32 data, __u32 count, const void *values);
/* @feature with its VFIO_DEVICE_FEATURE_SET, _GET or _PROBE flag. */
int __t1_feature(struct t1_device *dev, __u32 feature);

/* Bits of the uncorrectable error status: a completion timeout, a data link error */
#define T1_ERROR_NOT_FATAL	0x4000
#define T1_ERROR_FATAL		0x10	/* the bus is reset */

/* Have the host recover from an error, after it has dealt with the one before. */
int t1_inject_error(const char *bdf, __u32 status);
/*
 * Recovery goes on after it told the user, with the device locked: an open or a
 * reset of the device then fails with EAGAIN.
 */
void t1_let_recovery_end(void);
/* The same after several errors, of which some can be one */
void t1_let_recoveries_end(void);
#define T1_ERROR_HINT	"run as root, with CONFIG_PCIEAER_INJECT"

/* type1_find.c: which devices the tests may use */

enum t1_kind {
	T1_EDU,		/* a DMA engine */
	T1_IVSHMEM,	/* BAR 2 is RAM */
	T1_NVME,	/* FLR, bus reset; BAR 2 is RAM with cmb_size_mb= */
	T1_E1000E,	/* power management, bus reset */
	T1_IGB,		/* FLR, virtual functions */
	T1_TESTDEV,	/* BAR 2 is as large as one likes, with nothing behind it */
	T1_KINDS
};

/*
 * Address of the @nth device of a kind that is bound to vfio-pci: from the
 * environment (VFIO_TEST_EDU='0000:00:10.0 ...'), or by its PCI ID.
 */
const char *t1_find(enum t1_kind kind, unsigned int nth);
/* The @nth whose group has @functions of its kind. */
const char *t1_find_multi(enum t1_kind kind, unsigned int functions, unsigned int nth);
/* What to type to get one. */
const char *t1_find_hint(enum t1_kind kind);
int t1_group_of(const char *bdf);
/* The same by a device's directory in sysfs, and whether the caller may open one */
int t1_group_at(const char *dir);
bool t1_group_usable(int group);

/*
 * In a FIXTURE_SETUP: the address, or a SKIP of the test. Harnesses before 6.10
 * run the test body in spite of a SKIP in the setup, so leave the process with
 * what they take for a skip.
 */
#ifdef FIXTURE_TEARDOWN_PARENT
#define T1_SKIP_STATUS KSFT_SKIP
#else
#define T1_SKIP_STATUS 255
#endif

#define T1_SKIP(fmt, ...) SKIP(_exit(T1_SKIP_STATUS), fmt, ##__VA_ARGS__)

#define t1_require(kind, nth) ({					\
	enum t1_kind __kind = (kind);					\
	const char *__bdf = t1_find(__kind, nth);			\
									\
	if (!__bdf)							\
		T1_SKIP("%s", t1_find_hint(__kind));			\
	__bdf;								\
})

/* In a test: run @statements in a child, which must come to an end without a failure. */
#define T1_IN_CHILD(statements) do {					\
	int __status;							\
	pid_t __pid = fork();						\
									\
	if (!__pid) {							\
		statements;						\
		_exit(0);						\
	}								\
	ASSERT_EQ(__pid, waitpid(__pid, &__status, 0));			\
	EXPECT_EQ(0, __status);						\
} while (0)

/*
 * type1_edu.c: the edu device's DMA engine, by a mapping of its BAR 0. It reaches the
 * first 256 MiB of IOVAs, unless QEMU's -device edu has a dma_mask= of more bits.
 */

#define EDU_BUF		0x40000
#define EDU_BUF_SIZE	4096	/* a transfer that ends with it makes QEMU 7.2 abort */

/* Both wait for the end of the transfer, at most a second: -ETIMEDOUT. */
int __edu_dma_from(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);
int __edu_dma_to(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);
void edu_dma_from(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);
void edu_dma_to(void *bar0, __u64 iova, unsigned int buf_offset, unsigned int size);

/* type1_rig.c: a DMA engine here, a target there */

#define T1_RW		(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define T1_PAGE		4096UL
#define T1_EDU_BAR_SIZE	0x100000UL
#define T1_RIG_SIZE	(4 * T1_PAGE)
#define T1_RIG_RAM	0x1000000UL	/* IOVA of the RAM that edu reads from */

struct t1_rig {
	struct t1_container c;
	struct t1_device edu;
	void *bar0;
	__u32 *ram;
	unsigned int avail;	/* mappings, before that of the RAM */
};

struct t1_target {
	struct t1_container c;
	struct t1_device dev;
	__u32 *mem;
};

void t1_rig_open(struct t1_rig *rig, const char *edu);
void t1_rig_close(struct t1_rig *rig);
/* Maps T1_RIG_SIZE of @bar for the CPU. */
void t1_target_open(struct t1_target *target, const char *bdf, int bar, __u64 offset);
void t1_target_close(struct t1_target *target);
/* Let edu write @value to @iova; whether it arrives is another question. */
void t1_dma_write(struct t1_rig *rig, __u64 iova, __u32 value);
/* Does what edu writes to @iova show in @word? */
bool t1_dma_arrives(struct t1_rig *rig, __u64 iova, __u32 *word);
/*
 * Does @iova translate for edu? By the IOMMU's tables; who cannot see them looks by DMA:
 * @iova is that of a word that keeps what is written, and takes another value.
 */
bool t1_rig_translates(struct t1_rig *rig, __u64 iova);

/* type1_iommu.c: what root can see; an int is -errno when it is not there */

/* Has the kernel this function, or was it inlined? */
bool t1_has_function(const char *name);
/* The IOMMU's tables; without, the next two end the test */
bool t1_tables_visible(void);
#define T1_TABLES_HINT	"no tables of the IOMMU: run as root, with CONFIG_INTEL_IOMMU_DEBUGFS"
/* Has the IOMMU an entry for @iova of the device? */
bool t1_translates(const char *bdf, __u64 iova);
/* Of how many pages? 0: it has none */
unsigned int t1_entry_pages(const char *bdf, __u64 iova);

/* Once for all tests of a program; it ends with that. Of the events of a @system. */
int t1_trace_start(const char *system);
void t1_trace_clear(void);
/* Is there an event, with @text in its line? */
bool t1_trace_has(const char *event, const char *text);
/* Events of peer memory at @iova: (m)ap, (s)uspend, (r)esume, revoke (x) */
void t1_trace_read(__u64 iova, char *events, size_t size);

/* type1_fd.c: files to another process, over a UNIX socket; and to another program */

void t1_send_fd(int sock, int fd);
int t1_receive_fd(int sock);
/* This one anew, with arguments that a constructor has to look for: @how, then the files */
#define T1_EXEC_FDS	3
void t1_exec_self(const char *how, const int *fds, unsigned int count);

/* type1_fail.c: allocations that fail */

#define T1_MAX_NTH	400
#define T1_FAIL_HINT	"no fault injection: run as root, set CONFIG_FAIL_FUNCTION and so on"

int __t1_fail_setup(void);
/* From now on, the @nth allocation of this thread fails; 0: none. */
void t1_fail_nth(unsigned int nth);
/* Or of another thread */
void t1_fail_nth_of(pid_t tid, unsigned int nth);
/* And all after it, unless they are whole pages. */
void t1_fail_from(unsigned int nth);
/* How many more would have gone well? From now on, none fails. */
unsigned int t1_fail_spare(void);
/* Has one failed? From now on, none does. */
bool t1_failed(void);

/* Memory from slabs may fail, or whole pages; both, once more, for the next test */
void t1_fail_kinds(bool slabs, bool pages);
/* A function with ALLOW_ERROR_INJECTION() fails with ENOMEM when it is called next. NULL: none */
void t1_fail_function(const char *name);
bool t1_function_failed(void);

/* Each @nth of a loop fails its allocation, until there is none left. */
#define t1_for_each_failure(nth, more)					\
	for ((nth) = 1, (more) = true; (more) && (nth) < T1_MAX_NTH; (nth)++)

/* type1_log.c: what the kernel prints */

/* The log, to be freed, with a 0 at its end; NULL for those who may not read it */
char *t1_kernel_log(int *size);
/* How many lines after @before that VFIO must not print; -1: nobody can tell */
int t1_check_log(const char *before);
/* From now on, until there is a line with @text or @ms are over */
void t1_log_begin(void);
bool t1_log_wait(const char *text, unsigned int ms);

/* type1_file.c */

/* A number from the environment, or @value */
unsigned int t1_setting(const char *name, unsigned int value);
/* What a file begins with: a setting, to be written back */
void t1_read_file(const char *path, char *text, size_t size);
int __t1_write_data(const char *path, const void *data, size_t size);
int __t1_write_file(const char *path, const char *text);
void t1_write_file(const char *path, const char *text);
long t1_read_key(const char *path, const char *key);

/* type1_pasid.c: PASIDs */

/* The PASID, or -errno */
int __t1_pasid_alloc(struct t1_container *c, __u32 min, __u32 max);
__u32 t1_pasid_alloc(struct t1_container *c, __u32 min, __u32 max);
/* As many as there are, by quota or by range; returns how many. */
unsigned int t1_pasid_alloc_all(struct t1_container *c, __u32 min, __u32 max);
/* How many were freed, or -errno */
int __t1_pasid_free(struct t1_container *c, __u32 min, __u32 max);
struct vfio_iommu_type1_info_cap_pasid t1_pasid_info(struct t1_container *c);
/* The module's parameter; to set it takes root. */
unsigned int t1_pasids_per_group(void);
int __t1_pasids_per_group_set(unsigned int value);
/*
 * After an owner's death: until the container has none, as fdinfo tells, for nobody is to
 * ask for anything. Returns how many are left, when there is no hope any more.
 */
long t1_pasids_left(struct t1_container *c);
/* The PASID, as soon as neither a number nor a container is somebody else's; or -errno */
int t1_pasid_alloc_soon(struct t1_container *c, __u32 min, __u32 max);

/* type1_vtest.c: devices of the vfio_test module, which do jobs under PASIDs */

struct t1_vtest {
	int fd;
	struct t1_group *group;
};

#define T1_PASID_ARGSZ	(sizeof(struct vfio_device_feature) + \
			 sizeof(struct vfio_device_feature_pasid))
#define T1_VTEST_HINT	"no vfio-test device: type: modprobe vfio_test; chown $USER /dev/vfio/..."

/* Name of the @nth, or NULL */
const char *t1_vtest_find(unsigned int nth);
int t1_vtest_group(const char *name);
void t1_vtest_open(struct t1_vtest *dev, struct t1_container *c, const char *name);
void t1_vtest_close(struct t1_vtest *dev);
/* Its memory, which jobs copy to and from, from the start */
void *t1_vtest_mmap(struct t1_vtest *dev, size_t size);

/* VFIO_DEVICE_FEATURE_PASID of the device file @fd */
int __t1_pasid_feature(int fd, __u32 flags, __u32 argsz, struct vfio_device_feature_pasid *req);
int __t1_pasid_allow(struct t1_vtest *dev, __u32 pasid, __u64 iova, __u64 size);
void t1_pasid_allow(struct t1_vtest *dev, __u32 pasid, __u64 iova, __u64 size);
int __t1_pasid_withdraw(struct t1_vtest *dev, __u32 pasid);
/* The first from @pasid on that the device may use */
int __t1_pasid_next(struct t1_vtest *dev, __u32 pasid, struct vfio_device_feature_pasid *found);

/* Jobs use the start of the memory. */
int __t1_job_start(struct t1_vtest *dev, __u32 pasid, __u32 command, __u64 iova, __u32 length);
/* VFIO_TEST_..., at once, or when it is another one */
int t1_job_status(struct t1_vtest *dev);
int t1_job_leaves(struct t1_vtest *dev, int status);
/* Both return what has become of it, VFIO_TEST_... */
int t1_job_wait(struct t1_vtest *dev);
int t1_job(struct t1_vtest *dev, __u32 pasid, __u32 command, __u64 iova, __u32 length);

/*
 * type1_pair.c: a container whose owner dies, and one of this process, which has all files
 * of the first as well. A device in each can use PASIDs.
 */

struct t1_pair {
	struct t1_container c, other;
	struct t1_vtest dev, other_dev;
};

#define t1_require_pair() do {						\
	if (!t1_vtest_find(1))						\
		T1_SKIP("%s", T1_VTEST_HINT);				\
} while (0)

#define T1_PAIR_FIRST	5
#define T1_PAIR_LAST	7

void t1_pair_open(struct t1_pair *pair);
void t1_pair_close(struct t1_pair *pair);
/* Become the owner of the first, with some PASIDs of it. */
void t1_pair_alloc(struct t1_pair *pair);
/*
 * When the owner is gone: that its PASIDs are free, the container anybody's, and nothing
 * but time was needed; before: that neither is. Both return what is wrong, or "".
 */
const char *t1_pair_not_back(struct t1_pair *pair);
const char *t1_pair_not_owned(struct t1_pair *pair);

/* type1_rival.c: processes that try to get the PASIDs of others, all the time */

#define T1_RIVALS	4

struct t1_rivals {
	int fd;
	struct t1_rivals_page *page;	/* shared by all that have the file */
	pid_t pids[T1_RIVALS];
};

void t1_rivals_open(struct t1_rivals *rivals);
/* In a program that was given the file */
void t1_rivals_attach(struct t1_rivals *rivals, int fd);
/* One that has a container's file, or a device's, or both; the other is -1. Passed: nothing else */
void t1_rival_fork(struct t1_rivals *rivals, int container, int device, bool passed);
/* One will come that was not forked here: it calls t1_rival_run(). */
void t1_rivals_expect(struct t1_rivals *rivals);
void t1_rival_run(struct t1_rivals *rivals, int container, int device);
/* Let them begin, if they have not, and wait until each has tried all it can. */
void t1_rivals_meet(struct t1_rivals *rivals);
/* Before the container is there for anybody */
void t1_rivals_stop(struct t1_rivals *rivals);
/* By who forked them; returns what one of them was not refused, or "". */
const char *t1_rivals_end(struct t1_rivals *rivals);

/* type1_stall.c: a page whose first user, in kernel mode too, has to wait */

struct t1_stall {
	int uffd;
	void *page;
	size_t size;
};

#define T1_STALL_HINT	"no userfaultfd: sysctl vm.unprivileged_userfaultfd=1"

int __t1_stall_init(struct t1_stall *stall);
/* Until somebody waits for the page. */
void t1_stall_wait(struct t1_stall *stall);
/* Go on: the page begins with @data. */
void t1_stall_end(struct t1_stall *stall, const void *data, size_t size);
void t1_stall_destroy(struct t1_stall *stall);

/*
 * A container whose lock is held, by a thread whose ioctl waits for such a page.
 * MAP_DMA would not do: it does not wait for userfaultfd. Dirty tracking, which it
 * takes, stays on.
 */
struct t1_busy {
	struct t1_stall stall;
	struct t1_container *c;
	__u64 iova, size;	/* of a mapping */
	pthread_t thread;
};

int __t1_busy_begin(struct t1_busy *busy, struct t1_container *c, __u64 iova, __u64 size);
void t1_busy_end(struct t1_busy *busy);
/* Until a thread of this process, which stores its id in @tid, waits for a lock */
void t1_wait_blocked(const pid_t *tid);
/* Until the first thread of this process has ended, by another one */
void t1_wait_leader_gone(void);

/* type1_delay.c: a call that is delayed in the kernel, and overtaken by another; for root */

struct t1_race {
	pthread_t thread;
	void (*call)(void *arg);
	void *arg;
};

#define T1_RACE_HINT \
	"two CPUs, and the module vfio_test_delay: type, as root: modprobe vfio_test_delay"

#define T1_RACE_DELAY	"/sys/module/vfio_test_delay/parameters/delay"

bool t1_race_usable(void);
/* Has nobody come to where the delay is? */
bool t1_race_armed(void);
/*
 * Call it in a thread, and return when this has entered the function @symbol from
 * @caller ("": from any). There it waits for two seconds at most, as what the test
 * does meanwhile has to wait for it.
 */
void t1_race_begin(struct t1_race *race, const char *symbol, const char *caller,
		   void (*call)(void *arg), void *arg);
/*
 * The same where that has not to wait: up to ten seconds, for it can take long when
 * machines run side by side.
 */
void t1_race_begin_free(struct t1_race *race, const char *symbol, const char *caller,
			void (*call)(void *arg), void *arg);
/* The same for functions that a worker calls, as a consequence. */
void t1_race_begin_work(struct t1_race *race, const char *symbol, void (*call)(void *arg),
			void *arg);
void t1_race_begin_free_work(struct t1_race *race, const char *symbol,
			     void (*call)(void *arg), void *arg);
/*
 * Keep interrupts of a function from where calls are delayed: their threads as well,
 * once each has run again.
 */
void t1_race_free_interrupts(const char *bdf);
/* Or to there, when it is such a thread that is to be delayed */
void t1_race_delay_interrupts(const char *bdf);
/* Does it wait still? If not, who asks has waited for it. */
bool t1_race_overtaken(void);
/* Let it go on, until the call returns. */
void t1_race_end(struct t1_race *race);

#define T1_WATCH_HINT	"the module vfio_test_delay: type, as root: modprobe vfio_test_delay"

/* Was the function @symbol called, by anybody from @caller, between begin and end? */
bool t1_watch_usable(void);
void t1_watch_begin(const char *symbol, const char *caller);
bool t1_watch_end(void);

/* type1_bench.c: figures */

/* Nanoseconds since some moment */
__u64 t1_now(void);
/* A line of what a benchmark prints; scripts/bench makes medians of them. */
void t1_sample(const char *name, __u64 number);

/* type1_touch.c: memory that may go away */

/* Catch SIGBUS, in every thread and in children; other uses of it still kill. */
void touch_init(void);
/* False: the access raised SIGBUS. */
bool touch_read(const void *addr, __u32 *value);
bool touch_write(void *addr, __u32 value);
/* Minor faults that a read took, 0 when the page was mapped; -1: SIGBUS. */
long touch_faults(const void *addr);
/* Write @value, see it through the same address. */
bool touch_works(void *addr, __u32 value);

/* Fault a whole range in, so that only a zap can make it fault again. */
void touch_all(const void *addr, size_t size);
/*
 * In a child, until it is alone: do what the parent asks for at @addr. Who asks gets
 * what touch_faults() returns, or -2 where touch_works() fails afterwards.
 */
void touch_serve(int sock, void *addr);
long touch_ask(int sock);

void t1_fail(const char *file, int line, const char *what, int error);

/* For library and child processes, where the harness' ASSERT_* have no home. */
#define T1_ASSERT(cond) do {						\
	if (!(cond))							\
		t1_fail(__FILE__, __LINE__, #cond, 0);			\
} while (0)

/* @call: an expression with 0 or -errno as its result */
#define T1_ASSERT_OK(call) do {						\
	int __error = (call);						\
									\
	if (__error)							\
		t1_fail(__FILE__, __LINE__, #call, -__error);		\
} while (0)

#endif
