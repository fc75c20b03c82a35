// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that is not there yet. The first access to it waits until the test
 * provides its contents, also an access by the kernel in a system call. By
 * this, a test makes a thread hold a container's lock indefinitely.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "type1.h"
#include "type1_file.h"
#include "type1_stall.h"

int __t1_stall_init(struct t1_stall *stall)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };

	stall->size = sysconf(_SC_PAGESIZE);
	stall->uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (stall->uffd < 0)
		return -errno;

	stall->page = mmap(NULL, stall->size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	T1_ASSERT(stall->page != MAP_FAILED);
	reg.range.start = (unsigned long)stall->page;
	reg.range.len = stall->size;
	T1_ASSERT(!ioctl(stall->uffd, UFFDIO_API, &api));
	T1_ASSERT(!ioctl(stall->uffd, UFFDIO_REGISTER, &reg));
	return 0;
}

void t1_stall_wait(struct t1_stall *stall)
{
	struct uffd_msg msg;

	T1_ASSERT(read(stall->uffd, &msg, sizeof(msg)) == sizeof(msg));
	T1_ASSERT(msg.event == UFFD_EVENT_PAGEFAULT);
}

void t1_stall_end(struct t1_stall *stall, const void *data, size_t size)
{
	void *page = aligned_alloc(stall->size, stall->size);
	struct uffdio_copy copy = {
		.dst = (unsigned long)stall->page,
		.src = (unsigned long)page,
		.len = stall->size,
	};

	T1_ASSERT(page && size <= stall->size);
	memset(page, 0, stall->size);
	memcpy(page, data, size);
	T1_ASSERT(!ioctl(stall->uffd, UFFDIO_COPY, &copy));
	free(page);
}

void t1_stall_destroy(struct t1_stall *stall)
{
	munmap(stall->page, stall->size);
	close(stall->uffd);
}

/* Of a thread of this process, as a letter of /proc */
static void wait_for_state(pid_t tid, const char *state)
{
	char path[64], line[128];
	int left = 30000;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	do {
		T1_ASSERT(left--);
		usleep(1000);
		t1_read_file(path, line, sizeof(line));
	} while (!strstr(line, state));
}

void t1_wait_blocked(const pid_t *tid)
{
	while (!__atomic_load_n(tid, __ATOMIC_ACQUIRE))
		usleep(1000);
	wait_for_state(*tid, ") D ");
}

void t1_wait_leader_gone(void)
{
	wait_for_state(getpid(), ") Z ");
}

static void *be_busy(void *arg)
{
	struct t1_busy *busy = arg;

	T1_ASSERT_OK(__t1_dirty_pages(busy->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, busy->iova,
				      busy->size, busy->stall.page));
	return NULL;
}

int __t1_busy_begin(struct t1_busy *busy, struct t1_container *c, __u64 iova, __u64 size)
{
	int ret = __t1_stall_init(&busy->stall);

	if (ret)
		return ret;
	busy->c = c;
	busy->iova = iova;
	busy->size = size;
	T1_ASSERT_OK(__t1_dirty_pages(c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL));
	T1_ASSERT(!pthread_create(&busy->thread, NULL, be_busy, busy));
	t1_stall_wait(&busy->stall);
	return 0;
}

void t1_busy_end(struct t1_busy *busy)
{
	t1_stall_end(&busy->stall, "", 0);
	T1_ASSERT(!pthread_join(busy->thread, NULL));
	t1_stall_destroy(&busy->stall);
}
