/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: one accepted socket, with its reads, writes and deadlines, around the protocol
 * engine of http1.c.
 *
 * Every event ends in conn_update, which runs the engine, writes, and recomputes what to wait for.
 * Calls from outside (a process' output for a stream) schedule it for the end of the loop's turn,
 * so that everything that one turn produces leaves in one write.
 *
 * In a turn a connection reads once, and processes a bounded share of its input (http1.h). While
 * more waits, the socket is not read: a timer without delay continues in the next turn, after the
 * sockets that have become ready meanwhile.
 *
 * A connection is freed by conn_free: at the end of conn_update, by its deadline, or with the
 * server.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "rpc/http/body_loan.h"
#include "rpc/http/conn_impl.h"
#include "rpc/http/file_send.h"
#include "rpc/http/file_warm.h"
#include "rpc/http/listen.h"
#include "rpc/http/read_pool.h"
#include "rpc/http/server_impl.h"
#include "rpc/http/stream.h"

/* The limits of one turn of the loop for one connection; then the others get their turn. */
#define FILE_PIECE_BYTES (4 * 1024 * 1024)
#define WRITES_A_TURN	 8

/*
 * A worker sends a file while this much of it is left. If the socket takes no bytes for
 * FILE_LENT_WAIT_MS, the worker returns it to the loop. The loop lends it again when a single write
 * took FILE_LENT_BYTES.
 */
#define FILE_LENT_BYTES	  (1024 * 1024)
#define FILE_LENT_WAIT_MS 5

/*
 * How many connections with waiting input have their whole share of a turn. If there are more, the
 * shares are smaller, down to one head. 4,000 clients that sent small requests without a pause,
 * with 16 answers in each turn, made /health take 210 ms.
 */
#define WHOLE_SHARES 64

static void conn_update(struct conn *c);

/* Lets the connection continue in the next turn of the loop, or cancels that. */
static void conn_set_waiting(struct conn *c, bool waiting)
{
	if (waiting == c->waiting)
		return;
	c->waiting = waiting;
	if (waiting) {
		c->server->n_waiting++;
		timer_set_ms(&c->next_turn, 0);
	} else {
		c->server->n_waiting--;
		timer_cancel(&c->next_turn);
	}
}

/* The steps that the connection may take in this turn. */
static unsigned conn_share(const struct conn *c)
{
	size_t n = c->server->n_waiting + 1;
	size_t steps = n > WHOLE_SHARES ? HTTP1_TURN_STEPS * WHOLE_SHARES / n : HTTP1_TURN_STEPS;

	return steps > HTTP1_HEAD_STEPS ? (unsigned)steps : HTTP1_HEAD_STEPS;
}

/* Notifies the pool when a large body begins and ends. */
static void conn_set_large(struct conn *c, bool large)
{
	if (large == c->large)
		return;
	c->large = large;
	if (large)
		read_pool_begin(c->server->pool);
	else
		read_pool_end(c->server->pool);
}

/*
 * After an aborted response, SO_LINGER with 0 s makes close(2) send a reset, so that the client
 * does not see EOF.
 */
void conn_free(struct conn *c)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct server *server = c->server;
	bool reserve = c->reserve;

	c->updating = true;
	http1_clear(&c->http);
	conn_set_large(c, false);
	file_send_forget(c->sending);
	if (c->http.ending == HTTP1_ABORT)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	fd_event_del(&c->readable);
	fd_event_del(&c->writable);
	defer_cancel(&c->update);
	conn_set_waiting(c, false);
	timer_cancel(&c->timer);
	close(c->fd);
	TAILQ_REMOVE(&server->conns, c, link);
	free(c);
	server_conn_closed(server, reserve);
}

static void conn_wake(void *arg)
{
	struct conn *c = arg;

	if (!c->updating)
		defer_schedule(&c->update);
}

/* ---- reading ---- */

/*
 * Reads into a piece of the pool. Returns as read(2). A piece that is at least half full moves to
 * the engine; other bytes are copied, so that a client that sends little by little can't make the
 * daemon hold large buffers that are almost empty.
 */
