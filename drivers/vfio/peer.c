// SPDX-License-Identifier: GPL-2.0-only
/*
 * Peer memory: device memory that containers have mapped for DMA.
 *
 * Nothing pins device memory. So a container must let go of it at once when the
 * device turns its memory off or is released. The objects:
 *
 *   vfio_peers        one for each device, lives as long as its last reference
 *   vfio_peer_space   one for each container, embedded in the IOMMU backend's
 *   vfio_peer         joins both: the ranges of that device in that space
 *   vfio_peer_range   part of one DMA mapping, in the memory of one device
 *
 * The device memory in a DMA mapping is cut into ranges. Each range is small
 * enough to be mapped and unmapped in one step: vfio_range_limit(). So a walk
 * never leaves a range in the middle. The user does not pay for that: of the
 * many ranges that vfio_peer_map() makes, only the first counts as a mapping.
 * The number of ranges has a limit of its own, because a walk visits each.
 *
 * A range is mapped, suspended while its device's memory is off, or revoked
 * for good. Suspend, resume and revoke come from the device's side, on behalf
 * of a reset or a close. They change the IOMMU's page tables only.
 *
 * The DMA mapping of a revoked range is removed later, by the container's own
 * ioctls or by a worker. The reason is the container's lock. It is held while
 * user pages are faulted in, so the user of that container can hold it without
 * limit. All containers share the workers. So a worker never waits for a lock
 * that userspace can hold: it tries, and comes back.
 *
 * Locks, outermost first:
 *
 *   the backend's lock    (vfio_iommu.lock) creates and removes ranges
 *   mmap_lock, and the driver's memory_lock inside of it
 *   vfio_peers.walk       one walk from the device's side after the other
 *   vfio_peers.lock       list of the device's vfio_peer; pins them and their
 *                         spaces for a part of a walk
 *   vfio_peer_space.lock  around the IOMMU driver's own locks only
 *
 * A walk takes only the last three. It may be on behalf of error recovery or
 * of a reset by the host, which hold locks of the PCI core. There can be many
 * ranges, so a walk drops the last two locks now and then. Only a task that
 * resets or closes the same device, or one that is reset with it, waits for all
 * of a walk.
 *
 * A map and a walk cannot miss each other. A map first enters its vfio_peer
 * into the device's list. Then, under the lock of the space, it reads whether
 * the device is blocked. vfio_peers_block() first sets that mark. Then its walk
 * visits the ranges of each space in the list, until one pass over all spaces
 * finds none. So either the map sees the mark or the walk sees the range. The
 * same holds for vfio_peers_unblock().
 *
 * Error recovery waits for a walk that another task has begun, and for a map or
 * an attach under the lock of a space. Swap may be behind the port that
 * recovers. So memory that an IOMMU driver allocates under these locks must not
 * wait for I/O, in any task: see vfio_peer_lock_noio().
 *
 * A new domain gets the ranges one by one, with walks in between. Epochs record
 * which ranges it has: see vfio_range_in(). If a range cannot be mapped in the
 * new domain only, that domain is given up in the end. The other domains keep
 * the range.
 *
 * IOMMU drivers expect their users to serialise map and unmap against attach
 * and detach of the same domain. The lock of the space does so. Meanwhile RAM
 * is mapped and unmapped at other IOVAs. Drivers cope with that, as they do for
 * the DMA API.
 *
 * Only the container's side unlinks and frees a vfio_peer, with the locks of
 * both lists held. So after the release of its device, or after a failed map,
 * an empty vfio_peer stays until the container maps that device again or goes
 * away. There is at most one for each pair of a device and a container.
 */

#include <linux/error-injection.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vfio.h>
#include <linux/vfio_peer.h>

#include "base.h"
#include "peer.h"
#include "vfio.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vfio_peer.h>

/* Ranges, or bytes of them, that a walk visits at a time */
#define VFIO_PEER_BATCH		64
#define VFIO_PEER_BATCH_SIZE	SZ_1G

/* Bytes that count as one mapping. Backends return them as a ssize_t. */
#define VFIO_PEER_ENTRY_SIZE	min_t(size_t, SZ_2G, ALIGN_DOWN(SSIZE_MAX, SZ_2M))

/**
 * struct vfio_peers - the containers that have a device's memory mapped
 * @kref: references of the device and of each vfio_peer
 * @walk: held for a whole walk; protects @blocked
 * @blocked: reasons why no container may translate to the device's memory
 * @lock: protects @list
 * @list: vfio_peer
 */
struct vfio_peers {
	struct kref kref;
	struct mutex walk;	/* protects blocked */
	unsigned int blocked;
	struct mutex lock;	/* protects list */
	struct list_head list;
};

/**
 * struct vfio_peer - a device in a space
 * @device_entry: in vfio_peers.list
 * @space_entry: in vfio_peer_space.peers
 * @peers: the device's, with a reference; constant
 * @space: of the container; constant
 * @ranges: vfio_peer_range, under the lock of @space. Except during a walk, all
 *          are mapped or all are suspended
 * @nr_ranges: number of @ranges, under the lock of @space
 */
