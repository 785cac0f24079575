/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's cgroups (cgroup2, Documentation/admin-guide/cgroup-v2.rst):
 *
 *	ROOT/user      processes with pipes         ROOT/user/p1, p2, …   one for each process
 *	ROOT/ptys      processes with a terminal    ROOT/ptys/p3, …
 *	ROOT/socats    forwarded ports
 *
 * The platform sets weights and limits of the three groups, and freezes them. Each cgroup below
 * them (cgroup.h) contains one process and all its descendants. These cgroups have no controllers
 * unless processes are accounted for or limited, because the kernel keeps a removed memory cgroup
 * as long as page cache is charged to it.
 *
 * Loop only, except where a comment says otherwise.
 */
#ifndef PTY_CGROUP_CGROUPS_H
#define PTY_CGROUP_CGROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "base/work.h"
#include "pty/cgroup/oom_count.h"

struct cgroup;

/* The delay before empty cgroups are removed, so that several are removed at once. */
#define CGROUPS_REMOVE_DELAY_MS 50

enum cgroup_group {
	CGROUP_USER,
	CGROUP_PTYS,
	CGROUP_SOCATS,
	CGROUP_GROUPS,
};

enum cgroup_entry {
	CGROUP_ENTRY_NONE,
	CGROUP_ENTRY_CLONE, /* CLONE_INTO_CGROUP */
	CGROUP_ENTRY_PROCS, /* the child writes itself into cgroup.procs */
};

/* One watched file. */
struct cgroup_watch {
	int id; /* watch descriptor (inotify(7)); -1: none */
	void (*changed)(struct cgroup_watch *watch);
	LIST_ENTRY(cgroup_watch) link;
};

/* The OOM kills in a group: oom_count.h. */
struct cgroup_oom {
	struct cgroups *all;
	enum cgroup_group group;
	struct cgroup_watch watch; /* watches its memory.events */
	struct oom_count count;
};

TAILQ_HEAD(cgroup_list, cgroup);
LIST_HEAD(cgroup_watch_list, cgroup_watch);
#define CGROUPS_WATCH_BUCKETS 256 /* a power of two */

struct cgroups {
	struct loop *loop;
	struct workers *workers;
	char *root; /* path of the hierarchy, without a trailing slash; owned */
	int root_fd;
	int group_fds[CGROUP_GROUPS];
	enum cgroup_entry entry;
	bool has_kill;	    /* cgroup.kill, Linux 5.14 */
	bool accounting;    /* the cgroups of processes have controllers */
	uint64_t n_named;   /* number of names that were used */
	size_t n_lingering; /* of ended processes, not empty yet */

	/* cgroup.c: the cgroups of ended processes. */
	struct cgroup_list released; /* to be removed by the next run of the worker */
	struct cgroup_list removing; /* being removed by the worker */
	struct cgroup_list lingering;
	struct timer removal_timer;
	struct work removal;
	bool removal_wanted; /* another run must follow the current one */

	struct cgroup_oom oom[CGROUP_GROUPS];

	/* cgroup_watch.c */
	int inotify_fd; /* -1 until the first watch */
	struct fd_event inotify_event;
	struct cgroup_watch_list watches[CGROUPS_WATCH_BUCKETS];
};

/*
 * Creates the groups below `root`, which must be cgroup2, and determines how a child can be placed
 * in one. Returns NULL after logging the error if that fails. Borrows the loop and the workers.
 */
struct cgroups *cgroups_new(struct loop *loop, struct workers *workers, const char *root,
			    bool accounting);

/* Frees the object. Directories and processes stay. Accepts NULL. */
void cgroups_free(struct cgroups *c);

/* Returns the group's name below the root: "user", "ptys", "socats". Any thread. */
const char *cgroups_group_name(enum cgroup_group group);

/*
 * Returns true if a process of the group that just ended by SIGKILL was an OOM kill (oom_count.h).
 */
bool cgroups_claim_oom(struct cgroups *c, enum cgroup_group group);

/*
 * The count of a group's OOM kills, up to date; and its continuation after an upgrade. Both do
 * nothing if the group has no memory controller: then `*ret` is not known.
 */
void cgroups_oom_count(struct cgroups *c, enum cgroup_group group, struct oom_count *ret);
void cgroups_continue_oom(struct cgroups *c, enum cgroup_group group, uint64_t seen,
			  uint64_t unclaimed, uint64_t age_ms);

/*
 * Calls watch->changed from the loop when the kernel reports a change of the file: a cgroup.events
 * or memory.events, relative to the root. 0 or -errno. (cgroup_watch.c)
 */
int cgroups_watch(struct cgroups *c, struct cgroup_watch *watch, const char *path);
void cgroups_unwatch(struct cgroups *c, struct cgroup_watch *watch);

#endif
