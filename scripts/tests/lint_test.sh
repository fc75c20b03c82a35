#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The rules for new C files find what they are there for, and nothing else.
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
finish
