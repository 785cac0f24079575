/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/http/http_date.h"
#include "rpc/http/read_pool.h"
#include "rpc/http/router.h"
#include "rpc/http/server_impl.h"
#include "rpc/http/stream.h"

/* Maximum accepts per turn of the loop; further connections stay in the kernel's queue. */
#define ACCEPTS_A_TURN 64

/*
 * The pause if no descriptor is free, because accept(2) would fail repeatedly; a close ends it
 * earlier.
 */
#define ACCEPT_PAUSE_MS 100

static void accept_resume(void *arg);
static void report_end(void *arg);
static void trust_connections(void *arg);

struct server *server_new(struct loop *loop, struct budget *budget, struct router *router,
			  server_gate_fn *gate, void *gate_arg)
{
	struct server *server = mem_zalloc(sizeof(*server));

	server->loop = loop;
	server->budget = budget;
	server->router = router;
	server->gate = gate;
	server->gate_arg = gate_arg;
	TAILQ_INIT(&server->listeners);
	TAILQ_INIT(&server->conns);
	timer_init(&server->accept_timer, loop, accept_resume, server);
	defer_init(&server->ended, loop, report_end, server);
	timer_init(&server->trust_timer, loop, trust_connections, server);
	server->timeouts = (struct server_timeouts){
		.head_ms = SERVER_HEAD_TIMEOUT_MS,
		.idle_ms = SERVER_IDLE_TIMEOUT_MS,
		.progress_ms = SERVER_PROGRESS_TIMEOUT_MS,
		.linger_ms = SERVER_LINGER_TIMEOUT_MS,
		.reserve_ms = SERVER_RESERVE_TIMEOUT_MS,
		.peer_ms = SERVER_PEER_CHECK_MS,
	};
	server->scratch = mem_alloc(SERVER_SCRATCH_BYTES);
	server->pool = read_pool_new();
	return server;
}

void server_set_timeouts(struct server *server, const struct server_timeouts *timeouts)
{
	server->timeouts = *timeouts;
}

static void listener_free(struct listener *l)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&l->spec.address;

	TAILQ_REMOVE(&l->server->listeners, l, link);
	fd_event_del(&l->event);
	close(l->fd);
	if (l->removes_file)
		unlink(un->sun_path);
	free(l);
}

static void close_listeners(struct server *server)
{
	while (!TAILQ_EMPTY(&server->listeners))
		listener_free(TAILQ_FIRST(&server->listeners));
}

void server_free(struct server *server)
{
	if (!server)
		return;
	close_listeners(server);
	conn_free_all(server);
	timer_cancel(&server->accept_timer);
	defer_cancel(&server->ended);
	timer_cancel(&server->trust_timer);
	free(server->scratch);
	read_pool_unref(server->pool);
	free(server);
}

/* ---- accepting ---- */

/* Removes the events of the listeners, because level-triggered events would fire repeatedly. */
static void accept_pause(struct server *server)
{
	struct listener *l;

	if (server->accept_paused)
		return;
	server->accept_paused = true;
	TAILQ_FOREACH (l, &server->listeners, link)
		fd_event_del(&l->event);
	log_warn("connections are not accepted for now: %zu are open", server->n_conns);
}

static void accept_resume(void *arg)
{
	struct server *server = arg;
	struct listener *l;

	if (!server->accept_paused)
		return;
	server->accept_paused = false;
	timer_cancel(&server->accept_timer);
	TAILQ_FOREACH (l, &server->listeners, link)
		fd_event_add(&l->event);
}

/*
 * Returns true if the peer may connect. Processes of the guest can reach vsock by the guest's own
 * CID, so only the host (CID 2) is allowed by default.
 */
static bool peer_allowed(const struct server *server, const struct sockaddr_storage *peer)
{
	const struct sockaddr_vm *vm = (const struct sockaddr_vm *)peer;

	return peer->ss_family != AF_VSOCK || server->any_vsock_peer ||
	       vm->svm_cid == VMADDR_CID_HOST;
}

/* Accepts one connection. Returns false if no more can be accepted now. */
static bool accept_one(struct listener *l)
{
	struct server *server = l->server;
	struct sockaddr_storage peer = {0};
	socklen_t peer_bytes = sizeof(peer);
	bool reserve = server->budget->used[BUDGET_CONNECTIONS] >=
		       server->budget->limit[BUDGET_CONNECTIONS];
	int fd;

	if (reserve && server->n_reserve >= SERVER_RESERVE_CONNECTIONS) {
		accept_pause(server); /* until one closes */
		return false;
	}
	fd = accept4(l->fd, (struct sockaddr *)&peer, &peer_bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (fd_is_shortage(errno)) {
			accept_pause(server);
			timer_set_ms(&server->accept_timer, ACCEPT_PAUSE_MS);
		}
		/* These errors concern only the one connection (accept(2)). */
		return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
	}
	if (!peer_allowed(server, &peer)) {
		close(fd);
		return true;
	}
	if (reserve)
		server->n_reserve++;
	else
		budget_take(server->budget, BUDGET_CONNECTIONS, 1);
	server->n_conns++;
	conn_new(server, fd, reserve, l->spec.restricted);
	return true;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	int i;

	for (i = 0; i < ACCEPTS_A_TURN && accept_one(l); i++)
		continue;
}

