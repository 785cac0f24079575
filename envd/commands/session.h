/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects this command to a process of a guest: the outputs of the process go to stdout and
 * stderr, and stdin and signals go to the process.
 *
 * The first signal sends TERM to the process, the second one KILL. A third one, or one that arrives
 * while the daemon has not answered, ends this command at once: a guest that is silent, slow, or
 * sends without end can't hold it. On a raw terminal no key sends a signal; there the escape "~."
 * ends this command.
 *
 * One piece of output waits for stdout at a time, and no further piece is read meanwhile, so a slow
 * reader of stdout slows the process down.
 */
#ifndef ENVD_SESSION_H
#define ENVD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "envd/client/call.h"
#include "envd/commands/input_stream.h"
#include "envd/commands/terminal.h"
#include "process.pb-c.h"

#define SESSION_FAILED	 125  /* exit status: the command itself failed, not the process */
#define SESSION_TIMEOUT	 124  /* exit status: killed at its deadline, as by timeout(1) */
#define SESSION_PIECE	 4096 /* bytes of a write that poll(2) has announced room for: PIPE_BUF */
#define SESSION_ESCAPE	 '~'
#define SESSION_MESSAGES 64 /* handled in a turn; then the session looks at signals */

enum session_state {
	SESSION_STARTING, /* before the start event */
	SESSION_RUNNING,
	SESSION_DETACHED, /* this command leaves, the process goes on */
	SESSION_ENDED,	  /* `status` is the exit status */
};

/* The outputs, numbered by their place in X-Envd-From. */
enum session_output {
	SESSION_STDOUT,
	SESSION_STDERR,
	SESSION_PTY,
	SESSION_OUTPUTS,
};

struct session {
	struct client *client;
	/* The caller sets these. */
	bool interactive; /* stdin goes to the process */
	bool tty;	  /* the process has a terminal */
	char escape;	  /* of a raw terminal (input_stream.h); '\0': none */
	bool owner;	  /* signals and a closed stdout end the process instead of detaching */
	bool resumable;	  /* its output is kept: a cut stream continues at its offset */
	bool detach;	  /* leave at the start event, and print the pid */
	bool replay;	  /* shows the kept output only, up to the bytes written so far */
	bool observe;	  /* the exit status of the process does not count */

	/* The fields below are private. */
	enum session_state state;
	int status;
	uint32_t pid;
	unsigned signals;		   /* number of signals that asked the process to end */
	bool discard;			   /* stdout is closed */
	bool incomplete;		   /* because it took no more, although it has a reader */
	uint64_t offsets[SESSION_OUTPUTS]; /* of the next byte of each output */
	uint64_t written[SESSION_OUTPUTS]; /* replay: the end */
	int signal_fd;			   /* signals that end this command or the process */
	int winch_fd;			   /* the terminal has another size */
	bool pending; /* bytes of the stream have arrived that were not looked at yet */
	struct call_stream stream;
	struct input_stream input;
	struct terminal terminal;
	/* A piece of output that waits for its descriptor. */
	const uint8_t *p;
	size_t n;
	int to;
};

/*
 * Parses "stdout=N, stderr=N" or "pty=N" of a header. Outputs that it does not name keep their
 * number. Returns false, with *ret undefined, if it is malformed. Public for its tests.
 */
bool session_parse_offsets(const char *text, uint64_t ret[SESSION_OUTPUTS]);

/*
 * Parses the value of --escape: one character, or "none" for '\0'. 0, or -EINVAL with *ret
 * unchanged.
 */
int session_parse_escape(const char *text, char *ret);

/*
 * Makes a session, owned. From here on signals are read by the session. Never NULL.
 */
struct session *session_new(struct client *c);
void session_free(struct session *s);

/*
 * Runs a call that streams the events of a process (Start or Connect), until the process has ended.
 * Returns the exit status of this command: the process's (128+n for a signal), SESSION_TIMEOUT, or
 * SESSION_FAILED after one line on stderr; 0 after it has detached.
 */
int session_run(struct session *s, const char *method, const char *fields,
		const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type);

#endif
