/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of a Connect stream (connectrpc.com/docs/protocol, "Enveloped-Message"): a flag
 * byte, a length, and the message. Collects one message at a time from the pieces of a body.
 */
#ifndef CLIENT_ENVELOPE_H
#define CLIENT_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer message is an error. Memory is taken only for bytes that have arrived. */
#define ENVELOPE_MAX_BYTES (16u * 1024 * 1024)

#define ENVELOPE_HEAD_BYTES 5
#define ENVELOPE_END	    2u /* the message is the JSON of the end of the stream */

enum envelope_event {
	ENVELOPE_MORE,	  /* the input is used up */
	ENVELOPE_MESSAGE, /* flags, data and bytes are valid until the next call */
	ENVELOPE_ERROR,	  /* `error` is the reason; each later call returns it again */
};

struct envelope {
	unsigned flags;
	char *data;
	size_t bytes;
	const char *error; /* static text */

	/* The fields below are private. */
	unsigned char head[ENVELOPE_HEAD_BYTES];
	size_t head_bytes, have, capacity;
	bool complete;
};

/* A reader that is all zero is ready for use. This frees its memory. */
void envelope_clear(struct envelope *e);

/* Reads up to the end of a message. Advances *p and reduces *n by the bytes it has used. */
enum envelope_event envelope_next(struct envelope *e, const char **p, size_t *n);

/* Returns true if the input so far ends between two messages. */
bool envelope_is_whole(const struct envelope *e);

/* Fills in the head of a message of n bytes. */
void envelope_head(unsigned char head[ENVELOPE_HEAD_BYTES], unsigned flags, size_t n);

#endif
