// SPDX-License-Identifier: GPL-2.0-only
/*
 * A race of threads for PASIDs: everything that may be called at the same time
 * is, for a while. Afterwards nothing may be left in use. What goes wrong on the
 * way is for lockdep, KASAN and the checks of refcount_t and lists to find.
 */

#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/pasid_pool.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/random.h>

#define RACE_MIN	1000
#define RACE_COUNT	200
#define RACE_MAX	(RACE_MIN + RACE_COUNT - 1)
#define RACE_MS		1000
#define RACE_MAX_MS	30000	/* on a machine that is busy with other things */
#define RACE_TRIMS	1000
#define RACE_OWNERS	2
#define RACE_POOLS	3
#define RACE_HELD	8	/* references that a consumer has at once */
#define RACE_THREADS	(RACE_POOLS + 2 + 2 + 1)

struct race_pool {
	struct mutex lock;	/* protects pool where pasid_alloc() asks for it */
	struct pasid_pool pool;
};

struct race {
	struct mutex quotas;	/* protects those of owners */
	struct pasid_owner owners[RACE_OWNERS];
	struct race_pool pools[RACE_POOLS];
	struct task_struct *threads[RACE_THREADS];
	int count;
	atomic_t next_pool;
	atomic_t allocated;
	atomic_t freed;
	atomic_t got;
	atomic_t wrong;
};

static u32 below(u32 n)
{
	return get_random_u32() % n;
}

static struct pasid_owner *any_owner(struct race *race)
{
	return &race->owners[below(RACE_OWNERS)];
}

static void set_quota(struct race *race, struct pasid_owner *owner,
		      unsigned int quota)
{
	mutex_lock(&race->quotas);
	pasid_owner_set_quota(owner, quota);
	mutex_unlock(&race->quotas);
}

/* The new owner's quota stays as it is */
static int move(struct race *race, struct race_pool *p,
		struct pasid_owner *owner)
{
	unsigned int quota, count;
	int ret;

	mutex_lock(&race->quotas);
	pasid_owner_usage(owner, &quota, &count);
	ret = pasid_pool_move(&p->pool, owner, quota);
	mutex_unlock(&race->quotas);
	return ret;
}

/* Without it, those who free leave nothing to consume, on one CPU */
static void give_way(void)
{
	if (below(32))
		cond_resched();
	else
		usleep_range(10, 100);
}

static int allocate(void *data)
{
	struct race *race = data;
	struct race_pool *p = &race->pools[atomic_inc_return(&race->next_pool) - 1];
	int number;

	while (!kthread_should_stop()) {
		mutex_lock(&p->lock);
		number = pasid_alloc(&p->pool, RACE_MIN, RACE_MAX, NULL);
		if (number > 0)
			atomic_inc(&race->allocated);
		else if (number != -EDQUOT && number != -ENOSPC)
			atomic_inc(&race->wrong);
		if (!below(50))
			pasid_pool_reclaim(&p->pool);
		if (!below(20))
			move(race, p, any_owner(race));
		mutex_unlock(&p->lock);
		give_way();
	}
	return 0;
}

static int free_some(void *data)
{
	struct race *race = data;
	u32 min;
	long ret;

	while (!kthread_should_stop()) {
		min = RACE_MIN + below(RACE_COUNT);
		ret = pasid_free(any_owner(race), min, min + below(4));
		if (ret > 0)
			atomic_add(ret, &race->freed);
		else if (ret != -ENOENT && ret != -EACCES)
			atomic_inc(&race->wrong);
		give_way();
	}
	return 0;
}

/* Hold some references for a while, until others take their places */
static int consume(void *data)
{
	struct pasid *held[RACE_HELD] = {};
	struct race *race = data;
	struct pasid *pasid;
	u32 number, i;

	while (!kthread_should_stop()) {
		number = RACE_MIN + below(RACE_COUNT);
		pasid = pasid_get(any_owner(race), number);
		if (!IS_ERR(pasid)) {
			atomic_inc(&race->got);
			if (pasid_number(pasid) != number)
				atomic_inc(&race->wrong);
			i = below(RACE_HELD);
			swap(held[i], pasid);
			if (pasid)
				pasid_put(pasid);
		}
		give_way();
	}
	for (i = 0; i < RACE_HELD; i++)
		if (held[i])
			pasid_put(held[i]);
	return 0;
}

static int change_quota(void *data)
{
	struct race *race = data;
	struct pasid_owner *owner;

	while (!kthread_should_stop()) {
		owner = any_owner(race);
		set_quota(race, owner, below(RACE_COUNT));
		if (below(2))
			pasid_owner_trim(owner);
		usleep_range(100, 1000);
	}
	return 0;
}

static int told(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pasid_event *event = data;
	u32 number = pasid_number(event->pasid);

	return number < RACE_MIN || number > RACE_MAX ? NOTIFY_BAD : NOTIFY_OK;
}

static struct notifier_block race_notifier = { .notifier_call = told };

static void race_start(struct kunit *test, struct race *race, int (*fn)(void *),
		       int count)
{
	struct task_struct *task;

	while (count--) {
		task = kthread_run(fn, race, "pasid_race");
		KUNIT_EXPECT_FALSE(test, IS_ERR(task));
		if (!IS_ERR(task))
			race->threads[race->count++] = task;
	}
}

