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
#define RACE_OWNERS	2
#define RACE_POOLS	3	/* one more than owners: two share one */
#define RACE_HELD	8	/* PASIDs that a consumer uses at once */
#define RACE_THREADS	(RACE_POOLS + 2 + 2 + 1)

struct race_owner {
	struct mutex lock;	/* protects its pools, as pasid_alloc() asks for */
	struct pasid_owner owner;
};

struct race {
	struct race_owner owners[RACE_OWNERS];
	struct pasid_pool pools[RACE_POOLS];
	struct task_struct *threads[RACE_THREADS];
	int count;
	atomic_t next_pool;
	atomic_t allocated;
	atomic_t freed;
	atomic_t got;
	atomic_t told;
	atomic_t wrong;
};

static u32 below(u32 n)
{
	return get_random_u32() % n;
}

/* Of a pool, which may just be set up anew */
static struct race_owner *owner_of(struct race *race, unsigned int pool)
{
	return &race->owners[pool % RACE_OWNERS];
}

static struct pasid_owner *any_owner(struct race *race)
{
	return &race->owners[below(RACE_OWNERS)].owner;
}

static void reclaim(struct pasid_pool *pool)
{
	struct pasid_owner *owner = pool->owner;

	pasid_pool_destroy(pool);
	pasid_pool_init(pool, owner);
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
	unsigned int i = atomic_inc_return(&race->next_pool) - 1;
	struct race_owner *o = owner_of(race, i);
	struct pasid_pool *pool = &race->pools[i];
	int number;

	while (!kthread_should_stop()) {
		mutex_lock(&o->lock);
		number = pasid_alloc(pool, RACE_MIN, RACE_MAX);
		if (number > 0)
			atomic_inc(&race->allocated);
		else if (number != -EDQUOT && number != -ENOSPC)
			atomic_inc(&race->wrong);
		if (!below(50))
			reclaim(pool);
		mutex_unlock(&o->lock);
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

struct race_use {
	struct pasid_user user;
	struct race *race;
	bool used;
	bool freed;
};

static void race_freed(struct pasid_user *user)
{
	struct race_use *use = container_of(user, struct race_use, user);

	/* Once, and only between the two */
	if (use->freed)
		atomic_inc(&use->race->wrong);
	use->freed = true;
	atomic_inc(&use->race->told);
}

static void race_put(struct race_use *use)
{
	if (!use->used)
		return;
	pasid_put(&use->user);
	use->used = false;
	use->freed = false;
}

/* Use some for a while, until others take their places */
static int consume(void *data)
{
	struct race *race = data;
	struct race_use uses[RACE_HELD] = {};
	struct race_use *use;
	u32 number, i;

	while (!kthread_should_stop()) {
		use = &uses[below(RACE_HELD)];
		race_put(use);
		use->race = race;
		use->user.freed = race_freed;
		number = RACE_MIN + below(RACE_COUNT);
		use->used = !pasid_get(any_owner(race), number, &use->user);
		if (use->used)
			atomic_inc(&race->got);
		give_way();
	}
	for (i = 0; i < RACE_HELD; i++)
		race_put(&uses[i]);
	return 0;
}

static int change_quota(void *data)
{
	struct race *race = data;
	struct race_owner *o;
	unsigned int i;

	while (!kthread_should_stop()) {
		i = below(RACE_POOLS);
		o = owner_of(race, i);
		mutex_lock(&o->lock);
		pasid_owner_set_quota(&o->owner, below(RACE_COUNT));
		if (below(2))
			pasid_pool_trim(&race->pools[i]);
		mutex_unlock(&o->lock);
		usleep_range(100, 1000);
	}
	return 0;
}

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
	for (i = 0; i < RACE_OWNERS; i++) {
		mutex_init(&race->owners[i].lock);
		pasid_owner_init(&race->owners[i].owner, RACE_COUNT);
	}
	for (i = 0; i < RACE_POOLS; i++)
		pasid_pool_init(&race->pools[i], &owner_of(race, i)->owner);
	return race;
}

static void race_destroy(struct race *race)
{
	int i;

	for (i = 0; i < RACE_POOLS; i++)
		pasid_pool_destroy(&race->pools[i]);
	for (i = 0; i < RACE_OWNERS; i++)
		pasid_owner_destroy(&race->owners[i].owner);
}

/* Nothing is in use: all numbers can be allocated, and freed again */
static void check_all_free(struct kunit *test, struct race *race)
{
	struct pasid_owner *owner = race->pools[0].owner;
	int i;

	pasid_owner_set_quota(owner, RACE_COUNT);
	for (i = 0; i < RACE_COUNT; i++)
		KUNIT_EXPECT_GT(test, pasid_alloc(&race->pools[0], RACE_MIN,
						  RACE_MAX), 0);
	KUNIT_EXPECT_EQ(test, pasid_free(owner, RACE_MIN, RACE_MAX), RACE_COUNT);
}

/* For some time, and until every kind of thread has got somewhere */
static void race_run(struct race *race)
{
	int ms;

	for (ms = 0; ms < RACE_MAX_MS; ms += RACE_MS) {
		msleep(RACE_MS);
		if (atomic_read(&race->allocated) && atomic_read(&race->freed) &&
		    atomic_read(&race->got) && atomic_read(&race->told))
			return;
	}
}

/* With a quota of nothing, one trim has to do, while others go on */
static void take_all(struct race *race)
{
	struct race_owner *o;
	int i;

	for (i = 0; i < RACE_OWNERS; i++) {
		o = owner_of(race, i);
		mutex_lock(&o->lock);
		pasid_owner_set_quota(&o->owner, 0);
		pasid_pool_trim(&race->pools[i]);
		mutex_unlock(&o->lock);
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

	race_stop(race, without_quota);
	take_all(race);
	race_stop(race, 0);

	for (i = 0; i < RACE_OWNERS; i++)
		KUNIT_EXPECT_EQ(test, used(&race->owners[i].owner), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&race->wrong), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->allocated), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->freed), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->got), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&race->told), 0);
	kunit_info(test, "%d allocated, %d freed by number, %d used, %d of these freed",
		   atomic_read(&race->allocated), atomic_read(&race->freed),
		   atomic_read(&race->got), atomic_read(&race->told));
	check_all_free(test, race);
	race_destroy(race);
}

static struct kunit_case pasid_pool_race_cases[] = {
	KUNIT_CASE(race_for_pasids),
	{}
};

static struct kunit_suite pasid_pool_race_suite = {
	.name = "pasid_pool_race",
	.test_cases = pasid_pool_race_cases,
};

kunit_test_suite(pasid_pool_race_suite);

MODULE_LICENSE("GPL");
