/* SPDX-License-Identifier: Apache-2.0 */
/* envd ps: the live processes that a daemon has started. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envd/client/call.h"
#include "envd/client/show.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"

static const struct arg arguments[] = {{"json", 'j', ARG_PLAIN}, CLIENT_TIMEOUT, CLIENT_ARGS};

static const char usage[] = "Usage: envd ps [--json] [OPTION…]\n"
			    "Lists the live processes that the daemon has started.\n"
			    "  --json               the answer of process.Process/List\n";

static int by_pid(const void *a, const void *b)
{
	const Process__ProcessInfo *const *x = a, *const *y = b;

	return (*x)->pid < (*y)->pid ? -1 : (*x)->pid > (*y)->pid;
}

static void print_process(const Process__ProcessInfo *info)
{
	bool tagged = info->opt_tag_case == PROCESS__PROCESS_INFO__OPT_TAG_TAG;

	printf("%7u  ", info->pid);
	show_text(stdout, tagged && *info->tag ? info->tag : "-");
	fputs("  ", stdout);
	if (info->config)
		show_text(stdout, info->config->cmd);
	for (size_t i = 0; info->config && i < info->config->n_args; i++) {
		putchar(' ');
		show_text(stdout, info->config->args[i]);
	}
	putchar('\n');
}

static void print_table(const Process__ListResponse *list)
{
	if (list->n_processes)
		qsort(list->processes, list->n_processes, sizeof(*list->processes), by_pid);
	puts("    PID  TAG  COMMAND");
	for (size_t i = 0; i < list->n_processes; i++)
		print_process(list->processes[i]);
}

/* 0, or -1 after one line on stderr. */
static int list(const struct client *c, bool json)
{
	Process__ListRequest request = PROCESS__LIST_REQUEST__INIT;
	struct arena arena = {0};
	ProtobufCMessage *answer = NULL;
	struct error err;
	int r = call_unary(c, "process.Process/List", &request.base,
			   &process__list_response__descriptor, &arena, &answer, &err);

	if (r == 0 && json)
		r = call_show_json(stdout, answer, &err);
	else if (r == 0)
		print_table((const Process__ListResponse *)answer);
	if (r < 0)
		client_complain(c, &err);
	arena_clear(&arena);
	return r;
}

int cmd_ps(int argc, char **argv)
{
	struct client c;
	struct args args;
	bool json = false;
	int key = client_init(&c, "ps"), status = 0;

	args_init(&args, "ps", arguments, argv);
	while (key >= 0 && (key = client_args_next(&args, &c, usage)) > 0)
		json = true;
	if (key == 0)
		status = list(&c, json) < 0 ? 1 : 0;
	return client_end(&c, key, status, 2);
}
