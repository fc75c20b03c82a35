#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# VFIO by way of libvirt: a domain with three <hostdev> devices that libvirt takes from
# the host and gives back (managed='yes'). Its guest is the one without a virtual IOMMU
# of nested_guest.sh: edu writes to the BARs of the other two; one of these is unplugged
# and plugged in by virsh, the other one has a file system on it, which the host's own
# driver reads when the device is unplugged. The domain is destroyed while DMA goes on.
#
# libvirt's security is as it comes: QEMU is a user of its own, without capabilities, in
# a mount namespace with a /dev for the domain alone, with seccomp filters, and may lock
# what libvirt lets it. Not so: AppArmor, and the cgroup that lists devices, which the
# machine's kernel does not have.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=nested_guest_lib.sh
. "$here/nested_guest_lib.sh"

memory=256	# MiB of the guest
domain=vfio-test

usage() {
	cat <<-EOF_USAGE
	usage: ${0##*/} bzImage DIRECTORY [long]

	Starts a libvirt domain with this kernel and the statically linked programs
	guest_devices, guest_bare and guest_gone in DIRECTORY.
	Exit status: 0 when all is as it should be, 4 when something needed is missing.
	EOF_USAGE
}

# What the scripts of Debian's packages and udev do where libvirt is installed
make_users() {
	getent group kvm >/dev/null || echo 'kvm:x:64056:' >>/etc/group
	if ! getent passwd libvirt-qemu >/dev/null; then
		echo 'libvirt-qemu:x:64055:' >>/etc/group
		echo "libvirt-qemu:x:64055:$(getent group kvm | cut -d: -f3)::/var/lib/libvirt:/usr/sbin/nologin" >>/etc/passwd
	fi
	chgrp kvm /dev/kvm
	chmod 660 /dev/kvm
}

# Root may call it without asking polkit, which would need D-Bus.
start_libvirt() {
	cat >"$run/libvirtd.conf" <<-EOF_CONF
	unix_sock_rw_perms = "0700"
	auth_unix_rw = "none"
	EOF_CONF
	mkdir -p /var/log/libvirt/qemu
	virtlogd >"$run/virtlogd.log" 2>&1 3>&- 4>&- &
	daemons=($!)
	within 30 test -S /run/libvirt/virtlogd-sock || true
	libvirtd -f "$run/libvirtd.conf" >"$run/libvirtd.log" 2>&1 3>&- 4>&- &
	daemons+=($!)
	within 60 test -S /run/libvirt/libvirt-sock || true
}

hostdev() { # device, its address for the guest: bus, slot
	local domain bus slot
	IFS=:. read -r domain bus slot _ <<<"$1"
	cat <<-EOF_XML
	<hostdev mode='subsystem' type='pci' managed='yes'>
	  <source><address domain='0x$domain' bus='0x$bus' slot='0x$slot' function='0x0'/></source>
	  <address type='pci' domain='0x0000' bus='$2' slot='$3' function='0x0'/>
	</hostdev>
	EOF_XML
}

# XSAVE is off because KVM on an emulated CPU gets its size wrong.
domain_xml() {
	cat <<-EOF_XML
	<domain type='kvm'>
	  <name>$domain</name>
	  <memory unit='MiB'>$memory</memory>
	  <vcpu>1</vcpu>
	  <os>
	    <type arch='x86_64' machine='q35'>hvm</type>
	    <kernel>$run/kernel</kernel>
	    <initrd>$run/initramfs.cpio</initrd>
	    <cmdline>console=ttyS0 loglevel=5 panic=-1 oops=panic lockdep.prove_locking=0 watchdog_thresh=60 guest=bare disk=new</cmdline>
	  </os>
	  <features><acpi/><apic/><ioapic driver='qemu'/></features>
	  <cpu mode='host-passthrough' check='none'><feature policy='disable' name='xsave'/></cpu>
	  <devices>
	    <emulator>$(command -v qemu-system-x86_64)</emulator>
	    <controller type='usb' model='none'/>
	    <controller type='pci' index='0' model='pcie-root'/>
	    <controller type='pci' index='1' model='pcie-root-port'/>
	    <controller type='pci' index='2' model='pcie-root-port'/>
	    <serial type='file'><source path='$run/console'/><target port='0'/></serial>
	    <serial type='pipe'><source path='$run/guest'/><target port='1'/></serial>
	    <memballoon model='none'/>
	    $(hostdev "$edu" 0 0x10)
	    $(<"$run/ivshmem.xml")
	    $(<"$run/nvme.xml")
	  </devices>
	</domain>
	EOF_XML
}

status_of_qemu() { # name
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$qemu/status"
}

inspect() {
	local root=/proc/$qemu/root groups namespace=shared
	expect "libvirt: state of the domain" running "$(virsh domstate $domain | head -1)"
	expect "libvirt: hostdevs in its XML" 3 "$(virsh dumpxml $domain | grep -c "alias name='hostdev")"
	expect "libvirt: QEMU's user" libvirt-qemu "$(stat -c %U "/proc/$qemu")"
	expect "libvirt: QEMU's capabilities" 0000000000000000 "$(status_of_qemu CapEff)"
	expect "libvirt: QEMU's seccomp mode" 2 "$(status_of_qemu Seccomp)"
	groups=$(cd "$root/dev/vfio" && stat -c %U ./[0-9]* | sort | uniq -c | xargs)
	expect "libvirt: groups in its /dev, and their owner" "3 libvirt-qemu" "$groups"
	[[ /dev -ef $root/dev ]] || namespace="QEMU's own"
	expect "libvirt: that /dev" "QEMU's own" "$namespace"
	# The guest's memory and 1 GiB, whatever it is that a device may reach
	expect "libvirt: memory that QEMU may lock" $(((memory + 1024) << 20)) \
		"$(prlimit --pid "$qemu" --memlock --noheadings --output=HARD)"
	# Not the BARs of the devices
	expect "libvirt: memory that it has locked" 1 \
		"$(($(status_of_qemu VmLck | cut -d' ' -f1) >> 18))"
	expect "libvirt: host's driver of nvme" vfio-pci "$(driver_of "$nvme")"
}

# The guest lets go of it first; then libvirt gives it to the host's driver.
detach() { # name of an XML file, device, devices that are left, driver
	local left=600
	virsh detach-device $domain "$run/$1.xml" >>"$run/virsh.log" 2>&1 || true
	within 300 qemu_has "$3" || true
	expect "libvirt: devices after detaching $1" "$3" "$(files_of_qemu)"
	while [[ $(driver_of "$2") != "$4" ]] && ((left--)); do
		sleep 0.1
	done
	expect "libvirt: host's driver of $1" "$4" "$(driver_of "$2")"
}

attach() { # name of an XML file, devices then
	virsh attach-device $domain "$run/$1.xml" >>"$run/virsh.log" 2>&1 || true
	expect "libvirt: devices after attaching $1" "$2" "$(files_of_qemu)"
}

look() { # state
	case $1 in
	bare_dma)
		inspect
		guest_reports
		detach ivshmem "$ivshmem" 2 none
		answer=unplugged ;;
	bare_unplugged) attach ivshmem 3 ;;
	disk_used)
		detach nvme "$nvme" 2 nvme
		files_on_host ;;
	dma_forever\ *) address=${1#* } listening='' answer='' ;;
	*) look_common "$1" ;;
	esac
}

