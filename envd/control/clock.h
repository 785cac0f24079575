/* SPDX-License-Identifier: Apache-2.0 */
/* Corrects the guest's wall clock, which is wrong after a pause. */
#ifndef ENVD_CLOCK_H
#define ENVD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Tolerated differences. The clock is set only if it is further behind or ahead of the host's
 * clock.
 */
#define CLOCK_BEHIND_NS (50 * 1000000LL)
#define CLOCK_AHEAD_NS	(5 * 1000000000LL)

/*
 * Returns true if a clock that shows now_ns must be set when the host's clock shows host_ns. Both
 * in nanoseconds since 1970.
 */
bool clock_is_off(int64_t now_ns, int64_t host_ns);

/* Sets CLOCK_REALTIME to host_ns if clock_is_off. Logs failures. */
void clock_correct(int64_t host_ns);

#endif
