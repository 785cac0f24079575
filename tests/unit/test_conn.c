/* SPDX-License-Identifier: Apache-2.0 */
/* Connections over a real socket: turns, deadlines, and what happens when the server goes first. */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/budget.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"
#include "rpc/http/body_loan.h"
#include "rpc/http/conn_impl.h"
#include "rpc/http/http1.h"
#include "rpc/http/router.h"
#include "rpc/http/server.h"
#include "rpc/http/server_impl.h"
#include "rpc/http/stream.h"

#define BIG_BYTES   20000
#define LARGE_BYTES (STREAM_HIGH_BYTES + 1000)

/* Clients that send requests without a pause, and the requests that each has sent. */
#define N_FLOODERS     50
#define FLOOD_REQUESTS 400
#define N_CROWD	       300

/* Deadlines of the tests: one that is to come, and one that is never reached. */
#define SOON_MS	 100
#define NEVER_MS 1000000

static struct fixture {
	struct loop loop;
	struct budget budget;
	struct router *router;
	struct server *server;
	struct workers *workers;
	int client;
	struct stream *stream; /* of the latest request that is still in work */
	struct evbuffer *body;
	struct evbuffer *got; /* what the client has read */
	unsigned n_gone;
	bool admit;		     /* the gate trusts the client */
	unsigned long long n_before; /* requests before the one of /count, or 0 */
	int file;
} f;

static void on_body(struct stream *s, struct evbuffer *data)
{
	evbuffer_add_buffer(f.body, data);
}

static void on_gone(struct stream *s)
{
	f.n_gone++;
	f.stream = NULL;
}

static void on_file_gone(struct stream *s)
{
	on_gone(s);
	fd_close(&f.file);
}

/* More than an engine that begins another request may have waiting. */
static void open_large(struct stream *s, void *arg)
{
	static const char zeros[LARGE_BYTES];

	stream_reply(s, 200, "text/plain", zeros, sizeof(zeros));
}

static void open_big(struct stream *s, void *arg)
{
	static const char zeros[BIG_BYTES];

	stream_reply(s, 200, "text/plain", zeros, sizeof(zeros));
}

/* Never answers. */
static void open_sink(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {.body = on_body, .gone = on_gone};

	f.stream = s;
	stream_set_handler(s, &handler, NULL);
}

static void open_patient(struct stream *s, void *arg)
{
	open_sink(s, arg);
	stream_allow_pauses(s);
}

/* More than any socket takes at once. */
static void open_endless(struct stream *s, void *arg)
{
	size_t n = 16 * 1024 * 1024;
	char *zeros = mem_zalloc(n);

	open_sink(s, arg);
	stream_head(s, 200, STREAM_LENGTH_UNKNOWN);
	stream_send_bytes(s, zeros, n);
	free(zeros);
}

static void open_file(struct stream *s, void *arg)
{
	static const struct stream_handler handler = {.gone = on_file_gone};
	off_t n = 8 * 1024 * 1024;

	f.stream = s;
	f.file = memfd_create("body", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f.file, n), 0);
	stream_set_handler(s, &handler, NULL);
	stream_head(s, 200, n);
	stream_send_file(s, f.workers, f.file, 0, (uint64_t)n);
}

static void open_health(struct stream *s, void *arg)
{
	stream_reply(s, 204, NULL, NULL, 0);
}

/* Notes how many requests came before this one. */
static void open_count(struct stream *s, void *arg)
{
	f.n_before = server_requests(f.server) - 1;
	open_health(s, arg);
}

static bool gate(struct stream *s, void *arg)
{
	if (f.admit)
		stream_set_admitted(s);
	return true;
}

static void make_connection(bool reserve)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	f.client = fds[0];
	if (reserve)
		f.server->n_reserve++;
	else
		budget_take(&f.budget, BUDGET_CONNECTIONS, 1);
	f.server->n_conns++;
	conn_new(f.server, fds[1], reserve, false);
}

static void set_timeouts(unsigned head_ms, unsigned progress_ms)
{
	const struct server_timeouts timeouts = {
		.head_ms = head_ms,
		.idle_ms = NEVER_MS,
		.progress_ms = progress_ms,
		.linger_ms = NEVER_MS,
		.reserve_ms = NEVER_MS,
		.peer_ms = SOON_MS,
	};

	server_set_timeouts(f.server, &timeouts);
}

