/* SPDX-License-Identifier: Apache-2.0 */
/* envd exec: runs a command in a guest. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/session.h"

#define EXEC_FIELDS_BYTES 512
#define EXEC_KEEP_MAX	  (64u * 1024 * 1024) /* docs/processes.md, X-Envd-Keep-Output */
#define EXEC_SECONDS_MAX  (24u * 3600)

enum {
	KEY_TIMEOUT = 'T',
	KEY_TAG = 'G',
	KEY_KEEP = 'B',
	KEY_KEEP_FOR = 'F',
	KEY_ESCAPE = 'E',
};

static const struct arg arguments[] = {{"interactive", 'i', ARG_PLAIN | ARG_BRIEF},
				       {"tty", 't', ARG_PLAIN | ARG_BRIEF},
				       {"env", 'e', ARG_BRIEF},
				       {"workdir", 'w', ARG_BRIEF},
				       {"detach", 'd', ARG_PLAIN | ARG_BRIEF},
				       {"escape", KEY_ESCAPE, ARG_VALUE},
				       {"timeout", KEY_TIMEOUT, ARG_VALUE},
				       {"tag", KEY_TAG, ARG_VALUE},
				       {"keep", KEY_KEEP, ARG_VALUE},
				       {"keep-for", KEY_KEEP_FOR, ARG_VALUE},
				       CLIENT_ARGS};

static const char usage[] =
	"Usage: envd exec [-i] [-t] [-e NAME=VALUE]… [-w DIR] [OPTION…] [--] COMMAND [ARGUMENT…]\n"
	"Runs a command in a guest, without a shell. Exits with the command's status, 128+n if\n"
	"signal n ended it, 124 at the timeout, 125 if envd exec itself failed.\n"
	"  -i, --interactive    stdin goes to the command\n"
	"  -t, --tty            the command has a terminal; with -i this terminal becomes raw\n"
	"  -e, --env NAME=VALUE sets a variable; NAME alone takes the value from here\n"
	"  -w, --workdir DIR    the working directory\n"
	"  -d, --detach         print the pid and leave; the command goes on\n"
	"  --escape CHARACTER   ~ if not given, or none: typed at the beginning of a line of a "
	"raw\n"
	"                       terminal, ~. leaves at once, and ~~ is one ~\n"
	"  --timeout SECONDS    kill it after this time\n"
	"  --tag NAME           a name for ps, kill, attach and logs\n"
	"  --keep BYTES         the daemon keeps the last BYTES of the output: for logs, and to\n"
	"                       continue when the connection was cut (not in E2B's envd)\n"
	"  --keep-for SECONDS   how long after the end; 30 if not given\n";

struct exec {
	struct client client;
	bool interactive, tty, detach;
	char escape;
	uint64_t timeout_ms; /* 0: none */
	unsigned keep_bytes, keep_for_s;
	const char *tag;
	Process__ProcessConfig config;
	struct arena arena; /* of the parts of config */
};

/* Adds NAME=VALUE, or NAME with this command's own value. 0 or -EINVAL. */
static int add_env(struct exec *e, const char *text)
{
	Process__ProcessConfig__EnvsEntry *entry = arena_alloc(&e->arena, sizeof(*entry));
	const char *equals = strchr(text, '=');
	size_t n = equals ? (size_t)(equals - text) : strlen(text);
	const char *value = equals ? equals + 1 : getenv(text);

	if (n == 0)
		return -EINVAL;
	if (!value)
		return 0;
	process__process_config__envs_entry__init(entry);
	entry->key = arena_strndup(&e->arena, text, n);
	entry->value = value;
	e->config.envs[e->config.n_envs++] = entry;
	return 0;
}

/* Applies one option. 0 or -errno. */
static int take_option(struct exec *e, int key, const char *value)
{
	switch (key) {
	case 'i':
		e->interactive = true;
		return 0;
	case 't':
		e->tty = true;
		return 0;
	case 'd':
		e->detach = true;
		return 0;
	case 'e':
		return add_env(e, value);
	case 'w':
		e->config.opt_cwd_case = PROCESS__PROCESS_CONFIG__OPT_CWD_CWD;
		e->config.cwd = value;
		return 0;
	case KEY_TIMEOUT:
		return args_seconds(value, &e->timeout_ms) < 0 || e->timeout_ms == 0 ? -EINVAL : 0;
	case KEY_TAG:
		e->tag = value;
		return *value ? 0 : -EINVAL;
	case KEY_KEEP:
		return args_number(value, 1, EXEC_KEEP_MAX, &e->keep_bytes);
	case KEY_ESCAPE:
		return session_parse_escape(value, &e->escape);
	case KEY_KEEP_FOR:
		return args_number(value, 1, EXEC_SECONDS_MAX, &e->keep_for_s);
	}
	return -EINVAL;
}

