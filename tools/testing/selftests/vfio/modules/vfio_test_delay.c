// SPDX-License-Identifier: GPL-2.0-only
/*
 * Delays in functions of the kernel, for tests of VFIO.
 *
 * A race of a few instructions shows once in a million runs. To see it, a test
 * has to hold one task there until another task has done its part. The code
 * under test needs no hook for that: a kprobe stops the task that enters a
 * function.
 *
 *	echo SYMBOL MILLISECONDS [CALLER] > .../vfio_test_delay/parameters/delay
 *
 * The first task that enters SYMBOL waits there for so long, ten seconds at
 * most, or until the next write. With CALLER, it is the first task that enters
 * SYMBOL directly from that function. All other tasks pass. An empty line ends
 * the delay. A read of the parameter returns "off" without a delay, "armed"
 * while the task is still to come, "waiting" while it waits, and "over" when it
 * has gone on.
 *
 * It can be any function, with any locks held, so the task is busy waiting,
 * with preemption off. Until the kprobe is optimised, some 100 ms after it was
 * set, interrupts are off as well: see /sys/kernel/debug/kprobes/list. During
 * that time, a task that sends interrupts to all CPUs, to flush TLBs for
 * example, waits for the first task.
 */

#include <linux/atomic.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/processor.h>
#include <linux/ptrace.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>

#define VFIO_TEST_DELAY_MAX	10000	/* ms: half of what watchdogs allow */
#define VFIO_TEST_SYMBOL_LEN	128

enum vfio_test_delay_state {
	VFIO_TEST_DELAY_OFF,
	VFIO_TEST_DELAY_ARMED,
	VFIO_TEST_DELAY_WAITING,
	VFIO_TEST_DELAY_OVER,
};

static const char * const vfio_test_delay_names[] = {
	[VFIO_TEST_DELAY_OFF] = "off",
	[VFIO_TEST_DELAY_ARMED] = "armed",
	[VFIO_TEST_DELAY_WAITING] = "waiting",
	[VFIO_TEST_DELAY_OVER] = "over",
};

/*
 * There is one delay. All but its state is constant while the kprobe is
 * registered. The parameter's lock serialises that.
 */
static struct kprobe vfio_test_probe;
static char vfio_test_symbol[VFIO_TEST_SYMBOL_LEN];
static unsigned long vfio_test_caller;	/* its address; 0: any caller */
static unsigned long vfio_test_caller_size;
static unsigned int vfio_test_ms;
static atomic_t vfio_test_state = ATOMIC_INIT(VFIO_TEST_DELAY_OFF);

/* At the first instruction of a function, the stack has the return address */
static bool vfio_test_called_by(struct pt_regs *regs)
{
	return regs_get_kernel_stack_nth(regs, 0) - vfio_test_caller <
	       vfio_test_caller_size;
}

/* By the clock: an emulated CPU may not know its loops per millisecond */
static void vfio_test_delay_wait(void)
{
	u64 end = ktime_get_mono_fast_ns() + vfio_test_ms * (u64)NSEC_PER_MSEC;

	while (atomic_read(&vfio_test_state) == VFIO_TEST_DELAY_WAITING &&
	       ktime_get_mono_fast_ns() < end)
		cpu_relax();
}

static int vfio_test_delay_hit(struct kprobe *probe, struct pt_regs *regs)
{
	if (atomic_read(&vfio_test_state) != VFIO_TEST_DELAY_ARMED)
		return 0;
	if (vfio_test_caller && !vfio_test_called_by(regs))
		return 0;
	if (atomic_cmpxchg(&vfio_test_state, VFIO_TEST_DELAY_ARMED,
			   VFIO_TEST_DELAY_WAITING) != VFIO_TEST_DELAY_ARMED)
		return 0;

	vfio_test_delay_wait();
	atomic_cmpxchg(&vfio_test_state, VFIO_TEST_DELAY_WAITING,
		       VFIO_TEST_DELAY_OVER);
	return 0;
}

/* No task is in the handler when this returns */
static void vfio_test_delay_end(void)
{
	if (atomic_xchg(&vfio_test_state, VFIO_TEST_DELAY_OFF) !=
	    VFIO_TEST_DELAY_OFF)
		unregister_kprobe(&vfio_test_probe);
}

/* A kprobe has the address, and "name+0x0/SIZE" the size: not at each hit */
static int vfio_test_find_caller(const char *name)
{
	struct kprobe probe = { .symbol_name = name };
	char text[KSYM_SYMBOL_LEN], *size;
	int ret;

	ret = register_kprobe(&probe);
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%pS", probe.addr);
	vfio_test_caller = (unsigned long)probe.addr;
	unregister_kprobe(&probe);

	size = strchr(text, '/');
	if (!size || sscanf(size, "/%lx", &vfio_test_caller_size) != 1)
		return -ENOENT;
	return 0;
}

static int vfio_test_delay_begin(void)
{
	int ret;

	vfio_test_probe = (struct kprobe) {
		.symbol_name = vfio_test_symbol,
		.pre_handler = vfio_test_delay_hit,
	};
	atomic_set(&vfio_test_state, VFIO_TEST_DELAY_ARMED);
	ret = register_kprobe(&vfio_test_probe);
	if (ret)
		atomic_set(&vfio_test_state, VFIO_TEST_DELAY_OFF);
	return ret;
}

static int vfio_test_delay_set(const char *val, const struct kernel_param *kp)
{
	char caller[VFIO_TEST_SYMBOL_LEN] = "";
	int ret;

	vfio_test_delay_end();
	if (!*skip_spaces(val))
		return 0;

	if (sscanf(val, "%127s %u %127s", vfio_test_symbol, &vfio_test_ms,
		   caller) < 2 || vfio_test_ms > VFIO_TEST_DELAY_MAX)
		return -EINVAL;

	vfio_test_caller = 0;
	if (*caller) {
		ret = vfio_test_find_caller(caller);
		if (ret)
			return ret;
	}
	return vfio_test_delay_begin();
}

static int vfio_test_delay_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n",
			  vfio_test_delay_names[atomic_read(&vfio_test_state)]);
}

static const struct kernel_param_ops vfio_test_delay_ops = {
	.set = vfio_test_delay_set,
	.get = vfio_test_delay_get,
};

module_param_cb(delay, &vfio_test_delay_ops, NULL, 0600);
MODULE_PARM_DESC(delay,
		 "A function, how many milliseconds the first task waits in it, its caller if only from there.");

static int __init vfio_test_delay_init(void)
{
	return 0;
}
module_init(vfio_test_delay_init);

static void __exit vfio_test_delay_exit(void)
{
	vfio_test_delay_end();
}
module_exit(vfio_test_delay_exit);

MODULE_DESCRIPTION("Delays in functions of the kernel, for tests of VFIO");
MODULE_LICENSE("GPL");