static ssize_t conn_read_large(struct conn *c, uint64_t expected)
{
	size_t most = expected < READ_PIECE_BYTES ? (size_t)expected : READ_PIECE_BYTES;
	char *piece = read_pool_get(c->server->pool);
	ssize_t n = read(c->fd, piece, most);
	int error = errno;

	read_pool_add(c->server->pool, piece, n > 0 ? (size_t)n : 0, c->http.in);
	errno = error;
	return n;
}

/* Reads once. 1: bytes were read; 0: none are available; -1: EOF or an error. */
static int conn_read(struct conn *c)
{
	bool drop = c->phase == CONN_LINGERING;
	uint64_t expected = drop ? 0 : http1_expects_bytes(&c->http);
	ssize_t n;

	if (expected > SERVER_SCRATCH_BYTES) {
		n = conn_read_large(c, expected);
	} else {
		n = read(c->fd, c->server->scratch, SERVER_SCRATCH_BYTES);
		if (n > 0 && !drop)
			evbuffer_add(c->http.in, c->server->scratch, (size_t)n);
		/* A head may contain a token. */
		if (n > 0)
			explicit_bzero(c->server->scratch, (size_t)n);
	}
	c->moved |= n > 0;
	if (n > 0)
		return 1;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		http1_broken(&c->http);
	else
		http1_eof(&c->http);
	return -1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	int r = 0;

	if (c->waiting)
		return;
	/* The event may have become active before the body was lent to a worker. */
	c->updating = true;
	if (c->phase == CONN_LINGERING || http1_wants_input(&c->http))
		r = conn_read(c);
	c->updating = false;
	if (c->phase == CONN_OPEN)
		conn_update(c);
	else if (r < 0)
		conn_free(c);
}

/* ---- writing ---- */

/* Called when a worker has stopped sending the file. */
static void conn_sent(void *arg, uint64_t sent, enum file_send_end end)
{
	struct conn *c = arg;
	struct http1_file *file = &c->http.file;

	c->sending = NULL;
	c->moved |= sent > 0;
	/* If the response was aborted in the meantime, there is no file any more. */
	if (file->left) {
		file->offset += (off_t)sent;
		file->left -= sent;
	}
	c->full = c->slow = end == FILE_SEND_FULL;
	c->updating = true;
	if (end == FILE_SEND_FAILED)
		http1_abort(&c->http);
	else
		http1_drained(&c->http);
	c->updating = false;
	conn_update(c);
}

/* Returns true if the next bytes of the file can be sent without waiting for a disk. */
static bool conn_file_is_warm(struct http1_file *file)
{
	size_t n = file->left > FILE_PIECE_BYTES ? FILE_PIECE_BYTES : (size_t)file->left;

	if (file->offset < file->warm_until)
		return true;
	if (!file_is_warm(file->fd, file->offset, n))
		return false;
	file->warm_until = file->offset + (off_t)n;
	return true;
}

/* Lets a worker send the file. */
static void conn_lend_file(struct conn *c)
{
	const struct http1_file *file = &c->http.file;

	c->sending = file_send_start(c->server->loop, file->workers, c->fd, file->fd, file->offset,
				     file->left, c->slow ? 0 : FILE_LENT_WAIT_MS, conn_sent, c);
}

/*
 * Sends a piece of the file, or lets a worker send it. 1: bytes were sent; 0: none can be sent now;
 * -1: an error, or the file is too short.
 */
