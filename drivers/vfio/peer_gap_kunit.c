// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the gaps between ranges of peer memory. A table has cases like those
 * of userspace programs. A loop fills a small mapping in every way, and
 * compares the gaps with a model that goes page by page.
 */

#include <kunit/test.h>
#include <linux/module.h>

#include "peer.h"

#define PAGE	0x1000UL
#define BASE	0x40000000UL	/* of a mapping */
#define MOST	8		/* pages, ranges or gaps of a mapping */

/* First and last page of a range or a gap, counted from the mapping's start */
struct run {
	unsigned int first;
	unsigned int last;
};

struct runs {
	unsigned int count;
	struct run run[MOST];
};

struct gap_case {
	const char *name;
	unsigned int pages;
	struct runs ranges;
	struct runs gaps;
};

#define RUNS(n, ...)	{ .count = (n), .run = { __VA_ARGS__ } }

static const struct gap_case gap_cases[] = {
	{
		.name = "RAM only",
		.pages = 8,
		.gaps = RUNS(1, { 0, 7 }),
	}, {
		.name = "one BAR only",
		.pages = 8,
		.ranges = RUNS(1, { 0, 7 }),
	}, {
		.name = "a single page of RAM",
		.pages = 1,
		.gaps = RUNS(1, { 0, 0 }),
	}, {
		.name = "nothing mapped so far",
		.pages = 0,
	}, {
		.name = "RAM, BAR",
		.pages = 8,
		.ranges = RUNS(1, { 3, 7 }),
		.gaps = RUNS(1, { 0, 2 }),
	}, {
		.name = "BAR, RAM",
		.pages = 8,
		.ranges = RUNS(1, { 0, 2 }),
		.gaps = RUNS(1, { 3, 7 }),
	}, {
		.name = "RAM, BAR, RAM",
		.pages = 8,
		.ranges = RUNS(1, { 3, 3 }),
		.gaps = RUNS(2, { 0, 2 }, { 4, 7 }),
	}, {
		.name = "two BARs side by side",
		.pages = 8,
		.ranges = RUNS(2, { 0, 3 }, { 4, 7 }),
	}, {
		.name = "two BARs side by side in RAM",
		.pages = 8,
		.ranges = RUNS(2, { 1, 3 }, { 4, 5 }),
		.gaps = RUNS(2, { 0, 0 }, { 6, 7 }),
	}, {
		.name = "BAR, RAM, BAR",
		.pages = 8,
		.ranges = RUNS(2, { 0, 0 }, { 7, 7 }),
		.gaps = RUNS(1, { 1, 6 }),
	}, {
		.name = "every other page",
		.pages = 8,
		.ranges = RUNS(4, { 1, 1 }, { 3, 3 }, { 5, 5 }, { 7, 7 }),
		.gaps = RUNS(4, { 0, 0 }, { 2, 2 }, { 4, 4 }, { 6, 6 }),
	},
};