struct vfio_peer {
	struct list_head device_entry;
	struct list_head space_entry;
	struct vfio_peers *peers;
	struct vfio_peer_space *space;
	struct list_head ranges;
	unsigned int nr_ranges;
};

/* First and longest wait of a reaper that could not take a lock */
#define VFIO_PEER_RETRY_MIN	msecs_to_jiffies(10)
#define VFIO_PEER_RETRY_MAX	msecs_to_jiffies(1000)

/* Shared by all containers, so no work may wait for a user */
static struct workqueue_struct *vfio_peer_wq;

static void vfio_peers_free(struct kref *kref)
{
	struct vfio_peers *peers = container_of(kref, struct vfio_peers, kref);

	mutex_destroy(&peers->lock);
	mutex_destroy(&peers->walk);
	kfree(peers);
}

/*
 * For sections in which an IOMMU driver may allocate. Its flags are GFP_KERNEL,
 * also from iommu_map(), so the task has to forbid I/O.
 */
static unsigned int vfio_peer_lock_noio(struct mutex *lock)
{
	unsigned int flags = memalloc_noio_save();

	mutex_lock(lock);
	return flags;
}

static void vfio_peer_unlock_noio(struct mutex *lock, unsigned int flags)
{
	mutex_unlock(lock);
	memalloc_noio_restore(flags);
}

/* Ranges and domains, under the lock of the space */

/*
 * Is a mapped range mapped in this domain, too? Yes, if the domain was in the
 * list at the last map of the range, or if the domain has got the range since.
 */
static bool vfio_range_in(const struct vfio_peer_range *range,
			  const struct vfio_peer_domain *pd)
{
	return range->epoch >= pd->epoch;
}

static void vfio_range_unmap(struct vfio_peer_space *space,
			     struct vfio_peer_range *range)
{
	struct vfio_peer_domain *pd;

	lockdep_assert_held(&space->lock);
	if (!range->mapped)
		return;

	list_for_each_entry(pd, &space->domains, entry) {
		if (vfio_range_in(range, pd))
			iommu_unmap(pd->domain, range->iova, range->size);
	}
	range->mapped = false;
	space->nr_mapped--;
}

/*
 * Bytes for one call of iommu_map(). With small pages it is half of the next
 * larger page size, so that no larger page fits.
 */
static size_t vfio_range_step(const struct vfio_peer_range *range,
			      const struct iommu_domain *domain)
{
	unsigned long larger = domain->pgsize_bitmap & ~(2 * PAGE_SIZE - 1);

	if (!range->small || !larger)
		return range->size;
	return min_t(size_t, range->size, BIT(__ffs(larger)) / 2);
}

/* On failure the range is not mapped in @domain. */
static int vfio_range_map_domain(struct vfio_peer_range *range,
				 struct iommu_domain *domain)
{
	size_t step = vfio_range_step(range, domain), done, size;
	int ret;

	for (done = 0; done < range->size; done += size) {
		size = min(step, range->size - done);
		ret = vfio_base_iommu_map(domain, range->iova + done,
					  range->phys + done, size,
					  range->prot | IOMMU_MMIO,
					  VFIO_GFP_USER);
		if (ret)
			goto err_unmap;
	}
	return 0;

err_unmap:
	if (done)
		iommu_unmap(domain, range->iova, done);
	return ret;
}

/*
 * On failure the range is mapped in no domain. There is one exception: a
 * failure in the domain that is being filled, which is the last one, only marks
 * it. That domain is given up later, and then the others have to be as before.
 */
static int vfio_range_map(struct vfio_peer_space *space,
			  struct vfio_peer_range *range)
{
	struct vfio_peer_domain *pd;
	u64 epoch = space->epoch;
	int ret;

	lockdep_assert_held(&space->lock);
	list_for_each_entry(pd, &space->domains, entry) {
		ret = vfio_range_map_domain(range, pd->domain);
		if (ret && pd->filling) {
			pd->error = ret;
			epoch--;
		} else if (ret) {
			goto err_unmap;
		}
	}
	range->mapped = true;
	range->epoch = epoch;
	space->nr_mapped++;
	return 0;

err_unmap:
	list_for_each_entry_continue_reverse(pd, &space->domains, entry)
		iommu_unmap(pd->domain, range->iova, range->size);
	return ret;
}

/* Take the range away from its device, under the lock of the space */
static void vfio_range_forget_peer(struct vfio_peer_range *range)
{
	struct vfio_peer *peer = range->peer;

	peer->nr_ranges--;
	peer->space->nr_ranges--;
	range->peer = NULL;
}

static void vfio_range_revoke(struct vfio_peer_space *space,
			      struct vfio_peer_range *range)
{
	vfio_range_unmap(space, range);
	list_move_tail(&range->peer_entry, &space->revoked);
	vfio_range_forget_peer(range);
	space->nr_revoked++;
	queue_delayed_work(vfio_peer_wq, &space->work, 0);
}

