// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contents of the report, with the names that vfio-probe(8) describes.
 */
#include "vfio-probe.h"

static void report_group(const struct probe *p)
{
	size_t i;

	put_string("device", p->device);
	if (p->group < 0)
		put_none("group");
	else
		put_number("group", p->group);
	put_string("file", p->file);
	put_bool("noiommu", p->noiommu);
	open_values("members", '[', false);
	for (i = 0; i < p->nr_members; i++) {
		open_values(NULL, '{', true);
		put_string("name", p->members[i].name);
		put_string("driver", p->members[i].driver);
		put_bool("vfio", p->members[i].vfio);
		close_values('}');
	}
	close_values(']');
	put_answer("viable", p->viable);
}

static void report_modules(const struct probe *p)
{
	int i;

	open_values("modules", '{', false);
	for (i = 0; i < MODULES; i++)
		put_bool(module_list[i].name, p->modules[i]);
	close_values('}');
}

static void report_answers(const char *key, const struct extension *list, int count,
			   const enum answer *answers)
{
	int i;

	open_values(key, '{', false);
	for (i = 0; i < count; i++)
		put_answer(list[i].name, answers[i]);
	close_values('}');
}

static void report_pasid(const struct vfio_iommu_type1_info_cap_pasid *pasid)
{
	if (!pasid) {
		put_none("pasid");
		return;
	}
	open_values("pasid", '{', false);
	put_number("max", pasid->max_pasid);
	put_number("hw_max", pasid->hw_max_pasid);
	put_number("quota", pasid->quota);
	put_number("used", pasid->used);
	close_values('}');
}

static void report_iommu(const struct container *c)
{
	__u32 i;

	if (!c->attached) {
		put_none("iommu");
		return;
	}
	open_values("iommu", '{', false);
	put_sizes("page_sizes", c->page_sizes);
	open_values("iova_ranges", '[', false);
	for (i = 0; c->iova && i < c->iova->nr_iovas; i++) {
		open_values(NULL, '{', true);
		put_address("start", c->iova->iova_ranges[i].start);
		put_address("end", c->iova->iova_ranges[i].end);
		close_values('}');
	}
	close_values(']');
	if (c->dma_avail)
		put_number("dma_avail", c->dma_avail->avail);
	else
		put_none("dma_avail");
	put_sizes("dirty_page_sizes", c->migration ? c->migration->pgsize_bitmap : 0);
	report_pasid(c->pasid);
	close_values('}');
}

static void report_memlock(const struct memlock *m)
{
	open_values("memlock", '{', false);
	if (m->limit == NO_LIMIT)
		put_none("limit");
	else
		put_size("limit", m->limit);
	put_bool("exempt", m->exempt);
	if (m->needed) {
		put_size("needed", m->needed);
		put_bool("suffices", m->suffices);
	} else {
		put_none("needed");
		put_none("suffices");
	}
	close_values('}');
}

void report(const struct probe *p, bool json)
{
	size_t i;

	begin_output(json);
	report_group(p);
	report_modules(p);
	report_answers("types", type_list, TYPES, p->container.types);
	report_answers("extensions", extension_list, EXTENSIONS, p->container.extensions);
	report_iommu(&p->container);
	report_memlock(&p->memlock);
	put_bool("usable", !p->nr_reasons);
	open_values("reasons", '[', false);
	for (i = 0; i < p->nr_reasons; i++)
		put_string(NULL, p->reasons[i]);
	close_values(']');
	end_output();
}
