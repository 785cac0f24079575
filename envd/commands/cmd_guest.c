/* SPDX-License-Identifier: Apache-2.0 */
/* envd health, info, top, ports, freeze and thaw: one request of the control API each. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "envd/client/exchange.h"
#include "envd/client/show.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "rpc/codec/json.h"

#define GUEST_ANSWER_BYTES (8u * 1024 * 1024)
#define GUEST_WAIT_MAX_MS  30000u /* for a freeze; CLIENT_SILENCE_MS is longer */

/* An endpoint, and how its answer is shown. */
struct request {
	const char *command, *method, *target, *usage;
	/* Prints the answer. 0, or -1 with the error. NULL: the answer has no body. */
	int (*print)(const char *json, size_t n, struct error *err);
	const char *absent;	    /* shown if there is no such endpoint; NULL: that is an error */
	const struct request *next; /* shown after it, or NULL */
};

static const struct arg arguments[] = {{"json", 'j', ARG_PLAIN}, CLIENT_TIMEOUT, CLIENT_ARGS};
static const struct arg freeze_arguments[] = {
	{"json", 'j', ARG_PLAIN}, {"wait", 'W', ARG_VALUE}, CLIENT_TIMEOUT, CLIENT_ARGS};

/* Sends the request. 0 and the body of a success, owned; or -1 with the error. */
static int ask(const struct client *c, const char *method, const char *target, char **ret,
	       size_t *ret_bytes, struct error *err)
{
	struct exchange *x = mem_zalloc(sizeof(*x));
	int r = exchange_open(x, c, method, target, "", 0, err);

	if (r == 0)
		r = exchange_success(x, err);
	if (r == 0)
		r = exchange_body(x, GUEST_ANSWER_BYTES, ret, ret_bytes, err);
	exchange_close(x);
	free(x);
	return r;
}

/* Makes the request and shows its answer. The exit status. */
static int show_answer(const struct client *c, const struct request *request, const char *target,
		       bool json)
{
	char *body = NULL;
	struct error err;
	size_t n = 0;
	int r = ask(c, request->method, target, &body, &n, &err);

	if (r < 0 && err.code == ERROR_NOT_FOUND && request->absent && !json) {
		puts(request->absent);
		r = 0;
	} else if (r == 0 && json && n) {
		show_json(stdout, body, n - (body[n - 1] == '\n'));
		putchar('\n');
	} else if (r == 0 && request->print && n) {
		r = request->print(body, n, &err);
	}
	if (r < 0)
		client_complain(c, &err);
	free(body);
	if (r == 0 && !json && request->next)
		return show_answer(c, request->next, request->next->target, json);
	return r < 0 ? 1 : 0;
}

/* A command without options of its own. */
static int run(char **argv, const struct request *request)
{
	struct client c;
	struct args args;
	bool json = false;
	int key = client_init(&c, request->command), status = 0;

	args_init(&args, request->command, arguments, argv);
	while (key >= 0 && (key = client_args_next(&args, &c, request->usage)) > 0)
		json = true;
	if (key == 0)
		status = show_answer(&c, request, request->target, json);
	return client_end(&c, key, status, 2);
}

/* ---- health, thaw ---- */

int cmd_health(int argc, char **argv)
{
	static const struct request request = {
		.command = "health",
		.method = "GET",
		.target = "/health",
		.usage = "Usage: envd health [OPTION…]\n"
			 "Exits with 0 if the daemon answers, 1 if not, 2 "
			 "for a wrong argument.\n"};

	return run(argv, &request);
}

int cmd_thaw(int argc, char **argv)
{
	static const struct request request = {
		.command = "thaw",
		.method = "POST",
		.target = "/unfreeze",
		.usage = "Usage: envd thaw [OPTION…]\n"
			 "Continues the processes of a guest that envd freeze has stopped.\n"};

	return run(argv, &request);
}

/* ---- top ---- */

/* The numbers of /metrics that are shown. */
enum metric { CPU_COUNT, CPU_USED, MEM_TOTAL, MEM_USED, MEM_CACHE, DISK_USED, DISK_TOTAL, METRICS };

