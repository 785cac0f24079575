/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files in /run/e2b by which programs of the guest know where they run (.E2B_SANDBOX,
 * .E2B_SANDBOX_ID, .E2B_TEMPLATE_ID), and the one that a restarted daemon reads (cpu-target). Each
 * is written beside and renamed, so a reader never sees half a value.
 *
 * A worker writes them: /run may be on the root file system, and while /fsfreeze has stopped that,
 * a write waits. A value that is set while an older one is being written replaces it later, so at
 * most one write of each file is under way.
 */
#ifndef ENVD_RUN_FILES_H
#define ENVD_RUN_FILES_H

#include <sys/types.h>

#define RUN_FILES_DIRECTORY "/run/e2b"

struct run_files;
struct workers;

/* Borrows the workers: a pool of one thread, so that the last value is the one that stays. */
struct run_files *run_files_new(struct workers *workers);

/* Call it after the pool was freed. */
void run_files_free(struct run_files *r);

/*
 * Has the file written. `name` is a static string; at most four are used. Copies the value.
 * Failures are logged.
 */
void run_files_set(struct run_files *r, const char *name, const char *value, mode_t mode);

#endif
