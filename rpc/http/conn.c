/*
 * A connection: one accepted socket, its reads, writes and timeouts, around the protocol engine
 * of http1.c.
 *
 * Everything that happens ends in conn_update, the one place that runs the engine, writes, and
 * recomputes what to wait for; nothing else frees a connection. Calls from outside (a process'
 * output for a stream) schedule it for the end of the loop's turn, so that all that is produced in
 * one turn leaves in one write.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "rpc/http/file_send.h"
#include "rpc/http/file_warm.h"
#include "rpc/http/http1.h"
#include "rpc/http/read_pool.h"
#include "rpc/http/server_impl.h"

/* One turn of the loop writes so much of one connection, then the others have theirs. */
#define FILE_PIECE_BYTES (4 * 1024 * 1024)
#define WRITES_A_TURN	 8

/*
 * A worker sends a file of which so much is left. When the client takes nothing for so long, it gives
 * up, and the loop sends, until the client takes as much at once.
 */
#define FILE_LENT_BYTES	  (1024 * 1024)
#define FILE_LENT_WAIT_MS 5

/* After its last response a connection waits so long for the client to stop sending. */
#define LINGER_MS 2000

enum conn_wait {
	WAIT_NONE,
	WAIT_HEAD,
	WAIT_IDLE,
	WAIT_LINGER,
};

struct conn {
	struct server *server;
	int fd;
	struct http1 http;
	struct event readable;
	struct event writable;
	struct defer update;
	struct timer timer;
	enum conn_wait wait; /* what the deadline is for */
	uint64_t deadline_ms;
	bool reserve;
	bool large;   /* a large body comes: the pool keeps its memory */
	bool reading; /* the events that are added */
	bool writing;
	bool updating;
	bool again;   /* conn_update has more to do */
	bool closing; /* the sending side is shut down; input is dropped until its end */
	struct file_send *sending; /* a worker sends of the file: nobody else may write; or NULL */
	bool slow;		   /* the client did not take what a worker sent last */
	bool full;		   /* the socket was: nothing is written before it is not */
	TAILQ_ENTRY(conn) link;
};

static void conn_update(struct conn *c);

/* Tells the pool when a large body begins and ends. */
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

/* Where the response was broken off, the client must see a reset, not an end: SO_LINGER, 0 s. */
static void conn_free(struct conn *c)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct server *server = c->server;
	bool reserve = c->reserve;

	http1_clear(&c->http);
	conn_set_large(c, false);
	file_send_forget(c->sending);
	if (c->http.abort)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	event_del(&c->readable);
	event_del(&c->writable);
	defer_cancel(&c->update);
	timer_cancel(&c->timer);
	close(c->fd);
	TAILQ_REMOVE(&server->conns, c, link);
	free(c);
	server_conn_closed(server, reserve);
}

static void conn_wake(void *arg)
{
	struct conn *c = arg;

	if (c->updating)
		c->again = true;
	else
		defer_schedule(&c->update);
}

/* ---- reading ---- */

/* Reads a part of a large body, which is handed on as it lies there. As read(2). */
static ssize_t conn_read_large(struct conn *c)
{
	char *piece = read_pool_get(c->server->pool);
	ssize_t n = read(c->fd, piece, READ_PIECE_BYTES);
	int error = errno;

	read_pool_add(c->server->pool, piece, n > 0 ? (size_t)n : 0, c->http.in);
	errno = error;
	return n;
}

