/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's cgroups (cgroup2, Documentation/admin-guide/cgroup-v2.rst):
 *
 *	ROOT/user      processes with pipes         ROOT/user/p1, p2, …   one for each process
 *	ROOT/ptys      processes with a terminal    ROOT/ptys/p3, …
 *	ROOT/socats    forwarded ports
 *
 * The platform sets weights, limits and freezes of the three groups. The cgroups below them are
 * those of cgroup.h, each with one process and all its descendants. They have no controllers unless
 * processes are accounted for or limited: the kernel keeps a memory cgroup as long as page cache is
 * charged to it.
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

/* Empty cgroups are removed after this delay, several at once. */
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
	int id; /* of inotify_add_watch; -1: none */
	void (*changed)(struct cgroup_watch *watch);
	LIST_ENTRY(cgroup_watch) link;
};

/* The OOM kills in a group: oom_count.h. */
struct cgroup_oom {
	struct cgroups *all;
	enum cgroup_group group;
	struct cgroup_watch watch; /* over its memory.events */
	struct oom_count count;
	uint64_t claimed; /* by processes, since the start */
};

TAILQ_HEAD(cgroup_list, cgroup);
LIST_HEAD(cgroup_watch_list, cgroup_watch);
#define CGROUPS_WATCH_BUCKETS 256 /* a power of two */

struct cgroups {
	struct loop *loop;
	struct workers *workers;
	char *root; /* of the hierarchy, without a slash at its end; owned */
	int root_fd;
	int group_fds[CGROUP_GROUPS];
	enum cgroup_entry entry;
	bool has_kill;	    /* cgroup.kill, Linux 5.14 */
	bool accounting;    /* the cgroups of processes have controllers */
	uint64_t n_named;   /* names given out so far */
	size_t n_lingering; /* of ended processes, not empty yet */

	/* cgroup.c: those of ended processes. */
	struct cgroup_list released; /* to be removed in the next turn */
	struct cgroup_list removing; /* by the worker, now */
	struct cgroup_list lingering;
	struct timer removal_timer;
	struct work removal;
	bool removal_wanted; /* once more, when it is done */

	struct cgroup_oom oom[CGROUP_GROUPS];

	/* cgroup_watch.c */
	int inotify_fd; /* -1 until there is something to watch */
	struct event inotify_event;
	struct cgroup_watch_list watches[CGROUPS_WATCH_BUCKETS];
};

/*
 * Makes the groups below `root`, which must be cgroup2, and finds out how a child can be placed in
 * one. NULL, with a line in the log, if that fails. Borrows the loop and the workers.
 */
struct cgroups *cgroups_new(struct loop *loop, struct workers *workers, const char *root,
			    bool accounting);

/* The directories stay, and the processes in them go on. NULL is fine. */
void cgroups_free(struct cgroups *c);

/* "user", "ptys", "socats": its name below the root. On any thread. */
const char *cgroups_group_name(enum cgroup_group group);

/* Whether a process of the group that just ended by SIGKILL was an OOM kill (oom_count.h). */
bool cgroups_claim_oom(struct cgroups *c, enum cgroup_group group);

/*
 * Calls watch->changed from the loop when the kernel reports a change of the file: a cgroup.events
 * or memory.events, relative to the root. 0 or -errno. (cgroup_watch.c)
 */
int cgroups_watch(struct cgroups *c, struct cgroup_watch *watch, const char *path);
void cgroups_unwatch(struct cgroups *c, struct cgroup_watch *watch);

#endif
