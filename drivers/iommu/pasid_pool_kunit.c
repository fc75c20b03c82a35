// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of PASIDs with an owner.
 *
 * What a sequence of calls has to do is told by models that are too simple to
 * be wrong; a number is free if somebody else can allocate it.
 */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/ioasid.h>
#include <linux/pasid_pool.h>
#include <linux/mm.h>
#include <linux/module.h>

#define SOME	100	/* a number that nobody else has */
#define MANY	150	/* some batches, and a bit */

/* What the notifier was told of late, by all tests */
struct heard {
	unsigned int times;
	struct pasid *pasid;
	u32 number;
	const void *token;
	bool still_out_of_use;
};

static struct heard heard;

static int hear(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pasid_event *event = data;

	if (action != PASID_FREED)
		return NOTIFY_DONE;

	heard.times++;
	heard.pasid = event->pasid;
	heard.token = event->token;
	heard.number = pasid_number(event->pasid);
	heard.still_out_of_use = !IS_ERR(ioasid_find(NULL, heard.number, NULL));
	return NOTIFY_OK;
}

static struct notifier_block hearer = { .notifier_call = hear };

/* Two owners, with two pools and one */
struct world {
	struct pasid_owner owner, other;
	struct pasid_pool pool, pool2, others;
};

static int world_init(struct kunit *test)
{
	struct world *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	pasid_owner_init(&w->owner, &w->owner, PASID_NUMBER_MAX);
	pasid_owner_init(&w->other, &w->other, PASID_NUMBER_MAX);
	pasid_pool_init(&w->pool, &w->owner);
	pasid_pool_init(&w->pool2, &w->owner);
	pasid_pool_init(&w->others, &w->other);
	memset(&heard, 0, sizeof(heard));
	pasid_register_notifier(&hearer);
	test->priv = w;
	return 0;
}

static void world_exit(struct kunit *test)
{
	struct world *w = test->priv;

	pasid_unregister_notifier(&hearer);
	pasid_pool_destroy(&w->pool);
	pasid_pool_destroy(&w->pool2);
	pasid_pool_destroy(&w->others);
	pasid_owner_destroy(&w->owner);
	pasid_owner_destroy(&w->other);
	pasid_flush();
}

static int alloc(struct pasid_pool *pool, u32 min, u32 max)
{
	return pasid_alloc(pool, min, max, NULL);
}

/* The new owner's quota stays as it is */
static int move(struct pasid_pool *pool, struct pasid_owner *owner)
{
	return pasid_pool_move(pool, owner, owner->quota);
}

static unsigned int used(struct pasid_owner *owner)
{
	unsigned int quota, count;

	pasid_owner_usage(owner, &quota, &count);
	return count;
}

static bool owns(struct pasid_owner *owner, u32 number)
{
	struct pasid *pasid = pasid_get(owner, number);

	if (IS_ERR(pasid))
		return false;
	pasid_put(pasid);
	return true;
}

/* Nobody has it, and there is no reference to it either */
static bool is_free(struct world *w, u32 number)
{
	pasid_flush();
	if (alloc(&w->others, number, number) < 0)
		return false;
	pasid_free(&w->other, number, number);
	return true;
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
	int number = alloc(&w->pool2, base + min, base + max);
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
						alloc(&w->pool, base + number,
						      base + number);
				check_alloc_and_free(test, base, min, max, taken);
				pasid_pool_reclaim(&w->pool);
				pasid_pool_reclaim(&w->pool2);
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

	KUNIT_EXPECT_EQ(test, alloc(&w->pool, 0, SOME), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, 2, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, 1, PASID_NUMBER_MAX + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, 1, U32_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 0, U32_MAX), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 2, 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

/* What is not the caller's */

static void of_somebody_else(struct kunit *test)
{
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, alloc(&w->others, SOME, SOME), SOME);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -EACCES);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME + 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pasid_get(&w->owner, SOME)), -EACCES);
	KUNIT_EXPECT_TRUE(test, owns(&w->other, SOME));
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