start_domain() {
	local begun
	begun=$(virsh create "$run/domain.xml" 2>&1) || true
	expect "libvirt: virsh create" "Domain '$domain' created*" "$begun"
	qemu=$(cat /run/libvirt/qemu/$domain.pid) || {
		tail -n 20 "$run/libvirtd.log" /var/log/libvirt/qemu/$domain.log >&2 || true
		sum_up
	}
}

stop_daemons() {
	kill "${daemons[@]}"
	wait "${daemons[@]}" || true
}

[[ $# == 2 || $# == 3 ]] || { usage >&2; exit 1; }
kernel=$1 programs=$2
find_machine "$kernel" "$programs"/{guest_devices,guest_bare,guest_gone}

run=$(mktemp -d)
chmod 755 "$run"
cp "$kernel" "$run/kernel"
make_initramfs
hostdev "$ivshmem" 1 0 >"$run/ivshmem.xml"
hostdev "$nvme" 2 0 >"$run/nvme.xml"
domain_xml >"$run/domain.xml"
mkfifo "$run"/guest.{in,out}
exec 3<>"$run/guest.in" 4<>"$run/guest.out"
modprobe nvme
references=$(</sys/module/vfio/refcnt)

make_users
start_libvirt
start_domain
listen
# So that a transfer is under way
sleep 0.3
expect "libvirt: virsh destroy" "Domain '$domain' destroyed*" "$(virsh destroy $domain 2>&1)"
expect "libvirt: then QEMU is" gone "$([[ -d /proc/$qemu ]] && echo there || echo gone)"
expect "libvirt: drivers of edu and ivshmem" "none none" "$(driver_of "$edu") $(driver_of "$ivshmem")"
stop_daemons

expect "destroyed: mappings of devices left" 0 "$(device_mappings)"
expect "destroyed: users of the vfio_pci module" 0 "$(</sys/module/vfio_pci/refcnt)"
expect "destroyed: users of vfio, inodes included" "$references" "$(</sys/module/vfio/refcnt)"
"$tests/bind.sh" -f "$edu" "$ivshmem" "$nvme" >/dev/null
expect "destroyed: groups free" 3 "$(groups_free "$edu" "$ivshmem" "$nvme")"
no_more_dma
sum_up
