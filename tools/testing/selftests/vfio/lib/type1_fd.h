/* SPDX-License-Identifier: GPL-2.0-only */
/* Files to another process, over a UNIX socket; and to another program */
#ifndef SELFTESTS_VFIO_LIB_TYPE1_FD_H
#define SELFTESTS_VFIO_LIB_TYPE1_FD_H

void t1_send_fd(int sock, int fd);
int t1_receive_fd(int sock);
/* This one anew, with arguments that a constructor has to look for: @how, then the files */
#define T1_EXEC_FDS	3
void t1_exec_self(const char *how, const int *fds, unsigned int count);

#endif
