# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced after lib.sh by what turns patches and new files into commits.

# inputs [EXTRA]...: one hash over all that the commits are made from.
inputs()
{
	local name patch

	{
		printf '%s\n' "$@"
		{
			printf '%s\n' scripts/lib/stack.sh "$PATCHES/series" "$PATCHES/topics" MAINTAINERS
			patch_list . | while read -r name; do
				patch=$(patch_file . "$name")
				echo "$patch"
				[[ ! -f $patch ]] || patch_new "$patch" | sed "p; s|^|$PATCHES/files/|"
			done
		} | while read -r name; do
			if [[ -f $name ]]; then
				stat -c '%n %A' "$name"
				sha256sum <"$name"
			fi
		done
	} | sha256sum | cut -d' ' -f1
}

# Say which hunk did not apply: git names its file and line.
explain()
{
	local patch=$1 file line hunk

	IFS=: read -r file line < <(sed -n 's/^error: patch failed: //p' <<<"$2") ||
		die "$patch does not apply: $(sed -n '1s/^error: //p' <<<"$2")"
	hunk=$(awk -v file="+++ b/$file" -v at="^-$line(,|\$)" '
		/^\+\+\+ / { here = $0 == file; n = 0 }
		here && /^@@ / && ++n && $2 ~ at { print n; exit }' "$patch")
	die "$patch does not apply to $3: hunk $hunk of $file (line $line) does not match"
}

# The two helpers of stack() share its variables.
stack_new()
{
	local path=$1 mode=100644 file

	# A base may have a version of its own.
	file=$source/$PATCHES/files/$path
	[[ -f $file ]] || file=$source/$path
	[[ -f $file ]] ||
		die "$patch brings in $path, which is not here: add the file or remove the New: line"
	[[ -z $(tgit ls-tree "$base" -- "$path") ]] ||
		die "$patch brings in $path, which the kernel already has: make it a diff"
	[[ ! -x $file ]] || mode=100755
	blob=$(tgit hash-object -w --no-filters "$file")
	printf '%s %s\t%s\n' "$mode" "$blob" "$path" >>"$TMP/entries"
}

# Each of our entries goes to its alphabetical place in the kernel's list.
stack_maintainers()
{
	[[ -f $source/MAINTAINERS ]] ||
		die "$patch merges MAINTAINERS, which is not here: add the file or remove the Merge: line"
	tgit show "$commit:MAINTAINERS" >"$TMP/theirs"
	awk '
		BEGIN { i = n = 0 }
		FNR == NR { ours[n++] = $0; next }
		/^Maintainers List$/ { list = 1 }
		list && blank && NF {
			while (i < n && tolower(ours[i]) < tolower($0))
				print ours[i++] "\n"
		}
		{ print; blank = !NF }
	' RS= "$source/MAINTAINERS" RS='\n' "$TMP/theirs" >"$TMP/merged"
	blob=$(tgit hash-object -w --no-filters "$TMP/merged")
	tgit update-index --cacheinfo "100644,$blob,MAINTAINERS"
}

# stack BASE_COMMIT SOURCE: make one commit a patch of SOURCE on top of
# BASE_COMMIT, in the object store of TREE, and print the last one. No branch
# moves and no file of the work tree is touched, so a failure changes nothing.
# The same patches of the same person are the same commits. TOPIC chooses among them.
stack()
{
	local base=$1 source=$2 commit=$1 date=946684800
	local name patch subject log path blob below

	export GIT_INDEX_FILE=$TMP/index
	tgit read-tree "$base"
	while read -r name; do
		patch=$(patch_file "$source" "$name")
		[[ -f $source/$patch ]] || die "$PATCHES/series lists ${patch#"$PATCHES/"}, which does not exist"
		subject=$(patch_subject "$source/$patch")
		[[ -n $subject ]] || die "$patch does not begin with a Subject: line"

		patch_diff "$source/$patch" >"$TMP/diff"
		log=$(tgit apply --cached --allow-empty "$TMP/diff" 2>&1) ||
			explain "$patch" "$log" "$(tgit log -1 --format=%s "$base")"
		# The index has all files of the kernel, so it is written once for all new ones.
		: >"$TMP/entries"
		for path in $(patch_new "$source/$patch"); do
			stack_new "$path"
		done
		[[ ! -s $TMP/entries ]] || tgit update-index --add --index-info <"$TMP/entries"
		below=$(patch_below "$source/$patch" | sed '/^New: /d' | git stripspace)
		if grep -qx 'Merge: MAINTAINERS' <<<"$below"; then
			stack_maintainers
		fi

		# One minute a patch keeps them in order where git sorts by date.
		date=$((date + 60))
		export GIT_AUTHOR_DATE="$date +0000" GIT_COMMITTER_DATE="$date +0000"
		commit=$({ echo "$subject"; echo; patch_message "$source/$patch"; } | git stripspace |
			tgit commit-tree -p "$commit" "$(tgit write-tree)")
		# For the way back: which topic it is of
		below="Topic: ${name%/*}${below:+$'\n'$below}"
		tgit notes add -f -m "$below" "$commit" 2>/dev/null
	done < <(patch_list "$source")
	echo "$commit"
}

# topic_head TOPIC: the last commit of that topic, on the base and what it needs only. If
# that is all that comes before it in the series, the generated tree has it already.
topic_head()
{
	# shellcheck disable=SC2034 # for patch_list()
	local TOPIC=$1
	local count

	count=$(patch_list . | wc -l)
	if [[ $(patch_list .) == "$(TOPIC='' patch_list . | head -n "$count")" ]]; then
		tgit rev-list --reverse base..HEAD | sed -n "${count}p"
	else
		stack "$(tgit rev-parse base)" "$ROOT"
	fi
}
