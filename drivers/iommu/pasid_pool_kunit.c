// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of PASIDs with an owner.
 *
 * What a sequence of calls has to do is told by models that are too simple to
 * be wrong; a number is free if somebody else can allocate it.
 */

#include <kunit/test.h>
#include <linux/ioasid.h>
#include <linux/pasid_pool.h>
#include <linux/mm.h>
#include <linux/module.h>

#define SOME	100	/* a number that nobody else has */
#define MANY	150	/* some batches, and a bit */

/* A consumer */
struct consumer {
	struct pasid_user user;
	unsigned int told;
	bool still_out_of_use;	/* SOME, when it was told */
};

static void hear(struct pasid_user *user)
{
	struct consumer *c = container_of(user, struct consumer, user);

	c->told++;
	c->still_out_of_use = !IS_ERR(ioasid_find(NULL, SOME, NULL));
}

#define CONSUMERS	2

/* Two owners, with two pools and one */
struct world {
	struct pasid_owner owner, other;
	struct pasid_pool pool, pool2, others;
	struct consumer consumers[CONSUMERS];
};

static int world_init(struct kunit *test)
{
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, w);
	pasid_owner_init(&w->owner, PASID_NUMBER_MAX);
	pasid_owner_init(&w->other, PASID_NUMBER_MAX);
	pasid_pool_init(&w->pool, &w->owner);
	pasid_pool_init(&w->pool2, &w->owner);
	pasid_pool_init(&w->others, &w->other);
	for (i = 0; i < CONSUMERS; i++)
		w->consumers[i].user.freed = hear;
	test->priv = w;
	return 0;
}

static void world_exit(struct kunit *test)
{
	struct world *w = test->priv;

	pasid_pool_destroy(&w->pool);
	pasid_pool_destroy(&w->pool2);
	pasid_pool_destroy(&w->others);
	pasid_owner_destroy(&w->owner);
	pasid_owner_destroy(&w->other);
}

static unsigned int used(struct pasid_owner *owner)
{
	unsigned int quota, count;

	pasid_owner_usage(owner, &quota, &count);
	return count;
}

static bool owns(struct pasid_owner *owner, u32 number)
{
	struct consumer c = { .user.freed = hear };

	if (pasid_get(owner, number, &c.user))
		return false;
	pasid_put(&c.user);
	return true;
}

/* Nobody has it, and nobody uses it either */
static bool is_free(struct world *w, u32 number)
{
	if (pasid_alloc(&w->others, number, number) < 0)
		return false;
	pasid_free(&w->other, number, number);
	return true;
}

static void reclaim(struct pasid_pool *pool)
{
	struct pasid_owner *owner = pool->owner;

	pasid_pool_destroy(pool);
	pasid_pool_init(pool, owner);
}

/* A space of six numbers, all that can be in use in it, and all ranges */

#define SPACE	6

static unsigned int mask(u32 min, u32 max)
{
	return GENMASK(max, min) & GENMASK(SPACE, 1);
}

static void check_alloc_and_free(struct kunit *test, u32 base, u32 min, u32 max,
				 unsigned int taken)
{
	struct world *w = test->priv;
	unsigned int room = mask(min, max) & ~taken;
	int number = pasid_alloc(&w->pool2, base + min, base + max);
	long freed;

	if (room) {
		number -= base;
		KUNIT_ASSERT_GE(test, number, 1);
		KUNIT_ASSERT_LE(test, number, SPACE);
		KUNIT_EXPECT_TRUE(test, room & BIT(number));
		taken |= BIT(number);
	} else {
		KUNIT_EXPECT_EQ(test, number, -ENOSPC);
	}
	KUNIT_EXPECT_EQ(test, used(&w->owner), hweight32(taken));

	freed = pasid_free(&w->owner, base + min, base + max);
	KUNIT_EXPECT_EQ(test, freed,
			hweight32(taken & mask(min, max)) ?: -ENOENT);
	taken &= ~mask(min, max);
	for (number = 1; number <= SPACE; number++)
		KUNIT_EXPECT_EQ(test, owns(&w->owner, base + number),
				!!(taken & BIT(number)));
}

static void check_space(struct kunit *test, u32 base)
{
	struct world *w = test->priv;
	u32 min, max, number;
	unsigned int taken;

	for (taken = 0; taken < BIT(SPACE + 1); taken += 2) {
		for (min = 1; min <= SPACE; min++) {
			for (max = min; max <= SPACE; max++) {
				for (number = 1; number <= SPACE; number++)
					if (taken & BIT(number))
						pasid_alloc(&w->pool,
							    base + number,
							    base + number);
				check_alloc_and_free(test, base, min, max, taken);
				reclaim(&w->pool);
				reclaim(&w->pool2);
			}
		}
	}
}

