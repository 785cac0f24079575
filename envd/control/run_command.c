/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/run_command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"

#define REAP_PAUSE_MS 5

static char path_variable[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* ---- programs that could not be reaped ---- */

static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t left[RUN_MAX_LEFT]; /* under left_lock; 0: free */

/* Reaps programs that were left behind and have ended since. Returns true if there is room. */
static bool reap_left(void)
{
	bool room = false;
	size_t i;

	pthread_mutex_lock(&left_lock);
	for (i = 0; i < RUN_MAX_LEFT; i++) {
		/* -1: ECHILD, which means that nothing is left to reap. */
		if (left[i] && waitpid(left[i], NULL, WNOHANG) != 0)
			left[i] = 0;
		room = room || !left[i];
	}
	pthread_mutex_unlock(&left_lock);
	return room;
}

/*
 * Leaves the program behind. Several threads may run programs, so there may be no room; then the
 * program stays a zombie until the daemon ends.
 */
static void leave(pid_t pid)
{
	size_t i;

	log_warn("process %d can't be reaped: it hangs in the kernel, or a tracer holds it",
		 (int)pid);
	pthread_mutex_lock(&left_lock);
	for (i = 0; i < RUN_MAX_LEFT && left[i]; i++)
		continue;
	if (i < RUN_MAX_LEFT)
		left[i] = pid;
	pthread_mutex_unlock(&left_lock);
}

/*
 * Reaps a program that has ended or was killed. 0, or -EBUSY after RUN_REAP_MS. Not a blocking
 * waitpid(2): the KILL of a program in an uninterruptible sleep does not end it, and only the
 * tracer can wait for a traced zombie.
 */
static int reap(pid_t pid, int pidfd, int *ret_status)
{
	uint64_t end_ms = clock_monotonic_ms() + RUN_REAP_MS, now;
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};

	for (;;) {
		if (waitpid(pid, ret_status, WNOHANG) != 0)
			return 0;
		now = clock_monotonic_ms();
		if (now >= end_ms)
			break;
		poll(&ended, 1, (int)(end_ms - now));
		/* A traced zombie is readable: look again after a pause. */
		if (ended.revents || pidfd < 0)
			poll(NULL, 0, REAP_PAUSE_MS);
	}
	leave(pid);
	return -EBUSY;
}

/* ---- a run ---- */

/* Finds the file of a program in the usual directories. */
static int find_program(const char *name, char *ret, size_t ret_bytes)
{
	static const char *const directories[] = {
		"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
	};
	size_t i;

	if (strchr(name, '/'))
		return (size_t)snprintf(ret, ret_bytes, "%s", name) < ret_bytes ? 0 : -ENAMETOOLONG;
	for (i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		snprintf(ret, ret_bytes, "%s/%s", directories[i], name);
		if (access(ret, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

/*
 * Starts the program with stdout and stderr redirected to `output`, all signals unblocked and set
 * to their default actions.
 */
static int start(const char *file, const char *const argv[], int output, pid_t *ret_pid)
{
	char *const environment[] = {path_variable, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSID);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, 1);
	posix_spawn_file_actions_adddup2(&actions, output, 2);
	r = posix_spawn(ret_pid, file, &actions, &attributes, (char *const *)(uintptr_t)argv,
			environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -r;
}

/* Collects the output until the program has ended, or the deadline has passed. */
static int await(int pidfd, int output, uint64_t deadline_ms, struct run_result *ret)
{
	struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = output, .events = POLLIN}};
	size_t have = 0;
	char piece[512];
	uint64_t now;
	ssize_t n;

	for (;;) {
		now = clock_monotonic_ms();
		if (now >= deadline_ms)
			return -ETIMEDOUT;
		if (poll(fds, 2, (int)(deadline_ms - now)) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents) {
			n = read(output, piece, sizeof(piece));
			if (n <= 0)
				fds[1].fd = -1;
			else if (have + (size_t)n < sizeof(ret->output))
				memcpy(ret->output + have, piece, (size_t)n), have += (size_t)n;
			continue;
		}
		if (fds[0].revents)
			break;
	}
	while (have && ret->output[have - 1] == '\n')
		have--;
	ret->output[have] = '\0';
	return 0;
}

int run_command(const char *const argv[], unsigned timeout_ms, struct run_result *ret)
{
	uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
	FD_AUTO int pidfd = -1;
	char file[PATH_MAX];
	int output[2], r, reaped;
	pid_t pid;

	memset(ret, 0, sizeof(*ret));
	if (!reap_left())
		return -EBUSY;
	r = find_program(argv[0], file, sizeof(file));
	if (r < 0)
		return r;
	if (pipe2(output, O_CLOEXEC) < 0)
		return -errno;
	r = start(file, argv, output[1], &pid);
	close(output[1]);
	if (r == 0) {
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		r = pidfd < 0 ? -errno : await(pidfd, output[0], deadline_ms, ret);
		if (r < 0)
			kill(-pid, SIGKILL);
		reaped = reap(pid, pidfd, &ret->status);
		if (reaped < 0)
			r = reaped;
	}
	close(output[0]);
	return r;
}
