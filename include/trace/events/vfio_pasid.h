/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_pasid

#if !defined(_TRACE_VFIO_PASID_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_PASID_H

#include <linux/tracepoint.h>

/* A PASID of a device was attached to a space, or refused */
TRACE_EVENT(vfio_pasid_attach,
	TP_PROTO(const char *device, u32 pasid, int space, int ret),
	TP_ARGS(device, pasid, space, ret),

	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, pasid)
		__field(int, space)
		__field(int, ret)
	),

	TP_fast_assign(
		__assign_str(device, device);
		__entry->pasid = pasid;
		__entry->space = space;
		__entry->ret = ret;
	),

	TP_printk("%s pasid=%u space=%d ret=%d", __get_str(device),
		  __entry->pasid, __entry->space, __entry->ret)
);

/* It is attached no more, whatever the reason, and no access is left */
TRACE_EVENT(vfio_pasid_detach,
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