static void small_space_low(struct kunit *test)
{
	check_space(test, 0);
}

static void small_space_high(struct kunit *test)
{
	check_space(test, PASID_NUMBER_MAX - SPACE);
}

static void bad_range(struct kunit *test)
{
	struct world *w = test->priv;

	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, 0, SOME), -EINVAL);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, 2, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, 1, PASID_NUMBER_MAX + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, 1, U32_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 0, U32_MAX), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 2, 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

/* What is not the caller's */

static void of_somebody_else(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid_user *user = &w->consumers[0].user;

	KUNIT_ASSERT_EQ(test, pasid_alloc(&w->others, SOME, SOME), SOME);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -EACCES);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME + 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_get(&w->owner, SOME, user), -EACCES);
	KUNIT_EXPECT_TRUE(test, owns(&w->other, SOME));
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

static void of_the_kernel(struct kunit *test)
{
	static DECLARE_IOASID_SET(kernels);
	struct world *w = test->priv;
	struct pasid_user *user = &w->consumers[0].user;

	KUNIT_ASSERT_EQ(test, ioasid_alloc(&kernels, SOME, SOME, NULL), SOME);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -EACCES);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME + 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_get(&w->owner, SOME, user), -EACCES);
	ioasid_free(SOME);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -ENOENT);
}

/* Numbers come from a hypervisor, which is not told the range. */
static ioasid_t hyper_next, hyper_freed;

static ioasid_t hyper_alloc(ioasid_t min, ioasid_t max, void *data)
{
	return hyper_next;
}

static void hyper_free(ioasid_t id, void *data)
{
	hyper_freed = id;
}

static void of_a_hypervisor(struct kunit *test)
{
	struct ioasid_allocator_ops ops = {
		.alloc = hyper_alloc,
		.free = hyper_free,
	};
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, ioasid_register_allocator(&ops), 0);
	hyper_next = INVALID_IOASID;
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_EQ(test, ioasid_alloc(NULL, SOME, SOME, NULL),
			INVALID_IOASID);

	hyper_next = SOME;
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_EXPECT_TRUE(test, owns(&w->owner, SOME));

	/* Given twice: the first owner keeps it */
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_NE(test, hyper_freed, SOME);

	/* Out of the range: given back */
	hyper_next = SOME - 1;
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, MANY), -ENOSPC);
	KUNIT_EXPECT_EQ(test, hyper_freed, SOME - 1);
	hyper_next = MANY + 1;
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, MANY), -ENOSPC);
	KUNIT_EXPECT_EQ(test, hyper_freed, MANY + 1);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 1);

	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 1, PASID_NUMBER_MAX), 1);
	KUNIT_EXPECT_EQ(test, hyper_freed, SOME);
	ioasid_unregister_allocator(&ops);

	/* And from the kernel again */
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), SOME);
}

/* Freed, but still in use: out of reach for all */
static void of_the_past(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid_user *user = &w->consumers[0].user;
	struct pasid_user *late = &w->consumers[1].user;

	KUNIT_ASSERT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_ASSERT_EQ(test, pasid_get(&w->owner, SOME, user), 0);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);

	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->other, SOME, SOME), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_get(&w->owner, SOME, late), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_get(&w->other, SOME, late), -ENOENT);
	KUNIT_EXPECT_FALSE(test, is_free(w, SOME));
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
	pasid_put(user);
	KUNIT_EXPECT_TRUE(test, is_free(w, SOME));
}

/* Quota */

static void quota_edges(struct kunit *test)
{
	struct world *w = test->priv;
	int i;

	pasid_owner_set_quota(&w->owner, 0);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), -EDQUOT);
	KUNIT_EXPECT_TRUE(test, is_free(w, SOME));

	pasid_owner_set_quota(&w->owner, 3);
	for (i = SOME; i < SOME + 3; i++)
		KUNIT_EXPECT_EQ(test, pasid_alloc(i % 2 ? &w->pool : &w->pool2, i, i),
				i);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME + 9), -EDQUOT);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool2, SOME, SOME + 9), -EDQUOT);

	/* Lowered, it takes nothing away and gives nothing either */
	pasid_owner_set_quota(&w->owner, 2);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 3);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME + 9), -EDQUOT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME + 1, SOME + 1), 1);
	KUNIT_EXPECT_GT(test, pasid_alloc(&w->pool, SOME, SOME + 9), 0);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 2);
}

/* The quota counts what the owner has, not what others keep after a free */
static void quota_of_the_past(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid_user *user = &w->consumers[0].user;

	pasid_owner_set_quota(&w->owner, 1);
	KUNIT_ASSERT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_ASSERT_EQ(test, pasid_get(&w->owner, SOME, user), 0);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->pool, SOME, SOME + 1), SOME + 1);
	pasid_put(user);
}