/* 0, CLIENT_HELP, or -1 after one line on stderr. */
static int parse_arguments(struct exec *e, char **argv)
{
	struct args args;
	int key;

	args_init(&args, "exec", arguments, argv);
	args.operands = ARGS_COMMAND;
	while ((key = client_args_next(&args, &e->client, usage)) > 0 && key != ARGS_OPERAND)
		if (take_option(e, key, args.value) < 0) {
			args_refuse(&args, "not a valid value");
			return -1;
		}
	if (key < 0)
		return key;
	if (key == 0)
		return client_usage_error(&e->client, "the command is missing");
	if (e->detach && e->interactive)
		return client_usage_error(&e->client, "-d leaves, so -i has no use");
	if (e->keep_for_s && !e->keep_bytes)
		return client_usage_error(&e->client, "--keep-for needs --keep");
	if (e->interactive && e->tty && !isatty(STDIN_FILENO))
		return client_usage_error(&e->client,
					  "-i with -t needs a terminal; for a pipe leave out -t");
	e->config.cmd = args.value;
	while (args.next[e->config.n_args])
		e->config.n_args++;
	e->config.args = arena_memdup(&e->arena, args.next, e->config.n_args * sizeof(char *));
	return 0;
}

static void put_fields(const struct exec *e, char fields[EXEC_FIELDS_BYTES])
{
	int n = snprintf(fields, EXEC_FIELDS_BYTES, "X-Envd-Explain-End: 1\r\n");

	if (e->timeout_ms)
		n += snprintf(fields + n, EXEC_FIELDS_BYTES - (size_t)n,
			      "Connect-Timeout-Ms: %ju\r\n", (uintmax_t)e->timeout_ms);
	if (e->keep_bytes)
		n += snprintf(fields + n, EXEC_FIELDS_BYTES - (size_t)n,
			      "X-Envd-Keep-Output: %u\r\n", e->keep_bytes);
	if (e->keep_for_s)
		snprintf(fields + n, EXEC_FIELDS_BYTES - (size_t)n, "X-Envd-Keep-For: %u\r\n",
			 e->keep_for_s);
}

/* The exit status. */
static int run(struct exec *e)
{
	Process__StartRequest request = PROCESS__START_REQUEST__INIT;
	struct session *s = session_new(&e->client);
	Process__PTY pty = PROCESS__PTY__INIT;
	char fields[EXEC_FIELDS_BYTES];
	Process__PTY__Size size;
	int status;

	request.process = &e->config;
	if (e->tty) {
		terminal_size(&size);
		pty.size = &size;
		request.pty = &pty;
	}
	if (e->tag) {
		request.opt_tag_case = PROCESS__START_REQUEST__OPT_TAG_TAG;
		request.tag = e->tag;
	}
	request.opt_stdin_case = PROCESS__START_REQUEST__OPT_STDIN_STDIN;
	request.stdin = e->interactive;
	put_fields(e, fields);
	s->interactive = e->interactive;
	s->tty = e->tty;
	s->escape = e->escape;
	s->owner = true;
	s->resumable = e->keep_bytes > 0;
	s->detach = e->detach;
	status = session_run(s, "process.Process/Start", fields, &request.base,
			     &process__start_response__descriptor);
	session_free(s);
	return status;
}

int cmd_exec(int argc, char **argv)
{
	struct exec e = {.config = PROCESS__PROCESS_CONFIG__INIT, .escape = SESSION_ESCAPE};
	int key = client_init(&e.client, "exec"), status = 0;

	e.config.envs = arena_alloc(&e.arena, (size_t)argc * sizeof(*e.config.envs));
	if (key == 0)
		key = parse_arguments(&e, argv);
	if (key == 0)
		status = run(&e);
	arena_clear(&e.arena);
	return client_end(&e.client, key, status, SESSION_FAILED);
}
