// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that try to get the PASIDs of a container which is not theirs, all the
 * time, with its file or one of its devices'. A page of memory has what they do and
 * what they got; it is a file, so that programs find it after an exec.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "type1.h"
#include "type1_fd.h"
#include "type1_pasid.h"
#include "type1_rival.h"
#include "type1_vtest.h"

#define LAST	((1U << 20) - 1)

struct t1_rivals_page {
	bool go, stop;
	unsigned int expected;	/* that are there, or have to come still */
	unsigned int count;
	struct {
		unsigned int rounds;
		bool over;
	} rival[T1_RIVALS];
	char got[64];		/* the first call that was not refused */
};

void t1_rivals_attach(struct t1_rivals *rivals, int fd)
{
	*rivals = (struct t1_rivals) { .fd = fd };
	rivals->page = mmap(NULL, sizeof(*rivals->page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	T1_ASSERT(rivals->page != MAP_FAILED);
}

void t1_rivals_open(struct t1_rivals *rivals)
{
	int fd = memfd_create("rivals", MFD_CLOEXEC);

	T1_ASSERT(fd >= 0 && !ftruncate(fd, sizeof(*rivals->page)));
	t1_rivals_attach(rivals, fd);
}

static bool is_eperm(struct t1_rivals_page *page, const char *call, int ret)
{
	if (ret == -EPERM)
		return true;
	if (!page->got[0])
		snprintf(page->got, sizeof(page->got), "%s is not refused, but returns %d", call,
			 ret);
	return false;
}

static bool try_all(struct t1_rivals_page *page, int container, int device)
{
	struct t1_container c = { .fd = container };
	struct t1_vtest dev = { .fd = device };

	if (container >= 0 && (!is_eperm(page, "ALLOC", __t1_pasid_alloc(&c, 1, LAST)) ||
			       !is_eperm(page, "FREE", __t1_pasid_free(&c, 1, LAST))))
		return false;
	return device < 0 || is_eperm(page, "ATTACH", __t1_pasid_attach(&dev, LAST, -1));
}

void t1_rival_run(struct t1_rivals *rivals, int container, int device)
{
	struct t1_rivals_page *page = rivals->page;
	unsigned int me = __atomic_fetch_add(&page->count, 1, __ATOMIC_ACQ_REL);

	T1_ASSERT(me < T1_RIVALS);
	while (!__atomic_load_n(&page->go, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&page->stop, __ATOMIC_ACQUIRE))
		usleep(1000);
	while (!__atomic_load_n(&page->stop, __ATOMIC_ACQUIRE) &&
	       try_all(page, container, device)) {
		__atomic_add_fetch(&page->rival[me].rounds, 1, __ATOMIC_ACQ_REL);
		usleep(100);
	}
	__atomic_store_n(&page->rival[me].over, true, __ATOMIC_RELEASE);
}

/* Nothing but a socket, where the files come from */
static int receive_one(int sock, bool any)
{
	return any ? t1_receive_fd(sock) : -1;
}

static void be_passed(struct t1_rivals *rivals, int sock, bool container, bool device)
{
	int c, dev;

	T1_ASSERT(dup2(sock, 3) == 3 && !close_range(4, UINT_MAX, 0));
	c = receive_one(3, container);
	dev = receive_one(3, device);
	t1_rival_run(rivals, c, dev);
}

void t1_rival_fork(struct t1_rivals *rivals, int container, int device, bool passed)
{
	unsigned int nr = rivals->page->expected++;
	int socks[2];

	T1_ASSERT(nr < T1_RIVALS && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	rivals->pids[nr] = fork();
	if (!rivals->pids[nr]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (passed)
			be_passed(rivals, socks[1], container >= 0, device >= 0);
		else
			t1_rival_run(rivals, container, device);
		_exit(0);
	}
	if (passed && container >= 0)
		t1_send_fd(socks[0], container);
	if (passed && device >= 0)
		t1_send_fd(socks[0], device);
	close(socks[0]);
	close(socks[1]);
}

void t1_rivals_expect(struct t1_rivals *rivals)
{
	rivals->page->expected++;
}

/* Two rounds, as the first may have begun before */
static void wait_for_rounds(struct t1_rivals_page *page, unsigned int nr)
{
	unsigned int from = __atomic_load_n(&page->rival[nr].rounds, __ATOMIC_ACQUIRE);

	while (__atomic_load_n(&page->rival[nr].rounds, __ATOMIC_ACQUIRE) < from + 2 &&
	       !__atomic_load_n(&page->rival[nr].over, __ATOMIC_ACQUIRE))
		usleep(1000);
}

void t1_rivals_meet(struct t1_rivals *rivals)
{
	struct t1_rivals_page *page = rivals->page;
	unsigned int i;

	__atomic_store_n(&page->go, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&page->count, __ATOMIC_ACQUIRE) < page->expected)
		usleep(1000);
	for (i = 0; i < page->expected; i++)
		wait_for_rounds(page, i);
}

void t1_rivals_stop(struct t1_rivals *rivals)
{
	struct t1_rivals_page *page = rivals->page;
	unsigned int i;

	__atomic_store_n(&page->stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < __atomic_load_n(&page->count, __ATOMIC_ACQUIRE); i++)
		while (!__atomic_load_n(&page->rival[i].over, __ATOMIC_ACQUIRE))
			usleep(1000);
}

const char *t1_rivals_end(struct t1_rivals *rivals)
{
	unsigned int i;

	__atomic_store_n(&rivals->page->stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < T1_RIVALS; i++)
		if (rivals->pids[i])
			T1_ASSERT(waitpid(rivals->pids[i], NULL, 0) == rivals->pids[i]);
	close(rivals->fd);
	return rivals->page->got;
}
