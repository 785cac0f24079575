/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU hotplug: brings CPUs online and takes them offline until their number is the one that /init
 * asked for (Documentation/core-api/cpu_hotplug.rst).
 *
 *	idle → writing → (all as wanted) idle
 *	           └──→ (no effect) retrying → writing …, ten times in a row → given up
 *
 * One CPU at a time: the lowest one that is offline, or the highest one that is online; CPU 0
 * stays. A write to cpuN/online can hang in the kernel, so a child process does it: the daemon
 * itself with the argument "cpu-online". The target is kept in /run/e2b/cpu-target, and a restarted
 * daemon takes it up.
 */
#ifndef ENVD_CPUS_H
#define ENVD_CPUS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"

#define CPUS_DIRECTORY	 "/sys/devices/system/cpu"
#define CPUS_TARGET_FILE "cpu-target" /* in RUN_FILES_DIRECTORY */

/* A run without effect is repeated after 1, 2, 4, … and at most this many seconds. */
#define CPUS_RETRY_MAX_S 30
#define CPUS_MAX_RUNS	 10

struct cpus;
struct run_files;

struct cpus_figures {
	unsigned online, possible;
	unsigned target;	   /* 0: none was asked for */
	unsigned attempts;	   /* runs since the target was set */
	uint64_t write_pending_ms; /* how long the present write has taken; 0: there is none */
};

/*
 * `directory` is CPUS_DIRECTORY, `helper` the file of this program (/proc/self/exe). Borrows the
 * strings and `files`.
 */
struct cpus *cpus_new(struct loop *loop, struct run_files *files, const char *directory,
		      const char *helper);

/* A helper that hangs lives on. */
void cpus_free(struct cpus *c);

/*
 * Sets the target; the work goes on by itself. 0, or -1 if the machine has no such number of CPUs.
 */
int cpus_set_target(struct cpus *c, int64_t count, struct error *err);

/* The present figures; all zero for NULL. */
void cpus_read(const struct cpus *c, struct cpus_figures *ret);

/* The number of CPUs in a list like "0-3,8\n" of the kernel; 0 if it can't be read. */
unsigned cpus_parse_list(const char *text, uint8_t *bits, size_t bits_bytes);

/* `envd cpu-online …/cpuN/online 0|1`: the helper. Returns the exit status: 0, or 1 with a text. */
int cpus_helper(int argc, char **argv);

#endif
