/*
 * The time of a loss: from when on events may be missing, in the clock that files are stamped by.
 *
 * After a loss an entry has changed if its ctime is not older than the loss. That needs no memory
 * of sizes and times for each file, and no stat(2) of each when a watch starts; and it sees what
 * they would not: a change that keeps both. The kernel stamps files by CLOCK_REALTIME_COARSE
 * (current_time() in fs/inode.c; since 6.13 never earlier than that), so a mark taken from the
 * same clock compares exactly.
 *
 * A wall clock can be set. Set forward, changes only seem later, which is harmless; set back, they
 * may seem older than they are, so a mark remembers how far that clock was ahead of the monotonic
 * one, and moves back with it.
 */
#ifndef WATCH_ENGINE_GAP_H
#define WATCH_ENGINE_GAP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Everything has changed since; nothing has. */
#define WATCH_SINCE_EVER  INT64_MIN
#define WATCH_SINCE_NEVER INT64_MAX

#define WATCH_NS_PER_S 1000000000

/*
 * A stamp without a fraction may come from a file system that has none, or counts even seconds
 * only (ext3, vfat): the change may be up to this much later.
 */
#define WATCH_COARSE_STAMP_NS (2LL * WATCH_NS_PER_S)

struct watch_mark {
	int64_t real_ns;
	int64_t ahead_ns; /* of the monotonic clock */
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

/* The earliest stamp, as of now, of a change made after the mark. */
static inline int64_t watch_mark_since_ns(const struct watch_mark *mark)
{
	int64_t back_ns = mark->ahead_ns - watch_mark_now().ahead_ns;

	return back_ns > 0 ? mark->real_ns - back_ns : mark->real_ns;
}

/* Whether a stamp may be that of a change made since then. */
static inline bool watch_changed_since(const struct timespec *stamp, int64_t since_ns)
{
	int64_t ns;

	if (since_ns == WATCH_SINCE_EVER || since_ns == WATCH_SINCE_NEVER)
		return since_ns == WATCH_SINCE_EVER;
	ns = watch_timespec_ns(stamp);
	return (stamp->tv_nsec ? ns : ns + WATCH_COARSE_STAMP_NS) >= since_ns;
}

#endif
