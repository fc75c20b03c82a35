#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# dkms.sh RELEASE KERNEL_ROOT DEBS PACKAGE: what modules_test.sh and trixie_test.sh run in
# a chroot, where everything may be changed. Leaves a directory for each check in /checks.
# The kernel is unpacked in KERNEL_ROOT, or an installed package if that is /.
set -euo pipefail

release=$1 kernel=${2%/} debs=$3 package=$4
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
name=$(dpkg-deb -f "$package" Package)
name=${name%-dkms}
modules=/lib/modules/$release
count=100

# check NAME COMMAND...
check()
{
	local dir=/checks/$((++count)) status=0

	mkdir -p "$dir"
	echo "$1" >"$dir/name"
	"${@:2}" >"$dir/output" 2>&1 || status=1
	echo $status >"$dir/status"
}

# Output of the last check, which is the reason for something
said()
{
	local output=/checks/$((count - 1))/output

	grep -E "$1" "$output" || { cat "$output"; false; }
}
literal() { local name=${1//./\\.}; echo "${name//+/\\+}"; }
fails() { ! "$@"; }

get()
{
	apt-get -qq -y --no-install-recommends -o "Dir::Cache::archives=$debs" \
		-o APT::Keep-Downloaded-Packages=true -o APT::Sandbox::User=root \
		-o Dpkg::Use-Pty=0 install "$@"
}

# All files, but what DKMS, apt and dpkg note down for themselves
files()
{
	find /boot /etc /opt /usr /var \( -path /var/log -o -path /var/tmp -o -path /var/lib/dpkg \
		-o -path /var/cache -o -path '/var/lib/dkms/mok.*' \) -prune -o -print | sort
	sha256sum "$modules"/modules.*
}

# A kernel as its package leaves it
install_kernel()
{
	[[ $kernel ]] || return 0
	rm -rf "$modules"
	mkdir -p "$modules"
	ln -s "$kernel/lib/modules/$release/kernel" "$modules"
	cp "$kernel/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$modules"
	depmod "$release"
}

# What has to be replaced: VFIO has one set of structures
replaced()
{
	{
		find -L "$modules/kernel/drivers/vfio" -name '*.ko*' | while read -r file; do
			! modinfo -F depends "$file" | grep -q vfio || basename "${file%.ko*}"
		done
		dpkg-deb --fsys-tarfile "$package" | tar -xO --wildcards '*/dkms.conf' |
			sed -n 's/^BUILT_MODULE_NAME\[.*\]="\(.*\)"/\1/p'
	} | sort -u
}

# The headers of one that is none of ours
foreign=6.1.0-47-amd64
[[ $release != 6.1.* ]] || foreign=6.12.107+deb13-amd64
install_foreign()
{
	mkdir -p "/lib/modules/$foreign/build/include"
	: >"/lib/modules/$foreign/build/.config"
	run-parts --exit-on-error --arg="$foreign" /etc/kernel/header_postinst.d &&
		dpkg-trigger --by-package=test /usr/src &&
		dpkg --triggers-only "$name-dkms"
}

built()
{
	compgen -G "$modules/updates/dkms/vfio.ko*" &&
		[[ $(modinfo -k "$release" -n "$1") == "$modules/updates/dkms/"* ]]
}
signed() { [[ $(modinfo -k "$release" -F signer "$1" | tee /dev/stderr) == "DKMS module signing key" ]]; }
packages() { dpkg-query -W -f '${Package}\n' | sort; }

install_kernel
mapfile -t replaced < <(replaced)
check "DKMS can be installed" get dkms lintian
check "lintian is content with the package" \
	lintian --fail-on error,warning,info,pedantic --display-info --pedantic --allow-root "$package"

# In use: as sysfs shows it
mkdir -p /sys/module/vfio/holders/kvmgt
check "it is not installed while kvmgt is in use" fails dpkg -i "$package"
check "which it says, and what to do" said 'in use, and would not load with this package: kvmgt'
rm -r /sys/module
dpkg --purge "$name-dkms" >/dev/null 2>&1 || true

files >/tmp/files
packages >/tmp/packages
check "it is installed without headers" get "$package"
check "and says that they are missing" said "the headers of kernel $(literal "$release") are missing: install"
check "new headers are installed" get --reinstall "linux-headers-$release"
check "and the modules built" said "$name: built for kernel $(literal "$release")"
check "DKMS knows that" bash -c "dkms status $name | tee /dev/stderr | grep ': installed'"
for module in "${replaced[@]}"; do
	check "$module is the new one" built "$module"
	check "and signed by DKMS" signed "$module"
done

check "headers of another kernel do no harm" install_foreign
check "and it is said that it keeps its own VFIO" said "kernel $(literal "$foreign") keeps its own VFIO"
version=$(dpkg-query -W -f '${Version}' "$name-dkms")
check "DKMS refuses to build for it" fails dkms build -m "$name" -v "$version" -k "$foreign"
check "and says why" said 'does not match this kernel'
rm -r "/lib/modules/$foreign"

mkdir /as-installed
cp -a "$modules" /as-installed/
check "it is removed" dpkg --purge "$name-dkms"
packages | comm -13 /tmp/packages - | xargs -r dpkg --purge >/dev/null 2>&1
check "without trace" diff /tmp/files <(files)
: >/checks-done
