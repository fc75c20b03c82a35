// SPDX-License-Identifier: GPL-2.0-only
/*
 * The eventfds that tell of an error and of a request to give the device back:
 * set, signalled, replaced and taken away.
 *
 * Stock 6.1 passes all but the last test, in which lockdep reports a cycle: error
 * recovery waited for what an interrupt's setup holds, and that for a bus reset.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../kselftest_harness.h"

#include "../lib/type1.h"
#include "../lib/type1_find.h"
#include "../lib/type1_pci.h"

FIXTURE(trigger) {
	struct t1_container c;
	struct t1_device dev;
	int fd;
};

FIXTURE_VARIANT(trigger) {
	__u32 index;
};

FIXTURE_VARIANT_ADD(trigger, error) {
	.index = VFIO_PCI_ERR_IRQ_INDEX,
};

FIXTURE_VARIANT_ADD(trigger, request) {
	.index = VFIO_PCI_REQ_IRQ_INDEX,
};

/* A function that is alone on its bus */
static const char *lone_function(struct __test_metadata *_metadata)
{
	const char *bdf = t1_find_multi(T1_E1000E, 1, 0);

	if (!bdf)
		T1_SKIP("no group with 1 of it: %s", t1_find_hint(T1_E1000E));
	return bdf;
}

FIXTURE_SETUP(trigger)
{
	const char *bdf = lone_function(_metadata);

	t1_container_open(&self->c);
	t1_device_open(&self->dev, &self->c, bdf);
	self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(trigger)
{
	close(self->fd);
	t1_device_close(&self->dev);
	t1_container_close(&self->c);
}

/* How many signals came since the last call */
static __u64 signals(int fd)
{
	__u64 count = 0;

	if (read(fd, &count, sizeof(count)) < 0)
		T1_ASSERT(errno == EAGAIN);
	return count;
}

#define none(count) \
	__t1_trigger(&self->dev, variant->index, VFIO_IRQ_SET_DATA_NONE, count, NULL)

#define fire(value) ({							\
	__u8 __value = (value);						\
									\
	__t1_trigger(&self->dev, variant->index, VFIO_IRQ_SET_DATA_BOOL, 1, &__value); \
})

#define set(fd) ({							\
	int __fd = (fd);						\
									\
	__t1_trigger(&self->dev, variant->index, VFIO_IRQ_SET_DATA_EVENTFD, 1, &__fd); \
})

TEST_F(trigger, signal)
{
	ASSERT_EQ(0, set(self->fd));
	EXPECT_EQ(0, signals(self->fd));
	EXPECT_EQ(0, none(1));
	EXPECT_EQ(1, signals(self->fd));
	EXPECT_EQ(0, fire(1));
	EXPECT_EQ(1, signals(self->fd));
	EXPECT_EQ(0, fire(0));
	EXPECT_EQ(0, signals(self->fd));
}

TEST_F(trigger, replace)
{
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, set(self->fd));
	ASSERT_EQ(0, set(other));
	EXPECT_EQ(0, none(1));
	EXPECT_EQ(0, signals(self->fd));
	EXPECT_EQ(1, signals(other));
	close(other);
	EXPECT_EQ(0, none(1));
}

TEST_F(trigger, take_away)
{
	EXPECT_EQ(-EINVAL, none(0));
	EXPECT_EQ(-EINVAL, none(1));
	EXPECT_EQ(0, fire(1));
	EXPECT_EQ(0, set(-1));

	ASSERT_EQ(0, set(self->fd));
	EXPECT_EQ(0, none(0));
	EXPECT_EQ(-EINVAL, none(1));
	ASSERT_EQ(0, set(self->fd));
	EXPECT_EQ(0, set(-1));
	EXPECT_EQ(-EINVAL, none(1));
	EXPECT_EQ(0, signals(self->fd));
}

