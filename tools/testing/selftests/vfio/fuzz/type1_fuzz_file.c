// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files that a process has, opened and closed.
 * The thread that takes a file out of its place, by one atomic exchange, closes
 * it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "type1_fuzz.h"

static int get(int *place)
{
	return __atomic_load_n(place, __ATOMIC_RELAXED);
}

/* Any file of the kind, half of the time the first; very seldom one of another kind. */
int fuzz_file(struct fuzz *f, enum fuzz_file kind, int *dev)
{
	unsigned int i, first = fuzz_one_in(f, 2) ? fuzz_below(f, FUZZ_FDS) : 0;
	int file;

	if (fuzz_one_in(f, 128))
		kind = fuzz_below(f, FUZZ_FILES);
	for (i = 0; i < FUZZ_FDS; i++) {
		file = get(&f->proc->files[kind][(first + i) % FUZZ_FDS]);
		if (file >= 0) {
			*dev = file >> 16;
			return file & 0xffff;
		}
	}
	*dev = 0;
	return -1;
}

int fuzz_device(struct fuzz *f, int kind, int *dev)
{
	unsigned int i, first = fuzz_below(f, FUZZ_FDS);
	int file;

	for (i = 0; i < FUZZ_FDS; i++) {
		file = get(&f->proc->files[FUZZ_DEVICE][(first + i) % FUZZ_FDS]);
		if (file >= 0 && (kind == FUZZ_ANY || f->shared->device[file >> 16].kind == kind)) {
			*dev = file >> 16;
			return file & 0xffff;
		}
	}
	return -1;
}

int fuzz_group_file(struct fuzz *f, int group)
{
	unsigned int i;
	int file;

	for (i = 0; i < FUZZ_FDS; i++) {
		file = get(&f->proc->files[FUZZ_GROUP][i]);
		if (file >= 0 && f->shared->device[file >> 16].group == group)
			return file & 0xffff;
	}
	return -1;
}

static bool slow(struct fuzz *f, enum fuzz_file kind, int file)
{
	return file >= 0 && kind == FUZZ_DEVICE && f->shared->device[file >> 16].slow;
}

int fuzz_keep(struct fuzz *f, enum fuzz_file kind, int fd, int dev)
{
	unsigned int i, first = fuzz_below(f, FUZZ_FDS);
	int *place, file;

	if (fd < 0)
		return -errno;
	for (i = 0; i < FUZZ_FDS; i++) {
		place = &f->proc->files[kind][i];
		file = -1;
		if (__atomic_compare_exchange_n(place, &file, fd | dev << 16, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return 0;
	}
	file = __atomic_exchange_n(&f->proc->files[kind][first], fd | dev << 16,
				   __ATOMIC_RELAXED);
	if (file >= 0)
		close(file & 0xffff);
	return 0;
}

static void close_place(int *place)
{
	int file = __atomic_exchange_n(place, -1, __ATOMIC_RELAXED);

	if (file >= 0)
		close(file & 0xffff);
}

/*
 * Also what no place tells of: a thread had just got it when the other one called
 * exec. Nothing else has such numbers.
 */
void fuzz_close_all(struct fuzz *f)
{
	unsigned int i;

	for (i = 0; i < FUZZ_FILES * FUZZ_FDS; i++)
		close_place(&f->proc->files[i / FUZZ_FDS][i % FUZZ_FDS]);
	T1_ASSERT(!close_range(STDERR_FILENO + 1, FUZZ_FD_SHARED - 1, 0));
}

/* After an exec: those that were to be closed then */
void fuzz_drop_closed(struct fuzz_proc *proc)
{
	unsigned int i;
	int *place;

	for (i = 0; i < FUZZ_FILES * FUZZ_FDS; i++) {
		place = &proc->files[i / FUZZ_FDS][i % FUZZ_FDS];
		if (*place >= 0 && fcntl(*place & 0xffff, F_GETFD) < 0)
			*place = -1;
	}
}

/* The processes would only wait for each other if each wanted every device. */
static int choose_device(struct fuzz *f)
{
	int dev = 0, try;

	for (try = 0; try < 4; try++) {
		dev = fuzz_below(f, f->shared->devices);
		if (f->shared->device[dev].slow && fuzz_below(f, 8))
			continue;
		if (dev % FUZZ_WORKERS == (int)f->number % FUZZ_WORKERS)
			break;
	}
	return dev;
}

static int open_flags(struct fuzz *f)
{
	return O_RDWR | (fuzz_one_in(f, 4) ? O_CLOEXEC : 0);
}

static int op_open_container(struct fuzz *f)
{
	return fuzz_keep(f, FUZZ_CONTAINER, open("/dev/vfio/vfio", open_flags(f)), 0);
}

static int open_group(struct fuzz *f, int dev)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%d", f->shared->device[dev].group);
	return fuzz_keep(f, FUZZ_GROUP, open(path, open_flags(f)), dev);
}

static int op_open_group(struct fuzz *f)
{
	return open_group(f, choose_device(f));
}

static int get_device(struct fuzz *f, int group, int dev)
{
	int fd;

	strcpy(f->scratch, f->shared->device[dev].name);
	if (fuzz_one_in(f, 16))
		f->scratch[fuzz_below(f, 32)] = fuzz_u64(f);
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, fuzz_pointer(f));
	/* They are made with O_CLOEXEC. */
	if (fd >= 0 && fuzz_below(f, 4))
		fcntl(fd, F_SETFD, 0);
	return fuzz_keep(f, FUZZ_DEVICE, fd, dev);
}

