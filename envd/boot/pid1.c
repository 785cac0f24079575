/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/boot/inherited.h"
#include "envd/boot/pid1_command.h"
#include "envd/boot/pid1_store.h"

/*
 * The cgroup of the command of -init-exec. It lies below the group that the daemon makes for
 * processes of users: that group itself can't have members once its controllers are enabled for its
 * children (cgroups(7), "no internal processes").
 */
#define EXEC_CGROUP "/sys/fs/cgroup/user/init-exec"

struct pid1 {
	const struct pid1_options *options;
	sigset_t signals;   /* all signals: process 1 waits for them */
	sigset_t inherited; /* the mask of the children */
	pid_t daemon;	    /* 0 while none runs */
	uint64_t started_ms;
	uint64_t restart_ms;	  /* while none runs: the time of the next start */
	uint64_t delay_ms;	  /* before the next restart */
	struct pid1_store *store; /* NULL: it could not be created */
	bool exec_started;
	pid_t exec;
	struct pid1_command command; /* without argv: this is process 1 of a machine */
};

int pid1_halt_parse(const char *text, enum pid1_halt *ret)
{
	static const char *const names[] = {"auto", "poweroff", "reboot", "halt"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum pid1_halt)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* The daemon sends this signal once it listens. The kernel queues real-time signals (signal(7)). */
static int listening_signal(void)
{
	return SIGRTMIN;
}

void pid1_listening(void)
{
	kill(1, listening_signal());
}

/* Writes a text to a file in /proc or /sys. Does nothing if the file can't be opened. */
static void write_file(const char *path, const char *text)
{
	FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		fd_write_all(fd, text, strlen(text));
}

/*
 * Sets the priorities of systemd/envd.service: the daemon must answer under memory and CPU
 * pressure, and the OOM killer must not choose it. pty/spawn_child.c resets them in processes of
 * users.
 */
static void favour_daemon(void)
{
	write_file("/proc/self/oom_score_adj", "-1000");
	setpriority(PRIO_PROCESS, 0, -20);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 4));
}

/* In the daemon of a container: standard input and its terminal are the command's. */
static void leave_input(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	close(fd);
}

/* Forks the daemon. Returns true in the child, which is the daemon. */
static bool start_daemon(struct pid1 *p)
{
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		if (p->command.argv)
			leave_input();
		else
			favour_daemon();
		sigprocmask(SIG_SETMASK, &p->inherited, NULL);
		return true;
	}
	p->started_ms = clock_monotonic_ms();
	if (pid < 0) {
		log_error("init: starting the daemon: %s", error_errno_text(errno));
		p->restart_ms = p->started_ms + PID1_RESTART_MAX_MS;
		return false;
	}
	p->daemon = pid;
	return false;
}

/* In the child: splits the command of -init-exec at blanks and executes it. */
static _Noreturn void exec_command(const char *command)
{
	char *words[PID1_EXEC_WORDS + 1], *save = NULL, *text = mem_strdup(command);
	size_t n = 0;

	for (char *word = strtok_r(text, " \t", &save); word && n < PID1_EXEC_WORDS;
	     word = strtok_r(NULL, " \t", &save))
		words[n++] = word;
	words[n] = NULL;
	if (n)
		execvp(words[0], words);
	log_error("init: %s: %s", command, error_errno_text(n ? errno : EINVAL));
	_exit(127);
}

/* Starts the command of -init-exec, once: a restart of the daemon does not start it again. */
static void start_exec(struct pid1 *p)
{
	if (!p->options->exec || p->exec_started)
		return;
	p->exec_started = true;
	p->exec = fork();
	if (p->exec < 0) {
		log_error("init: %s: %s", p->options->exec, error_errno_text(errno));
	} else if (p->exec == 0) {
		setsid();
		mkdir(EXEC_CGROUP, 0755);
		write_file(EXEC_CGROUP "/cgroup.procs", "0");
		sigprocmask(SIG_SETMASK, &p->inherited, NULL);
		exec_command(p->options->exec);
	}
}

/* Writes the exit status of a child as text. */
static void describe_end(int status, char *out, size_t n)
{
	if (WIFSIGNALED(status))
		snprintf(out, n, "signal %d", WTERMSIG(status));
	else
		snprintf(out, n, "exit status %d", WEXITSTATUS(status));
}