/*
 * Steps of a walk from the device's side, for the first range of a vfio_peer. A
 * step moves the range to the end of its list, or out of it, and returns true.
 * It returns false if neither this range nor any after it needs the step.
 */

static bool vfio_range_do_suspend(struct vfio_peer *peer,
				  struct vfio_peer_range *range)
{
	struct vfio_peer_space *space = peer->space;

	if (!range->mapped)
		return false;

	list_move_tail(&range->peer_entry, &peer->ranges);
	vfio_range_unmap(space, range);
	trace_vfio_peer_suspend(space, range->iova, range->phys, range->size, 0);
	return true;
}

static bool vfio_range_do_resume(struct vfio_peer *peer,
				 struct vfio_peer_range *range)
{
	struct vfio_peer_space *space = peer->space;
	int ret;

	if (range->mapped)
		return false;

	list_move_tail(&range->peer_entry, &peer->ranges);
	ret = vfio_range_map(space, range);
	trace_vfio_peer_resume(space, range->iova, range->phys, range->size,
			       ret);
	if (ret)
		vfio_range_revoke(space, range);
	return true;
}

static bool vfio_range_do_revoke(struct vfio_peer *peer,
				 struct vfio_peer_range *range)
{
	vfio_range_revoke(peer->space, range);
	trace_vfio_peer_revoke(peer->space, range->iova, range->phys,
			       range->size, 0);
	return true;
}

typedef bool (*vfio_peer_visit_t)(struct vfio_peer *peer,
				  struct vfio_peer_range *range);

/* Visit a batch of ranges. Returns false if there was none to visit. */
static bool vfio_peer_batch(struct vfio_peer *peer, vfio_peer_visit_t visit)
{
	struct vfio_peer_range *range;
	unsigned int count = 0;
	u64 size = 0;

	mutex_lock(&peer->space->lock);
	while (count < VFIO_PEER_BATCH && size < VFIO_PEER_BATCH_SIZE) {
		range = list_first_entry_or_null(&peer->ranges,
						 struct vfio_peer_range,
						 peer_entry);
		if (!range || !visit(peer, range))
			break;
		/* The IOMMU driver may be called for each small page */
		size += range->small ? VFIO_PEER_BATCH_SIZE : range->size;
		count++;
	}
	mutex_unlock(&peer->space->lock);
	return count;
}

/*
 * Visit a batch of ranges of one vfio_peer. The next call begins with the same
 * vfio_peer. Returns false if no vfio_peer has a range to visit.
 */
static bool vfio_peers_visit(struct vfio_peers *peers, vfio_peer_visit_t visit)
{
	struct vfio_peer *peer;
	bool visited = false;

	mutex_lock(&peers->lock);
	list_for_each_entry(peer, &peers->list, device_entry) {
		visited = vfio_peer_batch(peer, visit);
		if (visited) {
			list_rotate_to_front(&peer->device_entry, &peers->list);
			break;
		}
	}
	mutex_unlock(&peers->lock);
	return visited;
}

/*
 * All ranges that a walk finds are in the same state, because no other walk
 * begins meanwhile. The walk moves each range to the end of its list. A map
 * adds ranges there, too, in the new state. So the state of the first range
 * shows whether there is more to do.
 */
static void vfio_peers_walk(struct vfio_peers *peers, vfio_peer_visit_t visit)
{
	lockdep_assert_held(&peers->walk);
	while (vfio_peers_visit(peers, visit))
		cond_resched();
}

/**
 * vfio_peers_block - Let no IOMMU translate to a device's memory
 * @device: device that its driver keeps registered
 * @reason: VFIO_PEER_OFF and so on, one or several
 *
 * On return there is no translation in any container, and none comes until
 * vfio_peers_unblock(). The DMA mappings stay, suspended. Does nothing if the
 * device is already blocked for this reason.
 *
 * Context: may sleep; takes vfio_peers.walk, inside the driver's memory lock
 * and the PCI core's locks, and waits for no user.
 */
void vfio_peers_block(struct vfio_device *device, unsigned int reason)
{
	struct vfio_peers *peers = device->peers;
	unsigned int before;

	mutex_lock(&peers->walk);
	before = peers->blocked;
	WRITE_ONCE(peers->blocked, before | reason);
	if (!before)
		vfio_peers_walk(peers, vfio_range_do_suspend);
	mutex_unlock(&peers->walk);
}
EXPORT_SYMBOL_GPL(vfio_peers_block);

/**
 * vfio_peers_unblock - A reason to block a device's memory is gone
 * @device: device that its driver keeps registered
 * @reason: reason of a vfio_peers_block(); else nothing happens
 *
 * When no reason is left, mappings translate again. A range that cannot be
 * mapped, for lack of memory, is revoked, as if the device had been released.
 *
 * Context: as for vfio_peers_block().
 */
