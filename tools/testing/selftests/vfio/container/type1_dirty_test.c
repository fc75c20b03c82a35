// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty pages: of each mapping exactly those that a device has written or has
 * pinned, wherever the bitmap begins, and none is lost when a call fails.
 *
 * Fails on stock 6.1, where a device without hardware reports pages that are not
 * mapped, and forgets pages after EFAULT.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_bench.h"
#include "../lib/type1_file.h"
#include "../lib/type1_find.h"
#include "../lib/type1_vtest.h"

#define IOVA		0x2000000UL
#define PAGES		400	/* from there on, all that is looked at */
#define WORDS		8	/* of a bitmap of all of them, and one more */
#define MAPPINGS	8

struct range {
	unsigned int first, count;
};

struct model {
	struct t1_container c;
	struct t1_vtest dev;
	char *area;
	char *edge;		/* a page, and none behind it */
	/* What is expected */
	bool mapped[PAGES];
	bool written[PAGES];
	unsigned int pins[PAGES];
	unsigned int npins;
	struct range mappings[MAPPINGS];
	unsigned int nmappings;
};

FIXTURE(dirty) {
	struct model m;
};

static void start(struct model *m)
{
	T1_ASSERT_OK(__t1_dirty_pages(&m->c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, 0, NULL));
}

static __u64 iova_of(unsigned int page)
{
	return IOVA + page * T1_PAGE;
}

static void map(struct model *m, struct range r)
{
	t1_map(&m->c, m->area + r.first * T1_PAGE, iova_of(r.first), r.count * T1_PAGE, T1_RW);
	memset(&m->mapped[r.first], true, r.count);
}

static void map_new(struct model *m, unsigned int first, unsigned int count)
{
	m->mappings[m->nmappings] = (struct range) { first, count };
	map(m, m->mappings[m->nmappings++]);
}

FIXTURE_SETUP(dirty)
{
	const char *name = t1_vtest_find(0);

	if (!name)
		T1_SKIP("%s", T1_VTEST_HINT);
	t1_container_open(&self->m.c);
	t1_vtest_open(&self->m.dev, &self->m.c, name);
	self->m.area = mmap(NULL, PAGES * T1_PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->m.area);
	self->m.edge = mmap(NULL, 2 * T1_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->m.edge);
	ASSERT_EQ(0, munmap(self->m.edge + T1_PAGE, T1_PAGE));
}

FIXTURE_TEARDOWN(dirty)
{
	__u64 unmapped = 0, expected = 0;
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		expected += self->m.mapped[i] * T1_PAGE;
	EXPECT_EQ(0, __t1_unmap_all(&self->m.c, &unmapped));
	EXPECT_EQ(expected, unmapped);
	EXPECT_EQ(0, t1_locked_kib());
	t1_vtest_close(&self->m.dev);
	t1_container_close(&self->m.c);
	munmap(self->m.edge, T1_PAGE);
	munmap(self->m.area, PAGES * T1_PAGE);
}

static void write_page(struct model *m, unsigned int page)
{
	int status = t1_job(&m->dev, 0, VFIO_TEST_WRITE, iova_of(page), 8);

	T1_ASSERT(status == (m->mapped[page] ? VFIO_TEST_DONE : VFIO_TEST_NO_MEMORY));
	m->written[page] = m->mapped[page];
}

static void pin_page(struct model *m, unsigned int page)
{
	if (!m->mapped[page] || m->npins == VFIO_TEST_MAX_PINS)
		return;
	T1_ASSERT(t1_job(&m->dev, 0, VFIO_TEST_PIN, iova_of(page), T1_PAGE) ==
		  VFIO_TEST_DONE);
	/* For the kernel it is the first pin that writes. */
	m->written[page] |= !m->pins[page]++;
	m->npins++;
}

static void unpin_page(struct model *m, unsigned int page)
{
	int status = t1_job(&m->dev, 0, VFIO_TEST_UNPIN, iova_of(page), T1_PAGE);

	/* UNPIN takes all pins of a page. */
	T1_ASSERT(status == (m->pins[page] ? VFIO_TEST_DONE : VFIO_TEST_NO_PIN));
	m->npins -= m->pins[page];
	m->pins[page] = 0;
}

static bool bit(const __u64 *bitmap, unsigned int i)
{
	return bitmap[i / 64] >> (i % 64) & 1;
}

/* Does @bitmap, of a range, have what it should have, and nothing else? */
static bool matches(struct model *m, struct range r, const __u64 *bitmap)
{
	unsigned int i;

	for (i = 0; i < WORDS * 64; i++) {
		bool dirty = i < r.count && m->written[r.first + i];

		if (bit(bitmap, i) != dirty) {
			printf("# pages %u+%u: page %u should %sbe dirty\n", r.first, r.count,
			       r.first + i, dirty ? "" : "not ");
			return false;
		}
	}
	return true;
}

