/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/run_files.h"

#define MAX_CPUS	 8192 /* NR_CPUS_DEFAULT of the largest kernel configurations */
#define LIST_MAX_BYTES	 65536
#define TARGET_MAX_BYTES 64

enum cpus_state {
	CPUS_IDLE,
	CPUS_WRITING,  /* a helper was started, or is about to be */
	CPUS_RETRYING, /* waits for the timer of the next run */
	CPUS_GIVEN_UP, /* until the next target */
};

struct cpu_list {
	uint8_t bits[MAX_CPUS / 8];
	unsigned n;
};

struct cpus {
	struct loop *loop;
	struct workers *workers; /* one thread: starts helpers, reads the target file */
	struct run_files *files;
	const char *directory, *program;
	enum cpus_state state;
	unsigned target; /* 0: none */
	unsigned attempts;
	unsigned idle_runs; /* consecutive runs that changed no CPU */
	unsigned changed;   /* CPUs changed in this run */
	bool warned;
	struct timer retry;

	struct work load; /* of the target file */
	unsigned loaded;

	/* The helper. */
	struct work spawn;
	int cpu;
	bool online; /* the value that it writes */
	pid_t pid;
	int pidfd;
	int spawn_result;
	uint64_t began_ms;
	struct fd_event exited;
};

static void run(struct cpus *c);

/* ---- the kernel's lists ---- */

unsigned cpus_parse_list(const char *text, uint8_t *bits, size_t bits_bytes)
{
	uint64_t first, last, max = bits_bytes * 8 - 1;
	unsigned n = 0;
	size_t digits;

	memset(bits, 0, bits_bytes);
	while ((digits = decimal_digits(text, strlen(text), max, &first)) > 0) {
		text += digits;
		last = first;
		if (*text == '-') {
			digits = decimal_digits(text + 1, strlen(text + 1), max, &last);
			if (digits == 0 || last < first)
				return 0;
			text += 1 + digits;
		}
		for (; first <= last; first++) {
			n += !(bits[first / 8] & 1u << first % 8);
			bits[first / 8] |= (uint8_t)(1u << first % 8);
		}
		text += *text == ',';
	}
	return *text == '\n' || *text == '\0' ? n : 0;
}

static void read_list(const struct cpus *c, const char *name, struct cpu_list *ret)
{
	char path[PATH_MAX], *text;

	memset(ret, 0, sizeof(*ret));
	snprintf(path, sizeof(path), "%s/%s", c->directory, name);
	if (fd_read_file(AT_FDCWD, path, LIST_MAX_BYTES, &text, NULL) < 0)
		return;
	ret->n = cpus_parse_list(text, ret->bits, sizeof(ret->bits));
	free(text);
}

static bool list_has(const struct cpu_list *list, int cpu)
{
	return list->bits[cpu / 8] & 1u << cpu % 8;
}

/* ---- states ---- */

static void cpus_set_state(struct cpus *c, enum cpus_state state)
{
	static const char *const names[] = {"idle", "writing", "retrying", "given up"};

	log_debug("cpus: %s -> %s", names[c->state], names[state]);
	c->state = state;
}

/*
 * Schedules the next run after a failure. If this run changed a CPU, the count of failures starts
 * anew.
 */
static void run_failed(struct cpus *c, const char *why)
{
	unsigned delay_s = 1;

	c->idle_runs = c->changed ? 1 : c->idle_runs + 1;
	if (c->idle_runs >= CPUS_MAX_RUNS) {
		cpus_set_state(c, CPUS_GIVEN_UP);
		log_event(&(struct log_line){.level = LOG_LEVEL_ERROR,
					     LOG_FIELDS(LOG_TEXT("error", why),
							LOG_NUMBER("attempts", c->attempts),
							LOG_NUMBER("target", c->target))},
			  "can't set the number of CPUs to %u: %s", c->target, why);
		return;
	}
	delay_s <<= c->idle_runs < 6 ? c->idle_runs - 1 : 5;
	if (delay_s > CPUS_RETRY_MAX_S)
		delay_s = CPUS_RETRY_MAX_S;
	cpus_set_state(c, CPUS_RETRYING);
	log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
				     LOG_FIELDS(LOG_TEXT("error", why),
						LOG_NUMBER("attempt", c->attempts),
						LOG_NUMBER("retry_in", delay_s * 1000))},
		  "the number of CPUs is not yet %u: %s", c->target, why);
	timer_set_ms(&c->retry, (uint64_t)delay_s * 1000);
}