static int conn_send_file(struct conn *c)
{
	struct http1_file *file = &c->http.file;
	bool large = file->left >= FILE_LENT_BYTES && !c->slow;
	ssize_t n;

	if (large || !conn_file_is_warm(file)) {
		conn_lend_file(c);
		return 0;
	}
	n = sendfile(c->fd, file->fd, &file->offset, (size_t)(file->warm_until - file->offset));
	if (n > 0) {
		file->left -= (uint64_t)n;
		c->slow = c->slow && n < FILE_LENT_BYTES;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* sendfile(2) does not support the file: a worker reads and writes it. */
	if (n < 0 && errno == EINVAL) {
		conn_lend_file(c);
		return 0;
	}
	http1_abort(&c->http);
	return -1;
}

/* Writes once. 1: bytes were written; 0: the socket is full; -1: an error. */
static int conn_write(struct conn *c)
{
	int n;

	if (evbuffer_get_length(c->http.out) == 0)
		return conn_send_file(c);
	n = evbuffer_write(c->http.out, c->fd);
	if (n > 0)
		return 1;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		http1_broken(&c->http);
		return -1;
	}
	return 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	c->writing = c->full = false;
	conn_update(c);
}

/* ---- what to wait for ---- */

/*
 * Returns true if the pool should keep memory for the current body: from its first large part on.
 */
static bool conn_is_large(const struct conn *c)
{
	return c->phase == CONN_OPEN &&
	       (c->http.state == HTTP1_BODY || c->http.state == HTTP1_LENT) &&
	       (c->large || http1_expects_bytes(&c->http) >= READ_PIECE_BYTES);
}

/* Adds and removes events according to the state. */
static void conn_set_interest(struct conn *c)
{
	bool read_wanted = c->phase == CONN_LINGERING || http1_wants_input(&c->http);
	bool write_wanted = conn_has_output(c);

	conn_set_large(c, conn_is_large(c));
	if (read_wanted != c->reading) {
		c->reading = read_wanted;
		if (read_wanted)
			fd_event_add(&c->readable);
		else
			fd_event_del(&c->readable);
	}
	if (write_wanted != c->writing) {
		c->writing = write_wanted;
		if (write_wanted)
			fd_event_add(&c->writable);
		else
			fd_event_del(&c->writable);
	}
	conn_set_deadline(c);
}

/* The only writer of c->phase after conn_new. */
static void conn_set_phase(struct conn *c, enum conn_phase phase)
{
	static const char *const names[] = {[CONN_OPEN] = "open", [CONN_LINGERING] = "lingering"};

	log_debug("connection %llu: %s -> %s", (unsigned long long)c->http.id, names[c->phase],
		  names[phase]);
	c->phase = phase;
}

/*
 * Closes the connection after the engine has finished. The last response must arrive, so the close
 * may be delayed.
 */
static void conn_close(struct conn *c)
{
	if (http1_lingers(&c->http) && shutdown(c->fd, SHUT_WR) == 0) {
		conn_set_waiting(c, false);
		conn_set_phase(c, CONN_LINGERING);
		conn_set_interest(c);
		return;
	}
	conn_free(c);
}

static void conn_update(struct conn *c)
{
	int writes = 0;

	if (c->phase == CONN_LINGERING)
		return;
	if (!c->waiting)
		http1_begin_turn(&c->http, conn_share(c));
	c->updating = true;
	do {
		http1_process(&c->http);
		if (!conn_has_output(c) || c->full || conn_write(c) <= 0)
			break;
		c->moved = true;
		http1_drained(&c->http);
		writes++;
		/* A piece of a file takes a whole turn. */
	} while (writes < WRITES_A_TURN && !c->http.file.left);
	c->updating = false;
	if (http1_finished(&c->http)) {
		conn_close(c);
		return;
	}
	/*
	 * After the last write of a turn the engine has not run. It may have requests in `in` and
	 * nothing to write, so no event of the socket would bring it here again. A deferred call
	 * would run in this turn, before the sockets of the others are looked at.
	 */
	if (writes == WRITES_A_TURN || http1_is_paused(&c->http))
		conn_set_waiting(c, true);
	conn_set_interest(c);
}

static void conn_update_deferred(void *arg)
{
	conn_update(arg);
}

static void on_next_turn(void *arg)
{
	struct conn *c = arg;

	conn_set_waiting(c, false);
	conn_update(c);
}

/* ---- callbacks of the engine ---- */

