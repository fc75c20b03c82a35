// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access to device memory that may be off: SIGBUS becomes a return value.
 *
 * Whether a page is mapped shows in the faults that touching it takes. Nothing
 * else tells: pagemap, smaps and mincore() do not walk VM_PFNMAP areas.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "type1.h"
#include "type1_touch.h"

static __thread sigjmp_buf env;
static __thread sig_atomic_t armed;

static void on_sigbus(int sig)
{
	if (armed)
		siglongjmp(env, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

void touch_init(void)
{
	/*
	 * SA_NODEFER and a jump that does not restore the mask: no system call
	 * per access, or the storm would be a breeze.
	 */
	struct sigaction action = {
		.sa_handler = on_sigbus,
		.sa_flags = SA_NODEFER,
	};

	T1_ASSERT(!sigaction(SIGBUS, &action, NULL));
}

bool touch_read(const void *addr, __u32 *value)
{
	bool ok = false;

	if (!sigsetjmp(env, 0)) {
		armed = 1;
		*value = __atomic_load_n((const __u32 *)addr, __ATOMIC_SEQ_CST);
		ok = true;
	}
	armed = 0;
	return ok;
}

bool touch_write(void *addr, __u32 value)
{
	bool ok = false;

	if (!sigsetjmp(env, 0)) {
		armed = 1;
		__atomic_store_n((__u32 *)addr, value, __ATOMIC_RELEASE);
		ok = true;
	}
	armed = 0;
	return ok;
}

static long minor_faults(void)
{
	struct rusage usage;

	T1_ASSERT(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_minflt;
}

long touch_faults(const void *addr)
{
	long before;
	__u32 value;

	/* Once without @addr: code and stack have to be in for the count. */
	value = 0;
	touch_read(&value, &value);
	before = minor_faults();
	before = minor_faults();
	if (!touch_read(addr, &value))
		return -1;
	return minor_faults() - before;
}

bool touch_works(void *addr, __u32 value)
{
	__u32 seen = ~value;

	return touch_write(addr, value) && touch_read(addr, &seen) && seen == value;
}

void touch_all(const void *addr, size_t size)
{
	size_t pos, step = sysconf(_SC_PAGESIZE);
	__u32 value;

	for (pos = 0; pos < size; pos += step)
		T1_ASSERT(touch_read((const char *)addr + pos, &value));
}

void touch_serve(int sock, void *addr)
{
	char request;
	long faults;

	while (read(sock, &request, 1) == 1) {
		faults = touch_faults(addr);
		if (faults >= 0 && !touch_works(addr, 0x7777000))
			faults = -2;
		T1_ASSERT(write(sock, &faults, sizeof(faults)) == sizeof(faults));
	}
	_exit(0);
}

long touch_ask(int sock)
{
	long faults;

	T1_ASSERT(write(sock, "", 1) == 1);
	T1_ASSERT(read(sock, &faults, sizeof(faults)) == sizeof(faults));
	return faults;
}
