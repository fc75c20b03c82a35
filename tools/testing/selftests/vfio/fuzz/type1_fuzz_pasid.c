// SPDX-License-Identifier: GPL-2.0-only
/* PASIDs: of containers, of devices, what the latter do under them, and spaces for that. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/type1_vtest.h"
#include "type1_fuzz.h"

static int request(struct fuzz *f, __u32 flags)
{
	struct vfio_iommu_type1_pasid_request req = { .argsz = sizeof(req), .flags = flags };

	req.min = fuzz_pasid(f);
	switch (fuzz_below(f, 8)) {
	case 0:
		req.max = 0xfffff;
		break;
	case 1:
		req.max = fuzz_edge(f);
		break;
	default:
		req.max = req.min + fuzz_below(f, 4);
	}
	return fuzz_call(f, FUZZ_CONTAINER, VFIO_IOMMU_PASID_REQUEST, &req, sizeof(req));
}

static int op_pasid_alloc(struct fuzz *f)
{
	return request(f, VFIO_IOMMU_PASID_REQUEST_ALLOC);
}

/*
 * By a process that has the same memory, and may be the first to ask: then it is the
 * owner, with that memory, and dead.
 */
static int op_pasid_vfork(struct fuzz *f)
{
	int status;
	pid_t pid;

	pid = vfork();
	if (!pid)
		_exit(-request(f, VFIO_IOMMU_PASID_REQUEST_ALLOC));
	/* Another thread may have waited for it already. */
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	if (!WIFEXITED(status))
		return -EINTR;
	return WEXITSTATUS(status) == (__u8)-1 ? 1 : -WEXITSTATUS(status);
}

static int op_pasid_free(struct fuzz *f)
{
	return request(f, VFIO_IOMMU_PASID_REQUEST_FREE);
}

static int feature(struct fuzz *f, __u32 flags, struct vfio_device_feature_pasid *req)
{
	req->pasid = fuzz_pasid(f);
	return fuzz_feature(f, fuzz_one_in(f, 32) ? FUZZ_ANY : FUZZ_VTEST,
			    flags | VFIO_DEVICE_FEATURE_PASID, req, sizeof(*req));
}

static int op_space_create(struct fuzz *f)
{
	struct vfio_iommu_type1_space_create create = { .argsz = sizeof(create), .device = -1 };
	int dev, fd = fuzz_file(f, FUZZ_CONTAINER, &dev);

	if (fd < 0)
		return 1;
	fuzz_mutate(f, &create, sizeof(create));
	return fuzz_keep(f, FUZZ_SPACE, ioctl(fd, VFIO_IOMMU_SPACE_CREATE, &create), 0);
}

static int op_pasid_attach(struct fuzz *f)
{
	struct vfio_device_feature_pasid req = { .flags = VFIO_DEVICE_PASID_ATTACH };
	int dev;

	req.space = fuzz_one_in(f, 3) ? -1 : fuzz_file(f, FUZZ_SPACE, &dev);
	return feature(f, VFIO_DEVICE_FEATURE_SET, &req);
}

/* One of the device that is attached, if there is one, half of the time */
static __u32 attached_pasid(struct fuzz *f, int fd)
{
	struct vfio_device_feature_pasid req = { .pasid = 1 + fuzz_below(f, 8) };

	if (fuzz_one_in(f, 2) &&
	    !__t1_pasid_feature(fd, VFIO_DEVICE_FEATURE_GET, T1_PASID_ARGSZ, &req) && req.pasid)
		return req.pasid;
	return fuzz_pasid(f);
}

static int op_pasid_detach(struct fuzz *f)
{
	struct vfio_device_feature_pasid req = { .flags = VFIO_DEVICE_PASID_DETACH };

	return feature(f, VFIO_DEVICE_FEATURE_SET, &req);
}

static int op_pasid_get(struct fuzz *f)
{
	struct vfio_device_feature_pasid req = { };

	return feature(f, VFIO_DEVICE_FEATURE_GET, &req);
}

static int job_start(struct fuzz *f, int fd)
{
	struct vfio_test_job job = {
		.command = fuzz_or_edge(f, VFIO_TEST_READ + fuzz_below(f, 4)),
		.iova = fuzz_mapped(f).iova,
	};

	job.length = T1_PAGE;
	if (job.command <= VFIO_TEST_WRITE) {
		job.pasid = fuzz_one_in(f, 2) ? attached_pasid(f, fd) : 0;
		job.length = fuzz_or_edge(f, 1 + fuzz_below(f, T1_PAGE));
		job.offset = fuzz_or_edge(f, fuzz_below(f, VFIO_TEST_MEM_SIZE - T1_PAGE));
	}
	memcpy(f->scratch, &job, sizeof(job));
	if (pwrite(fd, fuzz_pointer(f), fuzz_or_edge(f, sizeof(job)), 0) < 0)
		return -errno;
	return 0;
}

/* A job, and what has become of it, as an errno if it is not done */
static int op_job(struct fuzz *f)
{
	static const int errors[] = {
		[VFIO_TEST_DONE] = 0,
		[VFIO_TEST_QUEUED] = EAGAIN,
		[VFIO_TEST_RUNNING] = EINPROGRESS,
		[VFIO_TEST_NO_PASID] = EACCES,
		[VFIO_TEST_NO_MEMORY] = ENOMEM,
		[VFIO_TEST_NO_PIN] = ENOSPC,
	};
	int ret, dev, fd = fuzz_device(f, FUZZ_VTEST, &dev);
	struct vfio_test_job job;
	unsigned int i;

	if (fd < 0)
		return 1;
	ret = job_start(f, fd);
	for (i = 0; !ret && i < 4; i++) {
		if (pread(fd, &job, sizeof(job), 0) != sizeof(job))
			return -EIO;
		if (job.status > VFIO_TEST_NO_PIN)
			return -EPROTO;
		if (job.status != VFIO_TEST_QUEUED)
			return -errors[job.status];
		usleep(100);
	}
	return ret ?: -EAGAIN;
}

const struct fuzz_op fuzz_pasid_ops[] = {
	{ "pasid_alloc", 120, op_pasid_alloc, FUZZ_ANY },
	{ "pasid_free", 80, op_pasid_free, FUZZ_ANY },
	{ "pasid_vfork", 10, op_pasid_vfork, FUZZ_ANY },
	{ "space_create", 30, op_space_create, FUZZ_ANY },
	{ "pasid_attach", 80, op_pasid_attach, FUZZ_VTEST },
	{ "pasid_detach", 30, op_pasid_detach, FUZZ_VTEST },
	{ "pasid_get", 40, op_pasid_get, FUZZ_VTEST },
	{ "job", 80, op_job, FUZZ_VTEST },
	{ }
};
