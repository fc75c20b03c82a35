#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The way back from the generated tree loses nothing.
. "$(dirname "$0")/tap.sh"
small_base

tree_id() { git -C "$tree" rev-parse 'HEAD^{tree}'; }

passes "apply" scripts/apply
passes "refresh" scripts/refresh
passes "changes no file of the repository" test -z "$(git status --porcelain)"
passes "refresh leaves nothing to apply" test -z "$(scripts/apply 2>&1)"

# A patch that another base shares is found under its new number.
shared=$(sed -n 's/^6\.1://p' patches/6.12/series | tail -n 1)
sed -i "s|^6.1:$shared|6.1:${shared%%/*}/9999-${shared#*/????-}|" patches/6.12/series
passes "refresh with a shared patch that was renumbered" scripts/refresh
passes "tells the other base" test -z "$(git status --porcelain)"
sed -i "s|^6.1:$shared|6.1:${shared%.patch}-gone.patch|" patches/6.12/series
refuses "refresh without a patch that another base shares" "names 6.1:.*-gone.patch, which is gone" scripts/refresh
git checkout -q patches/6.12/series
echo "later" >>patches/6.1/topics
refuses "refresh with what came here later" "changed since .* was made" scripts/refresh
git checkout -q patches/6.1/topics

# One commit that changes a hook, a file of ours, and brings in a new one.
new=$(awk '/^New: .*\.c$/ && !n++ { print $2 }' patches/6.1/*/*.patch)
echo "# hook" >>"$tree/drivers/vfio/Makefile"
[[ -z $new ]] || echo "/* changed */" >>"$tree/$new"
echo "echo new" >"$tree/tools/brand_new.sh"
chmod +x "$tree/tools/brand_new.sh"
refuses "refresh with uncommitted changes" "uncommitted changes: commit or drop" scripts/refresh
git -C "$tree" add -A
commit_all -m "vfio: Change a hook, and more!" -m "Because." -m "Signed-off-by: A <a@b>"
git -C "$tree" notes add -m "Fails without it: none"
before=$(tree_id)
passes "refresh with a commit" scripts/refresh
patch=$(echo patches/6.1/*/*-vfio-change-a-hook-and-more.patch)
last=$(cut -d/ -f1 patches/6.1/series | tail -n 1)
passes "files it under the last topic" test "$patch" = "patches/6.1/$last/${patch##*/}"
passes "writes its patch" test "$(sed '/^@@/,$d' "$patch")" = "Subject: vfio: Change a hook, and more!

Because.
---
New: tools/brand_new.sh
Fails without it: none

diff --git a/drivers/vfio/Makefile b/drivers/vfio/Makefile
--- a/drivers/vfio/Makefile
+++ b/drivers/vfio/Makefile"
passes "lists it" grep -qx "$last/${patch##*/}" patches/6.1/series
passes "brings the new file here" test -x tools/brand_new.sh
[[ -z $new ]] || passes "changes the file of ours here" grep -qx "/\* changed \*/" "$new"
passes "distclean" scripts/clean --all
passes "apply to a clean base" scripts/apply
passes "makes the same tree" test "$before" = "$(tree_id)"

# A commit says its topic by its note; out of order it could not be mailed.
git -C "$tree" notes add -f -m "Topic: fixes"
refuses "refresh with a topic out of order" "'vfio: Change a hook, and more!' of topic fixes comes after those of $last" scripts/refresh
git -C "$tree" notes add -f -m "Topic: $last"
git -C "$tree" rm -q tools/brand_new.sh
commit_all --amend --no-edit
passes "refresh without the new file" scripts/refresh
passes "removes it here" test ! -e tools/brand_new.sh

git -C "$tree" reset -q --hard HEAD~1
passes "refresh without the commit" scripts/refresh
[[ -z $new ]] || git checkout -q "$new"
passes "leaves the repository as it was at first" test -z "$(git status --porcelain)"
finish
