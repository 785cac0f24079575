/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: listeners, their connections, and the way of a request to the router.
 *
 *	listen.c ─► conn.c ─► http1.c ─► server_request: the gate, the router
 *
 * The server has no policy of its own. The daemon provides a budget and a gate, which checks every
 * request before the router (CORS, tokens, users).
 */
#ifndef RPC_HTTP_SERVER_H
#define RPC_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "rpc/http/listen.h"

struct budget;
struct loop;
struct router;
struct server;
struct stream;

/*
 * Deadlines. They hold while the daemon waits for the client. None holds while the client waits for
 * the daemon or a process.
 *
 * head: from the first to the last byte of a request's head; for a request without a token, also
 *	for its body. Restarts with each request.
 * idle: between two requests.
 * progress: the maximum time without a single byte, while a body is expected or a response can't be
 *	sent because the client does not read. A client that reads slowly, or pauses for less than
 *	this, keeps its connection.
 * linger: after the last response, for a client that is still sending.
 * reserve: the whole life of a reserve connection.
 *
 * peer: not a deadline. While a connection is neither read nor written, the loop does not learn
 *	that its client has gone. This is the time between two looks at the socket.
 */
#define SERVER_HEAD_TIMEOUT_MS	   (30 * 1000)
#define SERVER_IDLE_TIMEOUT_MS	   (640 * 1000)
#define SERVER_PROGRESS_TIMEOUT_MS (640 * 1000)
#define SERVER_LINGER_TIMEOUT_MS   (2 * 1000)
#define SERVER_RESERVE_TIMEOUT_MS  (5 * 1000)
#define SERVER_PEER_CHECK_MS	   (10 * 1000)

struct server_timeouts {
	unsigned head_ms, idle_ms, progress_ms, linger_ms, reserve_ms, peer_ms;
};

/*
 * The number of reserve connections, accepted although the budget has no room. Each serves one
 * request: /health, or 503 for any other path. So a health probe is answered even if all
 * connections are in use.
 */
#define SERVER_RESERVE_CONNECTIONS 16

/*
 * While memory is short (mem_is_short), requests with bodies longer than this, or of unknown
 * length, are refused. Signals, /health, /init and similar requests are shorter.
 */
#define SERVER_SHORT_BODY_BYTES (64 * 1024)

/* Returns true to pass the request to the router, or false if the gate has answered it. */
typedef bool server_gate_fn(struct stream *s, void *arg);

/* Creates a server. Borrows all arguments. */
struct server *server_new(struct loop *loop, struct budget *budget, struct router *router,
			  server_gate_fn *gate, void *gate_arg);
void server_free(struct server *server);

/* Sets other deadlines, for tests. */
void server_set_timeouts(struct server *server, const struct server_timeouts *timeouts);

/* Opens a listener. 0, or -1 with the error of listen_open. */
int server_listen(struct server *server, const struct listen_spec *spec, struct error *err);

/*
 * Serves a listening socket that another process opened; `spec` is from listen_adopt. Takes
 * ownership of fd. Does not remove the file of a unix socket at the end.
 */
void server_listen_adopted(struct server *server, int fd, const struct listen_spec *spec);

/*
 * Writes the inodes (fstat(2)) of the listening TCP sockets to ret, at most `max`, and returns
 * their number. A scan of all sockets recognises the daemon's listeners by these inodes.
 */
size_t server_tcp_inodes(const struct server *server, uint32_t *ret, size_t max);

/*
 * Duplicates the listening sockets, at most `max`, to descriptors from `first` up without
 * close-on-exec, for a program that replaces this one. Writes the descriptors to ret. Returns their
 * number; or -errno, after closing the duplicates.
 */
int server_dup_listeners(const struct server *server, int first, int *ret, size_t max);

/* Accepts vsock peers other than the host (CID 2), which are refused by default. */
void server_allow_any_vsock_peer(struct server *server);

/*
 * Shuts down in order: accepts no new connections, closes idle ones, and notifies every stream.
 * `done` is called from the loop when the last connection has closed.
 */
void server_shutdown(struct server *server, void (*done)(void *arg), void *arg);

/* Returns true after server_shutdown. */
bool server_is_ending(const struct server *server);

/*
 * Call it after a resume, when peers may have vanished silently. Closes the connections that have
 * no current request. The peers of the other connections must acknowledge bytes or probes within
 * SERVER_SUSPECT_MS; after that, the usual probes hold again (listen.h). A peer that only pauses in
 * reading keeps its connection.
 */
#define SERVER_SUSPECT_MS (10 * 1000)
void server_suspect_connections(struct server *server);

/*
 * Return the number of open connections, and of requests since the start, including the requests
 * that server_add_requests added.
 */
size_t server_connections(const struct server *server);
unsigned long long server_requests(const struct server *server);

/* Adds the requests of an earlier daemon, which this one has replaced. */
void server_add_requests(struct server *server, unsigned long long n);

#endif
