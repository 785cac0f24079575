/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OOM kills told from other SIGKILLs.
 *
 * The kernel counts every process of a cgroup that it killed for lack of memory, whether by the
 * cgroup's own bound or the machine's, in the `oom_kill` of that cgroup's memory.events, before
 * the signal is sent (mm/oom_kill.c, __oom_kill_process). The cgroups of single processes have no
 * memory controller and so no such file: their parent's, `user` or `ptys`, counts for all of them.
 * So a process that ended by SIGKILL, and was not killed by a client or its deadline, was an OOM
 * kill if the parent's count has grown and nobody has claimed that growth yet. A growth that
 * nobody claims within OOM_CLAIM_MS was of processes that a command had started. (The count is
 * watched, so that the growth has a time.)
 *
 * With -process-accounting the process' own cgroup has the count, and it is asked: cgroup_usage.
 * Without the memory controller (it may be bound to cgroup v1) there is no telling.
 */
#ifndef PTY_CGROUP_OOM_COUNT_H
#define PTY_CGROUP_OOM_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#define OOM_CLAIM_MS 5000

struct oom_count {
	bool known;	    /* there is a memory.events */
	uint64_t seen;	    /* oom_kill at the last update */
	uint64_t unclaimed; /* kills that no process has claimed */
	uint64_t grown_ms;  /* when it grew last */
};

/* Records the present count. The first call sets the base. */
void oom_count_update(struct oom_count *oom, uint64_t kills, uint64_t now_ms);

/* Whether a process that just ended by SIGKILL was an OOM kill. Claims one kill of the count. */
bool oom_count_claim(struct oom_count *oom, uint64_t now_ms);

#endif
