/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends stdin to a process of a guest, by StreamInput. A piece is read only after the socket has
 * taken the one before it, so a process that does not read slows down whoever writes to stdin.
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

struct input_stream {
	const struct client *client;
	enum input_state state;
	uint32_t pid;
	bool pty;
	bool answered;	  /* the message of the response has come */
	uint64_t sent_ms; /* when the last message was queued */
	struct call_stream stream;
	struct error err;
	char piece[INPUT_PIECE_BYTES];
};

/* Begins. 0, or -1 with the error. */
int input_open(struct input_stream *in, const struct client *c, uint32_t pid, bool pty,
	       struct error *err);
void input_close(struct input_stream *in);

/* Returns true if stdin should be read. */
bool input_wants(const struct input_stream *in);

/* Returns the events to poll for on in->stream.x.fd. */
short input_events(const struct input_stream *in);

/*
 * Reads a piece of stdin, and sends it. Returns 1, or 0 at the end of stdin. A process with pipes
 * then reads EOF from its own stdin.
 */
int input_read(struct input_stream *in);

/*
 * Call it when in->stream.x.fd has one of the events of input_events. The stdin of a process is
 * closed only after the daemon has confirmed that it took all input: a process whose input was
 * lost never sees a regular end.
 */
void input_step(struct input_stream *in);

/* Sends a keepalive if it is time for one. */
void input_tick(struct input_stream *in);

#endif
