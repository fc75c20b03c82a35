// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO devices without hardware, for tests of VFIO.
 *
 * A device of this kind has an emulated IOMMU, as mediated devices have. It
 * sees the container's IOVA space, but a kernel thread does its accesses, and
 * type1 looks up the memory. The calling process does not, because it may
 * differ from the process whose memory is mapped.
 *
 * A program writes a job: an IOVA range, a command, and perhaps a PASID. The
 * thread does the job in the address space that the PASID is attached to.
 * Without a PASID that is the container's own. Only there can memory be pinned.
 *
 * A job can wait for its memory without limit, because the user can delay a
 * page fault, by userfaultfd for example. Detach, close and unmap must not wait
 * for that. They break a job off with a signal, which only the kernel can send:
 * then its page fault fails. A signal is sent with the lock held and the job
 * running. Pending signals are dropped, with the lock held, when the job ends.
 * A job is broken off after some seconds, too. The reason: it holds type1's
 * lock while it waits, and a thread of its user that waits for that lock cannot
 * be killed.
 *
 * A signal does not help if a FUSE daemon has begun to read the memory, or if
 * another process holds type1's lock. Then a process can make itself wait for
 * another one that shares its memory or its container. No other process waits.
 *
 * The kernel may lack peer memory or PASIDs. Then the device does without.
 *
 * Locks, outermost first: those of VFIO that are held around the calls of
 * vfio_device_ops; type1's device_list_lock around dma_unmap(); @unpin; type1's
 * lock, in vfio_unpin_pages(). @lock is a leaf. The thread holds none of ours
 * while it accesses memory or pins it.
 */

#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "base.h"
#include "vfio.h"
#include "vfio_test.h"

#define VFIO_TEST_MAX_DEVICES	8
#define VFIO_TEST_JOB_TIME	(10 * HZ)

static unsigned int devices = 2;
module_param(devices, uint, 0444);
MODULE_PARM_DESC(devices, "How many devices there are (2, at most 8).");

static struct platform_device *vfio_test_devices[VFIO_TEST_MAX_DEVICES];

/**
 * struct vfio_test_pin - a page that is pinned
 * @held: dma_unmap() leaves it
 * @iova: its IOVA
 */
struct vfio_test_pin {
	bool held;
	u64 iova;
};

/**
 * struct vfio_test_device - a device
 * @vdev: for the core
 * @mem: the memory region
 * @thread: executes jobs, while the device is open
 * @start: @thread waits here for a job
 * @idle: other tasks wait here for the end of a job
 * @timeout: ends a job that takes too long
 * @unpin: held from the removal of a pin from @pins until the page is unpinned
 * @lock: protects all that follows
 * @job: the last one
 * @deadline: of @job, in jiffies
 * @pins: pages that are pinned
 * @npins: number of @pins
 * @unmapping: calls of dma_unmap() under way: no new pins
 * @closing: no job begins any more
 */
struct vfio_test_device {
	struct vfio_device vdev;
	void *mem;
	struct task_struct *thread;
	wait_queue_head_t start;
	wait_queue_head_t idle;
	struct delayed_work timeout;
	struct mutex unpin;	/* removals from pins */
	spinlock_t lock;	/* all that follows */
	struct vfio_test_job job;
	unsigned long deadline;
	struct vfio_test_pin pins[VFIO_TEST_MAX_PINS];
	unsigned int npins;
	unsigned int unmapping;
	bool closing;
};

static struct vfio_test_device *to_vfio_test(struct vfio_device *vdev)
{
	return container_of(vdev, struct vfio_test_device, vdev);
}

/* Jobs: in the thread, without the lock */

/* Where the kernel has no PASIDs, none is attached */
static int vfio_test_rw_pasid(struct vfio_test_device *test, u32 pasid, u64 iova,
			      void *data, size_t length, bool write)
{
#ifdef VFIO_DEVICE_FEATURE_PASID
	return vfio_dma_rw_pasid(&test->vdev, pasid, iova, data, length, write);
#else
	return -ENOENT;
#endif
}

