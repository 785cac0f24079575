/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest OOM_LOG_KILLS OOM kills of the kernel, from /dev/kmsg
 * (Documentation/ABI/testing/dev-kmsg), for /metrics. Each read(2) returns one record:
 *
 *	6,339,5140900,-;Memory cgroup out of memory: Killed process 42 (python3) total-vm:…
 *
 * The first number is facility × 8 + level. The kernel's own facility is 0. A record that a program
 * of the guest wrote has another facility and does not count.
 */
#ifndef ENVD_OOM_LOG_H
#define ENVD_OOM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define OOM_LOG_PATH	   "/dev/kmsg"
#define OOM_LOG_KILLS	   32
#define OOM_LOG_NAME_BYTES 64

struct oom_kill {
	uint64_t seq; /* sequence number of the record */
	char process[OOM_LOG_NAME_BYTES];
};

struct oom_log;

/* Starts to read. Borrows the path. */
struct oom_log *oom_log_new(struct loop *loop, const char *path);
void oom_log_free(struct oom_log *o);

/*
 * Returns true and the kills, oldest first, borrowed until the next turn of the loop. Returns false
 * if the log has not been read to its end, can't be read, or `o` is NULL.
 */
bool oom_log_kills(const struct oom_log *o, const struct oom_kill **ret, size_t *ret_n);

/*
 * Returns the number of kills that were read since the daemon's start, including older kills that
 * were still in the log, and the kills before oom_log_continue. 0 if `o` is NULL.
 */
uint64_t oom_log_total(const struct oom_log *o);

/* The sequence number after the last record that was read; 0 if there is none, or `o` is NULL. */
uint64_t oom_log_next(const struct oom_log *o);

/*
 * Continues the count of an earlier daemon: it had read `total` kills, in records before `next`.
 * These are read again for oom_log_kills, and are not counted twice. Call it before the loop runs.
 */
void oom_log_continue(struct oom_log *o, uint64_t total, uint64_t next);

/*
 * Parses a record of n bytes. Returns true if it reports a kill. If the name of the process can't
 * be parsed, it is "Unknown".
 */
bool oom_log_parse(const char *record, size_t n, struct oom_kill *ret);

#endif
