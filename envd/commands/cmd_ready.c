/* SPDX-License-Identifier: Apache-2.0 */
/* envd ready: waits until the services of a sandbox are up. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/loop.h"
#include "base/mem.h"
#include "envd/commands/args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/probe.h"

#define READY_CONDITIONS_MAX  32
#define READY_TIMEOUT_MS      60000u
#define READY_INTERVAL_MS     100u
#define READY_INTERVAL_MIN_MS 10u
#define READY_URL_MS	      5000u /* for one request */
#define READY_STATUS	      200u

enum condition_kind {
	CONDITION_PORT,
	CONDITION_URL,
	CONDITION_FILE,
	CONDITION_PROCESS,
	CONDITION_SOCKET,
	CONDITION_FOR,
};

/* One condition of the command line. */
struct condition {
	enum condition_kind kind;
	const char *text; /* its value; borrowed */
	unsigned number;  /* the port, or the status of a URL */
	uint64_t ms;	  /* CONDITION_FOR */
	struct probe_url *url;
	unsigned last_status; /* of the URL's last answer; 0: none came */
};

struct ready {
	struct condition conditions[READY_CONDITIONS_MAX];
	size_t count;
	unsigned status;      /* wanted from the URLs; 0: READY_STATUS */
	uint64_t timeout_ms;  /* 0: no limit */
	uint64_t interval_ms; /* from one check of all conditions to the next */
	uint64_t started_ms;
};

static const struct arg arguments[] = {
	{"port", 'p', ARG_VALUE}, {"url", 'u', ARG_VALUE},     {"status", 's', ARG_VALUE},
	{"file", 'f', ARG_VALUE}, {"process", 'n', ARG_VALUE}, {"socket", 'x', ARG_VALUE},
	{"for", 'd', ARG_VALUE},  {"timeout", 't', ARG_VALUE}, {"interval", 'i', ARG_VALUE},
	{"help", 'h', ARG_PLAIN}, {NULL, 0, ARG_VALUE},
};

static const char usage[] =
	"Usage: envd ready CONDITION… [--timeout SECONDS] [--interval SECONDS]\n"
	"Waits until all conditions hold. Exits with 0 when they do, 1 at the timeout, 2 for a\n"
	"wrong argument.\n"
	"  --port N         a socket listens on TCP port N, or is bound to UDP port N\n"
	"  --url URL        GET of an http:// URL is answered with the status\n"
	"  --status N       that status, 200 if not given\n"
	"  --file PATH      PATH is a regular file, or leads to one\n"
	"  --process NAME   a process has NAME in its name\n"
	"  --socket PATH    a process accepts connections on the unix socket\n"
	"  --for SECONDS    this time has passed\n"
	"  --timeout        60 seconds more than --for if not given; 0: no limit\n"
	"  --interval       between two checks, 0.1 seconds if not given\n";

/* Adds a condition. 0 or -errno. */
static int add_condition(struct ready *r, enum condition_kind kind, const char *text)
{
	struct condition *c = &r->conditions[r->count];

	if (r->count == READY_CONDITIONS_MAX)
		return -E2BIG;
	c->kind = kind;
	c->text = text;
	r->count++;
	switch (kind) {
	case CONDITION_PORT:
		return args_number(text, 1, 65535, &c->number);
	case CONDITION_FOR:
		return args_seconds(text, &c->ms);
	case CONDITION_URL:
		c->url = mem_zalloc(sizeof(*c->url));
		return probe_url_parse(text, c->url);
	case CONDITION_FILE:
	case CONDITION_PROCESS:
	case CONDITION_SOCKET:
		return *text ? 0 : -EINVAL;
	}
	return -EINVAL;
}

/* Applies one argument. 0 or -errno. */
static int take_argument(struct ready *r, int key, const char *value)
{
	switch (key) {
	case 'p':
		return add_condition(r, CONDITION_PORT, value);
	case 'u':
		return add_condition(r, CONDITION_URL, value);
	case 'f':
		return add_condition(r, CONDITION_FILE, value);
	case 'n':
		return add_condition(r, CONDITION_PROCESS, value);
	case 'x':
		return add_condition(r, CONDITION_SOCKET, value);
	case 'd':
		return add_condition(r, CONDITION_FOR, value);
	case 's':
		return args_number(value, 100, 999, &r->status);
	case 't':
		return args_seconds(value, &r->timeout_ms);
	case 'i':
		return args_seconds(value, &r->interval_ms);
	}
	return -EINVAL;
}

