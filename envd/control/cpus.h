/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU hotplug: brings CPUs online or takes them offline until their number is the target, the
 * cpuCount of /init.
 *
 *	idle → writing → (target reached) idle
 *	          └──→ (no effect) retrying → writing …, ten times in a row → given up
 *
 * A run changes one CPU at a time: it brings the lowest offline CPU online, or takes the highest
 * online CPU offline; CPU 0 always stays online. A write to cpuN/online can hang in the kernel, so
 * a child process writes: this program with the argument "cpu-online". The target is stored in
 * /run/e2b/cpu-target; a restarted daemon reads it from there.
 */
#ifndef ENVD_CPUS_H
#define ENVD_CPUS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/loop.h"

#define CPUS_DIRECTORY	 "/sys/devices/system/cpu"
#define CPUS_TARGET_FILE "cpu-target" /* in RUN_FILES_DIRECTORY */

/*
 * A run without effect is repeated after 1, 2, 4, … seconds, at most CPUS_RETRY_MAX_S. After
 * CPUS_MAX_RUNS such runs in a row the target is given up.
 */
#define CPUS_RETRY_MAX_S 30
#define CPUS_MAX_RUNS	 10

struct cpus;
struct run_files;

struct cpus_figures {
	unsigned online, possible;
	unsigned target;	   /* 0: none was set */
	unsigned attempts;	   /* runs since the target was set */
	uint64_t write_pending_ms; /* age of the write in progress; 0: there is none */
};

/*
 * `directory` is CPUS_DIRECTORY, `helper` the file of this program (/proc/self/exe). Borrows the
 * strings and `files`.
 */
struct cpus *cpus_new(struct loop *loop, struct run_files *files, const char *directory,
		      const char *helper);

/* Frees the object. Accepts NULL. A helper that hangs is not ended. */
void cpus_free(struct cpus *c);

/*
 * Sets the target and returns; the CPUs are changed later. 0, or -1 with ERROR_INVALID_ARGUMENT if
 * the machine does not have this number of CPUs.
 */
int cpus_set_target(struct cpus *c, int64_t count, struct error *err);

/* Reads the current figures. If `c` is NULL, all are zero. */
void cpus_read(const struct cpus *c, struct cpus_figures *ret);

/*
 * Parses a list of the kernel such as "0-3,8\n" and sets the bit of each CPU in `bits`. Returns the
 * number of CPUs; 0 if the text is malformed or a CPU has no bit.
 */
unsigned cpus_parse_list(const char *text, uint8_t *bits, size_t bits_bytes);

/*
 * The helper program: `envd cpu-online …/cpuN/online 0|1`. Returns the exit status: 0, or 1 after
 * an error message on stderr.
 */
int cpus_helper(int argc, char **argv);

#endif
