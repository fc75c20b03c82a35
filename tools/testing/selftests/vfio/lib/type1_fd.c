// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "type1.h"
#include "type1_fd.h"

void t1_send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = {}, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	T1_ASSERT(sendmsg(sock, &msg, 0) == 1);
}

int t1_receive_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	T1_ASSERT(recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

void t1_exec_self(const char *how, const int *fds, unsigned int count)
{
	char numbers[T1_EXEC_FDS][16], *argv[T1_EXEC_FDS + 3] = { "type1_test", (char *)how };
	unsigned int i;

	T1_ASSERT(count <= T1_EXEC_FDS);
	for (i = 0; i < count; i++) {
		T1_ASSERT(!fcntl(fds[i], F_SETFD, 0));
		snprintf(numbers[i], sizeof(numbers[i]), "%d", fds[i]);
		argv[i + 2] = numbers[i];
	}
	/* That of the process is gone when its first thread has ended. */
	execv("/proc/thread-self/exe", argv);
	T1_ASSERT(!"exec");
}
