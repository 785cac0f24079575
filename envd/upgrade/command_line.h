/* SPDX-License-Identifier: Apache-2.0 */
/* The command line for the program that replaces this daemon. */
#ifndef ENVD_UPGRADE_COMMAND_LINE_H
#define ENVD_UPGRADE_COMMAND_LINE_H

#include <stdbool.h>

#include "base/arena.h"

struct options;

/*
 * Returns argv for `program`, NULL-terminated, in the arena. It always ends with -resume-handover.
 *
 * `ours`: the program is a build of envd. It gets the flags of `argv`, except those of process 1,
 * which stays the parent.
 *
 * Otherwise the program is the reference. It gets only flags that it knows, made from `options`:
 * Go's flag package exits at an unknown flag, and the sandbox would be lost.
 */
char **upgrade_command_line(const struct options *options, char *const *argv, const char *program,
			    bool ours, struct arena *arena);

#endif
