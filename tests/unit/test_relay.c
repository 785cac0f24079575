/* SPDX-License-Identifier: Apache-2.0 */
/* The relay and the dial before it, over real sockets of both kinds. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/relay/dial.h"
#include "envd/relay/relay.h"
#include "tests/unit/self.h"

#define PATIENCE_MS 5000

/* A relay between the near ends of two connections, whose far ends the test holds. */
struct fixture {
	struct loop loop;
	struct relay_hub hub;
	struct relay *relay;
	int a, b; /* the far ends */
	int done; /* how often it was said to be over */
	int rc;
};

static void on_done(struct relay *r, int rc, void *arg)
{
	struct fixture *f = arg;

	f->done++;
	f->rc = rc;
	relay_free(r);
	f->relay = NULL;
}

/* Two ends of a TCP connection over loopback. */
static void tcp_pair(int fds[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &size), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	fds[1] = accept(listener, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(listener);
}

static void make_pair(int kind, int fds[2])
{
	if (kind == AF_INET)
		tcp_pair(fds);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fd_set_nonblock(fds[0]);
}

static void fixture_init(struct fixture *f, int kind_a, int kind_b)
{
	int a[2], b[2];

	memset(f, 0, sizeof(*f));
	loop_init(&f->loop);
	relay_hub_init(&f->hub, &f->loop);
	make_pair(kind_a, a);
	make_pair(kind_b, b);
	f->a = a[0];
	f->b = b[0];
	f->relay = relay_new(&f->hub, a[1], b[1], on_done, f);
}

static void fixture_clear(struct fixture *f)
{
	relay_free(f->relay);
	fd_close(&f->a);
	fd_close(&f->b);
	relay_hub_clear(&f->hub);
	loop_clear(&f->loop);
}

/* One turn of the loop, which waits for nothing. */
static void turn(struct loop *loop)
{
	event_base_loop(loop->base, EVLOOP_NONBLOCK);
}

/* Turns the loop until the condition holds, for PATIENCE_MS at most. */
#define turn_until(loop, condition)                                                                \
	do {                                                                                       \
		uint64_t until_ = clock_monotonic_ms() + PATIENCE_MS;                              \
		while (!(condition)) {                                                             \
			assert_true(clock_monotonic_ms() < until_);                                \
			turn(loop);                                                                \
		}                                                                                  \
	} while (0)

/* What arrives at an end: bytes, 0 for its end of file, or -errno. Waits for it. */
static ssize_t receive(struct fixture *f, int fd, void *data, size_t n)
{
	ssize_t got;

	turn_until(&f->loop, (got = recv(fd, data, n, 0)) >= 0 || errno != EAGAIN);
	return got < 0 ? -errno : got;
}

static const int kinds[][2] = {
	{AF_UNIX, AF_UNIX}, {AF_INET, AF_INET}, {AF_INET, AF_UNIX}, {AF_UNIX, AF_INET}};

/* Bytes both ways, then one end of file after the other: each is passed on, and then it is over. */
static void test_both_ways(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct fixture f;
		char data[64];

		fixture_init(&f, kinds[i][0], kinds[i][1]);
		assert_int_equal(send(f.a, "question", 8, 0), 8);
		assert_int_equal(receive(&f, f.b, data, sizeof(data)), 8);
		assert_memory_equal(data, "question", 8);

		/* A half-close: the other direction lives on. */
		shutdown(f.a, SHUT_WR);
		assert_int_equal(receive(&f, f.b, data, sizeof(data)), 0);
		assert_int_equal(f.done, 0);
		assert_int_equal(send(f.b, "answer", 6, 0), 6);
		assert_int_equal(receive(&f, f.a, data, sizeof(data)), 6);
		assert_memory_equal(data, "answer", 6);

		shutdown(f.b, SHUT_WR);
		assert_int_equal(receive(&f, f.a, data, sizeof(data)), 0);
		turn_until(&f.loop, f.done);
		assert_int_equal(f.done, 1);
		assert_int_equal(f.rc, 0);
		fixture_clear(&f);
	}
}

static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