static void run_reached(struct cpus *c, const struct cpu_list *online)
{
	struct cpus_figures figures;

	cpus_read(c, &figures);
	cpus_set_state(c, CPUS_IDLE);
	c->idle_runs = 0;
	log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
				     LOG_FIELDS(LOG_NUMBER("online", online->n),
						LOG_NUMBER("possible", figures.possible),
						LOG_NUMBER("changed", c->changed))},
		  "%u CPUs are online", online->n);
}

/* ---- one write, by the helper ---- */

static void spawn_run(struct work *work)
{
	struct cpus *c = container_of(work, struct cpus, spawn);
	static char variable[] = "E2B_REEXEC_HELPER=cpu-online";
	char *const environment[] = {variable, NULL};
	char path[PATH_MAX];
	char value[] = {c->online ? '1' : '0', '\0'};
	char *const argv[] = {(char[]){"envd"}, (char[]){"cpu-online"}, path, value, NULL};
	posix_spawnattr_t attributes;
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	snprintf(path, sizeof(path), "%s/cpu%d/online", c->directory, c->cpu);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSID);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	c->spawn_result = -posix_spawn(&c->pid, c->program, NULL, &attributes, argv, environment);
	posix_spawnattr_destroy(&attributes);
	if (c->spawn_result < 0)
		return;
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd < 0)
		c->spawn_result = -errno;
}

/* The helper has ended. The kernel's list of online CPUs shows if its write had an effect. */
static void write_over(struct cpus *c, const char *why)
{
	struct cpu_list online;

	c->began_ms = 0;
	read_list(c, "online", &online);
	if (list_has(&online, c->cpu) != c->online) {
		run_failed(c, why);
		return;
	}
	c->changed++;
	log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG,
				     LOG_FIELDS(LOG_NUMBER("cpu", c->cpu),
						LOG_BOOL("online", c->online))},
		  "CPU %d is %s", c->cpu, c->online ? "online" : "offline");
	run(c);
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
	struct cpus *c = arg;
	siginfo_t info = {0};

	/*
	 * waitid(2) fails if the child was reaped elsewhere; the list of CPUs shows the result
	 * then, too.
	 */
	if (waitid((idtype_t)P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG) == 0 &&
	    info.si_pid == 0)
		return;
	fd_event_del(&c->exited);
	fd_close(&c->pidfd);
	write_over(c, "the write had no effect");
}

static void spawn_done(struct work *work)
{
	struct cpus *c = container_of(work, struct cpus, spawn);

	if (c->spawn_result < 0) {
		write_over(c, error_errno_text(c->spawn_result));
		return;
	}
	fd_event_init(&c->exited, c->loop, c->pidfd, EV_READ | EV_PERSIST, on_exited, c);
	fd_event_add(&c->exited);
}

static void write_start(struct cpus *c, int cpu, bool online)
{
	cpus_set_state(c, CPUS_WRITING);
	c->cpu = cpu;
	c->online = online;
	c->pidfd = -1;
	c->began_ms = clock_monotonic_ms();
	c->spawn.run = spawn_run;
	c->spawn.done = spawn_done;
	work_submit(c->workers, &c->spawn);
}

/* ---- a run ---- */

/* Returns the next CPU to change, or -1 if there is none. */
static int choose(const struct cpu_list *online, const struct cpu_list *possible, bool grow)
{
	int cpu;

	if (grow) {
		for (cpu = 1; cpu < MAX_CPUS; cpu++)
			if (list_has(possible, cpu) && !list_has(online, cpu))
				return cpu;
	} else {
		for (cpu = MAX_CPUS - 1; cpu > 0; cpu--)
			if (list_has(online, cpu))
				return cpu;
	}
	return -1;
}

/*
 * Makes the next step of a run. Reads the target anew before each write, because it may have
 * changed.
 */
static void run(struct cpus *c)
{
	struct cpu_list online, possible;
	int cpu;

	read_list(c, "online", &online);
	read_list(c, "possible", &possible);
	if (online.n == 0) {
		run_failed(c, "the list of CPUs can't be read");
		return;
	}
	if (online.n == c->target) {
		run_reached(c, &online);
		return;
	}
	cpu = choose(&online, &possible, online.n < c->target);
	if (cpu < 0)
		run_failed(c, "there is no CPU to change");
	else
		write_start(c, cpu, online.n < c->target);
}

