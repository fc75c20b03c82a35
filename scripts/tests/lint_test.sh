#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The rules for new C files, for VFIO drivers, for tests and for allocations find what
# they are there for, and nothing else.
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
passes "good code passes" test -z "$(scripts/lib/lint-source good.c)"
output=$(scripts/lib/lint-source bad.c || true)
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
passes "a good driver passes" test -z "$(scripts/lib/lint-drivers good.c)"
output=$(scripts/lib/lint-drivers bad.c)
passes "a driver that writes vm_pgoff, twice" \
	test "$(grep -c "bad.c: a VFIO driver must not write vm_pgoff" <<<"$output")" = 2
passes "a driver that does not tell what memory is mapped" \
	grep -qx "bad.c: bad_ops has mmap and no peer_range" <<<"$output"
passes "and nothing else" test "$(wc -l <<<"$output")" = 3

vfio=tools/testing/selftests/vfio
passes "every test is run" test -z "$(scripts/lib/lint-tests)"
touch $vfio/bar/{new_test.c,new_fail_nth.c,no_program.c} $vfio/new_test.sh
sed -i '/^bar_zap /d; s/| peer_dma_test$/| peer_gone_test -v/' $vfio/run_vm_tests.sh
output=$(scripts/lib/lint-tests)
for name in new_test new_fail_nth new_test.sh bar_zap_test peer_dma_test; do
	passes "$name is in no table" grep -qx "$name: run_vm_tests.sh does not run it" <<<"$output"
done
passes "a test in the table that is not there" \
	grep -qx "peer_gone_test: run_vm_tests.sh runs it, and it is not there" <<<"$output"
passes "and no other one" test "$(wc -l <<<"$output")" = 6

# Where a call is, is in the report of what has not failed.
cat >sites.c <<'END'
void *kmalloc_trace(int size);

__attribute__((noinline)) void *jumps(void)
{
	return kmalloc_trace(1);
}

int through_jump(void)
{
	return !jumps();
}

int direct(void)
{
	return !kmalloc_trace(2);
}
END
gcc -O2 -fno-ipa-ra -fcf-protection=none -c sites.c
echo "allocates kmalloc_\w+" >sites.list
output=$(scripts/lib/fail-sites sites.list sites.o </dev/null || true)
passes "a call that never failed" grep -q "^# no test lets kmalloc_trace() fail at direct+" <<<"$output"
passes "also behind a jump" grep -q "^# no test lets jumps() fail at through_jump+" <<<"$output"
passes "without any failure" grep -q "^not ok 1 " <<<"$output"
sed -n 's/^# no test lets .* fail at/# failed in/p' <<<"$output" >seen
passes "when both have failed, all is well" scripts/lib/fail-sites sites.list sites.o <seen
output=$(grep -v direct seen | scripts/lib/fail-sites sites.list sites.o || true)
passes "when one has not, that one is reported" test "$(grep "^not ok" <<<"$output")" = "not ok 2 - direct(): 0 of 1 calls fail"
echo "exempt direct kmalloc_trace a reason" >>sites.list
output=$(scripts/lib/fail-sites sites.list sites.o <seen || true)
passes "an exemption that is not needed" grep -q "need not exempt kmalloc_trace() in direct()" <<<"$output"
passes "is only told" grep -q "^1..3" <<<"$output"
passes "one that is" scripts/lib/fail-sites sites.list sites.o < <(grep -v direct seen)
echo "exempt direct other a reason" >>sites.list
refused=$(scripts/lib/fail-sites sites.list sites.o <seen || true)
passes "one of a call that is not there" grep -q "^not ok 4 .*exempts other() in direct()" <<<"$refused"
finish
