/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time of an overflow: the moment from which events may be missing, measured by the clock with
 * which the kernel stamps files.
 *
 * After an overflow, an entry counts as changed if its ctime is not older than that moment.
 * Therefore the daemon does not remember sizes and times of files, and does not call stat(2) for
 * files when a watch starts. The ctime also shows a change that keeps size and mtime. The kernel
 * stamps files with CLOCK_REALTIME_COARSE (current_time() in fs/inode.c; since Linux 6.13 never
 * earlier than that clock), so a mark from the same clock compares exactly.
 *
 * A wall clock can be set. If it is set forward, changes seem later than they are, which does no
 * harm. If it is set back, changes may seem older than they are. Therefore a mark also stores the
 * difference between the wall clock and the monotonic clock, and moves back together with the wall
 * clock.
 */
#ifndef WATCH_ENGINE_OVERFLOW_H
#define WATCH_ENGINE_OVERFLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Special values instead of a time: every entry counts as changed; no entry does. */
#define WATCH_SINCE_EVER  INT64_MIN
#define WATCH_SINCE_NEVER INT64_MAX

#define WATCH_NS_PER_S 1000000000

/*
 * A timestamp without a fraction may come from a file system with a resolution of one second (ext3)
 * or two (vfat). The change may be this much later than its timestamp.
 */
#define WATCH_COARSE_STAMP_NS (2LL * WATCH_NS_PER_S)

struct watch_mark {
	int64_t real_ns;
	int64_t ahead_ns; /* real_ns minus the monotonic clock */
};

static inline int64_t watch_timespec_ns(const struct timespec *t)
{
	return (int64_t)t->tv_sec * WATCH_NS_PER_S + t->tv_nsec;
}

static inline struct watch_mark watch_mark_now(void)
{
	struct timespec real, monotonic;

	clock_gettime(CLOCK_REALTIME_COARSE, &real);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &monotonic);
	return (struct watch_mark){watch_timespec_ns(&real),
				   watch_timespec_ns(&real) - watch_timespec_ns(&monotonic)};
}

/*
 * Returns the earliest timestamp that a change after the mark can have, by the current wall clock.
 */
static inline int64_t watch_mark_since_ns(const struct watch_mark *mark)
{
	int64_t back_ns = mark->ahead_ns - watch_mark_now().ahead_ns;

	return back_ns > 0 ? mark->real_ns - back_ns : mark->real_ns;
}

/* Returns true if the timestamp may belong to a change made at since_ns or later. */
static inline bool watch_changed_since(const struct timespec *stamp, int64_t since_ns)
{
	int64_t ns;

	if (since_ns == WATCH_SINCE_EVER || since_ns == WATCH_SINCE_NEVER)
		return since_ns == WATCH_SINCE_EVER;
	ns = watch_timespec_ns(stamp);
	return (stamp->tv_nsec ? ns : ns + WATCH_COARSE_STAMP_NS) >= since_ns;
}

#endif