static void run_begin(void *arg)
{
	struct cpus *c = arg;

	c->attempts++;
	c->changed = 0;
	run(c);
}

/* If a write is in progress, the run continues with the new target after that write. */
static void set_target(struct cpus *c, unsigned target)
{
	c->target = target;
	c->attempts = c->state == CPUS_WRITING;
	c->idle_runs = 0;
	timer_cancel(&c->retry);
	if (c->state != CPUS_WRITING)
		run_begin(c);
}

/* ---- calls ---- */

int cpus_set_target(struct cpus *c, int64_t count, struct error *err)
{
	struct cpus_figures figures;
	char text[24];

	cpus_read(c, &figures);
	if (count < 1 || count > (int64_t)figures.possible)
		return error_set(err, ERROR_INVALID_ARGUMENT, "cpu target %jd outside 1..%u",
				 (intmax_t)count, figures.possible);
	snprintf(text, sizeof(text), "%u", (unsigned)count);
	run_files_set(c->files, CPUS_TARGET_FILE, text, 0644);
	set_target(c, (unsigned)count);
	return 0;
}

void cpus_read(const struct cpus *c, struct cpus_figures *ret)
{
	struct cpu_list list;
	uint64_t pending_ms;

	*ret = (struct cpus_figures){0};
	if (!c)
		return;
	read_list(c, "possible", &list);
	ret->possible = list.n;
	read_list(c, "online", &list);
	ret->online = list.n;
	ret->target = c->target;
	ret->attempts = c->attempts;
	if (c->began_ms) {
		pending_ms = clock_monotonic_ms() - c->began_ms;
		ret->write_pending_ms = pending_ms ? pending_ms : 1;
	}
}

/* Reads the target that an earlier daemon stored. */
static void load_run(struct work *work)
{
	struct cpus *c = container_of(work, struct cpus, load);
	uint64_t value;
	char *text;
	int r;

	r = fd_read_file(AT_FDCWD, RUN_FILES_DIRECTORY "/" CPUS_TARGET_FILE, TARGET_MAX_BYTES,
			 &text, NULL);
	if (r == -ENOENT)
		return;
	if (r < 0) {
		log_warn("the target of CPUs can't be read: %s", error_errno_text(r));
		return;
	}
	if (!decimal_parse_text(text, MAX_CPUS, &value) || value == 0)
		log_warn("the stored target is not a valid number of CPUs");
	else
		c->loaded = (unsigned)value;
	free(text);
}

static void load_done(struct work *work)
{
	struct cpus *c = container_of(work, struct cpus, load);
	struct cpus_figures figures;

	cpus_read(c, &figures);
	if (c->target || c->loaded == 0)
		return; /* an /init was faster */
	if (c->loaded > figures.possible)
		log_warn("the target of %u CPUs is ignored: the machine has %u", c->loaded,
			 figures.possible);
	else
		set_target(c, c->loaded);
}

struct cpus *cpus_new(struct loop *loop, struct run_files *files, const char *directory,
		      const char *helper)
{
	struct cpus *c = mem_zalloc(sizeof(*c));

	c->loop = loop;
	c->files = files;
	c->directory = directory;
	c->program = helper;
	c->pidfd = -1;
	c->workers = workers_new(loop, "cpus", 1);
	timer_init(&c->retry, loop, run_begin, c);
	c->load.run = load_run;
	c->load.done = load_done;
	work_submit(c->workers, &c->load);
	return c;
}

void cpus_free(struct cpus *c)
{
	if (!c)
		return;
	workers_free(c->workers);
	timer_cancel(&c->retry);
	if (c->pidfd >= 0 && event_initialized(&c->exited.event))
		fd_event_del(&c->exited);
	fd_close(&c->pidfd);
	free(c);
}

/* ---- the helper ---- */

int cpus_helper(int argc, char **argv)
{
	FD_AUTO int fd = -1;

	if (argc != 3 || (strcmp(argv[2], "0") != 0 && strcmp(argv[2], "1") != 0)) {
		fprintf(stderr, "Usage: envd cpu-online FILE 0|1\n");
		return 1;
	}
	fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, argv[2], 1) == 1)
		return 0;
	fprintf(stderr, "envd: %s: %s\n", argv[1], error_errno_text(errno));
	return 1;
}
