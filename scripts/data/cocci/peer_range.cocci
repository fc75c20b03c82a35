// SPDX-License-Identifier: GPL-2.0-only
/// A VFIO driver whose memory can be mapped tells by peer_range what lies behind a
/// VMA, or nobody can DMA there.

virtual report

@complete@
identifier ops, map, range;
position p;
@@
struct vfio_device_ops ops@p = {
	.mmap = map,
	.peer_range = range,
};

@partial@
identifier ops, map;
position p != complete.p;
@@
struct vfio_device_ops ops@p = {
	.mmap = map,
};

@script:python depends on report@
p << partial.p;
ops << partial.ops;
@@
coccilib.report.print_report(p[0], "%s has mmap and no peer_range" % ops)