void vfio_peers_unblock(struct vfio_device *device, unsigned int reason)
{
	struct vfio_peers *peers = device->peers;
	unsigned int before, flags;

	flags = vfio_peer_lock_noio(&peers->walk);
	before = peers->blocked;
	WRITE_ONCE(peers->blocked, before & ~reason);
	if (before && !peers->blocked)
		vfio_peers_walk(peers, vfio_range_do_resume);
	vfio_peer_unlock_noio(&peers->walk, flags);
}
EXPORT_SYMBOL_GPL(vfio_peers_unblock);

/**
 * vfio_peers_blocked - Is a device's memory blocked for this reason?
 * @device: device that its driver keeps registered
 * @reason: one of VFIO_PEER_OFF and so on
 *
 * Context: any. The answer may change at once.
 */
bool vfio_peers_blocked(struct vfio_device *device, unsigned int reason)
{
	return READ_ONCE(device->peers->blocked) & reason;
}
EXPORT_SYMBOL_GPL(vfio_peers_blocked);

/**
 * vfio_peers_revoke - Remove a device's memory from every container
 * @device: device whose last file is being released
 *
 * No file of the device is left, hence no VMA that a map could still find.
 *
 * Context: may sleep; waits for no lock that is held across user access.
 */
void vfio_peers_revoke(struct vfio_device *device)
{
	struct vfio_peers *peers = device->peers;

	mutex_lock(&peers->walk);
	vfio_peers_walk(peers, vfio_range_do_revoke);
	mutex_unlock(&peers->walk);
}

/**
 * vfio_device_init_peers - Prepare a new device for being a peer
 * @device: device
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_device_init_peers(struct vfio_device *device)
{
	struct vfio_peers *peers = kzalloc(sizeof(*peers), GFP_KERNEL);

	if (!peers)
		return -ENOMEM;

	kref_init(&peers->kref);
	mutex_init(&peers->walk);
	mutex_init(&peers->lock);
	INIT_LIST_HEAD(&peers->list);
	device->peers = peers;
	return 0;
}

/**
 * vfio_peers_release - The device goes away
 * @device: device without files
 */
void vfio_peers_release(struct vfio_device *device)
{
	kref_put(&device->peers->kref, vfio_peers_free);
}

/*
 * If the space was in use, the work comes back later. A range that is revoked
 * meanwhile queues the work again, or finds it queued.
 */
static void vfio_peer_reap_work(struct work_struct *work)
{
	struct vfio_peer_space *space = container_of(to_delayed_work(work),
						     struct vfio_peer_space,
						     work);

	if (space->reap(space)) {
		space->retry = 0;
		return;
	}
	space->retry = clamp(2 * space->retry, VFIO_PEER_RETRY_MIN,
			     VFIO_PEER_RETRY_MAX);
	queue_delayed_work(vfio_peer_wq, &space->work, space->retry);
}

/**
 * vfio_peer_space_init - Prepare a container for peer memory
 * @space: embedded in the backend's structure
 * @reap: removes the mappings that vfio_peer_next_revoked() names, in a worker.
 *        It waits for no lock that userspace can hold, the backend's and the
 *        mmap_lock included. Returns false if a mapping in use is left
 * @max_ranges: limit for the ranges of each device in the container
 */
void vfio_peer_space_init(struct vfio_peer_space *space,
			  bool (*reap)(struct vfio_peer_space *space),
			  unsigned int max_ranges)
{
	space->max_ranges = max_ranges;
	mutex_init(&space->lock);
	INIT_LIST_HEAD(&space->domains);
	INIT_LIST_HEAD(&space->peers);
	INIT_LIST_HEAD(&space->revoked);
	space->reap = reap;
	INIT_DELAYED_WORK(&space->work, vfio_peer_reap_work);
}
EXPORT_SYMBOL_GPL(vfio_peer_space_init);

static void vfio_peer_free(struct vfio_peer *peer)
{
	struct vfio_peers *peers = peer->peers;

	mutex_lock(&peers->lock);
	mutex_lock(&peer->space->lock);
	WARN_ON(!list_empty(&peer->ranges));
	list_del(&peer->device_entry);
	list_del(&peer->space_entry);
	mutex_unlock(&peer->space->lock);
	mutex_unlock(&peers->lock);

	kfree(peer);
	kref_put(&peers->kref, vfio_peers_free);
}

/**
 * vfio_peer_space_destroy - A container goes away
 * @space: without ranges and with no domain in use
 *
 * Context: may sleep; without the backend's lock, which the reaper takes.
 */
void vfio_peer_space_destroy(struct vfio_peer_space *space)
{
	struct vfio_peer *peer, *next;

	/* No other task adds to or removes from this list */
	list_for_each_entry_safe(peer, next, &space->peers, space_entry)
		vfio_peer_free(peer);

	/* No walk reaches the space any more, so nothing queues it again */
	cancel_delayed_work_sync(&space->work);
	mutex_destroy(&space->lock);
}
EXPORT_SYMBOL_GPL(vfio_peer_space_destroy);

