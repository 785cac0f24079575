/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends stdin to a process of a guest, by StreamInput. A piece is read only after the socket has
 * taken the one before it, so a process that does not read slows down whoever writes to stdin.
 *
 * On a terminal there can be an escape character, as in ssh(1): at the beginning of a line, "~."
 * means that the operator leaves, and "~~" is one "~". Keys are then read ahead of the socket, so
 * the operator can leave although the guest takes nothing.
 */
#ifndef ENVD_INPUT_STREAM_H
#define ENVD_INPUT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "envd/client/call.h"

#define INPUT_PIECE_BYTES  65536
#define INPUT_KEEPALIVE_MS 60000 /* envd ends a silent request after 640 s, proxies do so earlier */

enum input_state {
	INPUT_IDLE,   /* no input was asked for, or it has not begun */
	INPUT_OPEN,   /* pieces are read and sent */
	INPUT_ENDING, /* stdin is at its end; the response has not come yet */
	INPUT_CLOSED, /* the daemon has taken all input, or the process reads no more */
	INPUT_LOST,   /* input may be missing: `err` is the reason */
};

/* The place of the next key, for the escape character. */
enum input_line {
	INPUT_LINE_BEGIN,  /* at the beginning of a line */
	INPUT_LINE_ESCAPE, /* after an escape character, which is not sent yet */
	INPUT_LINE_INSIDE,
};

struct input_stream {
	const struct client *client;
	enum input_state state;
	char escape;  /* the caller sets it before input_open; '\0': none */
	bool escaped; /* the operator wants to leave */
	bool eof;     /* stdin has ended */
	enum input_line line;
	uint32_t pid;
	bool pty;
	bool answered;	  /* the message of the response has come */
	uint64_t sent_ms; /* when the last message was queued */
	struct call_stream stream;
	struct error err;
	size_t n;			   /* bytes of the piece */
	char piece[INPUT_PIECE_BYTES + 1]; /* read, not sent; one byte more for an escape */
};

/* Begins. 0, or -1 with the error. */
int input_open(struct input_stream *in, const struct client *c, uint32_t pid, bool pty,
	       struct error *err);
void input_close(struct input_stream *in);

/* Returns true if stdin should be polled, and read with input_read. */
bool input_wants(const struct input_stream *in);

/* Returns the events to poll for on in->stream.x.fd. */
short input_events(const struct input_stream *in);

/* Reads a piece of stdin, which the next input_tick sends. Sets `eof` or `escaped`. */
void input_read(struct input_stream *in);

/*
 * Call it when in->stream.x.fd has one of the events of input_events. The stdin of a process is
 * closed only after the daemon has confirmed that it took all input: a process whose input was
 * lost never sees a regular end.
 */
void input_step(struct input_stream *in);

/*
 * Call it after the events above. Sends what was read, or a keepalive if it is time for one. After
 * the end of stdin, a process with pipes reads EOF from its own stdin.
 */
void input_tick(struct input_stream *in);

#endif