/* Reads the arguments. 0, 1 if --help asks for the usage, or -EINVAL after one line on stderr. */
static int parse_arguments(struct ready *r, char **argv)
{
	bool urls = false, timeout = false;
	uint64_t longest_ms = 0;
	struct args args;
	int key, rc;

	args_init(&args, "ready", arguments, argv);
	while ((key = args_next(&args)) > 0) {
		if (key == 'h')
			return 1;
		timeout |= key == 't';
		rc = take_argument(r, key, args.value);
		if (rc < 0)
			return args_refuse(&args, rc == -E2BIG ? "too many conditions"
						  : rc == -EPROTONOSUPPORT
							  ? "only http:// can be asked"
							  : "not a valid value");
	}
	if (key < 0)
		return -EINVAL;
	for (size_t i = 0; i < r->count; i++) {
		urls |= r->conditions[i].kind == CONDITION_URL;
		if (r->conditions[i].ms > longest_ms)
			longest_ms = r->conditions[i].ms;
	}
	if (!timeout)
		r->timeout_ms += longest_ms;
	if (r->interval_ms < READY_INTERVAL_MIN_MS)
		r->interval_ms = READY_INTERVAL_MIN_MS;
	if (r->count && (urls || !r->status))
		return 0;
	fprintf(stderr, "envd ready: %s\n",
		r->count ? "--status needs a --url (see envd ready --help)"
			 : "no condition to wait for (see envd ready --help)");
	return -EINVAL;
}

/* Milliseconds until the timeout; UINT64_MAX if there is no limit. */
static uint64_t left_ms(const struct ready *r)
{
	uint64_t passed = clock_monotonic_ms() - r->started_ms;

	if (!r->timeout_ms)
		return UINT64_MAX;
	return passed < r->timeout_ms ? r->timeout_ms - passed : 0;
}

/* Checks a URL, and keeps the last status for the message at the timeout. */
static bool url_holds(const struct ready *r, struct condition *c)
{
	unsigned wanted = r->status ? r->status : READY_STATUS;
	uint64_t left = left_ms(r);
	unsigned status =
		probe_url(c->url, wanted, left < READY_URL_MS ? (unsigned)left : READY_URL_MS);

	if (status)
		c->last_status = status;
	return status == wanted;
}

/* Checks one condition, once. */
static bool holds(const struct ready *r, struct condition *c)
{

	switch (c->kind) {
	case CONDITION_PORT:
		return probe_port(c->number);
	case CONDITION_URL:
		return url_holds(r, c);
	case CONDITION_FILE:
		return probe_file(c->text);
	case CONDITION_PROCESS:
		return probe_process(c->text);
	case CONDITION_SOCKET:
		return probe_socket(c->text);
	case CONDITION_FOR:
		return clock_monotonic_ms() - r->started_ms >= c->ms;
	}
	return false;
}

/* The first condition that does not hold; NULL if all do. */
static struct condition *find_missing(struct ready *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (!holds(r, &r->conditions[i]))
			return &r->conditions[i];
	return NULL;
}

/* Sleeps for the interval, or until the timeout if that is earlier. */
static void sleep_interval(const struct ready *r)
{
	uint64_t left = left_ms(r), ms = r->interval_ms < left ? r->interval_ms : left;
	struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000 * 1000000)};

	nanosleep(&ts, NULL);
}

/* One line at the timeout: which condition does not hold, and what was seen instead. */
static void report_missing(const struct ready *r, const struct condition *c)
{
	static const char *const names[] = {"port", "url", "file", "process", "socket", "for"};
	unsigned wanted = r->status ? r->status : READY_STATUS;

	fprintf(stderr, "envd ready: timed out waiting for --%s %s", names[c->kind], c->text);
	if (c->kind == CONDITION_URL && c->last_status)
		fprintf(stderr, " (last status %u, %u is waited for)", c->last_status, wanted);
	else if (c->kind == CONDITION_URL)
		fputs(" (no answer)", stderr);
	fputc('\n', stderr);
}

int cmd_ready(int argc, char **argv)
{
	struct ready r = {.timeout_ms = READY_TIMEOUT_MS, .interval_ms = READY_INTERVAL_MS};
	struct condition *missing;
	int rc = parse_arguments(&r, argv);

	if (rc < 0)
		return 2;
	if (rc > 0) {
		fputs(usage, stdout);
		return 0;
	}
	r.started_ms = clock_monotonic_ms();
	while ((missing = find_missing(&r)) && left_ms(&r) > 0)
		sleep_interval(&r);
	if (missing)
		report_missing(&r, missing);
	for (size_t i = 0; i < r.count; i++)
		free(r.conditions[i].url);
	return missing ? 1 : 0;
}
