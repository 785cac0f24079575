/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the daemon's services over Connect, in the binary codec.
 */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"
#include "envd/client/client.h"
#include "envd/client/envelope.h"
#include "envd/client/exchange.h"

#define CALL_ANSWER_MAX_BYTES  (64u * 1024 * 1024)  /* a longer unary answer is an error */
#define CALL_DECODED_MAX_BYTES (512u * 1024 * 1024) /* of one message in memory */

/*
 * Makes a unary call ("process.Process/List"). 0 and the answer in the arena, or -1 with the error.
 * `type` is the type of the answer.
 */
int call_unary(const struct client *c, const char *method, const ProtobufCMessage *request,
	       const ProtobufCMessageDescriptor *type, struct arena *arena, ProtobufCMessage **ret,
	       struct error *err);

/* Prints a message as JSON and a line end, without escape sequences. 0, or -1 with the error. */
int call_show_json(FILE *to, const ProtobufCMessage *message, struct error *err);

enum call_event {
	CALL_WAIT,    /* nothing came within the timeout */
	CALL_MESSAGE, /* `message` is valid until the next call */
	CALL_END,     /* err->code is ERROR_OK, or the error of the call */
	CALL_LOST,    /* the connection ended before the call; *err says why */
};

/* A call whose answer is a stream. */
struct call_stream {
	struct exchange x; /* for its fd and the fields of its response */
	ProtobufCMessage *message;

	/* The fields below are private. */
	const ProtobufCMessageDescriptor *type;
	struct envelope envelope;
	struct arena arena;
	const char *p;
	size_t n;
};

/*
 * Starts a call. `fields`: further header lines, each ending in CRLF. 0, or -1 with the error.
 * call_stream_close may be called in both cases.
 */
int call_stream_open(struct call_stream *s, const struct client *c, const char *method,
		     const char *fields, const ProtobufCMessage *request,
		     const ProtobufCMessageDescriptor *type, struct error *err);
void call_stream_close(struct call_stream *s);

/* Waits at most timeout_ms for the next event (-1: no limit). */
enum call_event call_stream_next(struct call_stream *s, int timeout_ms, struct error *err);

/* Queues a message on a call whose request is a stream. */
void call_put(struct exchange *x, const ProtobufCMessage *message);

#endif
