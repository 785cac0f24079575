/* SPDX-License-Identifier: Apache-2.0 */
/* The pools of workers: who takes a piece of work, and that none waits for one that hangs. */
#include <dirent.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/work.h"
#include "tests/unit/self.h"

#define N_JOBS 100

/* Far longer than any test takes. */
#define FOREVER_US 1000000000u

struct job {
	struct work work;
	sem_t *wait_for; /* NULL: none */
	pid_t tid;
	bool done;
};

static struct loop loop;
static struct workers *workers;
static unsigned n_done;

static int setup(void **state)
{
	loop_init(&loop);
	workers = workers_new(&loop, "test", 4);
	n_done = 0;
	return 0;
}

static int teardown(void **state)
{
	workers_free(workers);
	loop_clear(&loop);
	return 0;
}

static void job_run(struct work *work)
{
	struct job *job = container_of(work, struct job, work);

	job->tid = gettid();
	if (job->wait_for)
		sem_wait(job->wait_for);
}

static void job_done(struct work *work)
{
	container_of(work, struct job, work)->done = true;
	n_done++;
	loop_stop(&loop);
}

static void submit(struct job *job, sem_t *wait_for)
{
	*job = (struct job){.work = {.run = job_run, .done = job_done}, .wait_for = wait_for};
	work_submit(workers, &job->work);
}

static void wait_for_done(unsigned n)
{
	while (n_done < n)
		loop_run(&loop);
}

/* With patience, work that does not block stays on one thread. */
static void test_one_thread(void **state)
{
	struct job jobs[N_JOBS];

	workers_set_patience(workers, FOREVER_US);
	for (unsigned i = 0; i < N_JOBS; i++)
		submit(&jobs[i], NULL);
	wait_for_done(N_JOBS);
	for (unsigned i = 1; i < N_JOBS; i++)
		assert_int_equal(jobs[i].tid, jobs[0].tid);
	assert_int_equal(workers_busy(workers), 0);
}

/* Work behind a piece that hangs gets another thread, with patience a little later. */
static void test_hanging(void **state)
{
	static const unsigned patience_us[] = {0, 1, 1000, 5000};
	struct job hanging, jobs[N_JOBS];
	sem_t sem;

	sem_init(&sem, 0, 0);
	for (unsigned k = 0; k < ARRAY_LEN(patience_us); k++) {
		workers_set_patience(workers, patience_us[k]);
		n_done = 0;
		submit(&hanging, &sem);
		for (unsigned i = 0; i < N_JOBS; i++)
			submit(&jobs[i], NULL);
		wait_for_done(N_JOBS);
		assert_false(hanging.done);
		for (unsigned i = 0; i < N_JOBS; i++)
			assert_int_not_equal(jobs[i].tid, hanging.tid);
		sem_post(&sem);
		wait_for_done(N_JOBS + 1);
	}
	sem_destroy(&sem);
}

/* As many as there may be threads hang at once; the rest waits for them. */
static void test_all_hang(void **state)
{
	struct job hanging[4], job;
	sem_t sem;

	sem_init(&sem, 0, 0);
	workers_set_patience(workers, 1000);
	for (unsigned i = 0; i < ARRAY_LEN(hanging); i++)
		submit(&hanging[i], &sem);
	submit(&job, NULL);
	assert_true(work_cancel(workers, &job.work));
	assert_int_equal(workers_busy(workers), ARRAY_LEN(hanging));
	submit(&job, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(hanging); i++)
		sem_post(&sem);
	wait_for_done(ARRAY_LEN(hanging) + 1);
	assert_true(job.done);
	sem_destroy(&sem);
}

/* ---- no thread to be had ---- */

#define NOBODY 54321

/* As a user who may have one task: itself. (root is not bound by RLIMIT_NPROC.) */
static void forbid_threads(struct rlimit *ret_old)
{
	struct rlimit none;

	if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(10);
	getrlimit(RLIMIT_NPROC, ret_old);
	none = *ret_old;
	none.rlim_cur = 1;
	if (setrlimit(RLIMIT_NPROC, &none) < 0)
		_exit(11);
}

static void stop_later(void *arg)
{
	loop_stop(&loop);
}

/* Lets the pool try in vain some times, then allows threads, and waits for the work. */
static int starved_child(void)
{
	struct rlimit old;
	struct timer timer;
	struct job job;

	forbid_threads(&old);
	n_done = 0;
	loop_init(&loop);
	workers = workers_new(&loop, "test", 4);
	submit(&job, NULL);
	timer_init(&timer, &loop, stop_later, NULL);
	timer_set_ms(&timer, 3 * WORK_RETRY_MS);
	loop_run(&loop);
	if (job.done || workers_busy(workers) != 1)
		return 1;
	setrlimit(RLIMIT_NPROC, &old);
	wait_for_done(1);
	return job.done ? 0 : 2;
}

/* The thread that the pool keeps does the work. */
static int kept_child(void)
{
	struct rlimit old;
	struct job job;

	n_done = 0;
	loop_init(&loop);
	workers = workers_new(&loop, "test", 4);
	if (workers_keep_thread(workers) < 0)
		return 1;
	forbid_threads(&old);
	submit(&job, NULL);
	wait_for_done(1);
	return job.done ? 0 : 2;
}

static unsigned count_threads(void)
{
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/task");

	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* A thread that was kept ends after the pool was told that it may. */
static void test_a_kept_thread_is_released(void **state)
{
	struct job job;
	unsigned kept;

	assert_int_equal(workers_keep_thread(workers), 0);
	assert_int_equal(workers_keep_thread(workers), 0);
	kept = count_threads();
	submit(&job, NULL);
	wait_for_done(1);
	workers_release_thread(workers);
	while (count_threads() >= kept)
		usleep(1000);
	submit(&job, NULL);
	wait_for_done(2);
}

/*
 * A fork bomb used up all pids, an idle pool had no thread, pthread_create said EAGAIN, and the
 * daemon
 * aborted: the KILL meant for the fork bomb killed envd. The work has to wait for a thread instead.
 */
static void test_no_thread_for_now(void **state)
{
	assert_int_equal(exit_status_of(starved_child), 0);
}

/* A pool for KILLs can't wait for the end of what it is to kill: it keeps a thread. */
static void test_a_thread_is_kept(void **state)
{
	assert_int_equal(exit_status_of(kept_child), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hanging, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_hang, setup, teardown),
		cmocka_unit_test(test_no_thread_for_now),
		cmocka_unit_test(test_a_thread_is_kept),
		cmocka_unit_test_setup_teardown(test_a_kept_thread_is_released, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