static void gap_case_name(const struct gap_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(gap, gap_cases, gap_case_name);

/* Of a mapping that ends where IOVAs end */
static dma_addr_t last_base(unsigned int pages)
{
	return (dma_addr_t)0 - pages * PAGE;
}

/* Make a mapping's list of @runs, in the memory that @ranges points to */
static void make_list(struct list_head *list, struct vfio_peer_range *ranges,
		      dma_addr_t base, const struct runs *runs)
{
	unsigned int i;

	INIT_LIST_HEAD(list);
	for (i = 0; i < runs->count; i++) {
		ranges[i].iova = base + runs->run[i].first * PAGE;
		ranges[i].size = (runs->run[i].last - runs->run[i].first + 1) *
				 PAGE;
		list_add_tail(&ranges[i].mapping_entry, list);
	}
}

/* The gaps that the code under test finds; stops at one more than possible */
static void walk(const struct list_head *list, dma_addr_t base,
		 unsigned int pages, struct runs *found)
{
	struct vfio_peer_gap gap;
	struct run *run;
	bool more;

	memset(found, 0, sizeof(*found));
	for (more = vfio_peer_first_gap(&gap, list, base, pages * PAGE);
	     more && found->count < MOST; more = vfio_peer_next_gap(&gap)) {
		run = &found->run[found->count++];
		run->first = (gap.iova - base) / PAGE;
		run->last = run->first + gap.size / PAGE - 1;
		/* As after a caller that took the first page */
		gap.iova += PAGE;
		gap.size -= PAGE;
	}
}

static void gap_check(struct kunit *test, const struct gap_case *c,
		      dma_addr_t base)
{
	struct vfio_peer_range ranges[MOST] = { };
	struct list_head list;
	struct runs found;
	unsigned int i;

	make_list(&list, ranges, base, &c->ranges);
	walk(&list, base, c->pages, &found);
	KUNIT_ASSERT_EQ(test, found.count, c->gaps.count);
	for (i = 0; i < found.count; i++) {
		KUNIT_EXPECT_EQ(test, found.run[i].first, c->gaps.run[i].first);
		KUNIT_EXPECT_EQ(test, found.run[i].last, c->gaps.run[i].last);
	}
}

static void gap_table(struct kunit *test)
{
	const struct gap_case *c = test->param_value;

	gap_check(test, c, BASE);
	gap_check(test, c, last_base(c->pages));
}

/*
 * Runs of pages whose bit in @mask equals @value. A bit of @cuts ends the run
 * after that page, as two mappings of a BAR side by side do.
 */
static void model(unsigned int pages, unsigned int mask, bool value,
		  unsigned int cuts, struct runs *runs)
{
	bool open = false;
	unsigned int i;

	memset(runs, 0, sizeof(*runs));
	for (i = 0; i < pages; i++) {
		if (!!(mask & BIT(i)) != value) {
			open = false;
			continue;
		}
		if (!open)
			runs->run[runs->count++].first = i;
		runs->run[runs->count - 1].last = i;
		open = !(cuts & BIT(i));
	}
}

/* Every set of BAR pages, cut into ranges in every way */
static void gap_all_at(struct kunit *test, struct vfio_peer_range *ranges,
		       dma_addr_t base, unsigned int pages)
{
	struct runs want, in, found;
	unsigned int mask, cuts;
	struct list_head list;

	for (mask = 0; mask < BIT(pages); mask++)
		for (cuts = 0; cuts < BIT(pages); cuts++) {
			/* A cut outside of all ranges makes no difference */
			if (cuts & ~mask)
				continue;
			model(pages, mask, true, cuts, &in);
			model(pages, mask, false, 0, &want);
			make_list(&list, ranges, base, &in);
			walk(&list, base, pages, &found);
			if (!memcmp(&found, &want, sizeof(want)))
				continue;
			KUNIT_FAIL(test, "%u pages, BARs %#x, cuts %#x", pages,
				   mask, cuts);
			return;
		}
}

static void gap_exhaustive(struct kunit *test)
{
	struct vfio_peer_range *ranges;
	unsigned int pages;

	ranges = kunit_kcalloc(test, MOST, sizeof(*ranges), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);

	for (pages = 0; pages <= MOST; pages++) {
		gap_all_at(test, ranges, BASE, pages);
		gap_all_at(test, ranges, last_base(pages), pages);
	}
}

/* A walk may stop at any gap. It must not change the ranges behind that gap */
static void gap_ranges_unchanged(struct kunit *test)
{
	const struct runs runs = RUNS(2, { 1, 2 }, { 5, 6 });
	struct vfio_peer_range ranges[MOST] = { };
	struct list_head list;
	struct runs found;

	make_list(&list, ranges, BASE, &runs);
	walk(&list, BASE, MOST, &found);
	walk(&list, BASE, MOST, &found);
	KUNIT_EXPECT_EQ(test, found.count, 3u);
	KUNIT_EXPECT_PTR_EQ(test, list.next, &ranges[0].mapping_entry);
	KUNIT_EXPECT_PTR_EQ(test, list.prev, &ranges[1].mapping_entry);
	KUNIT_EXPECT_EQ(test, ranges[0].iova, BASE + PAGE);
	KUNIT_EXPECT_EQ(test, ranges[1].size, 2 * PAGE);
}

static struct kunit_case gap_tests[] = {
	KUNIT_CASE_PARAM(gap_table, gap_gen_params),
	KUNIT_CASE(gap_exhaustive),
	KUNIT_CASE(gap_ranges_unchanged),
	{ }
};

static struct kunit_suite gap_suite = {
	.name = "vfio_peer_gap",
	.test_cases = gap_tests,
};

kunit_test_suite(gap_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Gaps between ranges of peer memory, KUnit test");
