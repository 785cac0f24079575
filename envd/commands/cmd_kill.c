/* SPDX-License-Identifier: Apache-2.0 */
/* envd kill: a signal to processes that a daemon has started. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "envd/client/call.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"

static const struct arg arguments[] = {
	{"signal", 's', ARG_BRIEF}, {"tree", 't', ARG_PLAIN}, CLIENT_TIMEOUT, CLIENT_ARGS};

static const char usage[] =
	"Usage: envd kill [-s SIGNAL] [--tree] PID|TAG… [OPTION…]\n"
	"Sends a signal to processes that the daemon has started. A number is a pid, any other "
	"text\n"
	"a tag. Exits with 0 if all were reached, 1 if not, 2 for a wrong argument.\n"
	"  -s, --signal SIGNAL  TERM, or KILL; TERM if not given\n"
	"  --tree               KILL reaches the process's session too, TERM its group; an older\n"
	"                       daemon ignores this\n";

struct kill {
	struct client client;
	Process__Signal signal;
	bool tree;
};

/* Parses TERM, SIGTERM, 15 and the like. 0 or -EINVAL. */
static int parse_signal(const char *text, Process__Signal *ret)
{
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	if (strcasecmp(text, "TERM") == 0 || strcmp(text, "15") == 0)
		*ret = PROCESS__SIGNAL__SIGNAL_SIGTERM;
	else if (strcasecmp(text, "KILL") == 0 || strcmp(text, "9") == 0)
		*ret = PROCESS__SIGNAL__SIGNAL_SIGKILL;
	else
		return -EINVAL;
	return 0;
}

static int send_signal(const struct kill *k, const char *target)
{
	Process__SendSignalRequest request = PROCESS__SEND_SIGNAL_REQUEST__INIT;
	Process__ProcessSelector selector;
	struct arena arena = {0};
	ProtobufCMessage *answer;
	struct error err;
	int r;

	client_select(target, &selector);
	request.process = &selector;
	request.signal = k->signal;
	request.descendants = k->tree;
	r = call_unary(&k->client, "process.Process/SendSignal", &request.base,
		       &process__send_signal_response__descriptor, &arena, &answer, &err);
	if (r < 0)
		client_complain(&k->client, &err);
	arena_clear(&arena);
	return r;
}

/* Reads the options; args->next is at the first target then. 0, CLIENT_HELP or -1. */
static int parse_arguments(struct kill *k, struct args *args, char **targets, size_t *n)
{
	int key;

	args->operands = ARGS_OPERANDS;
	while ((key = client_args_next(args, &k->client, usage)) > 0) {
		if (key == ARGS_OPERAND)
			targets[(*n)++] = args->next[-1];
		else if (key == 't')
			k->tree = true;
		else if (parse_signal(args->value, &k->signal) < 0) {
			args_refuse(args, "only TERM and KILL can be sent");
			return -1;
		}
	}
	return key == 0 && *n == 0 ? client_usage_error(&k->client, "no process is named") : key;
}

int cmd_kill(int argc, char **argv)
{
	struct kill k = {.signal = PROCESS__SIGNAL__SIGNAL_SIGTERM};
	struct args args;
	size_t n = 0;
	int key = client_init(&k.client, "kill"), status = 0;

	args_init(&args, "kill", arguments, argv);
	/* The targets are gathered at the beginning of argv, which the parser has passed. */
	if (key == 0)
		key = parse_arguments(&k, &args, argv, &n);
	for (size_t i = 0; key == 0 && i < n; i++)
		if (send_signal(&k, argv[i]) < 0)
			status = 1;
	return client_end(&k.client, key, status, 2);
}
