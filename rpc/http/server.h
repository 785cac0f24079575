/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: listeners, the connections they accept, and what a request meets first.
 *
 *	listen.c ─► conn.c ─► http1.c ─► server_request: the gate, the router
 *
 * The server knows no policy. The daemon gives it a gate, which sees every request before the
 * router (CORS, tokens, users), and a budget.
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
 * Deadlines. They hold while the client is to move; none holds while the daemon or a process is.
 *
 * head: from the first byte of a request's head to its last; also for the body of a request without
 * a
 *	token. Set anew for each request.
 * idle: between two requests.
 * progress: without a single byte, while a body is expected or a response can't be sent because the
 *	client takes nothing. A client that reads slowly, or pauses for less than this, is not cut.
 * linger: after the last response, for a client that is still sending.
 * reserve: for all that a reserve connection does.
 */
#define SERVER_HEAD_TIMEOUT_MS	   (30 * 1000)
#define SERVER_IDLE_TIMEOUT_MS	   (640 * 1000)
#define SERVER_PROGRESS_TIMEOUT_MS (640 * 1000)
#define SERVER_LINGER_TIMEOUT_MS   (2 * 1000)
#define SERVER_RESERVE_TIMEOUT_MS  (5 * 1000)

struct server_timeouts {
	unsigned head_ms, idle_ms, progress_ms, linger_ms, reserve_ms;
};

/*
 * Connections that are accepted although the budget has no room for them. Each serves one request:
 * /health, or 503 for any other. So a probe is answered while all connections are taken.
 */
#define SERVER_RESERVE_CONNECTIONS 16

/*
 * While the system has no memory (base/mem.h), requests with longer bodies, or bodies of unknown
 * length, are refused. Signals, /health, /init and the like have short ones.
 */
#define SERVER_SHORT_BODY_BYTES (64 * 1024)

/* True: go on to the router. False: the gate has answered. */
typedef bool server_gate_fn(struct stream *s, void *arg);

/* Borrows everything. */
struct server *server_new(struct loop *loop, struct budget *budget, struct router *router,
			  server_gate_fn *gate, void *gate_arg);
void server_free(struct server *server);

/* Other deadlines than the ones above, for tests. */
void server_set_timeouts(struct server *server, const struct server_timeouts *timeouts);

/* Opens a listener. 0, or -1 with the reason; *ret_errno tells what the system said. */
int server_listen(struct server *server, const struct listen_spec *spec, struct error *err);

/*
 * Serves a listening socket that somebody else opened: takes the descriptor that listen_adopt has
 * described. The file of a unix socket is left in place at the end.
 */
void server_listen_adopted(struct server *server, int fd, const struct listen_spec *spec);

/*
 * The inodes (fstat(2)) of the listening TCP sockets, so that a scan of all sockets can recognise
 * them. Writes max at most and returns how many.
 */
size_t server_tcp_inodes(const struct server *server, uint32_t *ret, size_t max);

/*
 * Duplicates the listening sockets to numbers from `first` up, without close-on-exec, for a program
 * that replaces this one. Writes the numbers to ret, max at most. Returns how many, or -errno after
 * it has closed the duplicates.
 */
int server_dup_listeners(const struct server *server, int first, int *ret, size_t max);

/* vsock peers other than the host (CID 2) are refused until this allows them. */
void server_allow_any_vsock_peer(struct server *server);

/*
 * The orderly end: no new connections, idle ones are closed, every stream is told. `done` comes
 * from the loop when the last connection has closed.
 */
void server_shutdown(struct server *server, void (*done)(void *arg), void *arg);

/*
 * After a resume the peers may have vanished without a word. Closes the connections without a
 * request in work. The peers of the others get SERVER_SUSPECT_MS to acknowledge bytes or probes;
 * then the usual probes hold again (listen.h). A peer that merely pauses in reading is not cut.
 */
#define SERVER_SUSPECT_MS (10 * 1000)
void server_suspect_connections(struct server *server);

/* How many connections are open, and how many requests were begun since the start. */
size_t server_connections(const struct server *server);
unsigned long long server_requests(const struct server *server);

#endif