static void of_the_kernel(struct kunit *test)
{
	static DECLARE_IOASID_SET(kernels);
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, ioasid_alloc(&kernels, SOME, SOME, NULL), SOME);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -EACCES);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME + 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pasid_get(&w->owner, SOME)), -EACCES);
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
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_EQ(test, ioasid_alloc(NULL, SOME, SOME, NULL),
			INVALID_IOASID);

	hyper_next = SOME;
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_EXPECT_TRUE(test, owns(&w->owner, SOME));

	/* Given twice: the first owner keeps it */
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), -ENOSPC);
	KUNIT_EXPECT_NE(test, hyper_freed, SOME);

	/* Out of the range: given back */
	hyper_next = SOME - 1;
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, MANY), -ENOSPC);
	KUNIT_EXPECT_EQ(test, hyper_freed, SOME - 1);
	hyper_next = MANY + 1;
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, MANY), -ENOSPC);
	KUNIT_EXPECT_EQ(test, hyper_freed, MANY + 1);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 1);

	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 1, PASID_NUMBER_MAX), 1);
	KUNIT_EXPECT_EQ(test, hyper_freed, SOME);
	ioasid_unregister_allocator(&ops);

	/* And from the kernel again */
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
}

/* Freed, but still in use: out of reach for all */
static void of_the_past(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid *pasid;

	KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	pasid = pasid_get(&w->owner, SOME);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pasid));
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);

	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->other, SOME, SOME), -ENOENT);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pasid_get(&w->owner, SOME)), -ENOENT);
	KUNIT_EXPECT_EQ(test, PTR_ERR(pasid_get(&w->other, SOME)), -ENOENT);
	KUNIT_EXPECT_FALSE(test, is_free(w, SOME));
	KUNIT_EXPECT_EQ(test, pasid_number(pasid), SOME);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
	pasid_put(pasid);
	KUNIT_EXPECT_TRUE(test, is_free(w, SOME));
}

/* Quota */

static void quota_edges(struct kunit *test)
{
	struct world *w = test->priv;
	int i;

	pasid_owner_set_quota(&w->owner, 0);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), -EDQUOT);
	KUNIT_EXPECT_TRUE(test, is_free(w, SOME));

	pasid_owner_set_quota(&w->owner, 3);
	for (i = SOME; i < SOME + 3; i++)
		KUNIT_EXPECT_EQ(test, alloc(i % 2 ? &w->pool : &w->pool2, i, i),
				i);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME + 9), -EDQUOT);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool2, SOME, SOME + 9), -EDQUOT);

	/* Lowered, it takes nothing away and gives nothing either */
	pasid_owner_set_quota(&w->owner, 2);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 3);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME + 9), -EDQUOT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME + 1, SOME + 1), 1);
	KUNIT_EXPECT_GT(test, alloc(&w->pool, SOME, SOME + 9), 0);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 2);
}

/* The quota counts what the owner has, not what others keep after a free */
static void quota_of_the_past(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid *pasid;

	pasid_owner_set_quota(&w->owner, 1);
	KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	pasid = pasid_get(&w->owner, SOME);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME + 1), SOME + 1);
	pasid_put(pasid);
}

/* Number SOME + i is the i-th oldest, in pools by turns of different length */
static void check_trim(struct kunit *test, unsigned int turn, unsigned int quota)
{
	struct world *w = test->priv;
	unsigned int i;

	pasid_owner_set_quota(&w->owner, PASID_NUMBER_MAX);
	for (i = 0; i < MANY; i++)
		KUNIT_ASSERT_EQ(test, alloc(i / turn % 2 ? &w->pool : &w->pool2,
					    SOME + i, SOME + i), SOME + i);

	pasid_owner_set_quota(&w->owner, quota);
	pasid_owner_trim(&w->owner);
	KUNIT_EXPECT_EQ(test, used(&w->owner), min_t(unsigned int, quota, MANY));
	for (i = 0; i < MANY; i++)
		KUNIT_EXPECT_EQ(test, owns(&w->owner, SOME + i), i < quota);
	pasid_pool_reclaim(&w->pool);
	pasid_pool_reclaim(&w->pool2);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

static void trim_newest_first(struct kunit *test)
{
	static const unsigned int quotas[] = {
		0, 1, 2, MANY - 65, MANY - 64, MANY - 63, MANY - 1, MANY, MANY + 1
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(quotas); i++) {
		check_trim(test, 1, quotas[i]);
		check_trim(test, 7, quotas[i]);
		check_trim(test, MANY, quotas[i]);
	}
}

static void many_at_once(struct kunit *test)
{
	struct world *w = test->priv;
	int i;

	for (i = 0; i < MANY; i++)
		KUNIT_ASSERT_GT(test, alloc(i % 3 ? &w->pool : &w->pool2, SOME,
					    SOME + MANY), 0);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 0, SOME - 1), -ENOENT);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME + 10, U32_MAX), MANY - 10);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 10);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, 0, U32_MAX), 10);
	KUNIT_EXPECT_EQ(test, used(&w->owner), 0);
}

