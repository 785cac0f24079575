/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the daemon that replaces this one. */
#ifndef ENVD_UPGRADE_COMMAND_LINE_H
#define ENVD_UPGRADE_COMMAND_LINE_H

#include <stdbool.h>

#include "base/arena.h"

struct options;

/*
 * Makes argv for `program`, NULL-terminated, in the arena. A program of ours gets this daemon's
 * flags. The reference gets those that it knows, because it prints its usage and exits at any
 * other. Neither gets the flags of process 1, whose work a parent does, and both get
 * -resume-handover.
 */
char **upgrade_command_line(const struct options *options, char *const *argv, const char *program,
			    bool ours, struct arena *arena);

#endif