/* Schedules the next start of the daemon. */
static void daemon_died(struct pid1 *p, const char *how)
{
	uint64_t now = clock_monotonic_ms();

	if (now - p->started_ms >= PID1_RESTART_SETTLE_MS || !p->delay_ms)
		p->delay_ms = PID1_RESTART_MS;
	p->daemon = 0;
	p->restart_ms = now + p->delay_ms;
	log_error("init: the daemon ended with %s, starting it again in %u ms", how,
		  (unsigned)p->delay_ms);
	p->delay_ms *= 2;
	if (p->delay_ms > PID1_RESTART_MAX_MS)
		p->delay_ms = PID1_RESTART_MAX_MS;
}

/* Reaps all ended children, including orphans. Returns false if no child is left. */
static bool reap(struct pid1 *p, bool ending)
{
	char how[32];
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		describe_end(status, how, sizeof(how));
		if (pid == p->daemon && !ending)
			daemon_died(p, how);
		else if (pid == p->daemon)
			p->daemon = 0;
		else if (pid == p->exec)
			log_info("init: %s ended with %s", p->options->exec, how);
		if (pid == p->exec)
			p->exec = 0;
		if (pid == p->command.pid) {
			p->command.pid = 0;
			p->command.status = status;
		}
	}
	return pid == 0;
}

/* Waits for a signal for at most `ms`; UINT64_MAX: without a limit. Returns the signal, or -1. */
static int wait_signal(struct pid1 *p, uint64_t ms, siginfo_t *info)
{
	struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)};

	return sigtimedwait(&p->signals, info, ms == UINT64_MAX ? NULL : &ts);
}

/*
 * Reaps children for at most `ms`, until *which is 0. If `which` is NULL: until no child is left.
 */
static void reap_until_gone(struct pid1 *p, const pid_t *which, uint64_t ms)
{
	uint64_t deadline = clock_monotonic_ms() + ms, now;
	siginfo_t info;

	while (reap(p, true) && (!which || *which)) {
		now = clock_monotonic_ms();
		if (now >= deadline)
			return;
		wait_signal(p, deadline - now, &info);
	}
}

/* Ends the machine: stops the daemon, then all other processes, unmounts, and calls reboot(2). */
static _Noreturn void end_machine(struct pid1 *p, int sig)
{
	enum pid1_halt halt = p->options->halt;
	int command;

	if (halt == PID1_HALT_AUTO)
		halt = sig == SIGINT ? PID1_HALT_REBOOT : PID1_HALT_POWEROFF;
	command = halt == PID1_HALT_REBOOT     ? RB_AUTOBOOT
		  : halt == PID1_HALT_POWEROFF ? RB_POWER_OFF
					       : RB_HALT_SYSTEM;
	log_info("init: signal %d, %s", sig,
		 halt == PID1_HALT_REBOOT     ? "rebooting"
		 : halt == PID1_HALT_POWEROFF ? "powering off"
					      : "halting");
	if (p->daemon) {
		kill(p->daemon, SIGTERM);
		reap_until_gone(p, &p->daemon, PID1_STOP_DAEMON_MS);
	}
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	reap_until_gone(p, NULL, PID1_STOP_MS);
	kill(-1, SIGKILL);
	reap_until_gone(p, NULL, PID1_KILL_MS);
	pid1_unmount();
	reboot(command);
	/* In a container reboot(2) may fail; the exit of process 1 ends the container. */
	_exit(0);
}

/* Ends process 1 with the command's exit status. The kernel then ends the container. */
static _Noreturn void end_container(struct pid1 *p)
{
	if (p->daemon) {
		kill(p->daemon, SIGTERM);
		reap_until_gone(p, &p->daemon, PID1_STOP_DAEMON_MS);
	}
	if (p->daemon)
		kill(p->daemon, SIGKILL);
	_exit(pid1_command_exit_code(&p->command));
}

/* A signal to process 1 of a container: all but its own are the command's. */
static void take_container_signal(struct pid1 *p, int sig, const siginfo_t *info)
{
	if (sig == SIGCHLD) {
		reap(p, false);
		if (!p->command.pid)
			end_container(p);
	} else if (sig == SIGIO && info->si_code > 0) {
		/* From the kernel (sigaction(2), si_code), for the store. */
		pid1_store_read(p->store);
	} else {
		pid1_command_forward(&p->command, sig);
	}
}