/* Moving to another owner */

static void move_fits(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid *pasid;

	pasid_owner_set_quota(&w->other, 2);
	KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_ASSERT_EQ(test, alloc(&w->pool2, SOME + 1, SOME + 1), SOME + 1);
	pasid = pasid_get(&w->owner, SOME);
	KUNIT_EXPECT_EQ(test, move(&w->pool, &w->owner), 0);
	KUNIT_EXPECT_EQ(test, move(&w->pool, &w->other), 0);

	KUNIT_EXPECT_EQ(test, used(&w->owner), 1);
	KUNIT_EXPECT_EQ(test, used(&w->other), 1);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), -EACCES);
	KUNIT_EXPECT_TRUE(test, owns(&w->other, SOME));
	KUNIT_EXPECT_TRUE(test, owns(&w->owner, SOME + 1));
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME + 2, SOME + 2), SOME + 2);
	KUNIT_EXPECT_EQ(test, used(&w->other), 2);

	KUNIT_EXPECT_EQ(test, heard.times, 0);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->other, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, heard.times, 1);
	KUNIT_EXPECT_PTR_EQ(test, heard.token, (const void *)&w->other);
	pasid_put(pasid);
}

static void move_does_not_fit(struct kunit *test)
{
	struct world *w = test->priv;
	int i;

	pasid_owner_set_quota(&w->other, 2);
	KUNIT_ASSERT_EQ(test, alloc(&w->others, SOME, SOME), SOME);
	for (i = 1; i <= 2; i++)
		KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME + i, SOME + i),
				SOME + i);
	KUNIT_EXPECT_EQ(test, move(&w->pool, &w->other), -EDQUOT);

	KUNIT_EXPECT_EQ(test, used(&w->owner), 2);
	KUNIT_EXPECT_EQ(test, used(&w->other), 1);
	for (i = 1; i <= 2; i++)
		KUNIT_EXPECT_TRUE(test, owns(&w->owner, SOME + i));
	KUNIT_EXPECT_TRUE(test, owns(&w->other, SOME));
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME + 3, SOME + 3), SOME + 3);

	/* Nothing always fits, even where there is too much already */
	pasid_owner_set_quota(&w->other, 0);
	KUNIT_EXPECT_EQ(test, move(&w->pool2, &w->other), 0);
}

/* Consumers */

static void notify_consumers(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid *pasid;

	KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	KUNIT_EXPECT_TRUE(test, owns(&w->owner, SOME));
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, heard.times, 0);

	KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	pasid = pasid_get(&w->owner, SOME);
	KUNIT_EXPECT_PTR_EQ(test, pasid_get(&w->owner, SOME), pasid);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, heard.times, 1);
	KUNIT_EXPECT_PTR_EQ(test, heard.pasid, pasid);
	KUNIT_EXPECT_PTR_EQ(test, heard.token, (const void *)&w->owner);
	KUNIT_EXPECT_EQ(test, heard.number, SOME);
	KUNIT_EXPECT_TRUE(test, heard.still_out_of_use);
	pasid_put(pasid);
	KUNIT_EXPECT_FALSE(test, is_free(w, SOME));
	pasid_put(pasid);
	KUNIT_EXPECT_TRUE(test, is_free(w, SOME));
	KUNIT_EXPECT_EQ(test, heard.times, 1);
}

/* Each consumer gets and puts once; the owner frees and reclaims: all orders */

#define CONSUMERS	2

enum step { GET, PUT = GET + CONSUMERS, FREE = PUT + CONSUMERS, RECLAIM, STEPS };

struct story {
	struct pasid *refs[CONSUMERS];
	unsigned int held;
	unsigned int told;
	bool live;
};

