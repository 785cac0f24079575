/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages in the stream of a process. The responses of Start and Connect have the same shape
 * (one field, the event), so one message, encoded once, is sent to the readers of both.
 */
#ifndef PTY_MESSAGE_H
#define PTY_MESSAGE_H

#include <stddef.h>
#include <sys/types.h>

#include "pty/exit_status.h"

/* The output that a chunk came from. */
enum output_kind {
	OUTPUT_STDOUT,
	OUTPUT_STDERR,
	OUTPUT_PTY,
	OUTPUT_KINDS,
};

/* A message with all its parts. */
struct message {
	Process__StartResponse response;
	Process__ProcessEvent event;
	union {
		Process__ProcessEvent__StartEvent start;
		Process__ProcessEvent__DataEvent data;
		Process__ProcessEvent__EndEvent end;
		Process__ProcessEvent__KeepAlive keepalive;
	};
	struct exit_status_text text;
};

/* Each function fills in *m and returns a message inside *m. Do not move *m afterwards. */
const ProtobufCMessage *message_start(struct message *m, pid_t pid);
const ProtobufCMessage *message_end(struct message *m, const struct exit_status *exit_status,
				    bool explain);
const ProtobufCMessage *message_keepalive(struct message *m);

/* Borrows the bytes. */
const ProtobufCMessage *message_data(struct message *m, enum output_kind kind, const uint8_t *data,
				     size_t n);

#endif