static void conn_request(struct stream *s, void *arg)
{
	struct conn *c = arg;

	/* If clients kept reserve connections open, none would be left for /health. */
	if (c->reserve)
		http1_close_after(&c->http);
	if (c->restricted)
		stream_set_restricted(s);
	server_request(c->server, s, c->reserve);
}

static const char *conn_date(void *arg)
{
	struct conn *c = arg;

	return server_date(c->server);
}

/*
 * The worker gets a duplicate of the socket: the connection may be closed while the worker reads.
 */
static bool conn_lend(struct body_loan *loan, void *arg)
{
	struct conn *c = arg;

	loan->fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 3);
	if (loan->fd < 0)
		return false;
	loan->pool = read_pool_ref(c->server->pool);
	return true;
}

static const struct http1_calls conn_calls = {
	.wake = conn_wake,
	.request = conn_request,
	.date = conn_date,
	.lend = conn_lend,
};

void conn_new(struct server *server, int fd, bool reserve, bool restricted)
{
	struct conn *c = mem_zalloc(sizeof(*c));

	c->server = server;
	c->fd = fd;
	c->reserve = reserve;
	c->restricted = restricted;
	http1_init(&c->http, &conn_calls, c, server->loop, server->budget, ++server->last_conn_id);
	fd_event_init(&c->readable, server->loop, fd, EV_READ | EV_PERSIST, on_readable, c);
	fd_event_init(&c->writable, server->loop, fd, EV_WRITE, on_writable, c);
	defer_init(&c->update, server->loop, conn_update_deferred, c);
	timer_init(&c->next_turn, server->loop, on_next_turn, c);
	conn_init_deadline(c);
	TAILQ_INSERT_TAIL(&server->conns, c, link);
	conn_set_interest(c);
}

void conn_close_idle(struct server *server)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&server->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		/* Requests may wait in `in` for the next turn. */
		if (!c->updating && c->http.state == HTTP1_IDLE && !conn_has_output(c) &&
		    evbuffer_get_length(c->http.in) == 0)
			conn_free(c);
	}
}

/*
 * Returns true if the client's window is closed: no bytes are in flight although bytes wait. The
 * client does not read at present, and TCP_USER_TIMEOUT would end its connection although it
 * answers every probe.
 */
static bool conn_peer_pauses(const struct conn *c)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);

	return conn_has_output(c) && getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0 &&
	       info.tcpi_unacked == 0;
}

/*
 * Each peer gets SERVER_SUSPECT_MS to acknowledge bytes in flight, or probes (tcp(7)). Sockets
 * other than TCP do not have these options: the kernel reports at once that their peers are gone.
 */
void conn_suspect_all(struct server *server)
{
	static const struct {
		int name, value;
	} options[] = {
		{TCP_KEEPIDLE, 1},
		{TCP_KEEPINTVL, 3},
		{TCP_KEEPCNT, 3},
		{TCP_USER_TIMEOUT, SERVER_SUSPECT_MS},
	};
	struct conn *c;
	size_t i;

	TAILQ_FOREACH (c, &server->conns, link) {
		if (conn_peer_pauses(c))
			continue;
		c->suspect = true;
		for (i = 0; i < ARRAY_LEN(options); i++)
			setsockopt(c->fd, IPPROTO_TCP, options[i].name, &options[i].value,
				   sizeof(int));
	}
}

/* The peers of the remaining connections have answered. */
void conn_trust_all(struct server *server)
{
	static const int none = 0;
	struct conn *c;

	TAILQ_FOREACH (c, &server->conns, link) {
		if (!c->suspect)
			continue;
		c->suspect = false;
		setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof(none));
		listen_set_keepalive(c->fd);
	}
}

void conn_shutdown_all(struct server *server)
{
	struct conn *c;

	TAILQ_FOREACH (c, &server->conns, link) {
		http1_shutdown(&c->http);
		conn_wake(c);
	}
}

void conn_free_all(struct server *server)
{
	while (!TAILQ_EMPTY(&server->conns))
		conn_free(TAILQ_FIRST(&server->conns));
}
