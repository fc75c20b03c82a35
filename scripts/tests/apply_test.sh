#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The generated tree: made once, kept when nothing changed, never damaged.
. "$(dirname "$0")/tap.sh"
small_base

refuses "an unknown base" "unknown base '5.4': choose one of: .*6\.1" env BASE=5.4 scripts/apply
refuses "an unknown flavour" "unknown flavour 'x': choose one of: bench debug gcov kcsan" env FLAVOUR=x scripts/apply
refuses "an unknown version of the base" "6.1.0-0.*another BASE_VERSION" env BASE_VERSION=6.1.0-0 scripts/apply

passes "apply makes the tree" scripts/apply
head=$(git -C "$tree" rev-parse HEAD)
patches=$(sed -e '/^$/d' -e '/^#/d' patches/6.1/series | wc -l)
passes "with one commit a patch" test "$(git -C "$tree" rev-list --count base..)" = "$patches"
passes "apply TOPIC=fixes" env TOPIC=fixes scripts/apply
passes "makes another tree, with what it needs and no more" test \
	"$(git -C "$tree-fixes" rev-list --count base..) $(git -C "$tree-fixes" log -1 --format=%s)" = \
	"$(grep -cE '^(test-base|fixes)/' patches/6.1/series) $(sed -n '1s/^Subject: //p' "patches/6.1/$(grep ^fixes/ patches/6.1/series | tail -n 1)")"
refuses "an unknown topic" "unknown topic 'x': choose one of: .*fixes" env TOPIC=x scripts/apply
refuses "a topic for what takes the whole series" "TOPIC is for apply and bisect-check" env TOPIC=fixes scripts/refresh
passes "apply again" scripts/apply
passes "changes nothing" test "$head" = "$(git -C "$tree" rev-parse HEAD)"

# A step that is added rewrites the files that it changes and no other.
git -C "$tree" show base:drivers/vfio/mdev/Makefile >"$work/a"
sed '1a # hunk' "$work/a" >"$work/b"
topic=$(cut -d/ -f1 patches/6.1/series | tail -n 1)
patch=patches/6.1/$topic/9999-test.patch
{
	printf 'Subject: vfio/mdev: a comment\n\nWhy.\n---\n\n'
	echo "diff --git a/drivers/vfio/mdev/Makefile b/drivers/vfio/mdev/Makefile"
	diff -u --label a/drivers/vfio/mdev/Makefile --label b/drivers/vfio/mdev/Makefile "$work/a" "$work/b" || true
} >"$patch"
echo "$topic/9999-test.patch" >>patches/6.1/series
touch "$work/now"
passes "apply with one patch more" scripts/apply
passes "writes one file" test "$(find "$tree" -name .git -prune -o -type f -newer "$work/now" -print)" = \
	"$tree/drivers/vfio/mdev/Makefile"
head=$(git -C "$tree" rev-parse HEAD)

sed -i 's/^ #.*/ not in the kernel/' "$patch"
refuses "a patch that does not apply" \
	"9999-test.patch does not apply to linux-source-6.1 .*: hunk 1 of drivers/vfio/mdev/Makefile" scripts/apply
passes "leaves the tree as it was" test "$head" = "$(git -C "$tree" rev-parse HEAD)"
sed -i '/^---$/q' "$patch"
echo "New: drivers/vfio/nowhere.c" >>"$patch"
refuses "a new file that is missing" "9999-test.patch brings in drivers/vfio/nowhere.c" scripts/apply
sed -i 's/^New:.*/New: MAINTAINERS/' "$patch"
echo "An entry" >MAINTAINERS
refuses "a new file that is not new" "brings in MAINTAINERS, which the kernel already has" scripts/apply
rm "$patch"
refuses "a patch that is missing" "series lists $topic/9999-test.patch, which does not exist" scripts/apply
sed -i '$d' patches/6.1/series

echo "# edit" >>"$tree/drivers/vfio/Makefile"
refuses "edits in the tree" "make refresh.*make apply FORCE=1" scripts/apply
commit_all -m edit
refuses "commits in the tree" "make refresh.*make apply FORCE=1" scripts/apply
refuses "distclean with edits" "make refresh.*make distclean FORCE=1" scripts/clean --all
passes "apply FORCE=1" env FORCE=1 scripts/apply
passes "drops them" test "$(git -C "$tree" rev-list --count base..)" = "$patches"
passes "the tree needs no cache to go on" env -C "$tree" git fsck --connectivity-only
passes "distclean" scripts/clean --all
passes "removes the tree" test ! -e build
finish