static u32 vfio_test_rw(struct vfio_test_device *test,
			const struct vfio_test_job *job)
{
	bool write = job->command == VFIO_TEST_WRITE;
	void *data = test->mem + job->offset;
	int ret;

	if (job->pasid)
		ret = vfio_test_rw_pasid(test, job->pasid, job->iova, data,
					 job->length, write);
	else
		ret = vfio_dma_rw(&test->vdev, job->iova, data, job->length,
				  write);
	if (ret == -ENOENT)
		return VFIO_TEST_NO_PASID;
	return ret ? VFIO_TEST_NO_MEMORY : VFIO_TEST_DONE;
}

static u32 vfio_test_pin(struct vfio_test_device *test,
			 const struct vfio_test_job *job)
{
	struct page *page;
	int ret = vfio_pin_pages(&test->vdev, job->iova, 1,
				 IOMMU_READ | IOMMU_WRITE, &page);

	if (ret != 1)
		return VFIO_TEST_NO_MEMORY;

	/* There is room: only jobs pin, one at a time, and this is the one */
	spin_lock(&test->lock);
	test->pins[test->npins++] = (struct vfio_test_pin) {
		.held = job->command == VFIO_TEST_HOLD,
		.iova = job->iova,
	};
	spin_unlock(&test->lock);
	return VFIO_TEST_DONE;
}

static bool vfio_test_pin_matches(const struct vfio_test_pin *pin, bool held,
				  u64 first, u64 last)
{
	return (held || !pin->held) && pin->iova >= first && pin->iova <= last;
}

/* Take one pin in a range out of the list */
static bool vfio_test_take_pin(struct vfio_test_device *test, bool held,
			       u64 first, u64 last, u64 *iova)
{
	unsigned int i;

	spin_lock(&test->lock);
	for (i = 0; i < test->npins; i++) {
		if (vfio_test_pin_matches(&test->pins[i], held, first, last)) {
			*iova = test->pins[i].iova;
			test->pins[i] = test->pins[--test->npins];
			spin_unlock(&test->lock);
			return true;
		}
	}
	spin_unlock(&test->lock);
	return false;
}

/*
 * Unpin the pages in a range; held ones only with @held. On return none of them
 * is left, even if another task unpins as well. Returns false if there was none.
 */
static bool vfio_test_unpin(struct vfio_test_device *test, bool held, u64 first,
			    u64 last)
{
	bool found = false;
	u64 iova;

	mutex_lock(&test->unpin);
	while (vfio_test_take_pin(test, held, first, last, &iova)) {
		vfio_unpin_pages(&test->vdev, iova, 1);
		found = true;
	}
	mutex_unlock(&test->unpin);
	return found;
}

static u32 vfio_test_execute(struct vfio_test_device *test,
			     const struct vfio_test_job *job)
{
	switch (job->command) {
	case VFIO_TEST_PIN:
	case VFIO_TEST_HOLD:
		return vfio_test_pin(test, job);
	case VFIO_TEST_UNPIN:
		return vfio_test_unpin(test, true, job->iova, job->iova) ?
			VFIO_TEST_DONE : VFIO_TEST_NO_PIN;
	default:
		return vfio_test_rw(test, job);
	}
}

/* May the device do this job? VFIO_TEST_DONE if so */
static u32 vfio_test_permitted(struct vfio_test_device *test,
			       const struct vfio_test_job *job)
{
	lockdep_assert_held(&test->lock);
	if (test->closing)
		return VFIO_TEST_NO_MEMORY;
	if ((job->command == VFIO_TEST_PIN || job->command == VFIO_TEST_HOLD) &&
	    (test->unmapping || test->npins == VFIO_TEST_MAX_PINS))
		return VFIO_TEST_NO_PIN;
	return VFIO_TEST_DONE;
}

static void vfio_test_do_job(struct vfio_test_device *test)
{
	struct vfio_test_job job;
	u32 status;

	spin_lock(&test->lock);
	job = test->job;
	status = vfio_test_permitted(test, &job);
	if (status == VFIO_TEST_DONE)
		test->job.status = VFIO_TEST_RUNNING;
	spin_unlock(&test->lock);

	if (status == VFIO_TEST_DONE)
		status = vfio_test_execute(test, &job);

	spin_lock(&test->lock);
	test->job.status = status;
	flush_signals(current);
	spin_unlock(&test->lock);
	wake_up_all(&test->idle);
}

