/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_peer

#if !defined(_TRACE_VFIO_PEER_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_PEER_H

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(vfio_peer_range,
	TP_PROTO(const void *space, u64 iova, u64 phys, u64 size, int ret),
	TP_ARGS(space, iova, phys, size, ret),

	TP_STRUCT__entry(
		__field(const void *, space)
		__field(u64, iova)
		__field(u64, phys)
		__field(u64, size)
		__field(int, ret)
	),

	TP_fast_assign(
		__entry->space = space;
		__entry->iova = iova;
		__entry->phys = phys;
		__entry->size = size;
		__entry->ret = ret;
	),

	TP_printk("space=%p iova=0x%llx phys=0x%llx size=0x%llx ret=%d",
		  __entry->space, __entry->iova, __entry->phys, __entry->size,
		  __entry->ret)
);

#define VFIO_PEER_EVENT(name)						\
	DEFINE_EVENT(vfio_peer_range, name,				\
		TP_PROTO(const void *space, u64 iova, u64 phys, u64 size, int ret), \
		TP_ARGS(space, iova, phys, size, ret))

/* Part of a new DMA mapping; ret is 0 also when the device's memory is off */
VFIO_PEER_EVENT(vfio_peer_map);
/* The device's memory goes off */
VFIO_PEER_EVENT(vfio_peer_suspend);
/* It is on again; on an error the mapping is dropped as by a revoke */
VFIO_PEER_EVENT(vfio_peer_resume);
/* The device was released */
VFIO_PEER_EVENT(vfio_peer_revoke);

#endif

#include <trace/define_trace.h>
