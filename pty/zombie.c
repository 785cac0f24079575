/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/zombie.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/proc_stat.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* Not in the headers of Debian 12. */
#define PIDFD_GET_INFO_64    _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, 64)
#define PIDFD_INFO_EXIT_MASK (UINT64_C(1) << 3)

enum zombie_state {
	ZOMBIE_RUNNING, /* its pidfd becomes readable */
	ZOMBIE_HELD,	/* by a tracer: the timer tries again */
};

struct zombie {
	struct zombies *all;
	pid_t pid;
	int pidfd; /* owned */
	enum zombie_state state;
	struct fd_event exited;
	TAILQ_ENTRY(zombie) link;
};

/* Splits a status of wait(2) as waitid(2) does. */
static void from_wait_status(int status, struct exit_status *ret)
{
	if (WIFEXITED(status)) {
		ret->code = CLD_EXITED;
		ret->status = WEXITSTATUS(status);
	} else {
		ret->code = WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
		ret->status = WTERMSIG(status);
	}
}

/* Reads the status from /proc/PID/stat, which shows 0 to a process that may not trace PID. */
static void read_exit_status(pid_t pid, struct exit_status *ret)
{
	struct proc_stat stat;

	if (proc_stat_read(-1, pid, &stat) == 0)
		from_wait_status(stat.exit_code, ret);
}

/*
 * Calls waitid(2) without blocking, as a system call, because glibc's function has no fifth
 * argument. 1: *info and *usage describe the child; 0: the child is traced; or -errno.
 */
static int wait_for_child(int pidfd, int options, siginfo_t *info, struct rusage *usage)
{
	long r;

	memset(info, 0, sizeof(*info));
	memset(usage, 0, sizeof(*usage));
	do
		r = syscall(SYS_waitid, P_PIDFD, pidfd, info, WEXITED | WNOHANG | options, usage);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : info->si_pid != 0;
}