/* What is pinned stays dirty. */
static void reported(struct model *m, struct range r)
{
	unsigned int i;

	for (i = r.first; i < r.first + r.count; i++)
		m->written[i] = m->pins[i];
}

static bool get(struct model *m, unsigned int first, unsigned int count)
{
	struct range r = { first, count };
	__u64 bitmap[WORDS] = {};
	bool ok;

	T1_ASSERT_OK(__t1_get_bitmap(&m->c, iova_of(first), count * T1_PAGE, bitmap,
				     sizeof(bitmap)));
	ok = matches(m, r, bitmap);
	reported(m, r);
	return ok;
}

/* The bitmap of such a range cannot be stored from word @words on. */
static void get_fails(struct model *m, unsigned int first, unsigned int count, unsigned int words)
{
	__u64 *bitmap = (void *)(m->edge + T1_PAGE - words * sizeof(*bitmap));

	memset(m->edge, 0, T1_PAGE);
	T1_ASSERT(__t1_get_bitmap(&m->c, iova_of(first), count * T1_PAGE, bitmap,
				  WORDS * sizeof(*bitmap)) == -EFAULT);
}

/* Three pages, and five that are no one's to tell of */
TEST_F(dirty, all_offsets)
{
	unsigned int begin, i;

	map_new(&self->m, 70, 3);
	map_new(&self->m, 73, 5);
	start(&self->m);
	for (begin = 7; begin <= 70; begin++) {
		for (i = 70; i < 73; i++)
			write_page(&self->m, i);
		ASSERT_TRUE(get(&self->m, begin, 73 - begin));
		ASSERT_TRUE(get(&self->m, 70, 3));
		write_page(&self->m, 71);
		ASSERT_TRUE(get(&self->m, begin, 80 - begin));
		ASSERT_TRUE(get(&self->m, 70, 8));
	}
}

/* A mapping that ends with a word, and is longer than what is copied at a time */
TEST_F(dirty, long_mapping)
{
	const unsigned int pages = 64 * 70;
	static __u64 bitmap[80];
	unsigned int shift, i, set;
	void *area;

	area = mmap(NULL, pages * T1_PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, area);
	t1_map(&self->m.c, area, IOVA + T1_PAGE * PAGES, pages * T1_PAGE, T1_RW);
	start(&self->m);
	for (shift = 0; shift < 64; shift += 21) {
		for (i = 0; i < pages; i += 63)
			ASSERT_EQ(VFIO_TEST_DONE, t1_job(&self->m.dev, 0, VFIO_TEST_WRITE,
							 iova_of(PAGES + i), 8));
		memset(bitmap, 0, sizeof(bitmap));
		ASSERT_EQ(0, __t1_get_bitmap(&self->m.c, iova_of(PAGES - shift),
					     (shift + pages) * T1_PAGE, bitmap, sizeof(bitmap)));
		set = 0;
		for (i = 0; i < 80 * 64; i++)
			set += bit(bitmap, i);
		EXPECT_EQ((pages + 62) / 63, set);
		for (i = 0; i < pages; i += 63)
			EXPECT_TRUE(bit(bitmap, shift + i));
	}
	t1_unmap(&self->m.c, IOVA + T1_PAGE * PAGES, pages * T1_PAGE);
	munmap(area, pages * T1_PAGE);
}

/* Of three mappings, the last one's bits cannot be stored, or only some of them. */
TEST_F(dirty, get_fails)
{
	unsigned int begin, words;

	map_new(&self->m, 70, 3);
	map_new(&self->m, 80, 60);
	map_new(&self->m, 150, 200);
	start(&self->m);
	for (begin = 40; begin <= 70; begin += 5) {
		for (words = 0; words <= 3; words++) {
			write_page(&self->m, 71);
			pin_page(&self->m, 90);
			unpin_page(&self->m, 90);
			write_page(&self->m, 349);
			get_fails(&self->m, begin, 350 - begin, words);
			ASSERT_TRUE(get(&self->m, begin, 350 - begin));
			ASSERT_TRUE(get(&self->m, begin, 350 - begin));
		}
	}
}

