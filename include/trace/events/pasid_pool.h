/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pasid_pool

#if !defined(_TRACE_PASID_POOL_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_PASID_POOL_H

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(pasid_range,
	TP_PROTO(const void *token, u32 min, u32 max, long ret),
	TP_ARGS(token, min, max, ret),

	TP_STRUCT__entry(
		__field(const void *, token)
		__field(u32, min)
		__field(u32, max)
		__field(long, ret)
	),

	TP_fast_assign(
		__entry->token = token;
		__entry->min = min;
		__entry->max = max;
		__entry->ret = ret;
	),

	TP_printk("owner=%p min=%u max=%u ret=%ld", __entry->token,
		  __entry->min, __entry->max, __entry->ret)
);

/* ret is the number or an error */
DEFINE_EVENT(pasid_range, pasid_alloc,
	TP_PROTO(const void *token, u32 min, u32 max, long ret),
	TP_ARGS(token, min, max, ret));

/* The owner frees those in the range; ret says how many, or is an error */
DEFINE_EVENT(pasid_range, pasid_free,
	TP_PROTO(const void *token, u32 min, u32 max, long ret),
	TP_ARGS(token, min, max, ret));

/* Freed without being asked for: their pool is gone, or the quota is smaller */
TRACE_EVENT(pasid_reclaim,
	TP_PROTO(const void *token, unsigned long count),
	TP_ARGS(token, count),

	TP_STRUCT__entry(
		__field(const void *, token)
		__field(unsigned long, count)
	),

	TP_fast_assign(
		__entry->token = token;
		__entry->count = count;
	),

	TP_printk("owner=%p count=%lu", __entry->token, __entry->count)
);

/* The last reference is gone and the number returns to the space */
TRACE_EVENT(pasid_release,
	TP_PROTO(u32 number),
	TP_ARGS(number),

	TP_STRUCT__entry(
		__field(u32, number)
	),

	TP_fast_assign(
		__entry->number = number;
	),

	TP_printk("pasid=%u", __entry->number)
);

#endif

#include <trace/define_trace.h>
