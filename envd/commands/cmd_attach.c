/* SPDX-License-Identifier: Apache-2.0 */
/* envd attach and envd logs: the output of a process that was started before. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/session.h"

static const struct arg attach_arguments[] = {
	{"interactive", 'i', ARG_PLAIN | ARG_BRIEF}, {"escape", 'E', ARG_VALUE}, CLIENT_ARGS};

static const char attach_usage[] =
	"Usage: envd attach [-i] [--escape CHARACTER] PID|TAG [OPTION…]\n"
	"Joins a process and shows its output from now on. Exits with its status as envd exec; a\n"
	"signal ends envd attach alone.\n"
	"  -i, --interactive    stdin goes to the process; if it has a terminal, this terminal\n"
	"                       becomes raw\n"
	"  --escape CHARACTER   ~ if not given, or none: typed at the beginning of a line of a "
	"raw\n"
	"                       terminal, ~. leaves at once, and ~~ is one ~\n";

/*
 * Returns true if the process has a terminal: no message says so, but an empty piece of input for a
 * terminal is refused by a process with pipes.
 */
static bool has_terminal(const struct client *c, Process__ProcessSelector *selector)
{
	Process__SendInputRequest request = PROCESS__SEND_INPUT_REQUEST__INIT;
	Process__ProcessInput input;
	struct arena arena = {0};
	ProtobufCMessage *answer;
	struct error err;
	int r;

	process__process_input__init(&input);
	input.input_case = PROCESS__PROCESS_INPUT__INPUT_PTY;
	request.process = selector;
	request.input = &input;
	r = call_unary(c, "process.Process/SendInput", &request.base,
		       &process__send_input_response__descriptor, &arena, &answer, &err);
	arena_clear(&arena);
	return r == 0;
}

/* The exit status. */
static int run(struct client *c, const char *target, bool interactive, char escape)
{
	Process__ConnectRequest request = PROCESS__CONNECT_REQUEST__INIT;
	Process__ProcessSelector selector;
	struct session *s;
	int status;

	client_select(target, &selector);
	request.process = &selector;
	s = session_new(c);
	s->interactive = interactive;
	s->escape = escape;
	s->tty = has_terminal(c, &selector);
	if (s->tty && interactive && !isatty(STDIN_FILENO)) {
		client_usage_error(c, "the process has a terminal, so -i needs one too");
		session_free(s);
		return SESSION_FAILED;
	}
	status = session_run(s, "process.Process/Connect", "X-Envd-Explain-End: 1\r\n",
			     &request.base, &process__connect_response__descriptor);
	session_free(s);
	return status;
}

int cmd_attach(int argc, char **argv)
{
	int key, status = 0;
	bool interactive = false;
	const char *target, *escape = NULL;
	char character = SESSION_ESCAPE;
	struct client c;
	struct args args;

	args_init(&args, "attach", attach_arguments, argv);
	key = client_init(&c, "attach");
	if (key == 0)
		key = client_args_process(&args, &c, attach_usage, &target, &interactive, &escape);
	if (key == 0 && escape && session_parse_escape(escape, &character) < 0)
		key = client_usage_error(&c, "--escape takes one character, or none");
	if (key == 0)
		status = run(&c, target, interactive, character);
	return client_end(&c, key, status, SESSION_FAILED);
}

/* ---- logs ---- */

static const struct arg logs_arguments[] = {{"follow", 'f', ARG_PLAIN | ARG_BRIEF}, CLIENT_ARGS};

static const char logs_usage[] =
	"Usage: envd logs [-f] PID|TAG [OPTION…]\n"
	"Shows the output of a process that was started with --keep, also after its end. Needs\n"
	"this envd in the guest, not E2B's.\n"
	"  -f, --follow         go on until the process ends\n";

/* The exit status. */
static int run_logs(struct client *c, const char *target, bool follow)
{
	Process__ConnectRequest request = PROCESS__CONNECT_REQUEST__INIT;
	Process__ProcessSelector selector;
	struct session *s;
	int status;

	client_select(target, &selector);
	request.process = &selector;
	s = session_new(c);
	s->observe = s->resumable = true;
	s->replay = !follow;
	status = session_run(s, "process.Process/Connect", "X-Envd-From: start\r\n", &request.base,
			     &process__connect_response__descriptor);
	session_free(s);
	return status ? 1 : 0;
}

int cmd_logs(int argc, char **argv)
{
	int key, status = 0;
	bool follow = false;
	const char *target;
	struct client c;
	struct args args;

	args_init(&args, "logs", logs_arguments, argv);
	key = client_init(&c, "logs");
	if (key == 0)
		key = client_args_process(&args, &c, logs_usage, &target, &follow, NULL);
	if (key == 0)
		status = run_logs(&c, target, follow);
	return client_end(&c, key, status, 2);
}
