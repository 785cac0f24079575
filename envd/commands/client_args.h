/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of the commands that talk to a daemon (envd/client/client.h). */
#ifndef ENVD_CLIENT_ARGS_H
#define ENVD_CLIENT_ARGS_H

#include <stdbool.h>

#include "envd/client/client.h"
#include "envd/commands/args.h"
#include "process.pb-c.h"

/* The common rows of a command's table. */
#define CLIENT_ARGS                                                                                \
	{"to", CLIENT_KEY_TO, ARG_VALUE}, {"token-file", CLIENT_KEY_TOKEN, ARG_VALUE},             \
		{"user", CLIENT_KEY_USER, ARG_BRIEF}, {"help", 'h', ARG_PLAIN},                    \
	{                                                                                          \
		NULL, 0, ARG_VALUE                                                                 \
	}

/* The row of a command whose answers all come at once. exec has a --timeout of its own. */
#define CLIENT_KEY_TIMEOUT 'O'
#define CLIENT_TIMEOUT                                                                             \
	{                                                                                          \
		"timeout", CLIENT_KEY_TIMEOUT, ARG_VALUE                                           \
	}

#define CLIENT_TIMEOUT_USAGE                                                                       \
	"  --timeout SECONDS    how long one answer may take as a whole; 60 if not given\n"

#define CLIENT_USAGE                                                                               \
	"  --to ADDRESS         tcp:ADDR:PORT, unix:PATH, vsock:CID[:PORT], or uds:PATH for the\n" \
	"                       socket of Firecracker's proxy ($ENVD_TO, else\n"                   \
	"                       tcp:127.0.0.1:49983)\n"                                            \
	"  --token-file FILE    the access token of the daemon ($ENVD_TOKEN)\n"                    \
	"  -u, --user USER      as this user; the daemon's default user if not given\n"

/* client_args_next has printed the usage. */
#define CLIENT_HELP (-2)

/*
 * As args_next, for the options that are not common: it applies those of CLIENT_ARGS and
 * CLIENT_TIMEOUT. For --help it prints the usage, to which it adds their lines. Returns CLIENT_HELP
 * after that, and -1 after an error message.
 */
int client_args_next(struct args *a, struct client *c, const char *usage);

/* Prints "envd COMMAND: WHY (see envd COMMAND --help)" to stderr. Returns -1. */
int client_usage_error(const struct client *c, const char *why);

/*
 * Parses a command with one process as its operand. Besides the common options it has a plain one,
 * which sets *option, and may have one with a value, for *value. 0 and the process in *ret;
 * CLIENT_HELP; or -1 after an error message.
 */
int client_args_process(struct args *a, struct client *c, const char *usage, const char **ret,
			bool *option, const char **value);

/*
 * Ends a command: frees the client. Returns its exit status: `status` if `key`, the result of the
 * arguments, is 0; 0 after --help; `wrong` after a wrong argument. If stdout did not take all, that
 * is an error, unless its reader has left: SESSION_FAILED if `wrong` is that, else 1.
 */
int client_end(struct client *c, int key, int status, int wrong);

/* Selects a process: by pid if the text is a number, else by tag. Borrows the text. */
void client_select(const char *text, Process__ProcessSelector *ret);

#endif