/* Reads once. 1: bytes came; 0: none now; -1: the end, or a break. */
static int conn_read(struct conn *c)
{
	uint64_t expected = c->closing ? 0 : http1_expects_bytes(&c->http);
	struct evbuffer_iovec iov;
	ssize_t n;

	if (expected >= READ_PIECE_BYTES) {
		n = conn_read_large(c);
	} else if (expected > SERVER_SCRATCH_BYTES) {
		evbuffer_reserve_space(c->http.in, (ev_ssize_t)expected, &iov, 1);
		n = read(c->fd, iov.iov_base, iov.iov_len);
		iov.iov_len = n > 0 ? (size_t)n : 0;
		evbuffer_commit_space(c->http.in, &iov, 1);
	} else {
		n = read(c->fd, c->server->scratch, SERVER_SCRATCH_BYTES);
		if (n > 0 && !c->closing)
			evbuffer_add(c->http.in, c->server->scratch, (size_t)n);
	}
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

/* What a secret body was read through must not keep it. */
static void conn_wipe(struct conn *c)
{
	if (c->http.secret)
		explicit_bzero(c->server->scratch, SERVER_SCRATCH_BYTES);
	c->http.secret = false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	int r = 0;

	/* The event may be older than the loan of the body to a worker. */
	c->updating = true;
	if (c->closing || http1_wants_input(&c->http))
		r = conn_read(c);
	c->updating = false;
	if (!c->closing)
		conn_update(c);
	else if (r < 0)
		conn_free(c);
}

/* ---- writing ---- */

/* A worker has sent a part of the file. */
static void conn_sent(void *arg, uint64_t sent, enum file_send_end end)
{
	struct conn *c = arg;
	struct http1_file *file = &c->http.file;

	c->sending = NULL;
	file->offset += (off_t)sent;
	file->left -= sent;
	c->full = c->slow = end == FILE_SEND_FULL;
	c->updating = true;
	if (end == FILE_SEND_FAILED)
		http1_file_failed(&c->http);
	else
		http1_drained(&c->http);
	c->updating = false;
	conn_update(c);
}

/* Whether the file's next bytes can be sent without waiting for a disk. */
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

/*
 * Sends a piece of the file, or has a worker do it. 1: some was sent; 0: nothing now; -1: it broke, or
 * the file is short.
 */
static int conn_send_file(struct conn *c)
{
	struct http1_file *file = &c->http.file;
	bool large = file->left >= FILE_LENT_BYTES && !c->slow;
	ssize_t n;

	if (large || !conn_file_is_warm(file)) {
		c->sending =
			file_send_start(file->workers, c->fd, file->fd, file->offset, file->left,
					c->slow ? 0 : FILE_LENT_WAIT_MS, conn_sent, c);
		if (c->sending)
			return 0;
		http1_file_failed(&c->http);
		return -1;
	}
	n = sendfile(c->fd, file->fd, &file->offset, (size_t)(file->warm_until - file->offset));
	if (n > 0) {
		file->left -= (uint64_t)n;
		c->slow = c->slow && n < FILE_LENT_BYTES;
		return 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	http1_file_failed(&c->http);
	return -1;
}

/* Writes once. 1: bytes went; 0: the socket is full; -1: it broke. */
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

static bool conn_has_output(const struct conn *c)
{
	return !c->sending && (evbuffer_get_length(c->http.out) || c->http.file.left);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	c->writing = c->full = false;
	conn_update(c);
}

/* ---- what to wait for ---- */

/*
 * The timer is moved only to an earlier time; when it comes too early it is set again. A busy
 * connection's deadline moves with each request, and this way costs nothing.
 */
static void conn_set_deadline(struct conn *c, enum conn_wait wait)
{
	static const uint64_t delays_ms[] = {
		[WAIT_HEAD] = SERVER_HEAD_TIMEOUT_MS,
		[WAIT_IDLE] = SERVER_IDLE_TIMEOUT_MS,
		[WAIT_LINGER] = LINGER_MS,
	};
	uint64_t previous = c->deadline_ms;

	if (wait == c->wait && wait != WAIT_IDLE)
		return;
	c->wait = wait;
	if (wait == WAIT_NONE)
		return;
	c->deadline_ms = clock_monotonic_ms() + delays_ms[wait];
	if (!timer_pending(&c->timer) || c->deadline_ms < previous)
		timer_set_ms(&c->timer, delays_ms[wait]);
}

static void on_timer(void *arg)
{
	struct conn *c = arg;
	uint64_t now = clock_monotonic_ms();

	if (c->wait == WAIT_NONE)
		return;
	if (now < c->deadline_ms)
		timer_set_ms(&c->timer, c->deadline_ms - now);
	else
		conn_free(c);
}

static enum conn_wait conn_wait_now(const struct conn *c)
{
	if (c->closing)
		return WAIT_LINGER;
	if (c->http.state == HTTP1_HEAD)
		return WAIT_HEAD;
	return c->http.state == HTTP1_IDLE ? WAIT_IDLE : WAIT_NONE;
}

/* Whether the pool is to keep memory for the body that comes: from its first large part on. */
static bool conn_is_large(const struct conn *c)
{
	return !c->closing && c->http.state == HTTP1_BODY &&
	       (c->large || http1_expects_bytes(&c->http) >= READ_PIECE_BYTES);
}

/* Adds and removes events so that they are what is waited for. */
static void conn_set_interest(struct conn *c)
{
	bool read_wanted = c->closing || http1_wants_input(&c->http);
	bool write_wanted = !c->closing && conn_has_output(c);

	conn_set_large(c, conn_is_large(c));
	if (read_wanted != c->reading) {
		c->reading = read_wanted;
		if (read_wanted)
			event_add(&c->readable, NULL);
		else
			event_del(&c->readable);
	}
	if (write_wanted != c->writing) {
		c->writing = write_wanted;
		if (write_wanted)
			event_add(&c->writable, NULL);
		else
			event_del(&c->writable);
	}
	conn_set_deadline(c, conn_wait_now(c));
}

/* The engine has finished. The last response must arrive, so the close may have to wait. */
static void conn_close(struct conn *c)
{
	if (http1_lingers(&c->http) && shutdown(c->fd, SHUT_WR) == 0) {
		c->closing = true;
		conn_set_interest(c);
		return;
	}
	conn_free(c);
}

static void conn_update(struct conn *c)
{
	int turn;

	if (c->closing)
		return;
	c->updating = true;
	for (turn = 0; turn < WRITES_A_TURN; turn++) {
		c->again = false;
		http1_process(&c->http);
		conn_wipe(c);
		if (conn_has_output(c) && !c->full && conn_write(c) > 0)
			http1_drained(&c->http);
		else if (!c->again)
			break;
		/* A piece of a file is a turn of its own. */
		if (c->http.file.left && !c->again)
			break;
	}
	c->updating = false;
	if (http1_finished(&c->http)) {
		conn_close(c);
		return;
	}
	if (c->again)
		defer_schedule(&c->update);
	conn_set_interest(c);
}

static void conn_update_deferred(void *arg)
{
	conn_update(arg);
}

void conn_new(struct server *server, int fd, bool reserve)
{
	struct conn *c = mem_zalloc(sizeof(*c));

	c->server = server;
	c->fd = fd;
	c->reserve = reserve;
	http1_init(&c->http, server, conn_wake, c);
	c->http.reserve = reserve;
	c->http.fd = fd;
	event_assign(&c->readable, server->loop->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->writable, server->loop->base, fd, EV_WRITE, on_writable, c);
	defer_init(&c->update, server->loop, conn_update_deferred, c);
	timer_init(&c->timer, server->loop, on_timer, c);
	TAILQ_INSERT_TAIL(&server->conns, c, link);
	conn_set_interest(c);
}

void conn_close_idle(struct server *server)
{
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&server->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (!c->updating && c->http.state == HTTP1_IDLE && !conn_has_output(c))
			conn_free(c);
	}
}

/*
 * The peer has ten seconds to acknowledge what is sent to it: probes go out when nothing else does
 * (tcp(7)). On other kinds of sockets these options do not exist, and their peers are known to be
 * gone at once.
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

	TAILQ_FOREACH (c, &server->conns, link)
		for (i = 0; i < ARRAY_LEN(options); i++)
			setsockopt(c->fd, IPPROTO_TCP, options[i].name, &options[i].value,
				   sizeof(int));
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