/**
 * vfio_peer_domain_add - Begin to map ranges in one more domain
 * @space: space
 * @pd: embedded in the backend's structure for the domain
 * @domain: without mappings at the IOVAs of ranges
 *
 * Later maps include this domain. For older mappings the backend calls
 * vfio_peer_domain_fill(), and vfio_peer_domain_filled() after the last one.
 *
 * Context: under the backend's lock, until all is filled or the domain has
 * left.
 */
void vfio_peer_domain_add(struct vfio_peer_space *space,
			  struct vfio_peer_domain *pd,
			  struct iommu_domain *domain)
{
	mutex_lock(&space->lock);
	pd->domain = domain;
	pd->epoch = ++space->epoch;
	pd->filling = true;
	pd->error = 0;
	list_add_tail(&pd->entry, &space->domains);
	mutex_unlock(&space->lock);
}
EXPORT_SYMBOL_GPL(vfio_peer_domain_add);

static int vfio_peer_domain_fill_one(struct vfio_peer_space *space,
				     struct vfio_peer_domain *pd,
				     struct vfio_peer_range *range)
{
	unsigned int flags;
	int ret = 0;

	flags = vfio_peer_lock_noio(&space->lock);
	if (range->mapped && !vfio_range_in(range, pd)) {
		ret = vfio_range_map_domain(range, pd->domain);
		if (!ret)
			range->epoch = pd->epoch;
	}
	vfio_peer_unlock_noio(&space->lock, flags);
	return ret;
}

/**
 * vfio_peer_domain_fill - Map the ranges of a DMA mapping in a new domain
 * @space: space
 * @pd: of the last vfio_peer_domain_add()
 * @ranges: the mapping's
 *
 * Context: under the backend's lock.
 * Return: 0, or the error of iommu_map(). After an error the backend calls
 * vfio_peer_detach_group(), because some ranges are mapped in the domain.
 */