static void story_get(struct kunit *test, struct story *story, int consumer)
{
	struct world *w = test->priv;
	struct pasid *pasid = pasid_get(&w->owner, SOME);

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pasid), story->live ? 0 : -ENOENT);
	if (!IS_ERR(pasid)) {
		story->refs[consumer] = pasid;
		story->held++;
	}
}

static void story_put(struct story *story, int consumer)
{
	if (story->refs[consumer]) {
		pasid_put(story->refs[consumer]);
		story->refs[consumer] = NULL;
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
		pasid_pool_reclaim(&w->pool);

	if (story->live && story->held)
		story->told++;
	story->live = false;
}

static void story_check(struct kunit *test, struct story *story)
{
	struct world *w = test->priv;

	KUNIT_EXPECT_EQ(test, used(&w->owner), story->live);
	KUNIT_EXPECT_EQ(test, heard.times, story->told);
	KUNIT_EXPECT_EQ(test, is_free(w, SOME), !story->live && !story->held);
}

static void story_tell(struct kunit *test, const enum step *steps)
{
	struct story story = { .live = true };
	struct world *w = test->priv;
	int i;

	heard.times = 0;
	KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	for (i = 0; i < STEPS; i++) {
		if (steps[i] < PUT)
			story_get(test, &story, steps[i] - GET);
		else if (steps[i] < FREE)
			story_put(&story, steps[i] - PUT);
		else
			story_free(test, &story, steps[i]);
		story_check(test, &story);
	}
	for (i = 0; i < CONSUMERS; i++)
		story_put(&story, i);
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

/* The last reference, dropped where nothing may sleep */

static struct pasid *freed_with_reference(struct kunit *test)
{
	struct world *w = test->priv;
	struct pasid *pasid;

	KUNIT_ASSERT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
	pasid = pasid_get(&w->owner, SOME);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pasid));
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	return pasid;
}

static void put_under_lock(struct kunit *test)
{
	struct pasid *pasid = freed_with_reference(test);
	static DEFINE_SPINLOCK(lock);
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	pasid_put(pasid);
	spin_unlock_irqrestore(&lock, flags);
	KUNIT_EXPECT_TRUE(test, is_free(test->priv, SOME));
}

static void put_sync(struct kunit *test)
{
	struct world *w = test->priv;

	pasid_put_sync(freed_with_reference(test));
	KUNIT_EXPECT_EQ(test, alloc(&w->pool, SOME, SOME), SOME);
}

struct put_timer {
	struct hrtimer timer;
	struct completion done;
	struct pasid *pasid;
};

static enum hrtimer_restart put_from_timer(struct hrtimer *timer)
{
	struct put_timer *put = container_of(timer, struct put_timer, timer);

	pasid_put(put->pasid);
	complete(&put->done);
	return HRTIMER_NORESTART;
}

static void put_from_interrupt(struct kunit *test)
{
	struct put_timer put = { .pasid = freed_with_reference(test) };

	init_completion(&put.done);
	hrtimer_init_on_stack(&put.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	put.timer.function = put_from_timer;
	hrtimer_start(&put.timer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&put.done);
	hrtimer_cancel(&put.timer);
	destroy_hrtimer_on_stack(&put.timer);
	KUNIT_EXPECT_TRUE(test, is_free(test->priv, SOME));
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
		if (alloc(&w->pool, 1, PASID_NUMBER_MAX) < 0)
			break;
	KUNIT_EXPECT_EQ(test, number, PASID_NUMBER_MAX + 1);
	KUNIT_EXPECT_EQ(test, alloc(&w->others, 1, PASID_NUMBER_MAX), -ENOSPC);
	KUNIT_EXPECT_EQ(test, pasid_free(&w->owner, SOME, SOME), 1);
	KUNIT_EXPECT_EQ(test, alloc(&w->others, 1, PASID_NUMBER_MAX), SOME);
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
	KUNIT_CASE(trim_newest_first),
	KUNIT_CASE(many_at_once),
	KUNIT_CASE(move_fits),
	KUNIT_CASE(move_does_not_fit),
	KUNIT_CASE(notify_consumers),
	KUNIT_CASE(all_orders),
	KUNIT_CASE(put_under_lock),
	KUNIT_CASE(put_sync),
	KUNIT_CASE(put_from_interrupt),
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
