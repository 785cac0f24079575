/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/client_args.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/error.h"

#define TIMEOUT_MAX_MS (24u * 3600 * 1000)

/* Prints the usage of a command, with the options that its table shares with others. */
static int show_usage(const struct args *a, const char *usage)
{
	fputs(usage, stdout);
	for (const struct arg *arg = a->table; arg->name; arg++)
		if (arg->key == CLIENT_KEY_TIMEOUT)
			fputs(CLIENT_TIMEOUT_USAGE, stdout);
	fputs(CLIENT_USAGE, stdout);
	return CLIENT_HELP;
}

/* Applies an option that is shared. As client_option. */
static int take_option(struct client *c, int key, const char *value)
{
	if (key == ARGS_OPERAND)
		return 1;
	if (key != CLIENT_KEY_TIMEOUT)
		return client_option(c, key, value);
	if (args_seconds(value, &c->timeout_ms) < 0 || c->timeout_ms == 0 ||
	    c->timeout_ms > TIMEOUT_MAX_MS)
		return -EINVAL;
	return 0;
}

int client_args_next(struct args *a, struct client *c, const char *usage)
{
	int key, r;

	while ((key = args_next(a)) > 0) {
		if (key == 'h')
			return show_usage(a, usage);
		r = take_option(c, key, a->value);
		if (r > 0)
			return key;
		if (r < 0) {
			args_refuse(a,
				    key == CLIENT_KEY_TO ? "not an address" : error_errno_text(r));
			return -1;
		}
	}
	return key;
}

int client_usage_error(const struct client *c, const char *why)
{
	fprintf(stderr, "envd %s: %s (see envd %s --help)\n", c->command, why, c->command);
	return -1;
}

int client_args_process(struct args *a, struct client *c, const char *usage, const char **ret,
			bool *option, const char **value)
{
	int key;

	*ret = NULL;
	a->operands = ARGS_OPERANDS;
	while ((key = client_args_next(a, c, usage)) > 0) {
		if (key != ARGS_OPERAND && a->value)
			*value = a->value;
		else if (key != ARGS_OPERAND)
			*option = true;
		else if (*ret)
			return client_usage_error(c, "one process at a time");
		else
			*ret = a->value;
	}
	return key == 0 && !*ret ? client_usage_error(c, "no process is named") : key;
}

/* Returns true if stdout has taken all that was printed, or nobody reads it any more. */
static bool stdout_is_complete(const struct client *c)
{
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
	const char *why = "not all was written";

	if (fflush(stdout) != 0)
		why = error_errno_text(errno);
	else if (!ferror(stdout))
		return true;
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR))
		return true;
	fprintf(stderr, "envd %s: stdout: %s\n", c->command, why);
	return false;
}

int client_end(struct client *c, int key, int status, int wrong)
{
	client_clear(c);
	if (key != -1 && !stdout_is_complete(c))
		return wrong == 2 ? 1 : wrong;
	if (key == 0)
		return status;
	return key == CLIENT_HELP ? 0 : wrong;
}

void client_select(const char *text, Process__ProcessSelector *ret)
{
	uint64_t pid;

	process__process_selector__init(ret);
	if (decimal_parse_text(text, UINT32_MAX, &pid)) {
		ret->selector_case = PROCESS__PROCESS_SELECTOR__SELECTOR_PID;
		ret->pid = (uint32_t)pid;
	} else {
		ret->selector_case = PROCESS__PROCESS_SELECTOR__SELECTOR_TAG;
		ret->tag = text;
	}
}
