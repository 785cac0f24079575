/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of the server, for server.c and conn.c. */
#ifndef RPC_HTTP_SERVER_IMPL_H
#define RPC_HTTP_SERVER_IMPL_H

#include <sys/queue.h>
#include <time.h>

#include "base/loop.h"
#include "rpc/http/server.h"

struct conn;

TAILQ_HEAD(conn_list, conn);

struct listener {
	struct server *server;
	struct listen_spec spec;
	int fd;
	bool removes_file; /* removes the file of its unix socket when it closes */
	struct fd_event event;
	TAILQ_ENTRY(listener) link;
};

TAILQ_HEAD(listener_list, listener);

/* The size of the buffer for small reads. */
#define SERVER_SCRATCH_BYTES (16 * 1024)

struct server {
	struct loop *loop;
	struct budget *budget;
	struct router *router;
	server_gate_fn *gate;
	void *gate_arg;

	struct listener_list listeners;
	struct conn_list conns;
	size_t n_conns;
	size_t n_reserve; /* how many of n_conns are reserve connections */
	size_t n_waiting; /* how many have input that waits for the next turn of the loop */
	unsigned long long n_requests;
	bool any_vsock_peer;
	bool accept_paused;
	bool ending;
	struct timer accept_timer; /* ends a pause that began because no descriptor was free */
	struct defer ended;
	void (*done)(void *arg);
	void *done_arg;

	struct server_timeouts timeouts;
	struct timer trust_timer; /* ends the suspicion of server_suspect_connections */
	uint64_t last_conn_id;
	char *scratch;		/* buffer for small reads */
	struct read_pool *pool; /* memory for large bodies */
	time_t date_second;
	char date[32];
};

/*
 * Handles a request whose head is complete: the rule for reserve connections, the gate, the router.
 */
void server_request(struct server *server, struct stream *s, bool reserve);

/* Returns the current time for Date (RFC 9110 section 6.6.1). Borrowed until the next call. */
const char *server_date(struct server *server);

/* Creates a connection for an accepted socket. Takes ownership of fd. */
void conn_new(struct server *server, int fd, bool reserve, bool restricted);

/*
 * Act on all connections: close the ones without a current request; suspect the peers, and trust
 * them again (server_suspect_connections); shut down in order; free.
 */
void conn_close_idle(struct server *server);
void conn_suspect_all(struct server *server);
void conn_trust_all(struct server *server);
void conn_shutdown_all(struct server *server);
void conn_free_all(struct server *server);

/* Call it when a connection has closed: releases its place in the budget. */
void server_conn_closed(struct server *server, bool reserve);

#endif