/*
 * Number SOME + i is the i-th oldest. The pool that is trimmed has the first ones
 * of every @turn, @share of them, and loses what it has before the other one does.
 */
static void check_trim(struct kunit *test, unsigned int turn, unsigned int share,
		       unsigned int quota)
{
	struct world *w = test->priv;
	unsigned int i, in_pool = 0, in_other = 0, left, left_in_other;
	bool first;

	pasid_owner_set_quota(&w->owner, PASID_NUMBER_MAX);
	for (i = 0; i < MANY; i++) {
		first = i % turn < share;
		KUNIT_ASSERT_EQ(test, pasid_alloc(first ? &w->pool : &w->pool2,
						  SOME + i, SOME + i), SOME + i);
		first ? in_pool++ : in_other++;
	}
	left_in_other = min(quota, in_other);
	left = min(quota - left_in_other, in_pool);

	pasid_owner_set_quota(&w->owner, quota);
	pasid_pool_trim(&w->pool);
	KUNIT_EXPECT_EQ(test, used(&w->owner), left + left_in_other);
	KUNIT_EXPECT_EQ(test, pasid_pool_count(&w->pool), left);
	for (i = 0; i < MANY; i++) {
		first = i % turn < share;
		KUNIT_EXPECT_EQ(test, owns(&w->owner, SOME + i),
				first ? left > 0 : left_in_other > 0);
		if (first && left)
			left--;
		else if (!first && left_in_other)
			left_in_other--;
	}
	reclaim(&w->pool);
	reclaim(&w->pool2);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

static void trim_own_and_newest_first(struct kunit *test)
{
	static const unsigned int quotas[] = {
		0, 1, 2, MANY - 65, MANY - 64, MANY - 63, MANY - 1, MANY, MANY + 1
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(quotas); i++) {
		check_trim(test, 2, 1, quotas[i]);
		check_trim(test, 10, 3, quotas[i]);
		check_trim(test, 150, 85, quotas[i]);
		check_trim(test, 1, 1, quotas[i]);
		check_trim(test, 1, 0, quotas[i]);
	}
}

static void many_at_once(struct kunit *test)
{
	struct world *w = test->priv;
	int i;

	for (i = 0; i < MANY; i++)
		KUNIT_ASSERT_GT(test, pasid_alloc(i % 3 ? &w->pool : &w->pool2,
						  SOME, SOME + MANY), 0);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 0, SOME - 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME + 10, U32_MAX), MANY - 10);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 10);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 0, U32_MAX), 10);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

/* Consumers */

static void tell_consumers(struct kunit *test)
{
	struct world *w = test->priv;
	struct consumer *one = &w->consumers[0], *two = &w->consumers[1];

	KUNIT_ASSERT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_ASSERT_EQ(test, pasid_get(&w->owner, SOME, &one->user), 0);
	KUNIT_ASSERT_EQ(test, pasid_get(&w->owner, SOME, &two->user), 0);
	KUNIT_EXPECT_PTR_EQ(test, one->user.pasid, two->user.pasid);
	pasid_put(&two->user);
	KUNIT_ASSERT_EQ(test, pasid_get(&w->owner, SOME, &two->user), 0);
	KUNIT_EXPECT_EQ(test, one->told + two->told, 0);

	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, one->told, 1);
	KUNIT_EXPECT_EQ(test, two->told, 1);
	KUNIT_EXPECT_TRUE(test, one->still_out_of_use);
	pasid_put(&one->user);
	KUNIT_EXPECT_FALSE(test, is_free(w, SOME));
	pasid_put(&two->user);
	KUNIT_EXPECT_TRUE(test, is_free(w, SOME));
	KUNIT_EXPECT_EQ(test, one->told + two->told, 2);
}

/* One PASID is freed: its users are told, and nobody else */
static void tell_nobody_else(struct kunit *test)
{
	struct world *w = test->priv;
	struct consumer *one = &w->consumers[0], *two = &w->consumers[1];

	KUNIT_ASSERT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_ASSERT_EQ(test, pasid_alloc(&w->pool, SOME + 1, SOME + 1), SOME + 1);
	KUNIT_ASSERT_EQ(test, pasid_get(&w->owner, SOME, &one->user), 0);
	KUNIT_ASSERT_EQ(test, pasid_get(&w->owner, SOME + 1, &two->user), 0);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, one->told, 1);
	KUNIT_EXPECT_EQ(test, two->told, 0);
	pasid_put(&one->user);
	pasid_put(&two->user);
}

/* Each consumer gets and puts once; the owner frees and reclaims: all orders */

enum step { GET, PUT = GET + CONSUMERS, FREE = PUT + CONSUMERS, RECLAIM, STEPS };