static int op_get_device_fd(struct fuzz *f)
{
	int dev, group = fuzz_file(f, FUZZ_GROUP, &dev);

	if (group < 0)
		return 1;
	return get_device(f, group, dev);
}

/* All that it takes, for the sake of the operations that need a device */
static int op_open_device(struct fuzz *f)
{
	int ret, none, group, container, dev = choose_device(f);

	group = fuzz_group_file(f, f->shared->device[dev].group);
	if (group < 0) {
		ret = open_group(f, dev);
		if (ret)
			return ret;
		group = fuzz_group_file(f, f->shared->device[dev].group);
	}
	container = fuzz_file(f, FUZZ_CONTAINER, &none);
	if (container < 0)
		return op_open_container(f);
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	return get_device(f, group, dev);
}

static int op_eventfd(struct fuzz *f)
{
	return fuzz_keep(f, FUZZ_EVENTFD, eventfd(0, EFD_NONBLOCK), 0);
}

static int op_signal(struct fuzz *f)
{
	__u64 one = 1;
	int dev, fd = fuzz_file(f, FUZZ_EVENTFD, &dev);

	if (fd < 0)
		return 1;
	return write(fd, &one, sizeof(one)) < 0 ? -errno : 0;
}

static int op_close(struct fuzz *f)
{
	enum fuzz_file kind = fuzz_below(f, FUZZ_FILES);
	int *place = &f->proc->files[kind][fuzz_below(f, FUZZ_FDS)];

	if (get(place) < 0 || (slow(f, kind, get(place)) && fuzz_below(f, 8)))
		return 1;
	close_place(place);
	return 0;
}

static int op_dup(struct fuzz *f)
{
	enum fuzz_file kind = fuzz_below(f, FUZZ_FILES);
	int dev, fd = fuzz_file(f, kind, &dev);

	if (fd < 0)
		return 1;
	return fuzz_keep(f, kind, dup(fd), dev);
}

const struct fuzz_op fuzz_file_ops[] = {
	{ "open_container", 6, op_open_container, FUZZ_ANY },
	{ "open_group", 4, op_open_group, FUZZ_ANY },
	{ "get_device_fd", 10, op_get_device_fd, FUZZ_ANY },
	{ "open_device", 14, op_open_device, FUZZ_ANY },
	{ "eventfd", 10, op_eventfd, FUZZ_ANY },
	{ "signal", 20, op_signal, FUZZ_ANY },
	{ "close", 12, op_close, FUZZ_ANY },
	{ "dup", 5, op_dup, FUZZ_ANY },
	{ }
};
