/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the daemon from the options, and runs it. */
#ifndef ENVD_DAEMON_H
#define ENVD_DAEMON_H

struct inherited;
struct options;

/* Serves until a signal ends it. Returns the exit status. */
int daemon_serve(const struct options *options, const struct inherited *inherited);

#endif
