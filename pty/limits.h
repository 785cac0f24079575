/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of one process, "NAME=VALUE, …". X-Envd-Limits on Start sets them; -limits sets the
 * names that the header does not set (docs/processes.md).
 *
 * | name                        | value              | set by                                     |
 * |-----------------------------|--------------------|--------------------------------------------|
 * | memory, memory-high         | bytes, K, M, G     | memory.max, memory.high of its cgroup      |
 * | pids                        | a number from 1    | pids.max                                   |
 * | cpu                         | CPUs, as 1.5       | cpu.max with a period of 100 ms            |
 * | cpu-weight, io-weight       | 1 … 10000          | cpu.weight, io.weight                      |
 * | nofile                      | a number           | RLIMIT_NOFILE                              |
 * | core, fsize                 | bytes, K, M, G     | RLIMIT_CORE, RLIMIT_FSIZE                  |
 * | nice                        | -20 … 19           | setpriority(2)                             |
 *
 * If a limit can't be applied, the Start fails with ERROR_FAILED_PRECONDITION and the limit's name.
 */
#ifndef PTY_LIMITS_H
#define PTY_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

#include "base/error.h"

struct cgroup;

enum limit_name {
	LIMIT_MEMORY,
	LIMIT_MEMORY_HIGH,
	LIMIT_PIDS,
	LIMIT_CPU,
	LIMIT_CPU_WEIGHT,
	LIMIT_IO_WEIGHT,
	LIMIT_NOFILE,
	LIMIT_CORE,
	LIMIT_FSIZE,
	LIMIT_NICE,
	LIMIT_NAMES,
};

struct limit {
	bool set;
	char text[32]; /* value for a file of the cgroup */
	rlim_t number; /* value of a resource limit */
	int nice;
};

struct limits {
	struct limit of[LIMIT_NAMES];
};

/*
 * Parses the value of the header or flag `source`, which an error names; NULL sets none. 0, or -1
 * with ERROR_INVALID_ARGUMENT.
 */
int limits_parse(const char *text, const char *source, struct limits *ret, struct error *err);

/* Sets each limit that is not set to its value in `defaults`. */
void limits_default(struct limits *limits, const struct limits *defaults);

/*
 * Writes the limits of the cgroup after cgroup_enter (NULL: no cgroup). 0, or -1 with
 * ERROR_FAILED_PRECONDITION. Call it on a worker.
 */
int limits_apply_cgroup(const struct limits *limits, const struct cgroup *cg, struct error *err);

/* Returns RLIMIT_… for a name that is a resource limit, else -1. */
int limits_resource(enum limit_name name);

const char *limits_name(enum limit_name name);

#endif