/* Nothing is unmapped, and no bit is lost. */
TEST_F(dirty, unmap_fails)
{
	const struct range all = { 60, 290 };
	__u64 *edge = (void *)(self->m.edge + T1_PAGE - sizeof(*edge)), bitmap[WORDS] = {};
	__u64 unmapped = 0;

	map_new(&self->m, 70, 3);
	map_new(&self->m, 80, 60);
	map_new(&self->m, 150, 200);
	start(&self->m);
	write_page(&self->m, 71);
	pin_page(&self->m, 90);
	write_page(&self->m, 349);
	EXPECT_EQ(-EFAULT, __t1_unmap_bitmap(&self->m.c, iova_of(all.first), all.count * T1_PAGE,
					     edge, WORDS * sizeof(*edge), NULL));
	/* Only the pin is gone. */
	self->m.npins = 0;
	self->m.pins[90] = 0;
	EXPECT_EQ(VFIO_TEST_DONE, t1_job(&self->m.dev, 0, VFIO_TEST_READ, iova_of(70), 8));
	EXPECT_EQ(0, __t1_unmap_bitmap(&self->m.c, iova_of(all.first), all.count * T1_PAGE, bitmap,
				       sizeof(bitmap), &unmapped));
	EXPECT_EQ(263 * T1_PAGE, unmapped);
	EXPECT_TRUE(matches(&self->m, all, bitmap));
	memset(self->m.mapped, 0, sizeof(self->m.mapped));
}

/* A mapping goes, with its bitmap, and comes again. */
static bool replace(struct model *m, struct range r)
{
	__u64 bitmap[WORDS] = {}, unmapped;
	unsigned int i;
	bool ok;

	T1_ASSERT_OK(__t1_unmap_bitmap(&m->c, iova_of(r.first), r.count * T1_PAGE, bitmap,
				       sizeof(bitmap), &unmapped));
	T1_ASSERT(unmapped == r.count * T1_PAGE);
	ok = matches(m, r, bitmap);
	for (i = r.first; i < r.first + r.count; i++) {
		m->npins -= m->pins[i];
		m->pins[i] = 0;
		m->written[i] = false;
	}
	map(m, r);
	return ok;
}

/* A range from somewhere before a mapping, up to the end of one that is not before it */
static struct range random_range(struct model *m)
{
	unsigned int i = random() % m->nmappings, j = i + random() % (m->nmappings - i);
	unsigned int begin = i ? m->mappings[i - 1].first + m->mappings[i - 1].count : 0;
	unsigned int end = m->mappings[j].first + m->mappings[j].count;

	begin += random() % (m->mappings[i].first - begin + 1);
	return (struct range) { begin, end - begin };
}

static bool random_step(struct model *m)
{
	unsigned int page = random() % PAGES;
	struct range r = random_range(m);

	switch (random() % 8) {
	case 0:
		return get(m, r.first, r.count);
	case 1:
		/* Where no mapping ends up behind the edge, it would not fail. */
		if (r.count > 64)
			get_fails(m, r.first, r.count, random() % ((r.count - 1) / 64));
		return true;
	case 2:
		return replace(m, m->mappings[random() % m->nmappings]);
	case 3:
		pin_page(m, page);
		return true;
	case 4:
		unpin_page(m, page);
		return true;
	default:
		write_page(m, page);
		return true;
	}
}

static void random_layout(struct model *m)
{
	unsigned int first = random() % 70, count;

	while (m->nmappings < MAPPINGS && first < PAGES) {
		count = 1 + random() % (random() % 2 ? 5 : 150);
		if (count > PAGES - first)
			count = PAGES - first;
		map_new(m, first, count);
		first += count + (random() % 2 ? random() % 70 : 0);
	}
}

TEST_F(dirty, at_random)
{
	unsigned int seed = t1_setting("VFIO_TEST_SEED", getpid()), steps = 0;
	__u64 end = t1_now() + t1_setting("VFIO_TEST_SECONDS", 20) * 1000000000ULL;
	bool ok = true;

	TH_LOG("VFIO_TEST_SEED=%u", seed);
	srandom(seed);
	random_layout(&self->m);
	start(&self->m);
	while (ok && t1_now() < end) {
		ok = random_step(&self->m);
		steps++;
	}
	EXPECT_TRUE(ok);
	TH_LOG("%u steps", steps);
}

/* A device that tells nothing may have written all that it reaches, and nothing else. */
TEST_F(dirty, with_an_iommu)
{
	const char *edu = t1_require(T1_EDU, 0);
	struct t1_group *group;
	unsigned int begin, i;

	map_new(&self->m, 70, 3);
	map_new(&self->m, 73, 200);
	ASSERT_EQ(0, __t1_group_get(&self->m.c, t1_group_of(edu), &group));
	start(&self->m);
	for (begin = 7; begin <= 70; begin++) {
		memset(&self->m.written[70], true, 203);
		ASSERT_TRUE(get(&self->m, begin, 273 - begin));
		memset(&self->m.written[70], true, 203);
		ASSERT_TRUE(get(&self->m, 70, 3));
	}
	/* Gone, it has written what it could before. */
	t1_group_put(group);
	memset(&self->m.written[70], true, 203);
	ASSERT_TRUE(get(&self->m, 60, 213));
	for (i = 70; i < 273; i += 67)
		write_page(&self->m, i);
	ASSERT_TRUE(get(&self->m, 60, 213));
}

TEST_HARNESS_MAIN
