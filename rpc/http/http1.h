/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 engine of one connection: it turns bytes into requests and responses into bytes. The
 * engine makes no system call (scripts/include-check): the connection (conn.c) has the socket and
 * the clock, and tests need neither.
 *
 *	conn appends to http->in ─► http1_process ─► stream, calls->request
 *	stream_send …            ─► http->out, http->file ─► conn writes them
 *
 * Pipelined requests are processed one after the other. The engine begins the next request when the
 * response to the previous one is complete and at most STREAM_HIGH_BYTES of it wait to be written.
 */
#ifndef RPC_HTTP_HTTP1_H
#define RPC_HTTP_HTTP1_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "rpc/http/http1_chunked.h"
#include "rpc/http/http1_parse.h"

struct body_loan;
struct evbuffer;
struct loop;
struct stream;

enum http1_state {
	HTTP1_IDLE,	/* between requests */
	HTTP1_HEAD,	/* a part of a head has arrived */
	HTTP1_BODY,	/* the body is being read */
	HTTP1_LENT,	/* a worker reads the body: the loop must not */
	HTTP1_RESPONSE, /* the body is complete, the response is not */
	HTTP1_LAST,	/* no more reads; the connection closes when `out` is written */
	HTTP1_BROKEN,	/* no more writes; the connection closes at once */
};

/*
 * What happens after the current response. http1_raise_ending raises the value until the next
 * request. http1_finish alone lowers it: a complete response needs no ABORT.
 */
enum http1_ending {
	HTTP1_KEEP,   /* the next request */
	HTTP1_CLOSE,  /* the connection closes */
	HTTP1_LINGER, /* it closes, but the client may still be sending: http1_lingers */
	HTTP1_ABORT,  /* the connection is aborted: the client must see a reset, not EOF */
};

/* The deadline for the body that is being read. */
enum http1_pace {
	HTTP1_PACE_NONE,    /* none: the client may pause, or no body is being read */
	HTTP1_PACE_STEADY,  /* a pause has a maximum length */
	HTTP1_PACE_BOUNDED, /* the client has no token: the whole body has a deadline */
};

/* The maximum length of a discarded body. If more bytes follow, the connection closes. */
#define HTTP1_DRAIN_MAX_BYTES (64u * 1024 * 1024)

/* The maximum number of bytes of further requests that are read during a response. */
#define HTTP1_READ_AHEAD_BYTES (64 * 1024)

/*
 * The largest share of one connection in a turn of the loop: its input is processed in steps, and a
 * step takes a head, or a piece of a body. A head with its answer takes about as long as 16 pieces,
 * such as small chunks. Without a share, 50 clients that sent small requests without a pause had
 * 500 requests each answered before the next request of another client.
 */
#define HTTP1_TURN_STEPS 256
#define HTTP1_HEAD_STEPS 16

/* A part of a file that is sent after all bytes in `out`. */
struct http1_file {
	int fd;
	struct workers *workers; /* they send large parts, and parts that are not in memory */
	off_t offset;
	uint64_t left;
	off_t warm_until; /* the file is in memory up to this offset */
};

/* Callbacks into the connection. `arg` is the argument of http1_init. */
struct http1_calls {
	/*
	 * Bytes can be written, or input can be processed again: call http1_process. The engine may
	 * also call this inside http1_process; then ignore it.
	 */
	void (*wake)(void *arg);
	/* A request's head is complete: answer it, or register a handler. */
	void (*request)(struct stream *s, void *arg);
	/* The value of Date (RFC 9110 section 6.6.1). Borrowed until the next call. */
	const char *(*date)(void *arg);
	/*
	 * A worker will read loan->left bytes of the body: fill in the other members of the loan.
	 * Returns false if the socket can't be lent. NULL: it never can.
	 */
	bool (*lend)(struct body_loan *loan, void *arg);
};

struct http1 {
	const struct http1_calls *calls;
	void *arg;
	uint64_t id; /* number of the connection, for the log */
	struct evbuffer *in;
	struct evbuffer *out;
	struct http1_file file;

	/* The fields below are private. */
	struct loop *loop;
	struct budget *budget;
	enum http1_state state;
	enum http1_ending ending;
	struct http1_scan scan;
	struct http1_chunked chunked;
	struct stream *stream;	   /* the current request, or NULL */
	uint64_t body_left;	   /* of a body with a length */
	uint64_t drained;	   /* discarded bytes of the body */
	struct budget_share input; /* bytes of `in` outside bodies: heads, further requests */
	unsigned long long n_requests;
	unsigned steps_left; /* of the share of this turn */
	enum http_body body; /* of the current request */
	bool response_chunked;
	bool response_done;
	bool expects_continue; /* 100 was not sent yet */
	bool eof;	       /* the client's sending side has ended */
	bool paused;	       /* input waits for the next turn of the loop */
};

/* Initialises the engine. Borrows all pointers. */
void http1_init(struct http1 *h, const struct http1_calls *calls, void *arg, struct loop *loop,
		struct budget *budget, uint64_t id);

/* Ends the current request (`gone`) and frees the buffers. */
void http1_clear(struct http1 *h);

/*
 * Closes the connection after the current response. Call it from calls->request, before the head is
 * sent.
 */
void http1_close_after(struct http1 *h);

/*
 * Processes the bytes of `in` as far as possible, or until the share of this turn is used up. Then
 * http1_is_paused returns true: call http1_begin_turn, with at least HTTP1_HEAD_STEPS, and
 * http1_process in the next turn of the loop. Before the first http1_begin_turn the share has no
 * limit. Call it from the loop.
 */
void http1_process(struct http1 *h);
void http1_begin_turn(struct http1 *h, unsigned steps);
bool http1_is_paused(const struct http1 *h);

/*
 * From the loop: http1_eof reports that the client has shut down its sending side, http1_broken
 * that the connection failed.
 */
void http1_eof(struct http1 *h);
void http1_broken(struct http1 *h);

/*
 * From the loop: the client has shut down its sending side, but bytes that it sent before were not
 * read yet. As http1_eof, this notifies the handler of a request whose body is complete.
 */
void http1_half_closed(struct http1 *h);

/* From the loop, after bytes of `out` or `file` were written. */
void http1_drained(struct http1 *h);

/*
 * From the loop: aborts the connection with a reset, because the file is shorter than announced or
 * the client is too slow.
 */
void http1_abort(struct http1 *h);

/* From the loop: the daemon shuts down. */
void http1_shutdown(struct http1 *h);

/* Returns the deadline that holds for the client's body now. */
enum http1_pace http1_pace(const struct http1 *h);

/* Returns true if the socket should be read now. If false, it must not be read. */
bool http1_wants_input(const struct http1 *h);

/* Returns the known number of body bytes still to come, which decides the size of a read. */
uint64_t http1_expects_bytes(const struct http1 *h);

/* Returns true if all bytes are written and the connection must be closed. */
bool http1_finished(const struct http1 *h);

/*
 * Returns true if the client may still be sending when the connection closes. Closing a socket with
 * unread input makes TCP send a reset, which can destroy a response in transit (RFC 9112 section
 * 9.6).
 */
bool http1_lingers(const struct http1 *h);

#endif
