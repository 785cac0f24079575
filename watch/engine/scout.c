#include "watch/engine/scout.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/thread.h"
#include "base/work.h"
#include "watch/engine/reach.h"

/* Looks at what the other thread does before it is waited for, which costs two system calls. */
#define SPINS 500

struct run {
	int dirfd;
	/* Counts of names, each behind the one before. */
	_Atomic unsigned given;	  /* by the owner */
	_Atomic unsigned claimed; /* by whoever sees it */
	unsigned taken;		  /* by the owner, who alone reads it */
	const char *names[WATCH_SCOUT_AHEAD];
	struct watch_seen found[WATCH_SCOUT_AHEAD];
	_Atomic bool is_seen[WATCH_SCOUT_AHEAD];
};

struct watch_scout {
	int inotify_fd;
	struct thread thread;
	struct run runs[WATCH_SCOUT_RUNS];
	unsigned n_runs; /* the owner's */

	/*
	 * Whoever has nothing to do says so under the lock, looks once more, and sleeps. The other
	 * one, after each change, takes the lock only if somebody sleeps.
	 */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic bool asleep;  /* the scout */
	_Atomic bool waiting; /* its owner */
	_Atomic bool quit;
};

/* Sees the next name of a run that nobody has claimed. False where there is none. */
static bool see_next(struct watch_scout *scout, struct run *run)
{
	unsigned at = atomic_load(&run->claimed);

	do {
		if (at == atomic_load(&run->given))
			return false;
	} while (!atomic_compare_exchange_weak(&run->claimed, &at, at + 1));
	at %= WATCH_SCOUT_AHEAD;
	watch_see(scout->inotify_fd, run->dirfd, run->names[at], &run->found[at]);
	atomic_store(&run->is_seen[at], true);
	return true;
}

/* ---- the thread ---- */

/* The run nearest to the leaves that has a name to be looked at, or NULL. */
static struct run *find_run(struct watch_scout *scout)
{
	struct run *run;
	unsigned i;

	for (i = WATCH_SCOUT_RUNS; i > 0; i--) {
		run = &scout->runs[i - 1];
		if (atomic_load(&run->claimed) != atomic_load(&run->given))
			return run;
	}
	return NULL;
}

/* Wakes the other thread, where it has said that it sleeps. */
static void wake(struct watch_scout *scout, _Atomic bool *sleeps)
{
	if (!atomic_load(sleeps))
		return;
	pthread_mutex_lock(&scout->lock);
	pthread_cond_broadcast(&scout->changed);
	pthread_mutex_unlock(&scout->lock);
}

/* Waits for a name; NULL: it is to end. */
static struct run *wait_for_run(struct watch_scout *scout)
{
	struct run *run;
	unsigned i;

	for (i = 0; i < SPINS; i++) {
		run = find_run(scout);
		if (run)
			return run;
	}
	/* Its working directory would keep a file system from being unmounted. */
	thread_leave_dir();
	pthread_mutex_lock(&scout->lock);
	atomic_store(&scout->asleep, true);
	while (!(run = find_run(scout)) && !atomic_load(&scout->quit))
		pthread_cond_wait(&scout->changed, &scout->lock);
	atomic_store(&scout->asleep, false);
	pthread_mutex_unlock(&scout->lock);
	return run;
}

static void *scout_main(void *arg)
{
	struct watch_scout *scout = arg;
	struct run *run;

	while ((run = wait_for_run(scout)))
		if (see_next(scout, run))
			wake(scout, &scout->waiting);
	return NULL;
}

/* ---- its owner ---- */

static bool has_two_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

struct watch_scout *watch_scout_new(int inotify_fd)
{
	struct watch_scout *scout;

	if (!has_two_processors())
		return NULL;
	scout = mem_zalloc(sizeof(*scout));
	scout->inotify_fd = inotify_fd;
	pthread_mutex_init(&scout->lock, NULL);
	pthread_cond_init(&scout->changed, NULL);
	if (thread_start(&scout->thread, WORK_STACK_BYTES, scout_main, scout) < 0) {
		free(scout);
		return NULL;
	}
	return scout;
}

void watch_scout_free(struct watch_scout *scout)
{
	if (!scout)
		return;
	atomic_store(&scout->quit, true);
	wake(scout, &scout->asleep);
	thread_join(&scout->thread);
	pthread_cond_destroy(&scout->changed);
	pthread_mutex_destroy(&scout->lock);
	free(scout);
}

int watch_scout_begin(struct watch_scout *scout, int dirfd)
{
	struct run *run;
	int fd;

	if (scout->n_runs == WATCH_SCOUT_RUNS)
		return -1;
	fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	run = &scout->runs[scout->n_runs];
	run->dirfd = fd;
	return (int)scout->n_runs++;
}

unsigned watch_scout_ahead(const struct watch_scout *scout, int number)
{
	return atomic_load(&scout->runs[number].given) - scout->runs[number].taken;
}

void watch_scout_give(struct watch_scout *scout, int number, const char *name)
{
	struct run *run = &scout->runs[number];
	unsigned at = atomic_load(&run->given);

	run->names[at % WATCH_SCOUT_AHEAD] = name;
	atomic_store(&run->given, at + 1);
	wake(scout, &scout->asleep);
}

void watch_scout_take(struct watch_scout *scout, int number, struct watch_seen *ret)
{
	struct run *run = &scout->runs[number];
	unsigned at = run->taken++ % WATCH_SCOUT_AHEAD, i;

	/* While the scout is at it, the next one is seen here: so neither waits long for the other. */
	for (i = 0; i < SPINS && !atomic_load(&run->is_seen[at]); i++)
		if (see_next(scout, run))
			i = 0;
	if (!atomic_load(&run->is_seen[at])) {
		pthread_mutex_lock(&scout->lock);
		atomic_store(&scout->waiting, true);
		while (!atomic_load(&run->is_seen[at]))
			pthread_cond_wait(&scout->changed, &scout->lock);
		atomic_store(&scout->waiting, false);
		pthread_mutex_unlock(&scout->lock);
	}
	*ret = run->found[at];
	atomic_store(&run->is_seen[at], false);
}

void watch_scout_end(struct watch_scout *scout, int number)
{
	fd_close(&scout->runs[number].dirfd);
	scout->n_runs--;
}