static int setup(void **state)
{
	static const struct {
		const char *path;
		router_fn *open;
	} routes[] = {{"/big", open_big},	  {"/sink", open_sink},	 {"/patient", open_patient},
		      {"/endless", open_endless}, {"/file", open_file},	 {"/health", open_health},
		      {"/count", open_count},	  {"/large", open_large}};

	f = (struct fixture){.client = -1, .file = -1};
	loop_init(&f.loop);
	budget_init(&f.budget);
	f.router = router_new();
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		router_add(f.router, "GET", routes[i].path, routes[i].open, NULL);
		router_add(f.router, "POST", routes[i].path, routes[i].open, NULL);
	}
	f.server = server_new(&f.loop, &f.budget, f.router, gate, NULL);
	f.workers = workers_new(&f.loop, "test", 4);
	f.body = evbuffer_new();
	f.got = evbuffer_new();
	set_timeouts(NEVER_MS, NEVER_MS);
	return 0;
}

static int teardown(void **state)
{
	server_free(f.server);
	workers_free(f.workers);
	router_free(f.router);
	evbuffer_free(f.body);
	evbuffer_free(f.got);
	fd_close(&f.client);
	fd_close(&f.file);
	loop_clear(&f.loop);
	for (int i = 0; i < BUDGET_KINDS; i++)
		assert_int_equal(f.budget.used[i], 0);
	return 0;
}

static void client_sends(const char *text)
{
	assert_int_equal(write(f.client, text, strlen(text)), strlen(text));
}

