/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One struct probe collects the results: sysfs.c and query.c fill it in,
 * report.c prints it. Each obstacle for the caller is added as a reason.
 * Without a reason, the group is usable.
 */
#ifndef TOOLS_VFIO_PROBE_H
#define TOOLS_VFIO_PROBE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "uapi.h"

/* The kernel's names, which do not exist outside of its tree */
#define __attribute(attribute)	__attribute__((attribute))
#define __noreturn		__attribute(noreturn)
#define __printf(fmt, args)	__attribute(format(printf, fmt, args))

/* 0, before any question, is UNKNOWN. */
enum answer { UNKNOWN, NO, YES };

enum { MODULE_VFIO, MODULE_TYPE1, MODULE_PCI, MODULES };

struct module {
	const char *name;
	const char *sign;	/* a path that exists with the module */
};

extern const struct module module_list[MODULES];

struct member {
	char name[NAME_MAX + 1];
	char driver[NAME_MAX + 1];	/* empty: none */
	bool vfio;			/* the driver is one of VFIO's */
};

/* Answers of VFIO_CHECK_EXTENSION: types of IOMMU, and their abilities */
enum { TYPE_1, TYPE_1V2, TYPE_NOIOMMU, TYPES };
enum { EXT_PASID, EXT_PEER, EXT_UNMAP_ALL, EXT_UPDATE_VADDR, EXT_DMA_CC, EXTENSIONS };

struct extension {
	const char *name;
	unsigned long id;
	bool attached_only;	/* unknown before a group is attached */
};

extern const struct extension type_list[TYPES];
extern const struct extension extension_list[EXTENSIONS];

struct container {
	bool open;		/* types and extensions are known */
	bool attached;		/* and the rest */
	enum answer types[TYPES];
	enum answer extensions[EXTENSIONS];
	__u64 page_sizes;	/* a bit each; 0: without any IOMMU */
	/* Capabilities; NULL: the kernel has no such capability */
	struct vfio_iommu_type1_info_cap_iova_range *iova;
	struct vfio_iommu_type1_info_cap_migration *migration;
	struct vfio_iommu_type1_info_dma_avail *dma_avail;
	struct vfio_iommu_type1_info_cap_pasid *pasid;
};

#define NO_LIMIT	(~0ULL)

struct memlock {
	bool exempt;		/* CAP_IPC_LOCK */
	__u64 limit;		/* bytes; NO_LIMIT: none */
	__u64 needed;	/* bytes; 0: unknown */
	bool suffices;
};

struct probe {
	char device[32];	/* the PCI address asked for; empty: a group */
	int group;		/* -1: the device has none */
	bool noiommu;
	char file[64];		/* of the group; empty: VFIO has no such group */
	struct member *members;
	size_t nr_members;
	bool any_vfio;		/* one of them is bound to a driver of VFIO's */
	bool modules[MODULES];
	enum answer viable;
	struct container container;
	struct memlock memlock;
	char **reasons;
	size_t nr_reasons;
};

#define NAME	"vfio-probe"

/* util.c */

/* A usage or system error: ends the program with status 2. */
void __noreturn __printf(1, 2) die(const char *fmt, ...);
void *allocate(void *old, size_t size);
void __printf(2, 3) add_reason(struct probe *p, const char *fmt, ...);

/* sysfs.c: needs no rights, and opens nothing that could load a module */

/* @arg is a PCI address or the number of a group. */
void find_target(struct probe *p, const char *arg);
void find_members(struct probe *p);
/* The reasons in the members, after query() has decided on viability */
void explain_members(struct probe *p);
/* False if VFIO must not be opened: that would load a missing module. */
bool find_modules(struct probe *p);

/* query.c: asks VFIO, with the group in a container of its own for a moment */
void query(struct probe *p);

/* emit.c: values with their name, which is NULL in lists */

void begin_output(bool json);
void end_output(void);
void open_values(const char *key, char bracket, bool in_line);
void close_values(char bracket);
void put_none(const char *key);
/* Prints none if @s is empty */
void put_string(const char *key, const char *s);
void put_answer(const char *key, enum answer answer);
void put_bool(const char *key, bool value);
void put_number(const char *key, unsigned long long number);
/* A string in JSON, because many readers take a number as a double (53 bits) */
void put_address(const char *key, unsigned long long address);
/* In JSON bytes, otherwise a whole number of the largest possible unit */
void put_size(const char *key, __u64 size);
/* A list with a size for each bit */
void put_sizes(const char *key, __u64 bits);

/* report.c */
void report(const struct probe *p, bool json);

#endif