/* Many bytes in pieces of every size, with an end of file right behind them, arrive whole. */
static void test_volume(void **state)
{
	enum { TOTAL = 6 * 1024 * 1024 };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		unsigned char *sent = mem_alloc(TOTAL), *got = mem_alloc(TOTAL);
		size_t n_sent = 0, n_got = 0, piece = 1;
		uint64_t until = clock_monotonic_ms() + 4 * PATIENCE_MS;
		struct fixture f;
		ssize_t n;

		for (size_t at = 0; at < TOTAL; at++)
			sent[at] = pattern(at);
		fixture_init(&f, kinds[i][0], kinds[i][1]);
		while (n_got < TOTAL) {
			assert_true(clock_monotonic_ms() < until);
			piece = piece % 100003 + 977;
			if (piece > TOTAL - n_sent)
				piece = TOTAL - n_sent;
			n = piece ? send(f.a, sent + n_sent, piece, 0) : 0;
			if (n > 0 && (n_sent += (size_t)n) == TOTAL)
				shutdown(f.a, SHUT_WR);
			turn(&f.loop);
			n = recv(f.b, got + n_got, TOTAL - n_got, 0);
			if (n > 0)
				n_got += (size_t)n;
		}
		assert_memory_equal(sent, got, TOTAL);
		assert_int_equal(receive(&f, f.b, got, 1), 0);
		free(sent);
		free(got);
		fixture_clear(&f);
	}
}