int vfio_peer_domain_fill(struct vfio_peer_space *space,
			  struct vfio_peer_domain *pd,
			  const struct list_head *ranges)
{
	struct vfio_peer_range *range;
	int ret;

	list_for_each_entry(range, ranges, mapping_entry) {
		ret = vfio_peer_domain_fill_one(space, pd, range);
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_peer_domain_fill);

/**
 * vfio_peer_domain_filled - A new domain has got all older mappings
 * @space: space
 * @pd: of the last vfio_peer_domain_add()
 *
 * Context: under the backend's lock.
 * Return: 0, or an error if a suspended range came back meanwhile and could not
 * be mapped in this domain; then as for vfio_peer_domain_fill().
 */
int vfio_peer_domain_filled(struct vfio_peer_space *space,
			    struct vfio_peer_domain *pd)
{
	int ret;

	mutex_lock(&space->lock);
	ret = pd->error;
	if (!ret)
		pd->filling = false;
	mutex_unlock(&space->lock);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_peer_domain_filled);

/**
 * vfio_peer_attach_group - Attach a group to a domain of a space
 * @space: space
 * @domain: added by vfio_peer_domain_add()
 * @group: group
 *
 * A walk may be mapping and unmapping in @domain. An attach must not happen at
 * the same time.
 *
 * Return: result of iommu_attach_group().
 */
int vfio_peer_attach_group(struct vfio_peer_space *space,
			   struct iommu_domain *domain,
			   struct iommu_group *group)
{
	unsigned int flags;
	int ret;

	flags = vfio_peer_lock_noio(&space->lock);
	ret = iommu_attach_group(domain, group);
	vfio_peer_unlock_noio(&space->lock, flags);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_peer_attach_group);
/* For tests: on VT-d and AMD no group ever needs a domain of its own */
ALLOW_ERROR_INJECTION(vfio_peer_attach_group, ERRNO);

/**
 * vfio_peer_detach_group - Detach a group from a domain of a space
 * @space: space
 * @pd: of vfio_peer_domain_add()
 * @group: group
 * @last: no other group is attached, and the domain is about to be freed
 *
 * With the last group the space forgets the domain, in one step. No walk finds
 * the domain any more. The ranges stay mapped in it, out of reach of any
 * device.
 */
void vfio_peer_detach_group(struct vfio_peer_space *space,
			    struct vfio_peer_domain *pd,
			    struct iommu_group *group, bool last)
{
	unsigned int flags = vfio_peer_lock_noio(&space->lock);

	iommu_detach_group(pd->domain, group);
	if (last)
		list_del(&pd->entry);
	vfio_peer_unlock_noio(&space->lock, flags);
}
EXPORT_SYMBOL_GPL(vfio_peer_detach_group);

/**
 * vfio_peer_iova_to_phys - Find the physical address of an IOVA in a domain
 * @space: space
 * @domain: added by vfio_peer_domain_add()
 * @iova: IOVA of ordinary memory, of device memory, or without a mapping
 *
 * IOMMU drivers free page tables that become empty, and walk them for a lookup
 * without a lock. A walk from a device's side empties tables.
 *
 * Context: under the backend's lock, so that ordinary memory stays.
 * Return: physical address, or 0.
 */
phys_addr_t vfio_peer_iova_to_phys(struct vfio_peer_space *space,
				   struct iommu_domain *domain, dma_addr_t iova)
{
	phys_addr_t phys;

	mutex_lock(&space->lock);
	phys = iommu_iova_to_phys(domain, iova);
	mutex_unlock(&space->lock);
	return phys;
}
EXPORT_SYMBOL_GPL(vfio_peer_iova_to_phys);

/* The device that owns the memory of a VMA, or NULL */
static struct vfio_device *vfio_peer_device(struct vm_area_struct *vma)
{
	struct vfio_device *device;

	if (!vma->vm_file || !(vma->vm_flags & VM_PFNMAP))
		return NULL;

	device = vfio_device_from_file(vma->vm_file);
	return device && device->ops->peer_range ? device : NULL;
}

/**
 * vfio_peer_vma - Does a VMA map the memory of a device that can be a peer?
 * @vma: VMA
 *
 * Context: mmap_lock held.
 */
bool vfio_peer_vma(struct vm_area_struct *vma)
{
	return vfio_peer_device(vma);
}
EXPORT_SYMBOL_GPL(vfio_peer_vma);

/*
 * Find the memory at @vaddr of @mm: its physical address, and its size. The
 * size is cut to the end of the VMA, and of the device's memory. Returns the
 * file with a reference, which keeps the device open.
 */
static struct file *vfio_peer_lookup(struct mm_struct *mm, unsigned long vaddr,
				     int prot, phys_addr_t *phys, size_t *size)
{
	unsigned long need = prot & IOMMU_WRITE ? VM_WRITE : VM_READ;
	struct vfio_device *device;
	struct vm_area_struct *vma;
	struct file *file;
	phys_addr_t start;
	size_t len, skip;
	int ret;

	mmap_read_lock(mm);
	ret = -EFAULT;
	vma = vma_lookup(mm, vaddr);
	device = vma ? vfio_peer_device(vma) : NULL;
	if (!device || !(vma->vm_flags & need))
		goto out_unlock;

	ret = device->ops->peer_range(device, vma, &start, &len);
	if (ret)
		goto out_unlock;

	len = min_t(size_t, len, vma->vm_end - vma->vm_start);
	skip = vaddr - vma->vm_start;
	ret = -EFAULT;
	if (skip >= len)
		goto out_unlock;

	*phys = start + skip;
	*size = min(*size, len - skip);
	file = get_file(vma->vm_file);
	mmap_read_unlock(mm);
	return file;

out_unlock:
	mmap_read_unlock(mm);
	return ERR_PTR(ret);
}

/*
 * The vfio_peer of a device in a space. It is made if there is none. The
 * backend's lock keeps other tasks from making one for the same pair.
 */
static struct vfio_peer *vfio_peer_get(struct vfio_peer_space *space,
				       struct vfio_device *device)
{
	struct vfio_peers *peers = device->peers;
	struct vfio_peer *peer;

	list_for_each_entry(peer, &space->peers, space_entry)
		if (peer->peers == peers)
			return peer;

	peer = kzalloc(sizeof(*peer), VFIO_GFP_USER);
	if (!peer)
		return NULL;

	INIT_LIST_HEAD(&peer->ranges);
	peer->space = space;
	peer->peers = peers;
	kref_get(&peers->kref);

	mutex_lock(&peers->lock);
	mutex_lock(&space->lock);
	list_add_tail(&peer->device_entry, &peers->list);
	list_add_tail(&peer->space_entry, &space->peers);
	mutex_unlock(&space->lock);
	mutex_unlock(&peers->lock);
	return peer;
}

/**
 * vfio_peer_unmap - Unmap and free the ranges of a DMA mapping
 * @space: space
 * @ranges: mapped, suspended and revoked ranges, and holes; empty afterwards
 *
 * Context: under the backend's lock.
 * Return: number of mappings that the ranges counted as.
 */
unsigned int vfio_peer_unmap(struct vfio_peer_space *space,
			     struct list_head *ranges)
{
	struct vfio_peer_range *range, *next;
	unsigned int count = 0;

	list_for_each_entry_safe(range, next, ranges, mapping_entry) {
		/* One at a time: a walk from a device's side may be waiting */
		mutex_lock(&space->lock);
		vfio_range_unmap(space, range);
		list_del(&range->peer_entry);
		if (range->peer)
			vfio_range_forget_peer(range);
		else if (!range->hole)
			space->nr_revoked--;
		mutex_unlock(&space->lock);

		count += range->counted;
		list_del(&range->mapping_entry);
		kfree(range);
		cond_resched();
	}
	return count;
}
EXPORT_SYMBOL_GPL(vfio_peer_unmap);

/*
 * A close or a reset of the device unmaps a range in one step. So a range has
 * at most 1024 entries of page tables, with the page sizes of VT-d and AMD. It
 * ends at the end of a page table, so that the unmap frees that table.
 */
static size_t vfio_range_limit(const struct vfio_peer_range *range)
{
	bool large = !range->small && IS_ALIGNED(range->iova ^ range->phys, SZ_2M);
	size_t unit = large ? SZ_1G : SZ_4M;

	return unit - (range->iova & (unit - 1));
}

static int vfio_peer_map_range(struct vfio_peer *peer,
			       struct vfio_peer_range *range)
{
	struct vfio_peer_space *space = peer->space;
	unsigned int flags;
	int ret = 0;

	flags = vfio_peer_lock_noio(&space->lock);
	if (peer->nr_ranges >= space->max_ranges)
		ret = -ENOSPC;
	else if (!READ_ONCE(peer->peers->blocked))
		ret = vfio_range_map(space, range);
	if (!ret) {
		range->peer = peer;
		list_add_tail(&range->peer_entry, &peer->ranges);
		peer->nr_ranges++;
		space->nr_ranges++;
	}
	vfio_peer_unlock_noio(&space->lock, flags);
	trace_vfio_peer_map(space, range->iova, range->phys, range->size, ret);
	return ret;
}

/* Map one range of @request, from @done on. Returns its size or an error */
static ssize_t vfio_peer_map_next(struct vfio_peer *peer,
				  struct list_head *ranges,
				  const struct vfio_peer_request *request,
				  phys_addr_t phys, size_t done)
{
	struct vfio_peer_range *range;
	int ret;

	range = kzalloc(sizeof(*range), VFIO_GFP_USER);
	if (!range)
		return -ENOMEM;

	range->iova = request->iova + done;
	range->phys = phys + done;
	range->prot = request->prot;
	range->small = request->small;
	range->counted = !done;
	range->size = min(request->size - done, vfio_range_limit(range));
	ret = vfio_peer_map_range(peer, range);
	if (ret) {
		kfree(range);
		return ret;
	}

	list_add_tail(&range->mapping_entry, ranges);
	return range->size;
}

/* Map all of @request, in ranges; or nothing */
static int vfio_peer_map_all(struct vfio_peer_space *space,
			     struct vfio_device *device,
			     struct list_head *ranges,
			     const struct vfio_peer_request *request,
			     phys_addr_t phys)
{
	struct vfio_peer *peer = vfio_peer_get(space, device);
	LIST_HEAD(new);
	size_t done = 0;
	ssize_t ret;

	if (!peer)
		return -ENOMEM;

	while (done < request->size) {
		ret = vfio_peer_map_next(peer, &new, request, phys, done);
		if (ret < 0) {
			vfio_peer_unmap(space, &new);
			return ret;
		}
		done += ret;
		cond_resched();
	}
	list_splice_tail(&new, ranges);
	return 0;
}

/**
 * vfio_peer_map - Map device memory of a process for DMA
 * @space: space
 * @ranges: list that gets ranges at its end
 * @request: memory to map; its size is set to the size of the piece
 *
 * Maps one piece. It ends with the VMA, with the contiguous memory, or at the
 * size that counts as one mapping. While the device's memory is off, the ranges
 * are suspended from the start.
 *
 * Context: under the backend's lock; takes mmap_lock. The calling task puts a
 * file, which releases the device if that was the last reference.
 * Return: 0, or -EFAULT (no such memory, or not writable for IOMMU_WRITE), the
 * error of the device driver's peer_range(), -ENOMEM, -ENOSPC (too many ranges
 * of that device), or the error of iommu_map(). After an error nothing is
 * mapped.
 */
int vfio_peer_map(struct vfio_peer_space *space, struct list_head *ranges,
		  struct vfio_peer_request *request)
{
	phys_addr_t phys;
	struct file *file;
	int ret;

	request->size = min(request->size, VFIO_PEER_ENTRY_SIZE);
	file = vfio_peer_lookup(request->mm, untagged_addr(request->vaddr),
				request->prot, &phys, &request->size);
	if (IS_ERR(file))
		return PTR_ERR(file);

	ret = vfio_peer_map_all(space, vfio_device_from_file(file), ranges,
				request, phys);
	fput(file);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_peer_map);

/* Bytes from @vaddr on of a VMA of memory without reference counts, or 0 */
static size_t vfio_pfnmap_size(struct mm_struct *mm, unsigned long vaddr)
{
	struct vm_area_struct *vma;
	size_t size = 0;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, vaddr);
	if (vma && vma->vm_flags & VM_PFNMAP)
		size = vma->vm_end - vaddr;
	mmap_read_unlock(mm);
	return size;
}

