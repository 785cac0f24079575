/*
 * The cgroup of one process and of all that it starts: made when it is spawned, removed when the
 * process is over and the last one in it has ended.
 *
 *	cgroup_new ─► cgroup_enter (worker) ─► … cgroup_kill (worker) … ─► cgroup_release
 *
 *	IN_USE ── released ──► RELEASED ── the timer ──► REMOVING ── removed ──► freed
 *	                           ▲                        │
 *	                           └── it became empty ── LINGERING (somebody is in it)
 */
#ifndef PTY_CGROUP_CGROUP_H
#define PTY_CGROUP_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "pty/cgroup/cgroups.h"

struct spawn;

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
	bool made;		   /* the directory is there */
	int removed;		   /* what became of its removal: 0 or -errno */
	bool changed;		   /* while it was being removed, it became empty */
	struct cgroup_watch watch; /* over its cgroup.events, while it lingers */
	TAILQ_ENTRY(cgroup) link;
};

/* What the processes in a cgroup used. */
struct cgroup_usage {
	uint64_t cpu_us;
	bool has_memory; /* the controller is there; without it the rest is 0 */
	uint64_t memory_bytes, memory_peak_bytes;
	uint64_t oom_kills;
};

/* A cgroup to come. `c` may be NULL: then so is the cgroup. */
struct cgroup *cgroup_new(struct cgroups *c, enum cgroup_group group);

/*
 * Makes the directory and tells the spawn how to begin in it. Where it can't be made, the process
 * begins in the group itself. cgroup_entered, after the spawn, closes what this opened. Worker.
 */
void cgroup_enter(struct cgroup *cg, struct spawn *s);
void cgroup_entered(struct spawn *s);

/* Kills all that is in it, at once (cgroup.kill). 0 or -errno. Worker. */
int cgroup_kill(const struct cgroup *cg);

/* Any thread. 0 or -errno. */
int cgroup_usage(const struct cgroup *cg, struct cgroup_usage *ret);

/* Its process is over: takes it, and removes it once it is empty. NULL is fine. */
void cgroup_release(struct cgroup *cg);

/* Takes over those that an earlier daemon has left: removed once they are empty. */
void cgroup_adopt_stale(struct cgroups *c);

/* For cgroups_new and cgroups_free. */
void cgroup_removal_init(struct cgroups *c);
void cgroup_removal_clear(struct cgroups *c);

#endif
