/*
 * HTTP/1.1 on one connection: bytes in, requests up, response bytes out. No fd and no clock; the
 * connection (conn.c) owns both, a test may do without.
 *
 *	conn appends to http->in ─► http1_process ─► stream, server_request
 *	stream_send …            ─► http->out, http->file ─► conn writes them
 *
 * Requests that are pipelined are taken one after the other; the next one is not looked at before
 * the response to the last is complete and little of it waits.
 */
#ifndef RPC_HTTP_HTTP1_H
#define RPC_HTTP_HTTP1_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "rpc/http/http1_chunked.h"
#include "rpc/http/http1_parse.h"

struct evbuffer;
struct server;
struct stream;

enum http1_state {
	HTTP1_IDLE,	/* between requests */
	HTTP1_HEAD,	/* a part of a head is here */
	HTTP1_BODY,	/* the body comes */
	HTTP1_RESPONSE, /* the body is complete, the response is not */
	HTTP1_LAST,   /* nothing more is read; what waits is written, then the connection closes */
	HTTP1_BROKEN, /* closed at once */
};

/* A body that nobody wants is read up to here, then the connection closes after its response. */
#define HTTP1_DRAIN_MAX_BYTES (64u * 1024 * 1024)

/* While a response is in work, so much of the next requests is read and kept. */
#define HTTP1_READ_AHEAD_BYTES (64 * 1024)

/* A part of a file that waits to be sent, behind all bytes in `out`. */
struct http1_file {
	int fd;
	struct workers *workers; /* who send what is much, or not in memory */
	off_t offset;
	uint64_t left;
	off_t warm_until; /* up to here it was found in memory */
};

struct http1 {
	struct server *server;
	/* Something is to be written, or can be read again. Never called from http1_process. */
	void (*wake)(void *arg);
	void *wake_arg;
	struct evbuffer *in;
	struct evbuffer *out;
	struct http1_file file;
	int fd; /* the socket, for the workers that bodies are lent to; -1: none are lent */

	/* The rest is http1.c's own. */
	enum http1_state state;
	struct http1_scan scan;
	struct http1_chunked chunked;
	struct stream *stream; /* the request in work, or NULL */
	uint64_t body_left;    /* of a body with a length */
	uint64_t drained;      /* bytes of it that nobody wanted */
	struct budget_share input; /* bytes of `in` that are no body: heads, requests read ahead */
	unsigned long long n_requests;
	bool body_chunked;
	bool response_chunked;
	bool response_done;
	bool expects_continue; /* 100 was not sent yet */
	bool lent;	       /* a worker reads the body: nobody else may read */
	bool keep_alive;
	bool eof;	 /* the client's sending side has ended */
	bool reserve;	 /* one of the server's reserve connections */
	bool linger;	 /* the client may still be sending: see http1_lingers */
	bool abort;	 /* the end must be seen as a break: RST */
	bool secret;	 /* a secret body came by: what it was read through is to be wiped */
	bool processing; /* inside http1_process or another call of the connection's */
};

void http1_init(struct http1 *h, struct server *server, void (*wake)(void *arg), void *wake_arg);

/* Ends a request in work (`gone`) and frees the buffers. */
void http1_clear(struct http1 *h);

/* From the loop: takes what it can of `in`. */
void http1_process(struct http1 *h);

/* From the loop: the client has ended its sending side, or the connection broke. */
void http1_eof(struct http1 *h);
void http1_broken(struct http1 *h);

/* From the loop, after bytes of `out` or `file` were written. */
void http1_drained(struct http1 *h);

/* From the loop: the file could not be sent as promised. */
void http1_file_failed(struct http1 *h);

/* From the loop: the daemon ends. */
void http1_shutdown(struct http1 *h);

/* Whether more input is wanted now. Where it is not, the socket must not be read. */
bool http1_wants_input(const struct http1 *h);

/* How many bytes of the body are known to come: how much to read at once. */
uint64_t http1_expects_bytes(const struct http1 *h);

/* Whether all is written and the connection is to be closed. */
bool http1_finished(const struct http1 *h);

/*
 * Whether the client may still be sending when the connection closes: closing with unread input
 * makes TCP send a reset, which can destroy the response on its way (RFC 9112 section 9.6).
 */
bool http1_lingers(const struct http1 *h);

#endif
