/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distinguishes OOM kills from other SIGKILLs.
 *
 * When the kernel kills a process of a cgroup for lack of memory, because of the cgroup's limit or
 * the machine's, it increments `oom_kill` in the cgroup's memory.events before it sends the signal
 * (mm/oom_kill.c, __oom_kill_process). The cgroups of single processes have no memory controller
 * and no such file; the group above, `user` or `ptys`, counts for all of them.
 *
 * Therefore a process was an OOM kill if it ended by SIGKILL, neither a client nor its deadline
 * killed it, and the group's count has an increment that no process has claimed yet. An increment
 * that is not claimed within OOM_CLAIM_MS belongs to a descendant of a command. (The file is
 * watched, so that the time of each increment is known.)
 *
 * With -process-accounting, the process's own cgroup has the count: see cgroup_usage. Without the
 * memory controller (it may be bound to cgroup v1) OOM kills can't be recognised.
 */
#ifndef PTY_CGROUP_OOM_COUNT_H
#define PTY_CGROUP_OOM_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#define OOM_CLAIM_MS 5000

struct oom_count {
	bool known;	    /* memory.events exists */
	uint64_t seen;	    /* oom_kill at the last update */
	uint64_t unclaimed; /* kills that no process has claimed */
	uint64_t grown_ms;  /* time of the last increment */
};

/* Records the current count. The first call sets the base. */
void oom_count_update(struct oom_count *oom, uint64_t kills, uint64_t now_ms);

/*
 * Continues the count of an earlier daemon, whose last increment was age_ms before now_ms. Call it
 * after the first oom_count_update. Kills since the earlier daemon's last update are new. If the
 * current count is smaller than `seen`, the cgroup is another one, and nothing is taken over.
 */
void oom_count_continue(struct oom_count *oom, uint64_t seen, uint64_t unclaimed, uint64_t age_ms,
			uint64_t now_ms);

/*
 * Returns true if a process that just ended by SIGKILL was an OOM kill. Claims one kill of the
 * count.
 */
bool oom_count_claim(struct oom_count *oom, uint64_t now_ms);

#endif
