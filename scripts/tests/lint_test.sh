#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The rules for new C files and for VFIO drivers find what they are there for, and nothing else.
. "$(dirname "$0")/tap.sh"

cat >good.c <<'END'
/* Called by vfio_real() with the lock held. */
struct good {
	/* lock protects users */
	struct mutex lock;
	int users;
};

static int vfio_real(struct good *good)
{
	mutex_lock(&good->lock);
	if (good->users)
		goto out;
out:
	mutex_unlock(&good->lock);
	return 0;
}
END
cat >bad.c <<'END'
/* Called by vfio_imaginary() with the lock held. */
struct bad {
	spinlock_t lock;
	int users;
};

static int vfio_mixed(struct bad *bad)
{
	guard(spinlock)(&bad->lock);
	if (bad->users)
		goto out;
out:
	return 0;
}
END
git add -A
passes "good code passes" test -z "$(scripts/lint-source good.c)"
output=$(scripts/lint-source bad.c || true)
passes "a name that does not exist" grep -q "a comment names vfio_imaginary()" <<<"$output"
passes "guard() and goto" grep -q "vfio_mixed() mixes guard() and goto" <<<"$output"
passes "a lock without a word" grep -q "struct bad does not say what its lock protects" <<<"$output"

cat >good.c <<'END'
static int good_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	return vma->vm_pgoff == 1 ? 0 : -EINVAL;
}

static const struct vfio_device_ops good_ops = {
	.name = "good",
	.mmap = good_mmap,
	.request = good_request,
	.peer_range = good_peer_range,
};

static const struct vfio_device_ops no_mmap_ops = {
	.name = "no-mmap",
};
END
cat >bad.c <<'END'
static int bad_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	vma->vm_pgoff = bad_base(vdev) >> PAGE_SHIFT;
	return 0;
}

static void bad_helper(struct vm_area_struct *vma)
{
	vma->vm_pgoff += 1;
}

static const struct vfio_device_ops bad_ops = {
	.name = "bad",
	.mmap = bad_mmap,
};

static const struct vfio_device_ops good_ops = {
	.mmap = bad_mmap,
	.peer_range = bad_peer_range,
};
END
passes "a good driver passes" test -z "$(scripts/lint-drivers good.c)"
output=$(scripts/lint-drivers bad.c)
passes "a driver that writes vm_pgoff, twice" \
	test "$(grep -c "bad.c: a VFIO driver must not write vm_pgoff" <<<"$output")" = 2
passes "a driver that does not tell what memory is mapped" \
	grep -qx "bad.c: bad_ops has mmap and no peer_range" <<<"$output"
passes "and nothing else" test "$(wc -l <<<"$output")" = 3
finish
