/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroup of one process and its descendants: created when the process is spawned, removed when
 * the process has ended and the cgroup is empty.
 *
 *	cgroup_new ─► cgroup_enter (worker) ─► … cgroup_kill (worker) … ─► cgroup_release
 *
 *	IN_USE ── released ──► RELEASED ── the timer ──► REMOVING ── removed ──► freed
 *	                           ▲                        │
 *	                           └── it became empty ── LINGERING (not empty)
 */
#ifndef PTY_CGROUP_CGROUP_H
#define PTY_CGROUP_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/error.h"
#include "pty/cgroup/cgroups.h"

#define CGROUP_NAME_BYTES 24

enum cgroup_state {
	CGROUP_IN_USE,
	CGROUP_RELEASED,
	CGROUP_REMOVING,
	CGROUP_LINGERING,
};

struct cgroup {
	struct cgroups *all;
	enum cgroup_group group;
	enum cgroup_state state;
	char name[CGROUP_NAME_BYTES];
	bool made;		   /* the directory was created */
	int removed;		   /* result of the last removal: 0 or -errno */
	bool changed;		   /* it became empty during a removal */
	struct cgroup_watch watch; /* watches its cgroup.events while it lingers */
	TAILQ_ENTRY(cgroup) link;
};

/* The resource usage of the processes in a cgroup. */
struct cgroup_usage {
	uint64_t cpu_us;
	bool has_memory; /* the memory controller is enabled; else the rest is 0 */
	uint64_t memory_bytes, memory_peak_bytes;
	uint64_t oom_kills;
	uint64_t refused_forks;	  /* for lack of pids; 0 without the controller */
	uint64_t throttled_times; /* by the limit of CPUs; 0 without the controller */
};

/* Creates the object; cgroup_enter creates the directory. Returns NULL if `c` is NULL. */
struct cgroup *cgroup_new(struct cgroups *c, enum cgroup_group group);

/*
 * Creates the directory, and opens the descriptor by which a child is placed in the cgroup:
 * *ret_dir_fd for CLONE_INTO_CGROUP, or *ret_procs_fd for a child that writes itself into
 * cgroup.procs. The other one is -1; the caller owns both. If the directory can't be created, they
 * refer to the group itself.
 *
 * 0, or -1 with ERROR_UNAVAILABLE if the group is frozen: a child in a frozen cgroup stops before
 * its exec, which blocks the cloning thread. -1 with ERROR_RESOURCE_EXHAUSTED if no descriptor is
 * free: without one, the child would stay in the daemon's cgroup. Worker.
 */
int cgroup_enter(struct cgroup *cg, int *ret_dir_fd, int *ret_procs_fd, struct error *err);

/* Kills all processes in the cgroup (cgroup.kill, Linux 5.14). 0 or -errno. Worker. */
int cgroup_kill(const struct cgroup *cg);

/*
 * Opens cgroup.procs to read the members. Returns the descriptor, or -errno; -ENOTEMPTY if there
 * are child cgroups, whose members the file does not list. Worker.
 */
int cgroup_open_members(const struct cgroup *cg);

/*
 * Enables a controller ("memory") for the cgroup and writes one of its files. The controller is
 * enabled for all cgroups of processes in the group, and stays enabled. 0; -ENOENT: the cgroup was
 * not created, or the controller is not available; or another -errno. Worker.
 */
int cgroup_limit(const struct cgroup *cg, const char *controller, const char *file,
		 const char *value);

/* Reads the usage. 0 or -errno. Any thread. */
int cgroup_usage(const struct cgroup *cg, struct cgroup_usage *ret);

/*
 * Takes ownership of the cgroup of an ended process, and removes it when it is empty. Accepts NULL.
 */
void cgroup_release(struct cgroup *cg);

/* Finds the cgroups that an earlier daemon left, and removes them when they are empty. */
void cgroup_adopt_stale(struct cgroups *c);

/*
 * Returns a cgroup that cgroup_adopt_stale has found, and cancels its removal, for an adopted
 * process. Owned; NULL if `c` is NULL or there is no such cgroup.
 */
struct cgroup *cgroup_adopt(struct cgroups *c, enum cgroup_group group, const char *name);

/* For cgroups_new and cgroups_free. */
void cgroup_removal_init(struct cgroups *c);
void cgroup_removal_clear(struct cgroups *c);

#endif
