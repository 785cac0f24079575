/*
 * A scout goes ahead of a look at a big tree: a second thread that opens the directories which come
 * next and places their watches, while the look reads names. Both are system calls of about the
 * same length, so on two processors a tree is watched in little more than half the time. Whoever
 * would have to wait for the scout does the next piece of its work instead.
 *
 * A directory that is looked at has a *run* of directories below it. The owner of the run gives it
 * names, in the order in which it will go into them, and takes what was seen in the same order. The
 * runs nearest to the leaves are gone through first.
 *
 * The scout touches nothing but its runs. Its owner is one thread at a time.
 */
#ifndef WATCH_ENGINE_SCOUT_H
#define WATCH_ENGINE_SCOUT_H

/* Runs at once, one in the other; and the directories of each that are open ahead. */
#define WATCH_SCOUT_RUNS  4
#define WATCH_SCOUT_AHEAD 32

/* A run is worth its while for so many directories. */
#define WATCH_SCOUT_MIN 16

struct watch_seen;
struct watch_scout;

/* A scout without runs. NULL where there is one processor, or no thread to be had. */
struct watch_scout *watch_scout_new(int inotify_fd);

/* Ends its thread. Its runs have been ended. NULL is fine. */
void watch_scout_free(struct watch_scout *scout);

/*
 * Begins a run in an open directory, of which it keeps a descriptor of its own. The run's number,
 * or -1 where there are too many.
 */
int watch_scout_begin(struct watch_scout *scout, int dirfd);

/* Directories that were given and not taken. */
unsigned watch_scout_ahead(const struct watch_scout *scout, int number);

/* Gives a run one name more; fewer than WATCH_SCOUT_AHEAD are ahead. Borrows it until it is taken. */
void watch_scout_give(struct watch_scout *scout, int number, const char *name);

/* What was seen of the first name that was not taken; waits for it. The descriptor is the caller's. */
void watch_scout_take(struct watch_scout *scout, int number, struct watch_seen *ret);

/* Ends the run, which was begun last. Nothing is ahead. */
void watch_scout_end(struct watch_scout *scout, int number);

#endif
