/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files in /run/e2b. Programs of the guest read .E2B_SANDBOX, .E2B_SANDBOX_ID and
 * .E2B_TEMPLATE_ID; a restarted daemon reads cpu-target. Each file is written under a temporary
 * name and renamed, so a reader sees a complete value.
 *
 * A worker writes the files: /run may lie on the root file system, and after /fsfreeze a write
 * blocks until /fsthaw. If a value is set while an earlier value is being written, the new value is
 * written afterwards. At most one write per file is in progress.
 */
#ifndef ENVD_RUN_FILES_H
#define ENVD_RUN_FILES_H

#include <sys/types.h>

#define RUN_FILES_DIRECTORY "/run/e2b"

struct run_files;
struct workers;

/* Creates the object. Borrows the workers, a pool of one thread. */
struct run_files *run_files_new(struct workers *workers);

/* Frees the object. Accepts NULL. Free the pool before. */
void run_files_free(struct run_files *r);

/*
 * Replaces the file at once: a reader sees either the old or the new content. 0 or -errno. Blocks:
 * call it on a worker.
 */
int run_files_write(const char *name, const char *value, mode_t mode);

/*
 * Writes the file later. `name` is a static string; at most four different names are allowed.
 * Copies the value. Logs failures.
 */
void run_files_set(struct run_files *r, const char *name, const char *value, mode_t mode);

#endif
