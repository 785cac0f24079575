/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall clock of a sandbox that was paused.
 */
#ifndef ENVD_CLOCK_H
#define ENVD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* How far the guest's clock may be off the host's before it is set. */
#define CLOCK_BEHIND_NS (50 * 1000000LL)
#define CLOCK_AHEAD_NS	(5 * 1000000000LL)

/* Whether a clock that shows `now` is to be set when the host says `host`; both ns since 1970. */
bool clock_is_off(int64_t now_ns, int64_t host_ns);

/* Sets CLOCK_REALTIME where it is off. Logs a failure. */
void clock_correct(int64_t host_ns);

#endif