static uint64_t time_us(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

/*
 * Reads the exit status of a process that is not a child from its pidfd: Linux 6.15 keeps it there
 * after the process was reaped (include/uapi/linux/pidfd.h, PIDFD_GET_INFO). On failure *ret is
 * unchanged.
 */
static void read_pidfd_info(int pidfd, struct exit_status *ret)
{
	struct {
		uint64_t mask, cgroup;
		uint32_t ids[11];
		int32_t exit_code;
	} info = {.mask = PIDFD_INFO_EXIT_MASK};

	if (ioctl(pidfd, PIDFD_GET_INFO_64, &info) == 0 && (info.mask & PIDFD_INFO_EXIT_MASK))
		from_wait_status(info.exit_code, ret);
}

void zombie_read_status(pid_t pid, int pidfd, struct exit_status *ret)
{
	struct rusage usage;
	siginfo_t info;
	int r = wait_for_child(pidfd, WNOWAIT, &info, &usage);

	ret->code = CLD_KILLED;
	ret->status = 0;
	if (r == 1) {
		ret->code = info.si_code;
		ret->status = info.si_status;
		ret->cpu_time_us = time_us(&usage.ru_utime) + time_us(&usage.ru_stime);
		ret->memory_peak_kib = (uint32_t)usage.ru_maxrss;
	} else if (r == 0) {
		read_exit_status(pid, ret);
	} else {
		/*
		 * ECHILD: the daemon has adopted it after a crash, and another process has reaped
		 * it.
		 */
		ret->code = 0;
		read_pidfd_info(pidfd, ret);
	}
}

/* Returns true if the child was reaped, or can't be waited for. */
static bool reap(const struct zombie *zombie)
{
	struct rusage usage;
	siginfo_t info;

	return wait_for_child(zombie->pidfd, 0, &info, &usage) != 0;
}

static void zombie_free(struct zombies *z, struct zombie *zombie)
{
	if (zombie->state == ZOMBIE_RUNNING)
		fd_event_del(&zombie->exited);
	fd_close(&zombie->pidfd);
	free(zombie);
	if (z->budget)
		budget_give(z->budget, BUDGET_PROCESSES, 1);
}

static void retry(void *arg)
{
	struct zombies *z = arg;
	struct zombie *zombie, *next;
	size_t before = z->n_held;

	for (zombie = TAILQ_FIRST(&z->list); zombie; zombie = next) {
		next = TAILQ_NEXT(zombie, link);
		if (zombie->state != ZOMBIE_HELD || !reap(zombie))
			continue;
		log_debug("process %d: reaped at last", (int)zombie->pid);
		TAILQ_REMOVE(&z->list, zombie, link);
		z->n--;
		z->n_held--;
		zombie_free(z, zombie);
	}
	z->retry_ms = z->n_held < before ? ZOMBIE_RETRY_MIN_MS : z->retry_ms * 2;
	if (z->retry_ms > ZOMBIE_RETRY_MAX_MS)
		z->retry_ms = ZOMBIE_RETRY_MAX_MS;
	if (z->n_held)
		timer_set_ms(&z->retry, z->retry_ms);
}

void zombies_pids(const struct zombies *z, int32_t *ret)
{
	const struct zombie *zombie;

	TAILQ_FOREACH (zombie, &z->list, link)
		*ret++ = zombie->pid;
}

void zombies_init(struct zombies *z, struct loop *loop, struct budget *budget)
{
	memset(z, 0, sizeof(*z));
	z->budget = budget;
	z->loop = loop;
	TAILQ_INIT(&z->list);
	timer_init(&z->retry, loop, retry, z);
}

void zombies_clear(struct zombies *z)
{
	struct zombie *zombie;

	timer_cancel(&z->retry);
	while ((zombie = TAILQ_FIRST(&z->list))) {
		TAILQ_REMOVE(&z->list, zombie, link);
		zombie_free(z, zombie);
	}
	z->n = z->n_held = 0;
}

bool zombies_have(const struct zombies *z, pid_t pid)
{
	const struct zombie *zombie;

	TAILQ_FOREACH (zombie, &z->list, link)
		if (zombie->pid == pid)
			return true;
	return false;
}

static struct zombie *zombie_new(struct zombies *z, pid_t pid, int pidfd, enum zombie_state state)
{
	struct zombie *zombie = mem_zalloc(sizeof(*zombie));

	zombie->all = z;
	zombie->pid = pid;
	zombie->pidfd = pidfd;
	zombie->state = state;
	return zombie;
}

static void awaited_exited(evutil_socket_t fd, short what, void *arg)
{
	struct zombie *zombie = arg;
	struct zombies *z = zombie->all;

	TAILQ_REMOVE(&z->list, zombie, link);
	z->n--;
	fd_event_del(&zombie->exited);
	zombies_add(z, zombie->pid, zombie->pidfd);
	free(zombie);
}

void zombies_await(struct zombies *z, pid_t pid, int pidfd)
{
	struct zombie *zombie = zombie_new(z, pid, pidfd, ZOMBIE_RUNNING);

	TAILQ_INSERT_TAIL(&z->list, zombie, link);
	z->n++;
	fd_event_init(&zombie->exited, z->loop, pidfd, EV_READ | EV_PERSIST, awaited_exited,
		      zombie);
	fd_event_add(&zombie->exited);
}

void zombies_add(struct zombies *z, pid_t pid, int pidfd)
{
	struct zombie *zombie = zombie_new(z, pid, pidfd, ZOMBIE_HELD);

	if (reap(zombie)) {
		zombie_free(z, zombie);
		return;
	}
	log_info("process %d has ended, but cannot be reaped yet: a tracer holds it", (int)pid);
	TAILQ_INSERT_TAIL(&z->list, zombie, link);
	z->n++;
	z->n_held++;
	z->retry_ms = ZOMBIE_RETRY_MIN_MS;
	timer_set_ms(&z->retry, z->retry_ms);
}