/* A failed call changes nothing. */
TEST_F(trigger, refused)
{
	ASSERT_EQ(0, set(self->fd));
	EXPECT_EQ(-EBADF, set(self->dev.fd + 1000));
	EXPECT_EQ(-EINVAL, set(self->dev.fd));
	EXPECT_EQ(0, none(1));
	EXPECT_EQ(1, signals(self->fd));
}

/* The device does not keep what it was told of in its last life. */
TEST_F(trigger, close)
{
	char bdf[T1_BDF_LEN];

	ASSERT_EQ(0, set(self->fd));
	strcpy(bdf, self->dev.bdf);
	t1_device_close(&self->dev);
	t1_device_open(&self->dev, &self->c, bdf);
	EXPECT_EQ(-EINVAL, none(1));
	EXPECT_EQ(0, signals(self->fd));
}

struct replacer {
	struct t1_device dev;
	bool stop;
	__u64 signals;
};

static void *replace(void *data)
{
	struct replacer *r = data;
	int fds[2], i;

	for (i = 0; i < 2; i++)
		T1_ASSERT((fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) >= 0);
	for (i = 0; !__atomic_load_n(&r->stop, __ATOMIC_RELAXED); i = !i)
		T1_ASSERT_OK(__t1_trigger(&r->dev, VFIO_PCI_ERR_IRQ_INDEX,
					  VFIO_IRQ_SET_DATA_EVENTFD, 1, &fds[i]));
	for (i = 0; i < 2; i++) {
		r->signals += signals(fds[i]);
		close(fds[i]);
	}
	return NULL;
}

TEST(errors_while_replaced)
{
	const char *bdf = lone_function(_metadata);
	struct replacer r = {};
	struct t1_container c;
	pthread_t thread;
	int i, ret;

	t1_container_open(&c);
	t1_device_open(&r.dev, &c, bdf);
	ASSERT_EQ(0, pthread_create(&thread, NULL, replace, &r));
	for (i = ret = 0; !ret && i < 20; i++)
		ret = t1_inject_error(bdf, T1_ERROR_NOT_FATAL);
	if (!ret)
		t1_let_recoveries_end();
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	t1_device_close(&r.dev);
	t1_container_close(&c);
	if (ret)
		SKIP(return, "no AER error: %s: %s", strerror(-ret), T1_ERROR_HINT);
	EXPECT_LT(0, r.signals);
}

/* Nothing to expect but that it is told, and that lockdep stays quiet. */
TEST(error_interrupt_reset)
{
	const char *bdf = lone_function(_metadata);
	int fd = eventfd(0, EFD_CLOEXEC), ret;
	struct t1_container c;
	struct t1_device dev;
	__u64 count;

	ASSERT_LE(0, fd);
	t1_container_open(&c);
	t1_device_open(&dev, &c, bdf);
	EXPECT_EQ(0, __t1_trigger(&dev, VFIO_PCI_MSI_IRQ_INDEX,
				  VFIO_IRQ_SET_DATA_EVENTFD, 1, &fd));
	EXPECT_EQ(0, __t1_trigger(&dev, VFIO_PCI_MSI_IRQ_INDEX,
				  VFIO_IRQ_SET_DATA_NONE, 0, NULL));
	EXPECT_EQ(0, __t1_hot_reset(&dev, &dev.group->fd, 1));
	ASSERT_EQ(0, __t1_trigger(&dev, VFIO_PCI_ERR_IRQ_INDEX,
				  VFIO_IRQ_SET_DATA_EVENTFD, 1, &fd));
	ret = t1_inject_error(bdf, T1_ERROR_NOT_FATAL);
	if (!ret) {
		/* The harness ends a wait without end. */
		EXPECT_EQ(sizeof(count), read(fd, &count, sizeof(count)));
		EXPECT_EQ(1, count);
		t1_let_recovery_end();
	}
	t1_device_close(&dev);
	t1_container_close(&c);
	close(fd);
	if (ret)
		SKIP(return, "no AER error: %s: %s", strerror(-ret), T1_ERROR_HINT);
}

TEST_HARNESS_MAIN