static struct listener *listener_new(struct server *server, int fd, const struct listen_spec *spec)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	l->server = server;
	l->spec = *spec;
	l->fd = fd;
	fd_event_init(&l->event, server->loop, fd, EV_READ | EV_PERSIST, on_acceptable, l);
	fd_event_add(&l->event);
	TAILQ_INSERT_TAIL(&server->listeners, l, link);
	return l;
}

int server_listen(struct server *server, const struct listen_spec *spec, struct error *err)
{
	int fd = listen_open(spec, err);

	if (fd < 0)
		return -1;
	listener_new(server, fd, spec)->removes_file = spec->kind == LISTEN_UNIX;
	return 0;
}

void server_listen_adopted(struct server *server, int fd, const struct listen_spec *spec)
{
	listener_new(server, fd, spec);
}

size_t server_tcp_inodes(const struct server *server, uint32_t *ret, size_t max)
{
	const struct listener *l;
	struct stat status;
	size_t n = 0;

	TAILQ_FOREACH (l, &server->listeners, link)
		if (l->spec.kind == LISTEN_TCP && n < max && fstat(l->fd, &status) == 0)
			ret[n++] = (uint32_t)status.st_ino;
	return n;
}

int server_dup_listeners(const struct server *server, int first, int *ret, size_t max)
{
	const struct listener *l;
	int n = 0, r;

	TAILQ_FOREACH (l, &server->listeners, link) {
		ret[n] = (size_t)n < max ? fcntl(l->fd, F_DUPFD, first) : -1;
		if (ret[n++] >= 0)
			continue;
		r = (size_t)n <= max ? -errno : -E2BIG;
		while (n-- > 0)
			fd_close(&ret[n]);
		return r;
	}
	return n;
}

void server_allow_any_vsock_peer(struct server *server)
{
	server->any_vsock_peer = true;
}

void server_conn_closed(struct server *server, bool reserve)
{
	server->n_conns--;
	if (reserve)
		server->n_reserve--;
	else
		budget_give(server->budget, BUDGET_CONNECTIONS, 1);
	if (server->ending)
		defer_schedule(&server->ended);
	else
		accept_resume(server);
}

/* ---- requests ---- */

static bool is_health(const struct http_head *head)
{
	return strcmp(head->path, "/health") == 0 &&
	       (strcmp(head->method, "GET") == 0 || strcmp(head->method, "HEAD") == 0);
}

static bool body_is_short(const struct http_head *head)
{
	return head->body == HTTP_BODY_NONE ||
	       (head->body == HTTP_BODY_LENGTH && head->content_length <= SERVER_SHORT_BODY_BYTES);
}

void server_request(struct server *server, struct stream *s, bool reserve)
{
	server->n_requests++;
	stream_read_trace(s);
	if (!body_is_short(stream_head_in(s)) && mem_is_short()) {
		stream_reply_error(s, 503, "the system is out of memory");
		return;
	}
	if (reserve && !is_health(stream_head_in(s))) {
		stream_reply_error(s, 503, "too many connections are open");
		return;
	}
	if (server->gate(s, server->gate_arg))
		router_dispatch(server->router, s);
}

const char *server_date(struct server *server)
{
	time_t now = time(NULL);

	if (now != server->date_second) {
		server->date_second = now;
		http_date_format(server->date, now);
	}
	return server->date;
}

size_t server_connections(const struct server *server)
{
	return server->n_conns;
}

unsigned long long server_requests(const struct server *server)
{
	return server->n_requests;
}

void server_add_requests(struct server *server, unsigned long long n)
{
	server->n_requests += n;
}

/* ---- the end ---- */

static void report_end(void *arg)
{
	struct server *server = arg;

	if (server->n_conns == 0 && server->done)
		server->done(server->done_arg);
}

void server_suspect_connections(struct server *server)
{
	conn_close_idle(server);
	conn_suspect_all(server);
	timer_set_ms(&server->trust_timer, SERVER_SUSPECT_MS + 1000);
}

static void trust_connections(void *arg)
{
	conn_trust_all(arg);
}

bool server_is_ending(const struct server *server)
{
	return server->ending;
}

void server_shutdown(struct server *server, void (*done)(void *arg), void *arg)
{
	server->ending = true;
	server->done = done;
	server->done_arg = arg;
	close_listeners(server);
	conn_shutdown_all(server);
	defer_schedule(&server->ended);
}