/**
 * vfio_peer_skip - Leave memory out that no driver takes back
 * @ranges: list that gets one range at its end
 * @mm: address space of the process that made the DMA mapping; has users
 * @vaddr: address there, page aligned
 * @iova: first IOVA, not mapped yet
 * @size: bytes to leave out at most
 *
 * For mappings that were made without an IOMMU, when any memory was accepted.
 * The range is never mapped. It marks the IOVAs as no ordinary memory. It ends
 * with the VMA at the latest.
 *
 * Context: under the backend's lock; takes mmap_lock.
 * Return: bytes left out, or -EFAULT (there is no such memory any more),
 * -ENOMEM.
 */
ssize_t vfio_peer_skip(struct list_head *ranges, struct mm_struct *mm,
		       unsigned long vaddr, dma_addr_t iova, size_t size)
{
	size_t max = vfio_pfnmap_size(mm, untagged_addr(vaddr));
	struct vfio_peer_range *range;

	if (!max)
		return -EFAULT;

	range = kzalloc(sizeof(*range), VFIO_GFP_USER);
	if (!range)
		return -ENOMEM;

	range->iova = iova;
	range->size = min3(size, max, (size_t)PAGE_ALIGN_DOWN(SSIZE_MAX));
	range->hole = true;
	range->counted = true;
	INIT_LIST_HEAD(&range->peer_entry);
	list_add_tail(&range->mapping_entry, ranges);
	return range->size;
}
EXPORT_SYMBOL_GPL(vfio_peer_skip);

