/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of a connection: conn.c reads and writes, conn_deadline.c has the deadlines.
 */
#ifndef RPC_HTTP_CONN_IMPL_H
#define RPC_HTTP_CONN_IMPL_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "rpc/http/http1.h"

struct file_send;
struct server;

enum conn_phase {
	CONN_OPEN,
	CONN_LINGERING, /* the sending side is shut down; input is dropped until its end */
};

/* The reason for the current deadline: see server.h. */
enum conn_wait {
	WAIT_NONE,
	WAIT_HEAD,
	WAIT_BODY, /* of a client without a token */
	WAIT_IDLE,
	WAIT_PROGRESS,
	WAIT_LINGER,
	WAIT_RESERVE,
	WAIT_PEER, /* no deadline: the timer looks whether the client has gone */
};

struct conn {
	struct server *server;
	int fd;
	struct http1 http;
	struct fd_event readable;
	struct fd_event writable;
	struct defer update;
	struct timer next_turn; /* pending while `waiting` */
	struct timer timer;
	enum conn_phase phase;
	enum conn_wait wait;
	unsigned long long wait_request; /* the number of the request that the deadline is for */
	uint64_t deadline_ms;
	struct file_send *sending; /* a worker sends the file, and no one else may write; or NULL */
	bool moved;		   /* bytes were read or written since the deadline was set */
	bool reserve;		   /* one of SERVER_RESERVE_CONNECTIONS */
	bool restricted;	   /* listen_spec.restricted of its listener */
	bool large;		   /* a large body is being read: the pool keeps its memory */
	bool reading;		   /* the event `readable` is added */
	bool writing;		   /* the event `writable` is added */
	bool waiting;		   /* the share of this turn is used up: input waits for the next */
	bool updating;		   /* inside a call of the engine, whose `wake` needs no action */
	bool slow;		   /* the client did not take what a worker sent last */
	bool full;    /* a worker found the socket full: nothing is written until it is writable */
	bool suspect; /* its TCP options were set by conn_suspect_all */
	TAILQ_ENTRY(conn) link;
};

/* Returns true if bytes wait that the loop, not a worker, is to write. */
static inline bool conn_has_output(const struct conn *c)
{
	return c->phase == CONN_OPEN && c->http.state != HTTP1_BROKEN && !c->sending &&
	       (evbuffer_get_length(c->http.out) || c->http.file.left);
}

/* Frees the connection and closes its socket. */
void conn_free(struct conn *c);

void conn_init_deadline(struct conn *c);

/* Sets the deadline by what the connection waits for; keeps it if that has not changed. */
void conn_set_deadline(struct conn *c);

#endif
