/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pasid_pool

#if !defined(_TRACE_PASID_POOL_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_PASID_POOL_H

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(pasid_range,
	TP_PROTO(const void *owner, u32 min, u32 max, long ret),
	TP_ARGS(owner, min, max, ret),

	TP_STRUCT__entry(
		__field(const void *, owner)
		__field(u32, min)
		__field(u32, max)
		__field(long, ret)
	),

	TP_fast_assign(
		__entry->owner = owner;
		__entry->min = min;
		__entry->max = max;
		__entry->ret = ret;
	),

	TP_printk("owner=%p min=%u max=%u ret=%ld", __entry->owner,
		  __entry->min, __entry->max, __entry->ret)
);

/* ret is the number or an error */
DEFINE_EVENT(pasid_range, pasid_alloc,
	TP_PROTO(const void *owner, u32 min, u32 max, long ret),
	TP_ARGS(owner, min, max, ret));

/* The owner frees those in the range; ret says how many, or is an error */
DEFINE_EVENT(pasid_range, pasid_free,
	TP_PROTO(const void *owner, u32 min, u32 max, long ret),
	TP_ARGS(owner, min, max, ret));

/* Freed without being asked for: the owner or the pool is gone, or the quota is smaller */
TRACE_EVENT(pasid_reclaim,
	TP_PROTO(const void *owner, unsigned long count),
	TP_ARGS(owner, count),

	TP_STRUCT__entry(
		__field(const void *, owner)
		__field(unsigned long, count)
	),

	TP_fast_assign(
		__entry->owner = owner;
		__entry->count = count;
	),

	TP_printk("owner=%p count=%lu", __entry->owner, __entry->count)
);

/* Nobody uses it any more, and the number returns to the space */
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