static void race_stop(struct race *race, int left)
{
	while (race->count > left)
		kthread_stop(race->threads[--race->count]);
}

static unsigned int used(struct pasid_owner *owner)
{
	unsigned int quota, count;

	pasid_owner_usage(owner, &quota, &count);
	return count;
}

static struct race *race_create(struct kunit *test)
{
	struct race *race = kunit_kzalloc(test, sizeof(*race), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, race);
	mutex_init(&race->quotas);
	for (i = 0; i < RACE_OWNERS; i++)
		pasid_owner_init(&race->owners[i], &race->owners[i], RACE_COUNT);
	for (i = 0; i < RACE_POOLS; i++) {
		mutex_init(&race->pools[i].lock);
		pasid_pool_init(&race->pools[i].pool, any_owner(race));
	}
	pasid_register_notifier(&race_notifier);
	return race;
}

static void race_destroy(struct race *race)
{
	int i;

	pasid_unregister_notifier(&race_notifier);
	for (i = 0; i < RACE_POOLS; i++)
		pasid_pool_destroy(&race->pools[i].pool);
	for (i = 0; i < RACE_OWNERS; i++)
		pasid_owner_destroy(&race->owners[i]);
}

/* Nothing is in use: all numbers can be allocated, and freed again */
static void check_all_free(struct kunit *test, struct race *race)
{
	int i;

	pasid_flush();
	set_quota(race, &race->owners[0], RACE_COUNT);
	KUNIT_EXPECT_EQ(test, move(race, &race->pools[0], &race->owners[0]), 0);
	for (i = 0; i < RACE_COUNT; i++)
		KUNIT_EXPECT_GT(test, pasid_alloc(&race->pools[0].pool, RACE_MIN,
						  RACE_MAX, NULL), 0);
	KUNIT_EXPECT_EQ(test, pasid_free(&race->owners[0], RACE_MIN, RACE_MAX),
			RACE_COUNT);
}

/* For some time, and until every kind of thread has got somewhere */
static void race_run(struct race *race)
{
	int ms;

	for (ms = 0; ms < RACE_MAX_MS; ms += RACE_MS) {
		msleep(RACE_MS);
		if (atomic_read(&race->allocated) && atomic_read(&race->freed) &&
		    atomic_read(&race->got))
			return;
	}
}

static void race_for_pasids(struct kunit *test)
{
	struct race *race = race_create(test);
	int i, without_quota;

	race_start(test, race, allocate, RACE_POOLS);
	race_start(test, race, free_some, 2);
	race_start(test, race, consume, 2);
	without_quota = race->count;
	race_start(test, race, change_quota, 1);
	race_run(race);

	/* With a quota of nothing, one trim has to do, while others go on */
	race_stop(race, without_quota);
	for (i = 0; i < RACE_OWNERS; i++)
		set_quota(race, &race->owners[i], 0);
	for (i = 0; i < RACE_OWNERS; i++)
		pasid_owner_trim(&race->owners[i]);
	race_stop(race, 0);

	for (i = 0; i < RACE_OWNERS; i++)
		KUNIT_EXPECT_EQ(test, used(&race->owners[i]), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&race->wrong), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->allocated), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->freed), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->got), 0);
	kunit_info(test, "%d allocated, %d freed by number, %d references",
		   atomic_read(&race->allocated), atomic_read(&race->freed),
		   atomic_read(&race->got));
	check_all_free(test, race);
	race_destroy(race);
}

static int allocate_only(void *data)
{
	struct race *race = data;
	struct race_pool *p = &race->pools[0];

	while (!kthread_should_stop()) {
		mutex_lock(&p->lock);
		if (pasid_alloc(&p->pool, RACE_MIN, RACE_MAX, NULL) > 0)
			atomic_inc(&race->allocated);
		mutex_unlock(&p->lock);
		give_way();
	}
	return 0;
}

/*
 * A quota is lowered and what is beyond it freed while one more is allocated,
 * which must not end up beyond it. The mutex waits for the allocation to end.
 */
static void trim_races_with_alloc(struct kunit *test)
{
	struct race *race = race_create(test);
	struct race_pool *p = &race->pools[0];
	int i, beyond = 0;

	move(race, p, &race->owners[0]);
	race_start(test, race, allocate_only, 1);
	for (i = 0; i < RACE_TRIMS; i++) {
		set_quota(race, &race->owners[0], RACE_COUNT);
		usleep_range(100, 300);
		set_quota(race, &race->owners[0], 0);
		pasid_owner_trim(&race->owners[0]);
		mutex_lock(&p->lock);
		beyond += used(&race->owners[0]);
		pasid_pool_reclaim(&p->pool);
		mutex_unlock(&p->lock);
	}
	race_stop(race, 0);
	KUNIT_EXPECT_EQ(test, beyond, 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->allocated), 0);
	race_destroy(race);
}

static struct kunit_case pasid_pool_race_cases[] = {
	KUNIT_CASE(race_for_pasids),
	KUNIT_CASE(trim_races_with_alloc),
	{}
};

static struct kunit_suite pasid_pool_race_suite = {
	.name = "pasid_pool_race",
	.test_cases = pasid_pool_race_cases,
};

kunit_test_suite(pasid_pool_race_suite);

MODULE_LICENSE("GPL");