/* Sends a text many times over, in one piece. */
static void client_repeats(const char *text, size_t n)
{
	size_t bytes = strlen(text);
	char *all = mem_zalloc(n * bytes + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(all + i * bytes, text, bytes);
	client_sends(all);
	free(all);
}

static void get(const char *path)
{
	char text[100];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
	client_sends(text);
}

/* One turn of the loop, which may wait for a deadline. */
static void turn(void)
{
	event_base_loop(f.loop.base, EVLOOP_ONCE);
}

/* One turn, which does not wait. */
static void turn_at_once(void)
{
	event_base_loop(f.loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* All that happens without waiting. */
static void settle(void)
{
	for (int i = 0; i < 20; i++)
		event_base_loop(f.loop.base, EVLOOP_NONBLOCK);
}

/* Reads what has come. False at the end, or after a reset. */
static bool client_reads(void)
{
	int n;

	do {
		n = evbuffer_read(f.got, f.client, 1024 * 1024);
	} while (n > 0);
	return n < 0 && errno == EAGAIN;
}

/* What the client has read since the last call. */
static const char *got_text(void)
{
	static char text[4096];
	int n = evbuffer_remove(f.got, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* ---- turns ---- */

/*
 * Of 600 pipelined GETs with 20 KB each 64 were answered, then there was silence: after eight
 * writes the connection left its turn with requests in memory and nothing to write, so no event
 * came for it.
 */
static void test_pipelined_requests_are_all_answered(void **state)
{
	size_t wanted = 600 * (size_t)BIG_BYTES, before;
	unsigned silent = 0;

	make_connection(false);
	client_repeats("GET /big HTTP/1.1\r\nHost: h\r\n\r\n", 600);
	while (evbuffer_get_length(f.got) < wanted) {
		before = evbuffer_get_length(f.got);
		event_base_loop(f.loop.base, EVLOOP_NONBLOCK);
		assert_true(client_reads());
		silent = evbuffer_get_length(f.got) == before ? silent + 1 : 0;
		/* The loop had all those turns, and nothing is between it and the client. */
		assert_true(silent < 100);
	}
}

/* Makes a connection whose client has sent small requests. Returns the client. */
static int flood(void)
{
	make_connection(false);
	client_repeats("GET /health HTTP/1.1\r\nHost:\r\n\r\n", FLOOD_REQUESTS);
	return f.client;
}

/*
 * A connection had all requests answered that one read had brought, about 500. With 50 such clients
 * the next request of another client came after 25,000: /health took 378 ms. Now each has its share
 * of a turn, and a turn begins with what has arrived on the sockets meanwhile.
 */
static void test_a_flood_leaves_turns_to_others(void **state)
{
	const unsigned share = HTTP1_TURN_STEPS / HTTP1_HEAD_STEPS;
	unsigned long long served;
	int flooders[N_FLOODERS], honest;

	for (int i = 0; i < N_FLOODERS; i++)
		flooders[i] = flood();
	make_connection(false);
	honest = f.client;
	get("/count");
	while (!f.n_before)
		turn_at_once();
	assert_in_range(f.n_before, 1, N_FLOODERS * share);

	/* The requests of the flood that wait in memory do not go first. */
	served = server_requests(f.server);
	f.n_before = 0;
	get("/count");
	turn_at_once();
	assert_in_range(f.n_before, served, served + N_FLOODERS * share);
	assert_true(served + N_FLOODERS * share < N_FLOODERS * FLOOD_REQUESTS);

	/* Every request is answered. */
	while (server_requests(f.server) < N_FLOODERS * FLOOD_REQUESTS + 2)
		turn_at_once();
	for (int i = 0; i < N_FLOODERS; i++)
		close(flooders[i]);
	f.client = honest;
}

/*
 * With 4,000 such clients a turn was long although each had a bounded share: /health took 210 ms.
 * The more connections wait, the smaller are their shares.
 */
static void test_shares_of_many_are_small(void **state)
{
	const unsigned share = HTTP1_TURN_STEPS / HTTP1_HEAD_STEPS;
	unsigned long long served;
	int flooders[N_CROWD];

	for (int i = 0; i < N_CROWD; i++)
		flooders[i] = flood();
	while (f.server->n_waiting < N_CROWD)
		turn_at_once();
	served = server_requests(f.server);
	turn_at_once();
	assert_in_range(server_requests(f.server), served + N_CROWD, served + N_CROWD * share / 2);
	for (int i = 0; i < N_CROWD; i++)
		close(flooders[i]);
	f.client = -1;
	/* Who has gone does not count any more. */
	while (server_connections(f.server))
		turn_at_once();
	assert_int_equal(f.server->n_waiting, 0);
}

/* Small chunks are a flood too. What a client sent before it shut down its side is not lost. */
static void test_a_turn_takes_some_chunks(void **state)
{
	const unsigned n = 8 * HTTP1_TURN_STEPS;

	make_connection(false);
	client_sends("POST /sink HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n");
	client_repeats("1\r\nx\r\n", n);
	client_sends("0\r\n\r\n");
	assert_int_equal(shutdown(f.client, SHUT_WR), 0);
	turn_at_once();
	assert_in_range(evbuffer_get_length(f.body), 1, HTTP1_TURN_STEPS);
	settle();
	assert_int_equal(evbuffer_get_length(f.body), n);
	assert_true(client_reads());
	assert_string_equal(got_text(), "");
}

static void test_requests_before_an_end_are_answered(void **state)
{
	flood();
	assert_int_equal(shutdown(f.client, SHUT_WR), 0);
	while (server_connections(f.server)) {
		turn_at_once();
		client_reads();
	}
	assert_int_equal(server_requests(f.server), FLOOD_REQUESTS);
}

/*
 * A client shuts down its side behind three requests. The second one is answered at its head, and
 * its body is in memory: the connection was closed as if that body could not be complete any more,
 * and the third request had no answer.
 */
static void test_a_body_before_an_end_is_dropped(void **state)
{
	make_connection(false);
	get("/sink");
	client_sends("POST /health HTTP/1.1\r\nHost:\r\nContent-Length: 5\r\n\r\nabcde");
	get("/health");
	assert_int_equal(shutdown(f.client, SHUT_WR), 0);
	settle();
	stream_reply(f.stream, 204, NULL, NULL, 0);
	settle();
	assert_int_equal(server_requests(f.server), 3);
	assert_false(client_reads());
}

/*
 * After a resume, connections without a request are closed. One whose answers were all written,
 * while its next requests waited in memory for the next turn, was taken for such a connection.
 */
static void test_a_connection_with_requests_is_not_idle(void **state)
{
	const int room_bytes = 32 * LARGE_BYTES;
	const unsigned n = 20; /* more than one turn takes, in one read */

	make_connection(false);
	/* Without CAP_NET_ADMIN the socket takes less than eight answers. */
	if (setsockopt(TAILQ_FIRST(&f.server->conns)->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room_bytes,
		       sizeof(room_bytes)) < 0)
		skip();
	client_repeats("GET /large HTTP/1.1\r\nHost: h\r\n\r\n", n);
	turn_at_once();
	while (server_requests(f.server) < n) {
		conn_close_idle(f.server);
		assert_true(client_reads());
		turn_at_once();
	}
}

/* ---- deadlines ---- */

static void test_a_head_has_a_deadline(void **state)
{
	set_timeouts(SOON_MS, NEVER_MS);
	make_connection(false);
	client_sends("GET / HTTP/1.1\r\n");
	while (server_connections(f.server))
		turn();
	assert_false(client_reads());
}

/*
 * A busy connection with pipelined requests always has a part of the next head in memory. The
 * deadline of the first head was kept for all of them: the connection was closed after 30 s, with
 * 118 answers.
 */
static void test_each_head_has_its_own_deadline(void **state)
{
	uint64_t until;

	set_timeouts(5 * SOON_MS, NEVER_MS);
	make_connection(false);
	client_sends("GET /health HTTP/1.1\r\n");
	until = clock_monotonic_ms() + 15 * (uint64_t)SOON_MS;
	while (clock_monotonic_ms() < until) {
		client_sends("Host: h\r\n\r\nGET /health HTTP/1.1\r\n");
		settle();
		assert_true(client_reads());
		usleep(1000);
	}
	assert_int_equal(server_connections(f.server), 1);
}

/* The body of a request without a token: all of it in the time that a head has. */
static void test_a_strangers_body_has_a_deadline(void **state)
{
	set_timeouts(SOON_MS, NEVER_MS);
	make_connection(false);
	client_sends("POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
	while (server_connections(f.server)) {
		turn();
		if (f.stream)
			send(f.client, "x", 1, MSG_NOSIGNAL);
	}
	assert_int_equal(f.n_gone, 1);
}

/* A body that stopped kept what was gathered for ever. */
static void test_a_body_that_stops_is_cut(void **state)
{
	f.admit = true;
	set_timeouts(NEVER_MS, SOON_MS);
	make_connection(false);
	client_sends("POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
	while (server_connections(f.server))
		turn();
	assert_int_equal(f.n_gone, 1);
	assert_int_equal(evbuffer_get_length(f.body), 3);
}

/* The input of a process may come from a person, who pauses. */
static void test_some_bodies_may_pause(void **state)
{
	uint64_t until;

	f.admit = true;
	set_timeouts(NEVER_MS, SOON_MS);
	make_connection(false);
	client_sends("POST /patient HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc");
	for (until = clock_monotonic_ms() + 3 * (uint64_t)SOON_MS; clock_monotonic_ms() < until;) {
		settle();
		usleep(1000);
	}
	assert_int_equal(f.n_gone, 0);
	assert_int_equal(server_connections(f.server), 1);
}

/* A client that takes nothing of its response is cut, and sees that it is not whole. */
static void test_a_reader_that_stops_is_cut(void **state)
{
	f.admit = true;
	set_timeouts(NEVER_MS, SOON_MS);
	make_connection(false);
	get("/endless");
	while (server_connections(f.server))
		turn();
	assert_int_equal(f.n_gone, 1);
}

/* A client that reads slowly is not, for as long as it likes. */
static void test_a_slow_reader_is_served(void **state)
{
	char piece[65536];
	uint64_t until;

	f.admit = true;
	set_timeouts(NEVER_MS, 5 * SOON_MS);
	make_connection(false);
	get("/endless");
	for (until = clock_monotonic_ms() + 15 * (uint64_t)SOON_MS; clock_monotonic_ms() < until;) {
		settle();
		assert_true(read(f.client, piece, sizeof(piece)) > 0);
		usleep(SOON_MS * 1000 / 4);
	}
	assert_int_equal(f.n_gone, 0);
	assert_int_equal(server_connections(f.server), 1);
}

/* While the daemon is to move there is no deadline. */
static void test_a_slow_answer_is_waited_for(void **state)
{
	uint64_t until;

	f.admit = true;
	set_timeouts(SOON_MS, SOON_MS);
	make_connection(false);
	get("/sink");
	for (until = clock_monotonic_ms() + 3 * (uint64_t)SOON_MS; clock_monotonic_ms() < until;) {
		settle();
		usleep(1000);
	}
	stream_reply(f.stream, 204, NULL, NULL, 0);
	settle();
	assert_true(client_reads());
	assert_non_null(strstr(got_text(), "HTTP/1.1 204 "));
}

/* ---- reserve connections ---- */

/*
 * A refusal kept its connection alive for 640 s. Sixteen refused clients held the whole reserve,
 * and
 * /health was gone with it.
 */
static void test_a_reserve_connection_serves_one_request(void **state)
{
	static const char *const paths[] = {"/big", "/health"};
	const char *answer;

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		make_connection(true);
		get(paths[i]);
		settle();
		assert_false(client_reads());
		answer = got_text();
		assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
		assert_non_null(strstr(answer, i ? "HTTP/1.1 204 " : "HTTP/1.1 503 "));
		fd_close(&f.client);
		assert_int_equal(server_connections(f.server), 0);
	}
}

/* ---- the server goes first ---- */

/*
 * At shutdown the handler of a download closed its file, and the connection went on to send from
 * the number of that descriptor: whatever file got the number next went to the client.
 */
static void test_no_file_is_sent_after_the_end(void **state)
{
	static const char secret[] = "this file is none of the client's";
	FD_AUTO int other = -1;
	size_t before;
	int number;

	make_connection(false);
	get("/file");
	while (!f.stream || !evbuffer_get_length(f.got)) {
		turn();
		client_reads();
	}
	number = f.file;
	conn_shutdown_all(f.server);
	assert_int_equal(f.n_gone, 1);
	other = memfd_create("other", MFD_CLOEXEC);
	assert_int_equal(other, number);
	assert_int_equal(write(other, secret, sizeof(secret)), sizeof(secret));
	before = evbuffer_get_length(f.got);
	while (server_connections(f.server))
		turn();
	client_reads();
	assert_true(evbuffer_get_length(f.got) >= before);
	assert_ptr_equal(evbuffer_search(f.got, secret, sizeof(secret), NULL).pos, -1);
}

/*
 * The server was freed while a worker read a body, and the worker took its next piece from freed
 * memory.
 */
static void test_a_loan_outlives_the_server(void **state)
{
	struct evbuffer *to = evbuffer_new();
	struct body_loan loan;
	struct stream *s;

	f.admit = true;
	make_connection(false);
	client_sends("POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
	settle();
	s = stream_ref(f.stream);
	assert_true(stream_lend(s, &loan));
	client_sends("abcde");
	server_free(f.server);
	f.server = NULL;
	assert_int_equal(f.n_gone, 1);
	assert_int_equal(body_loan_read(&loan, to, 0), 5);
	stream_return(s, &loan);
	stream_unref(s);
	evbuffer_free(to);
}

/*
 * Requests behind a stream filled the read-ahead. Then the socket was not read, and nobody saw that
 * the client had gone: the stream stayed, for ever if it had no keepalives.
 */
static void test_a_client_that_is_not_read_has_gone(void **state)
{
	make_connection(false);
	get("/sink");
	client_repeats("GET /health HTTP/1.1\r\nHost:\r\n\r\n", 4000);
	settle();
	assert_non_null(f.stream);
	fd_close(&f.client);
	while (server_connections(f.server))
		turn();
	assert_int_equal(f.n_gone, 1);
}

/* The same for a stream that holds its body, such as input that a process does not take. */
static void test_a_client_whose_body_is_held_has_gone(void **state)
{
	f.admit = true;
	make_connection(false);
	client_sends("POST /sink HTTP/1.1\r\nHost:\r\nContent-Length: 100000\r\n\r\n");
	settle();
	stream_head(f.stream, 200, 5);
	stream_hold(f.stream);
	client_repeats("x", 50000);
	settle();
	/* The answer that has begun is not read: the end is a reset. */
	fd_close(&f.client);
	while (server_connections(f.server))
		turn();
	assert_int_equal(f.n_gone, 1);
}

/* A client that is there is left alone, however long it waits. */
static void test_a_client_that_waits_is_not_gone(void **state)
{
	uint64_t until = clock_monotonic_ms() + 3 * (uint64_t)SOON_MS;

	make_connection(false);
	get("/sink");
	client_repeats("GET /health HTTP/1.1\r\nHost:\r\n\r\n", 4000);
	while (clock_monotonic_ms() < until)
		turn();
	assert_int_equal(server_connections(f.server), 1);
	stream_reply(f.stream, 204, NULL, NULL, 0);
	while (server_requests(f.server) < 4001) {
		turn();
		assert_true(client_reads());
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pipelined_requests_are_all_answered),
		TEST(test_a_flood_leaves_turns_to_others),
		TEST(test_shares_of_many_are_small),
		TEST(test_a_turn_takes_some_chunks),
		TEST(test_requests_before_an_end_are_answered),
		TEST(test_a_body_before_an_end_is_dropped),
		TEST(test_a_connection_with_requests_is_not_idle),
		TEST(test_a_head_has_a_deadline),
		TEST(test_each_head_has_its_own_deadline),
		TEST(test_a_strangers_body_has_a_deadline),
		TEST(test_a_body_that_stops_is_cut),
		TEST(test_some_bodies_may_pause),
		TEST(test_a_reader_that_stops_is_cut),
		TEST(test_a_slow_reader_is_served),
		TEST(test_a_slow_answer_is_waited_for),
		TEST(test_a_reserve_connection_serves_one_request),
		TEST(test_no_file_is_sent_after_the_end),
		TEST(test_a_loan_outlives_the_server),
		TEST(test_a_client_that_is_not_read_has_gone),
		TEST(test_a_client_whose_body_is_held_has_gone),
		TEST(test_a_client_that_waits_is_not_gone),
	};

	/* As in the daemon. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