/**
 * vfio_peer_space_show - Print how much device memory a space has mapped
 * @space: space
 * @m: file that an administrator reads
 *
 * Visits no range: there can be millions. A reset or a close of one of the
 * devices would wait for the visit, as often as a user reads this.
 *
 * Context: may sleep; waits for no lock that is held across user access.
 */
void vfio_peer_space_show(struct vfio_peer_space *space, struct seq_file *m)
{
	unsigned long ranges, mapped;
	unsigned int devices = 0;
	struct vfio_peer *peer;

	mutex_lock(&space->lock);
	ranges = space->nr_ranges;
	mapped = space->nr_mapped;
	list_for_each_entry(peer, &space->peers, space_entry) {
		if (!list_empty(&peer->ranges))
			devices++;
	}
	mutex_unlock(&space->lock);

	seq_printf(m, "vfio-peer-devices:\t%u\n", devices);
	seq_printf(m, "vfio-peer-ranges:\t%lu\n", ranges);
	seq_printf(m, "vfio-peer-suspended:\t%lu\n", ranges - mapped);
}
EXPORT_SYMBOL_GPL(vfio_peer_space_show);

/**
 * vfio_peer_nr_revoked - How many ranges wait for their mappings to be removed?
 * @space: space
 *
 * Context: may sleep.
 */
unsigned long vfio_peer_nr_revoked(struct vfio_peer_space *space)
{
	unsigned long nr;

	mutex_lock(&space->lock);
	nr = space->nr_revoked;
	mutex_unlock(&space->lock);
	return nr;
}
EXPORT_SYMBOL_GPL(vfio_peer_nr_revoked);

/**
 * vfio_peer_next_revoked - Name a mapping that has lost device memory
 * @space: space
 * @iova: gets an IOVA inside of the mapping
 *
 * The next call names another range, if there is one. So as many calls as
 * vfio_peer_nr_revoked() returns name all mappings, even if some of these
 * cannot be removed.
 *
 * Context: under the backend's lock.
 * Return: false when there is none.
 */
bool vfio_peer_next_revoked(struct vfio_peer_space *space, dma_addr_t *iova)
{
	struct vfio_peer_range *range;

	mutex_lock(&space->lock);
	range = list_first_entry_or_null(&space->revoked,
					 struct vfio_peer_range, peer_entry);
	if (range) {
		*iova = range->iova;
		list_move_tail(&range->peer_entry, &space->revoked);
	}
	mutex_unlock(&space->lock);
	return range;
}
EXPORT_SYMBOL_GPL(vfio_peer_next_revoked);

/**
 * vfio_peer_reap - The reaper has one obstacle less
 * @space: space
 *
 * Context: any, but not under the space's lock.
 */
void vfio_peer_reap(struct vfio_peer_space *space)
{
	/* A range that is revoked just now queues the work itself */
	if (!list_empty(&space->revoked))
		queue_delayed_work(vfio_peer_wq, &space->work, 0);
}
EXPORT_SYMBOL_GPL(vfio_peer_reap);

/**
 * vfio_peer_init - Module initialisation
 *
 * Return: 0 or -ENOMEM.
 */
int __init vfio_peer_init(void)
{
	vfio_peer_wq = alloc_workqueue("vfio-peer", WQ_UNBOUND | WQ_SYSFS, 0);
	return vfio_peer_wq ? 0 : -ENOMEM;
}

/**
 * vfio_peer_exit - Module exit; no container is left
 */
void vfio_peer_exit(void)
{
	destroy_workqueue(vfio_peer_wq);
}