static void take_number(struct json_lexer *in, double *ret)
{
	if (in->token != JSON_NUMBER || json_number_double(in->text.p, in->text.n, ret) < 0)
		json_fail(in, "must be a number");
}

static int print_metrics(const char *json, size_t n, struct error *err)
{
	static const char *const names[METRICS] = {
		[CPU_COUNT] = "cpu_count",   [CPU_USED] = "cpu_used_pct", [MEM_TOTAL] = "mem_total",
		[MEM_USED] = "mem_used",     [MEM_CACHE] = "mem_cache",	  [DISK_USED] = "disk_used",
		[DISK_TOTAL] = "disk_total",
	};
	const double mib = 1024 * 1024, gib = 1024 * mib;
	double m[METRICS] = {0};
	struct json_lexer in;

	json_lexer_init(&in, json, n);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			for (size_t i = 0; i < METRICS; i++)
				if (json_name_is(&in, names[i]))
					take_number(&in, &m[i]);
			json_skip(&in);
		}
	if (json_finish(&in, err) < 0)
		return error_prefix(err, "a malformed answer");
	printf("cpu     %6.2f%% of %.0f\n", m[CPU_USED], m[CPU_COUNT]);
	printf("memory  %.0f of %.0f MiB, %.0f MiB cache\n", m[MEM_USED] / mib, m[MEM_TOTAL] / mib,
	       m[MEM_CACHE] / mib);
	printf("disk    %.1f of %.1f GiB\n", m[DISK_USED] / gib, m[DISK_TOTAL] / gib);
	return 0;
}

int cmd_top(int argc, char **argv)
{
	static const struct request request = {
		.command = "top",
		.method = "GET",
		.target = "/metrics",
		.usage = "Usage: envd top [--json] [OPTION…]\n"
			 "Shows the use of processors, memory and disk of a guest.\n"
			 "  --json               the answer of GET /metrics\n",
		.print = print_metrics};

	return run(argv, &request);
}

/* ---- info ---- */

/* Prints a string, a number or a boolean. Skips anything else. */
static void print_scalar(struct json_lexer *in)
{
	struct arena arena = {.limit_bytes = GUEST_ANSWER_BYTES};
	char *text;

	putchar(' ');
	if (in->token == JSON_NUMBER)
		show_bytes(stdout, in->text.p, in->text.n);
	else if (in->token == JSON_TRUE || in->token == JSON_FALSE)
		fputs(in->token == JSON_TRUE ? "yes" : "no", stdout);
	else if (in->token != JSON_STRING)
		json_skip(in);
	else if (json_get_string(in, &arena, &text, NULL) == 0)
		show_text(stdout, text);
	arena_clear(&arena);
}

/* One line for each member, whatever a later version may add. */
static int print_info(const char *json, size_t n, struct error *err)
{
	struct json_lexer in;

	json_lexer_init(&in, json, n);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			show_bytes(stdout, in.name.p, in.name.n);
			printf("%*s", in.name.n < 14 ? (int)(14 - in.name.n) : 0, "");
			if (in.token != JSON_ARRAY)
				print_scalar(&in);
			else if (json_open_array(&in))
				while (json_next_element(&in))
					print_scalar(&in);
			putchar('\n');
		}
	return json_finish(&in, err) < 0 ? error_prefix(err, "a malformed answer") : 0;
}

int cmd_info(int argc, char **argv)
{
	static const struct request metrics = {
		.method = "GET", .target = "/metrics", .print = print_metrics};
	static const struct request request = {
		.command = "info",
		.method = "GET",
		.target = "/info",
		.usage = "Usage: envd info [--json] [OPTION…]\n"
			 "Shows the version of a guest's envd, the extensions that it knows, its "
			 "defaults,\n"
			 "and what envd top shows.\n"
			 "  --json               the answer of GET /info; E2B's envd has none\n",
		.print = print_info,
		.absent = "build          unknown: this envd has no GET /info, as E2B's has none\n"
			  "extensions     none",
		.next = &metrics};

	return run(argv, &request);
}

/* ---- ports ---- */