static void take_signal(struct pid1 *p, int sig, const siginfo_t *info)
{
	if (p->command.argv) {
		take_container_signal(p, sig, info);
	} else if (sig == SIGCHLD) {
		reap(p, false);
	} else if (sig == SIGIO) {
		pid1_store_read(p->store);
	} else if (sig == listening_signal()) {
		if (info->si_pid == p->daemon)
			start_exec(p);
	} else if (sig == SIGTERM || sig == SIGINT || sig == SIGPWR) {
		end_machine(p, sig);
	} else if ((sig == SIGHUP || sig == SIGUSR1 || sig == SIGUSR2) && p->daemon) {
		kill(p->daemon, sig);
	}
}

/* Reaps all ended children. Exits if the daemon is one of them. */
static void reap_or_exit(pid_t daemon)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == daemon)
			_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

void pid1_reap_for_daemon(void)
{
	sigset_t signals, inherited;
	pid_t daemon;
	int sig;

	/* The kernel drops signals that a PID 1 has no handler for; a blocked signal waits. */
	sigfillset(&signals);
	sigprocmask(SIG_SETMASK, &signals, &inherited);
	daemon = fork();
	if (daemon <= 0) {
		if (daemon < 0)
			log_error("init: fork: %s; orphans are not reaped",
				  error_errno_text(errno));
		sigprocmask(SIG_SETMASK, &inherited, NULL);
		return;
	}
	for (;;) {
		sig = sigwaitinfo(&signals, NULL);
		if (sig == SIGCHLD)
			reap_or_exit(daemon);
		else if (sig > 0)
			kill(daemon, sig);
	}
}

/* The inode of the first PID namespace's file (PROC_PID_INIT_INO in the kernel's proc_ns.h). */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCu

/*
 * Returns true in process 1 of a machine. The kernel starts it without /proc, which every container
 * engine mounts.
 */
static bool is_machine(void)
{
	struct stat st;

	return getpid() == 1 &&
	       (stat("/proc/self/ns/pid", &st) < 0 || st.st_ino == FIRST_PID_NAMESPACE);
}

/* Exits with status 2 if this process can't do what the options ask. */
static void check_place(const struct pid1_options *options)
{
	if (options->command && is_machine()) {
		fputs("envd: -init -- COMMAND is for containers; a machine takes -init-exec\n",
		      stderr);
		exit(2);
	}
	if (!options->command && getpid() != 1) {
		fprintf(stderr,
			"envd: -init is for process 1, this is process %d; with -- COMMAND it may "
			"be "
			"any process\n",
			getpid());
		exit(2);
	}
}

/* Starts the command of a container, or prepares a machine. */
static void begin(struct pid1 *p)
{
	int r;

	if (!p->command.argv) {
		pid1_setup();
		return;
	}
	if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) < 0)
		log_warn("init: orphans are not reaped: %s", error_errno_text(errno));
	r = pid1_command_start(&p->command, &p->inherited);
	if (r < 0) {
		log_error("init: fork: %s", error_errno_text(-r));
		_exit(PID1_COMMAND_REFUSED);
	}
}

void pid1_run(const struct pid1_options *options, struct inherited *listeners)
{
	struct pid1 p = {
		.options = options,
		.command = {.argv = options->command, .group = options->group},
	};
	siginfo_t info;

	check_place(options);
	/* The kernel drops signals that a PID 1 has no handler for; a blocked signal waits. */
	sigfillset(&p.signals);
	sigprocmask(SIG_SETMASK, &p.signals, &p.inherited);
	begin(&p);
	inherited_open(listeners, options->listen, options->n_listen);
	p.store = pid1_store_new();
	if (start_daemon(&p)) {
		pid1_store_inherit(p.store, listeners);
		return;
	}
	for (;;) {
		uint64_t now = clock_monotonic_ms(), wait_ms = UINT64_MAX;
		int sig;

		/* The daemon may have sent datagrams before it died. */
		pid1_store_read(p.store);
		if (!p.daemon && now >= p.restart_ms && start_daemon(&p)) {
			pid1_store_inherit(p.store, listeners);
			return;
		}
		if (!p.daemon)
			wait_ms = p.restart_ms > now ? p.restart_ms - now : 0;
		sig = wait_signal(&p, wait_ms, &info);
		if (sig > 0)
			take_signal(&p, sig, &info);
	}
}