struct story {
	bool uses[CONSUMERS];
	unsigned int held;
	unsigned int told;
	bool live;
};

static void story_get(struct kunit *test, struct story *story, int i)
{
	struct world *w = test->priv;
	int ret = pasid_get(&w->owner, SOME, &w->consumers[i].user);

	KUNIT_EXPECT_EQ(test, ret, story->live ? 0 : -ENOENT);
	if (!ret) {
		story->uses[i] = true;
		story->held++;
	}
}

static void story_put(struct kunit *test, struct story *story, int i)
{
	struct world *w = test->priv;

	if (story->uses[i]) {
		pasid_put(&w->consumers[i].user);
		story->uses[i] = false;
		story->held--;
	}
}

static void story_free(struct kunit *test, struct story *story, enum step step)
{
	struct world *w = test->priv;

	if (step == FREE)
		KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME),
				story->live ? 1 : -ENOENT);
	else
		reclaim(&w->pool);

	if (story->live)
		story->told += story->held;
	story->live = false;
}

static void story_check(struct kunit *test, struct story *story)
{
	struct world *w = test->priv;

	KUNIT_EXPECT_EQ(test, used(&w->owner), story->live);
	KUNIT_EXPECT_EQ(test, w->consumers[0].told + w->consumers[1].told,
			story->told);
	KUNIT_EXPECT_EQ(test, is_free(w, SOME), !story->live && !story->held);
}

static void story_tell(struct kunit *test, const enum step *steps)
{
	struct story story = { .live = true };
	struct world *w = test->priv;
	int i;

	for (i = 0; i < CONSUMERS; i++)
		w->consumers[i].told = 0;
	KUNIT_ASSERT_EQ(test, pasid_alloc(&w->pool, SOME, SOME), SOME);
	for (i = 0; i < STEPS; i++) {
		if (steps[i] < PUT)
			story_get(test, &story, steps[i] - GET);
		else if (steps[i] < FREE)
			story_put(test, &story, steps[i] - PUT);
		else
			story_free(test, &story, steps[i]);
		story_check(test, &story);
	}
	for (i = 0; i < CONSUMERS; i++)
		story_put(test, &story, i);
	story_check(test, &story);
}

/* Go on with each order of the steps from @from on */
static void story_permute(struct kunit *test, enum step *steps, int from)
{
	int i;

	if (from == STEPS)
		story_tell(test, steps);

	for (i = from; i < STEPS; i++) {
		swap(steps[from], steps[i]);
		story_permute(test, steps, from + 1);
		swap(steps[from], steps[i]);
	}
}

static void all_orders(struct kunit *test)
{
	enum step steps[STEPS];
	int i;

	for (i = 0; i < STEPS; i++)
		steps[i] = i;
	story_permute(test, steps, 0);
}

/* All of them */

static void full_space(struct kunit *test)
{
	struct world *w = test->priv;
	u32 number;

	if (IS_ENABLED(CONFIG_KASAN))
		kunit_skip(test, "takes minutes with KASAN");
	/* A quarter of a kilobyte for each */
	if (si_mem_available() < PASID_NUMBER_MAX >> (PAGE_SHIFT - 8))
		kunit_skip(test, "needs 256 MB of memory");

	for (number = 1; number <= PASID_NUMBER_MAX; number++)
		if (pasid_alloc(&w->pool, 1, PASID_NUMBER_MAX) < 0)
			break;
	KUNIT_EXPECT_EQ(test, number, PASID_NUMBER_MAX + 1);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->others, 1, PASID_NUMBER_MAX), -ENOSPC);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, pasid_alloc(&w->others, 1, PASID_NUMBER_MAX), SOME);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 1, PASID_NUMBER_MAX),
			PASID_NUMBER_MAX - 1);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

static struct kunit_case pasid_pool_cases[] = {
	KUNIT_CASE(small_space_low),
	KUNIT_CASE(small_space_high),
	KUNIT_CASE(bad_range),
	KUNIT_CASE(of_somebody_else),
	KUNIT_CASE(of_the_kernel),
	KUNIT_CASE(of_a_hypervisor),
	KUNIT_CASE(of_the_past),
	KUNIT_CASE(quota_edges),
	KUNIT_CASE(quota_of_the_past),
	KUNIT_CASE(trim_own_and_newest_first),
	KUNIT_CASE(many_at_once),
	KUNIT_CASE(tell_consumers),
	KUNIT_CASE(tell_nobody_else),
	KUNIT_CASE(all_orders),
	KUNIT_CASE(full_space),
	{}
};

static struct kunit_suite pasid_pool_suite = {
	.name = "pasid_pool",
	.init = world_init,
	.exit = world_exit,
	.test_cases = pasid_pool_cases,
};

kunit_test_suite(pasid_pool_suite);

MODULE_LICENSE("GPL");
