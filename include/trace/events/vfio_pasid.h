/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_pasid

#if !defined(_TRACE_VFIO_PASID_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_PASID_H

#include <linux/tracepoint.h>

/* A device was told to use a PASID, or refused */
TRACE_EVENT(vfio_pasid_allow,
	TP_PROTO(const char *device, u32 pasid, u64 iova, u64 size, int ret),
	TP_ARGS(device, pasid, iova, size, ret),

	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, pasid)
		__field(u64, iova)
		__field(u64, size)
		__field(int, ret)
	),

	TP_fast_assign(
		__assign_str(device, device);
		__entry->pasid = pasid;
		__entry->iova = iova;
		__entry->size = size;
		__entry->ret = ret;
	),

	TP_printk("%s pasid=%u iova=0x%llx size=0x%llx ret=%d",
		  __get_str(device), __entry->pasid, __entry->iova,
		  __entry->size, __entry->ret)
);

/* It has stopped using it, whatever the reason */
TRACE_EVENT(vfio_pasid_end,
	TP_PROTO(const char *device, u32 pasid),
	TP_ARGS(device, pasid),

	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, pasid)
	),

	TP_fast_assign(
		__assign_str(device, device);
		__entry->pasid = pasid;
	),

	TP_printk("%s pasid=%u", __get_str(device), __entry->pasid)
);

#endif

#include <trace/define_trace.h>