/* Prints one listener of the answer. */
static void print_port(struct json_lexer *in)
{
	struct arena arena = {.limit_bytes = GUEST_ANSWER_BYTES};
	char *address = NULL, *command = NULL, *user = NULL;
	int64_t port = 0, pid = 0;

	while (json_next_field(in)) {
		if (json_name_is(in, "address"))
			json_get_string(in, &arena, &address, NULL);
		else if (json_name_is(in, "command"))
			json_get_string(in, &arena, &command, NULL);
		else if (json_name_is(in, "user"))
			json_get_string(in, &arena, &user, NULL);
		else if (json_name_is(in, "port"))
			json_get_int64(in, &port);
		else if (json_name_is(in, "pid"))
			json_get_int64(in, &pid);
		else
			json_skip(in);
	}
	printf("%5" PRId64 "  ", port);
	show_text(stdout, address ? address : "-");
	printf("  %" PRId64 "  ", pid);
	show_text(stdout, user ? user : "-");
	fputs("  ", stdout);
	show_text(stdout, command ? command : "-");
	putchar('\n');
	arena_clear(&arena);
}

static int print_ports(const char *json, size_t n, struct error *err)
{
	struct json_lexer in;

	puts(" PORT  ADDRESS  PID  USER  COMMAND");
	json_lexer_init(&in, json, n);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			if (!json_name_is(&in, "ports") || !json_open_array(&in)) {
				json_skip(&in);
				continue;
			}
			while (json_next_element(&in))
				if (json_open_object(&in))
					print_port(&in);
		}
	return json_finish(&in, err) < 0 ? error_prefix(err, "a malformed answer") : 0;
}

int cmd_ports(int argc, char **argv)
{
	static const struct request request = {
		.command = "ports",
		.method = "GET",
		.target = "/ports",
		.usage = "Usage: envd ports [--json] [OPTION…]\n"
			 "Lists the TCP ports on which programs of a guest listen. Needs this envd "
			 "in the\n"
			 "guest, not E2B's.\n"
			 "  --json               the answer of GET /ports\n",
		.print = print_ports};

	return run(argv, &request);
}

/* ---- freeze ---- */

static int print_freeze(const char *json, size_t n, struct error *err)
{
	struct json_lexer in;
	int64_t frozen = 0, left = 0;

	json_lexer_init(&in, json, n);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			if (json_name_is(&in, "frozen"))
				json_get_int64(&in, &frozen);
			else if (json_name_is(&in, "notFrozen"))
				json_get_int64(&in, &left);
			else
				json_skip(&in);
		}
	if (json_finish(&in, err) < 0)
		return error_prefix(err, "a malformed answer");
	printf("frozen: %" PRId64 " cgroups, not yet: %" PRId64 "\n", frozen, left);
	return left ? error_set(err, ERROR_DEADLINE_EXCEEDED,
				"not all processes have stopped within --wait")
		    : 0;
}

int cmd_freeze(int argc, char **argv)
{
	static const struct request request = {
		.command = "freeze",
		.method = "POST",
		.target = "/freeze",
		.usage = "Usage: envd freeze [--wait SECONDS] [--json] [OPTION…]\n"
			 "Stops the processes of a guest, until envd thaw, or for ten minutes at "
			 "most.\n"
			 "  --wait SECONDS       wait until they have stopped; fail if they have "
			 "not by "
			 "then\n"
			 "  --json               the report about a freeze with --wait\n",
		.print = print_freeze};
	char target[64] = "/freeze";
	struct client c;
	struct args args;
	uint64_t wait_ms;
	bool json = false;
	int key = client_init(&c, "freeze"), status = 0;

	args_init(&args, "freeze", freeze_arguments, argv);
	while (key >= 0 && (key = client_args_next(&args, &c, request.usage)) > 0) {
		if (key == 'j')
			json = true;
		else if (args_seconds(args.value, &wait_ms) < 0 || wait_ms > GUEST_WAIT_MAX_MS)
			key = args_refuse(&args, "not a number of seconds up to 30");
		else
			snprintf(target, sizeof(target), "/freeze?maxWaitMs=%ju",
				 (uintmax_t)wait_ms);
	}
	if (key == 0)
		status = show_answer(&c, &request, target, json);
	return client_end(&c, key, status, 2);
}