static u32 vfio_test_status(struct vfio_test_device *test)
{
	u32 status;

	spin_lock(&test->lock);
	status = test->job.status;
	spin_unlock(&test->lock);
	return status;
}

static int vfio_test_thread(void *data)
{
	struct vfio_test_device *test = data;

	allow_kernel_signal(SIGKILL);
	for (;;) {
		wait_event_idle(test->start,
				vfio_test_status(test) == VFIO_TEST_QUEUED ||
				kthread_should_stop());
		if (vfio_test_status(test) != VFIO_TEST_QUEUED)
			return 0;
		vfio_test_do_job(test);
	}
}

/*
 * Tell a running job with this PASID and command to end; 0 matches any. Returns
 * false if no such job is running. A job that has not begun checks its
 * permission itself, where that matters.
 */
static bool vfio_test_signal(struct vfio_test_device *test, u32 pasid,
			     u32 command)
{
	bool running;

	spin_lock(&test->lock);
	running = test->job.status == VFIO_TEST_RUNNING &&
		  (!pasid || test->job.pasid == pasid) &&
		  (!command || test->job.command == command);
	if (running)
		send_sig(SIGKILL, test->thread, 1);
	spin_unlock(&test->lock);
	return running;
}

/* No matching job is running when this returns. */
static void vfio_test_break_off(struct vfio_test_device *test, u32 pasid,
				u32 command)
{
	wait_event(test->idle, !vfio_test_signal(test, pasid, command));
}

static void vfio_test_timeout(struct work_struct *work)
{
	struct vfio_test_device *test =
		container_of(to_delayed_work(work), struct vfio_test_device,
			     timeout);

	/* The next job has another deadline, and a work of its own */
	if (time_after_eq(jiffies, READ_ONCE(test->deadline)))
		vfio_test_signal(test, 0, 0);
}

/* vfio_device_ops */

#ifdef VFIO_DEVICE_FEATURE_PASID
/* If the job has not begun yet, it does not find the PASID */
static void vfio_test_pasid_detach(struct vfio_device *vdev, u32 pasid)
{
	vfio_test_signal(to_vfio_test(vdev), pasid, 0);
}
#endif

static void vfio_test_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct vfio_test_device *test = to_vfio_test(vdev);

	spin_lock(&test->lock);
	test->unmapping++;
	spin_unlock(&test->lock);

	vfio_test_break_off(test, 0, VFIO_TEST_PIN);
	vfio_test_break_off(test, 0, VFIO_TEST_HOLD);
	vfio_test_unpin(test, false, iova, iova + (length - 1));

	spin_lock(&test->lock);
	test->unmapping--;
	spin_unlock(&test->lock);
}

static void vfio_test_reset(struct vfio_test_device *test)
{
	vfio_test_break_off(test, 0, 0);
	vfio_test_unpin(test, true, 0, U64_MAX);
}

static int vfio_test_open(struct vfio_device *vdev)
{
	struct vfio_test_device *test = to_vfio_test(vdev);
	struct task_struct *thread;

	memset(test->mem, 0, VFIO_TEST_MEM_SIZE);
	memset(&test->job, 0, sizeof(test->job));
	test->closing = false;
	thread = kthread_run(vfio_test_thread, test, "%s", dev_name(vdev->dev));
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	test->thread = thread;
	return 0;
}

static void vfio_test_close(struct vfio_device *vdev)
{
	struct vfio_test_device *test = to_vfio_test(vdev);

	/* kthread_stop() wakes the thread, which may find a job that was queued */
	spin_lock(&test->lock);
	test->closing = true;
	spin_unlock(&test->lock);
	vfio_test_reset(test);
	cancel_delayed_work_sync(&test->timeout);
	kthread_stop(test->thread);
}

