// SPDX-License-Identifier: GPL-2.0-only
/* Random numbers, arguments made of them, and calls with these. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "type1_fuzz.h"

#define IOVA_BASE	0x1000000UL
#define IOVA_SLOTS	32

__u64 fuzz_mix(__u64 a, __u64 b)
{
	__u64 x = a + 0x9e3779b97f4a7c15ULL * (b + 1);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

__u64 fuzz_u64(struct fuzz *f)
{
	f->random++;
	return fuzz_mix(f->random, 0);
}

unsigned int fuzz_below(struct fuzz *f, unsigned int n)
{
	return (fuzz_u64(f) >> 32) % n;
}

bool fuzz_one_in(struct fuzz *f, unsigned int n)
{
	return !fuzz_below(f, n);
}

__u64 fuzz_edge(struct fuzz *f)
{
	static const __u64 edges[] = {
		0, 1, 2, 3, 7, 8, T1_PAGE - 1, T1_PAGE, T1_PAGE + 1, 2 * T1_PAGE, 0xffff,
		0x10000, 0xfffff, 0x100000, 0x100001, 0x7fffffff, 0x80000000, 0xffffffff,
		1ULL << 32, 1ULL << 39, 1ULL << 48, 0x7fffffffffffffffULL, 1ULL << 63,
		-1ULL - T1_PAGE, -T1_PAGE, -1ULL,
	};
	unsigned int n = fuzz_below(f, 32);

	if (n < ARRAY_SIZE(edges))
		return edges[n];
	return n % 2 ? 1ULL << fuzz_below(f, 64) : fuzz_u64(f);
}

__u64 fuzz_or_edge(struct fuzz *f, __u64 value)
{
	return fuzz_one_in(f, 16) ? fuzz_edge(f) : value;
}

/* Few, so that they meet; besides, where MSIs go, and the end of all. */
static __u64 choose_iova(struct fuzz *f)
{
	unsigned int n = fuzz_below(f, 64);

	if (n == 0)
		return 0xfee00000;
	if (n == 1)
		return -FUZZ_SLOT;
	return IOVA_BASE + n % IOVA_SLOTS * FUZZ_SLOT + (n % 8 ? 0 : T1_PAGE);
}

static __u64 choose_size(struct fuzz *f)
{
	static const __u64 sizes[] = {
		T1_PAGE, 2 * T1_PAGE, FUZZ_SLOT, FUZZ_SLOT, FUZZ_SLOT + T1_PAGE, 2 * FUZZ_SLOT,
		4 * FUZZ_SLOT, 0x200000,
	};

	return fuzz_or_edge(f, sizes[fuzz_below(f, 8)]);
}

struct fuzz_range fuzz_range(struct fuzz *f)
{
	return (struct fuzz_range) { choose_iova(f), choose_size(f) };
}

struct fuzz_range fuzz_mapped(struct fuzz *f)
{
	struct fuzz_range range = f->proc->mapped[fuzz_below(f, FUZZ_RANGES)];

	return fuzz_below(f, 4) && range.size ? range : fuzz_range(f);
}

__u32 fuzz_pasid(struct fuzz *f)
{
	unsigned int own = 1 + 4 * (f->number % FUZZ_WORKERS);

	return fuzz_or_edge(f, fuzz_one_in(f, 8) ? 1 + fuzz_below(f, 16) : own + fuzz_below(f, 4));
}

char *fuzz_address(struct fuzz *f)
{
	unsigned int n = fuzz_below(f, FUZZ_SLOTS * 4);

	return FUZZ_AREA + n / 4 * FUZZ_SLOT + (n % 4 ? 0 : T1_PAGE);
}

void *fuzz_pointer(struct fuzz *f)
{
	switch (fuzz_below(f, 48)) {
	case 0:
		return NULL;
	case 1:
		return (void *)f->readonly;
	case 2:
		return fuzz_address(f);
	case 3: /* the first bytes are there */
		return f->scratch + FUZZ_SCRATCH - 4;
	case 4:
		return (void *)fuzz_edge(f);
	default:
		return f->scratch;
	}
}

void fuzz_mutate(struct fuzz *f, void *arg, size_t size)
{
	size_t pos;
	__u64 edge;

	while (fuzz_one_in(f, 8)) {
		pos = fuzz_below(f, size / 4) * 4;
		edge = fuzz_edge(f);
		if (pos + 8 <= size && pos % 8 == 0 && fuzz_one_in(f, 2))
			memcpy(arg + pos, &edge, 8);
		else
			memcpy(arg + pos, &edge, 4);
	}
}

int fuzz_ioctl(struct fuzz *f, int fd, unsigned long cmd, void *arg, size_t size)
{
	int ret;

	memcpy(f->scratch, arg, size);
	ret = ioctl(fd, cmd, fuzz_pointer(f));
	if (ret < 0)
		return -errno;
	memcpy(arg, f->scratch, size);
	return 0;
}

int fuzz_call(struct fuzz *f, enum fuzz_file kind, unsigned long cmd, void *arg, size_t size)
{
	int dev, fd = fuzz_file(f, kind, &dev);

	if (fd < 0)
		return 1;
	fuzz_mutate(f, arg, size);
	return fuzz_ioctl(f, fd, cmd, arg, size);
}
