// SPDX-License-Identifier: GPL-2.0-only
/* Files that go from one process to another. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "type1_fuzz.h"

struct parcel {
	int kind, dev;
};

static int op_send(struct fuzz *f)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct parcel parcel = { .kind = fuzz_below(f, FUZZ_FILES) };
	int fd = fuzz_file(f, parcel.kind, &parcel.dev);
	struct iovec iov = { &parcel, sizeof(parcel) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (fd < 0)
		return 1;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(FUZZ_FD_SEND, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* A file, or -1 */
static int receive(struct parcel *parcel)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { parcel, sizeof(*parcel) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(FUZZ_FD_RECEIVE, &msg, MSG_DONTWAIT) < 0 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static int op_receive(struct fuzz *f)
{
	struct parcel parcel;
	int fd = receive(&parcel);

	return fuzz_keep(f, parcel.kind, fd, parcel.dev);
}

void fuzz_drain(void)
{
	struct parcel parcel;
	int fd;

	while ((fd = receive(&parcel)) >= 0)
		close(fd);
}

const struct fuzz_op fuzz_send_ops[] = {
	{ "send", 10, op_send, FUZZ_ANY },
	{ "receive", 10, op_receive, FUZZ_ANY },
	{ }
};