static bool vfio_test_job_valid(const struct vfio_test_job *job)
{
	u64 last = job->iova + (job->length - 1);

	if (job->status || job->__reserved || !job->length)
		return false;
	if (last < job->iova)
		return false;
	/* VFIO's functions would truncate it */
	if (job->iova != (dma_addr_t)job->iova || last != (dma_addr_t)last)
		return false;

	switch (job->command) {
	case VFIO_TEST_READ:
	case VFIO_TEST_WRITE:
		return job->length <= VFIO_TEST_MAX_LENGTH &&
		       job->offset <= VFIO_TEST_MEM_SIZE - job->length;
	case VFIO_TEST_PIN:
	case VFIO_TEST_UNPIN:
	case VFIO_TEST_HOLD:
		return PAGE_ALIGNED(job->iova) && job->length == PAGE_SIZE &&
		       !job->offset && !job->pasid;
	default:
		return false;
	}
}

static ssize_t vfio_test_write(struct vfio_device *vdev, const char __user *buf,
			       size_t count, loff_t *ppos)
{
	struct vfio_test_device *test = to_vfio_test(vdev);
	struct vfio_test_job job;

	if (*ppos || count != sizeof(job))
		return -EINVAL;
	if (copy_from_user(&job, buf, sizeof(job)))
		return -EFAULT;
	if (!vfio_test_job_valid(&job))
		return -EINVAL;
	job.status = VFIO_TEST_QUEUED;

	spin_lock(&test->lock);
	if (test->job.status == VFIO_TEST_QUEUED ||
	    test->job.status == VFIO_TEST_RUNNING) {
		spin_unlock(&test->lock);
		return -EBUSY;
	}
	test->job = job;
	WRITE_ONCE(test->deadline, jiffies + VFIO_TEST_JOB_TIME);
	mod_delayed_work(system_wq, &test->timeout, VFIO_TEST_JOB_TIME);
	spin_unlock(&test->lock);
	wake_up(&test->start);
	return sizeof(job);
}

static ssize_t vfio_test_read(struct vfio_device *vdev, char __user *buf,
			      size_t count, loff_t *ppos)
{
	struct vfio_test_device *test = to_vfio_test(vdev);
	struct vfio_test_job job;

	if (*ppos || count != sizeof(job))
		return -EINVAL;

	spin_lock(&test->lock);
	job = test->job;
	spin_unlock(&test->lock);
	return copy_to_user(buf, &job, sizeof(job)) ? -EFAULT : sizeof(job);
}

static u64 vfio_test_offset(struct vm_area_struct *vma)
{
	u64 mask = (1ULL << VFIO_TEST_OFFSET_SHIFT) - 1;

	return ((u64)vma->vm_pgoff << PAGE_SHIFT) & mask;
}

static int vfio_test_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct vfio_test_device *test = to_vfio_test(vdev);
	unsigned int region = vma->vm_pgoff >>
			      (VFIO_TEST_OFFSET_SHIFT - PAGE_SHIFT);
	unsigned long size = vma->vm_end - vma->vm_start;
	u64 offset = vfio_test_offset(vma);

	if (region != VFIO_TEST_REGION_MEM || !(vma->vm_flags & VM_SHARED) ||
	    offset > VFIO_TEST_MEM_SIZE || size > VFIO_TEST_MEM_SIZE - offset)
		return -EINVAL;

	/* vm_pgoff stays the user's, see vfio_device_ops.mmap */
	return remap_pfn_range(vma, vma->vm_start,
			       PHYS_PFN(virt_to_phys(test->mem + offset)), size,
			       vma->vm_page_prot);
}

#ifdef VFIO_DMA_PEER_REVOKE
static int vfio_test_peer_range(struct vfio_device *vdev,
				struct vm_area_struct *vma,
				phys_addr_t *start, size_t *size)
{
	struct vfio_test_device *test = to_vfio_test(vdev);
	u64 offset = vfio_test_offset(vma);

	*start = virt_to_phys(test->mem) + offset;
	*size = VFIO_TEST_MEM_SIZE - offset;
	return 0;
}
#endif

