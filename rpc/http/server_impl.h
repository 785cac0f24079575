/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the server, for server.c and conn.c.
 */
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
	bool removes_file; /* of a unix socket that this daemon made */
	struct event event;
	TAILQ_ENTRY(listener) link;
};

TAILQ_HEAD(listener_list, listener);

/* What one read of a small request goes through. */
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
	size_t n_reserve; /* of them, beyond the budget */
	unsigned long long n_requests;
	bool any_vsock_peer;
	bool accept_paused;
	bool ending;
	struct timer accept_timer; /* ends the pause, for descriptors that others gave back */
	struct defer ended;
	void (*done)(void *arg);
	void *done_arg;

	struct server_timeouts timeouts;
	struct timer trust_timer; /* ends the suspicion of server_suspect_connections */
	uint64_t last_conn_id;
	char *scratch;		/* small reads go through it */
	struct read_pool *pool; /* memory for large bodies */
	time_t date_second;
	char date[32];
};

/* A request whose head is complete: the reserve's rule, the gate, the router. */
void server_request(struct server *server, struct stream *s, bool reserve);

/* Now, as RFC 9110 section 5.6.7 wants it in Date. Borrowed until the next call. */
const char *server_date(struct server *server);

/* Makes a connection of an accepted socket. Takes fd. */
void conn_new(struct server *server, int fd, bool reserve);

/* Ends all of them: at once, where no request is in work, or in order (conn.c). */
void conn_close_idle(struct server *server);
void conn_suspect_all(struct server *server);
void conn_trust_all(struct server *server);
void conn_shutdown_all(struct server *server);
void conn_free_all(struct server *server);

/* A connection has closed: its place is free. */
void server_conn_closed(struct server *server, bool reserve);

#endif