/* A reader that does not read holds up its peer, and what is in between is bounded. */
static void test_backpressure(void **state)
{
	struct fixture f;
	char data[4096] = {0};
	size_t accepted = 0, quiet = 0, got = 0;
	int size = 4096;

	fixture_init(&f, AF_UNIX, AF_UNIX);
	setsockopt(f.a, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	while (quiet < 100) {
		ssize_t n = send(f.a, data, sizeof(data), 0);

		if (n > 0) {
			accepted += (size_t)n;
			quiet = 0;
		} else {
			quiet++;
		}
		assert_true(accepted < 4 * 1024 * 1024);
		turn(&f.loop);
	}
	/* Nothing can be moved, so nothing is waited for but the reader. */
	assert_int_equal(f.done, 0);
	shutdown(f.a, SHUT_WR);
	for (;;) {
		ssize_t n = receive(&f, f.b, data, sizeof(data));

		assert_true(n >= 0);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	assert_int_equal(got, accepted);
	fixture_clear(&f);
}

/*
 * A relay ends while its pipe holds bytes that its reader did not take. The next relay of the hub
 * gets no pipe with those bytes: its reader would receive another peer's data.
 */
static void test_pipe_with_bytes(void **state)
{
	struct fixture f;
	char old[4096], data[64];
	unsigned quiet = 0;
	int next_a[2], next_b[2];

	memset(old, 'x', sizeof(old));
	fixture_init(&f, AF_UNIX, AF_UNIX);
	/* Until neither the reader's socket nor the pipe takes more. */
	while (quiet < 100) {
		quiet = send(f.a, old, sizeof(old), 0) > 0 ? 0 : quiet + 1;
		turn(&f.loop);
	}
	relay_free(f.relay);
	fd_close(&f.a);
	fd_close(&f.b);

	make_pair(AF_UNIX, next_a);
	make_pair(AF_UNIX, next_b);
	f.a = next_a[0];
	f.b = next_b[0];
	f.relay = relay_new(&f.hub, next_a[1], next_b[1], on_done, &f);
	assert_int_equal(send(f.a, "question", 8, 0), 8);
	assert_int_equal(receive(&f, f.b, data, sizeof(data)), 8);
	assert_memory_equal(data, "question", 8);
	assert_int_equal(send(f.b, "answer", 6, 0), 6);
	assert_int_equal(receive(&f, f.a, data, sizeof(data)), 6);
	assert_memory_equal(data, "answer", 6);
	fixture_clear(&f);
}

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Idle relays share what pipes there are: a thousand cost two descriptors each. */
static void test_idle(void **state)
{
	enum { RELAYS = 100 };
	unsigned before = count_fds(), ends[RELAYS][2];
	struct relay *relays[RELAYS];
	struct fixture f;
	char data[8];

	fixture_init(&f, AF_UNIX, AF_UNIX);
	for (int i = 0; i < RELAYS; i++) {
		int a[2], b[2];

		make_pair(AF_UNIX, a);
		make_pair(AF_UNIX, b);
		ends[i][0] = (unsigned)a[0];
		ends[i][1] = (unsigned)b[0];
		relays[i] = relay_new(&f.hub, a[1], b[1], on_done, &f);
		assert_int_equal(send(a[0], "x", 1, 0), 1);
		assert_int_equal(receive(&f, b[0], data, sizeof(data)), 1);
	}
	assert_int_equal(f.hub.relays, RELAYS + 1);
	assert_true(f.hub.idle_pipes >= 1 && f.hub.idle_pipes <= RELAY_IDLE_PIPES);
	/* The loop has three of its own; the fixture four. */
	assert_true(count_fds() <= before + 4 * RELAYS + 2 * f.hub.idle_pipes + 4 + 6);
	for (int i = 0; i < RELAYS; i++) {
		relay_free(relays[i]);
		close((int)ends[i][0]);
		close((int)ends[i][1]);
	}
	fixture_clear(&f);
	assert_int_equal(count_fds(), before);
}

/* A reset on one side is a reset on the other, whichever it is and whatever it waits for. */
static void test_reset(void **state)
{
	for (int side = 0; side < 2; side++) {
		struct linger linger = {.l_onoff = 1, .l_linger = 0};
		struct fixture f;
		char data[8];
		int *dies, *lives;

		fixture_init(&f, AF_INET, AF_INET);
		dies = side ? &f.b : &f.a;
		lives = side ? &f.a : &f.b;
		assert_int_equal(send(f.a, "x", 1, 0), 1);
		assert_int_equal(receive(&f, f.b, data, sizeof(data)), 1);
		setsockopt(*dies, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		fd_close(dies);
		turn_until(&f.loop, f.done);
		assert_int_equal(f.rc, -ECONNRESET);
		assert_int_equal(receive(&f, *lives, data, sizeof(data)), -ECONNRESET);
		fixture_clear(&f);
	}
}

/* A peer that went away for good is noticed by the first bytes for it. */
static void test_gone_reader(void **state)
{
	struct fixture f;
	char data[1024] = {0};

	fixture_init(&f, AF_UNIX, AF_UNIX);
	fd_close(&f.b);
	assert_int_equal(receive(&f, f.a, data, sizeof(data)), 0);
	assert_int_equal(f.done, 0);
	assert_true(send(f.a, data, sizeof(data), MSG_NOSIGNAL) > 0);
	turn_until(&f.loop, f.done);
	assert_int_equal(f.rc, -EPIPE);
	fixture_clear(&f);
}

/* ---- without a free descriptor ---- */

/* A connection was reset if its first bytes came while there was no descriptor for a pipe. */
static void test_no_descriptor_for_a_pipe(void **state)
{
	struct fixture f;
	char data[64];

	fixture_init(&f, AF_INET, AF_INET);
	take_descriptors();
	assert_int_equal(send(f.a, "question", 8, 0), 8);
	assert_int_equal(send(f.b, "answer", 6, 0), 6);
	for (int i = 0; i < 50; i++)
		turn(&f.loop);
	give_descriptors();
	assert_int_equal(f.done, 0);
	assert_int_equal(receive(&f, f.b, data, sizeof(data)), 8);
	assert_int_equal(receive(&f, f.a, data, sizeof(data)), 6);
	assert_memory_equal(data, "answer", 6);
	shutdown(f.a, SHUT_WR);
	shutdown(f.b, SHUT_WR);
	turn_until(&f.loop, f.done);
	assert_int_equal(f.rc, 0);
	fixture_clear(&f);
}

/* What `envd bridge` connects to: a proxy's end that the test plays. */
struct proxy {
	struct loop loop;
	struct dial_target target;
	struct dial *dial;
	int listener, peer;
	int fd; /* what the dial gave; -1 while it has not */
	int rc;
	bool done;
};

static void on_dialled(struct dial *d, int fd, void *arg)
{
	struct proxy *p = arg;

	p->done = true;
	p->fd = fd >= 0 ? fd : -1;
	p->rc = fd >= 0 ? 0 : fd;
	dial_free(d);
	p->dial = NULL;
}

static void proxy_init(struct proxy *p, unsigned port)
{
	char path[64];

	memset(p, 0, sizeof(*p));
	loop_init(&p->loop);
	snprintf(path, sizeof(path), "/tmp/test_relay.%d", getpid());
	unlink(path);
	assert_int_equal(address_parse_unix(path, &p->target.address), 0);
	p->target.proxy_port = port;
	p->listener = p->peer = p->fd = -1;
}

static void proxy_listen(struct proxy *p)
{
	p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&p->target.address.storage,
			      p->target.address.bytes),
			 0);
	assert_int_equal(listen(p->listener, 8), 0);
}

static void proxy_accept(struct proxy *p)
{
	fd_close(&p->peer);
	turn_until(&p->loop, (p->peer = accept(p->listener, NULL, NULL)) >= 0);
	fd_set_nonblock(p->peer);
}

static void proxy_clear(struct proxy *p)
{
	dial_free(p->dial);
	fd_close(&p->listener);
	fd_close(&p->peer);
	fd_close(&p->fd);
	unlink(((struct sockaddr_un *)&p->target.address.storage)->sun_path);
	loop_clear(&p->loop);
}

/*
 * A proxy that is not there yet, then refuses, then grants in two pieces with the guest's first
 * bytes behind: not one of those is lost or taken.
 */
static void test_dial_proxy(void **state)
{
	struct proxy p;
	char data[64];
	ssize_t n;

	proxy_init(&p, 49983);
	p.dial = dial_new(&p.loop, &p.target, PATIENCE_MS, on_dialled, &p);
	for (int i = 0; i < 50; i++)
		turn(&p.loop);
	assert_false(p.done);
	proxy_listen(&p);
	proxy_accept(&p);
	proxy_accept(&p); /* the first one is closed: refused */
	turn_until(&p.loop, (n = recv(p.peer, data, sizeof(data), 0)) > 0);
	assert_int_equal(n, 14);
	assert_memory_equal(data, "CONNECT 49983\n", 14);
	assert_int_equal(send(p.peer, "OK 10", 5, 0), 5);
	for (int i = 0; i < 50; i++)
		turn(&p.loop);
	assert_false(p.done);
	assert_int_equal(send(p.peer, "73741824\nhello", 14, 0), 14);
	turn_until(&p.loop, p.done);
	assert_int_equal(p.rc, 0);
	assert_int_equal(recv(p.fd, data, sizeof(data), 0), 5);
	assert_memory_equal(data, "hello", 5);
	proxy_clear(&p);
}

/* A request that was lost, with a guest that was not there yet, is made again. */
static void test_dial_asks_again(void **state)
{
	struct proxy p;
	char data[64];
	ssize_t n;

	proxy_init(&p, 1);
	proxy_listen(&p);
	p.dial = dial_new(&p.loop, &p.target, 2 * PATIENCE_MS, on_dialled, &p);
	proxy_accept(&p);
	turn_until(&p.loop, (n = recv(p.peer, data, sizeof(data), 0)) == 10);
	proxy_accept(&p); /* and the first one is never answered */
	turn_until(&p.loop, (n = recv(p.peer, data, sizeof(data), 0)) == 10);
	assert_int_equal(send(p.peer, "OK 1\n", 5, 0), 5);
	turn_until(&p.loop, p.done);
	assert_int_equal(p.rc, 0);
	proxy_clear(&p);
}

/* A dial with one try failed if there was no descriptor at that moment. */
static void test_dial_waits_for_a_descriptor(void **state)
{
	struct proxy p;

	proxy_init(&p, 0);
	proxy_listen(&p);
	p.dial = dial_new(&p.loop, &p.target, 0, on_dialled, &p);
	take_descriptors();
	for (int i = 0; i < 50; i++)
		turn(&p.loop);
	give_descriptors();
	assert_false(p.done);
	turn_until(&p.loop, p.done);
	assert_int_equal(p.rc, 0);
	proxy_clear(&p);
}

/* Patience ends: with the reason of the last try. */
static void test_dial_gives_up(void **state)
{
	struct proxy p;

	proxy_init(&p, 0);
	p.dial = dial_new(&p.loop, &p.target, 60, on_dialled, &p);
	turn_until(&p.loop, p.done);
	assert_int_equal(p.rc, -ENOENT);
	proxy_clear(&p);

	/* A proxy that never answers. */
	proxy_init(&p, 1);
	proxy_listen(&p);
	p.dial = dial_new(&p.loop, &p.target, 60, on_dialled, &p);
	turn_until(&p.loop, p.done);
	assert_int_equal(p.rc, -ETIMEDOUT);
	proxy_clear(&p);
}

static void test_dial_reply(void **state)
{
	static const struct {
		const char *reply;
		int expected;
	} cases[] = {
		{"", 0},
		{"O", 0},
		{"OK", 0},
		{"OK ", 0},
		{"OK 1", 0},
		{"OK 1\n", 5},
		{"OK 1073741824\n", 14},
		{"OK 1\nGET", 5},
		{"OK \n", -EPROTO},
		{"OK\n", -EPROTO},
		{"ok 1\n", -EPROTO},
		{"OK x\n", -EPROTO},
		{"OK 1\r\n", -EPROTO},
		{"HTTP/1.1 400 Bad Request\r\n", -EPROTO},
		{"OK 11111111111111111111111111111", -EPROTO},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(dial_reply_parse(cases[i].reply, strlen(cases[i].reply)),
				 cases[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_volume),
		cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_pipe_with_bytes),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_gone_reader),
		cmocka_unit_test(test_dial_proxy),
		cmocka_unit_test(test_dial_asks_again),
		cmocka_unit_test(test_no_descriptor_for_a_pipe),
		cmocka_unit_test(test_dial_waits_for_a_descriptor),
		cmocka_unit_test(test_dial_gives_up),
		cmocka_unit_test(test_dial_reply),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
