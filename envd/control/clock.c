/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/clock.h"

#include <errno.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"

bool clock_is_off(int64_t now_ns, int64_t host_ns)
{
	return now_ns < host_ns - CLOCK_BEHIND_NS || now_ns > host_ns + CLOCK_AHEAD_NS;
}

void clock_correct(int64_t host_ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (!clock_is_off(ts.tv_sec * 1000000000 + ts.tv_nsec, host_ns))
		return;
	ts.tv_sec = host_ns / 1000000000;
	ts.tv_nsec = host_ns % 1000000000;
	if (ts.tv_nsec < 0) {
		ts.tv_nsec += 1000000000;
		ts.tv_sec--;
	}
	if (clock_settime(CLOCK_REALTIME, &ts) < 0)
		log_error("the clock can't be set: %s", error_errno_text(errno));
}