static long vfio_test_get_info(void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	info.flags = VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_TEST_NUM_REGIONS;
	info.num_irqs = 0;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long vfio_test_get_region_info(void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_TEST_NUM_REGIONS)
		return -EINVAL;

	info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info.size = sizeof(struct vfio_test_job);
	if (info.index == VFIO_TEST_REGION_MEM) {
		info.flags = VFIO_REGION_INFO_FLAG_MMAP;
		info.size = VFIO_TEST_MEM_SIZE;
	}
	info.cap_offset = 0;
	info.offset = (u64)info.index << VFIO_TEST_OFFSET_SHIFT;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long vfio_test_ioctl(struct vfio_device *vdev, unsigned int cmd,
			    unsigned long arg)
{
	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return vfio_test_get_info((void __user *)arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return vfio_test_get_region_info((void __user *)arg);
	case VFIO_DEVICE_RESET:
		vfio_test_reset(to_vfio_test(vdev));
		return 0;
	default:
		return -ENOTTY;
	}
}

static int vfio_test_init(struct vfio_device *vdev)
{
	struct vfio_test_device *test = to_vfio_test(vdev);

	spin_lock_init(&test->lock);
	init_waitqueue_head(&test->start);
	init_waitqueue_head(&test->idle);
	INIT_DELAYED_WORK(&test->timeout, vfio_test_timeout);
	mutex_init(&test->unpin);
	test->mem = alloc_pages_exact(VFIO_TEST_MEM_SIZE, GFP_KERNEL);
	return test->mem ? 0 : -ENOMEM;
}

static void vfio_test_release(struct vfio_device *vdev)
{
	struct vfio_test_device *test = to_vfio_test(vdev);

	free_pages_exact(test->mem, VFIO_TEST_MEM_SIZE);
	vfio_base_free_device(vdev);
}

static const struct vfio_device_ops vfio_test_ops = {
	.name		= "vfio-test",
	.init		= vfio_test_init,
	.release	= vfio_test_release,
	.open_device	= vfio_test_open,
	.close_device	= vfio_test_close,
	.read		= vfio_test_read,
	.write		= vfio_test_write,
	.ioctl		= vfio_test_ioctl,
	.mmap		= vfio_test_mmap,
	.dma_unmap	= vfio_test_dma_unmap,
#ifdef VFIO_DMA_PEER_REVOKE
	.peer_range	= vfio_test_peer_range,
#endif
#ifdef VFIO_DEVICE_FEATURE_PASID
	.pasid_detach	= vfio_test_pasid_detach,
#endif
};

static int vfio_test_probe(struct platform_device *pdev)
{
	struct vfio_test_device *test;
	int ret;

	test = vfio_alloc_device(vfio_test_device, vdev, &pdev->dev,
				 &vfio_test_ops);
	if (IS_ERR(test))
		return PTR_ERR(test);

	ret = vfio_register_emulated_iommu_dev(&test->vdev);
	if (ret) {
		vfio_put_device(&test->vdev);
		return ret;
	}
	platform_set_drvdata(pdev, test);
	return 0;
}

static void vfio_test_remove(struct platform_device *pdev)
{
	struct vfio_test_device *test = platform_get_drvdata(pdev);

	vfio_unregister_group_dev(&test->vdev);
	vfio_put_device(&test->vdev);
}

static struct platform_driver vfio_test_driver = {
	.driver.name	= "vfio-test",
	.probe		= vfio_test_probe,
	.vfio_base_remove = vfio_test_remove,
};

static void vfio_test_remove_devices(void)
{
	unsigned int i;

	for (i = 0; i < devices; i++)
		platform_device_unregister(vfio_test_devices[i]);
}

static int __init vfio_test_module_init(void)
{
	struct platform_device *pdev;
	unsigned int i;
	int ret;

	if (devices > VFIO_TEST_MAX_DEVICES)
		return -EINVAL;
	ret = platform_driver_register(&vfio_test_driver);
	if (ret)
		return ret;

	for (i = 0; i < devices; i++) {
		pdev = platform_device_register_simple("vfio-test", i, NULL, 0);
		if (IS_ERR(pdev)) {
			ret = PTR_ERR(pdev);
			devices = i;
			vfio_test_remove_devices();
			platform_driver_unregister(&vfio_test_driver);
			return ret;
		}
		vfio_test_devices[i] = pdev;
	}
	return 0;
}
module_init(vfio_test_module_init);

static void __exit vfio_test_module_exit(void)
{
	vfio_test_remove_devices();
	platform_driver_unregister(&vfio_test_driver);
}
module_exit(vfio_test_module_exit);

MODULE_DESCRIPTION("VFIO devices without hardware, for tests");
MODULE_LICENSE("GPL");
