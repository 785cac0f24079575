/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarded ports, over loopback: the forwarded address is 127.0.0.9. */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/relay/port_forward.h"
#include "envd/relay/port_list.h"
#include "envd/relay/port_scan.h"
#include "envd/relay/port_watch.h"
#include "tests/unit/self.h"

#define FORWARD_ADDRESS "127.0.0.9"
#define FORWARD_IP	0x7f000009
/* More than a turn of the loop accepts (ACCEPTS_A_TURN, port_forward.c). */
#define CLIENTS	    40
#define PATIENCE_MS 30000

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

/* Listens on a port of 127.0.0.1; 0: any. Returns the port. */
static in_port_t listen_on(int fd, in_port_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(addr);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, CLIENTS), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
	return ntohs(addr.sin_port);
}

static uint32_t inode_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return (uint32_t)status.st_ino;
}

/* Connects to the forwarded port: a blocking connect, which the kernel's queue accepts. */
static int connect_to(in_port_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(FORWARD_IP)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		fd_close(&fd);
	return fd;
}

static void turn(struct loop *loop)
{
	event_base_loop(loop->base, EVLOOP_NONBLOCK);
}

/* Turns the loop until the port is forwarded, and returns a connection to it. */
static int wait_forwarded(struct loop *loop, in_port_t port)
{
	uint64_t until = clock_monotonic_ms() + PATIENCE_MS;
	int fd;

	while ((fd = connect_to(port)) < 0) {
		assert_true(clock_monotonic_ms() < until);
		turn(loop);
	}
	return fd;
}

/*
 * A scan missed a port whose program was restarting, and the forwarded listener was closed. Clients
 * in its queue were reset, although the program listened again and would have served them. Here the
 * second listener counts as the daemon's own, so that no scan finds it, and the clients stay in the
 * queue until the scan because descriptors are short when they arrive.
 */
static void test_waiting_clients_of_a_port_that_ends(void **state)
{
	struct loop loop;
	struct port_forward *forward;
	int first = new_socket(), second = new_socket(), clients[CLIENTS + 1], served = 0, i, fd,
	    server;
	in_port_t port = listen_on(first, 0);
	uint32_t own = inode_of(second);
	uint64_t started_ms = 0, until;
	struct port_watch_options options = {
		.young_since_ms = &started_ms, .own_inodes = &own, .n_own_inodes = 1};
	struct port_watch *watch;
	struct error err;

	loop_init(&loop);
	assert_int_equal(port_watch_new(&loop, &options, &watch, &err), 0);
	assert_int_equal(port_forward_new(&loop, watch, FORWARD_ADDRESS, &forward, &err), 0);
	/* It stays: the end of a connection would let the port accept again. */
	clients[CLIENTS] = wait_forwarded(&loop, port);
	while ((server = accept(first, NULL, NULL)) < 0)
		turn(&loop);
	for (i = 0; i < CLIENTS; i++)
		assert_true((clients[i] = connect_to(port)) >= 0);
	take_descriptors();
	turn(&loop);
	give_descriptors();
	close(first);
	listen_on(second, port);
	/* The next scan is due when the loop turns. */
	until = clock_monotonic_ms() + PORT_WATCH_POLL_MS;
	while (clock_monotonic_ms() <= until)
		poll(NULL, 0, 10);
	until += PATIENCE_MS;
	while (served < CLIENTS && clock_monotonic_ms() < until) {
		turn(&loop);
		while ((fd = accept(second, NULL, NULL)) >= 0) {
			close(fd);
			served++;
		}
	}
	assert_true(served >= CLIENTS);
	assert_int_equal(connect_to(port), -1); /* the port has ended */
	for (i = 0; i <= CLIENTS; i++)
		close(clients[i]);
	close(server);
	close(second);
	port_forward_free(forward);
	port_watch_free(watch);
	loop_clear(&loop);
}

/* Returns how many connections to the forwarded port this process has accepted, with keepalive. */
static unsigned kept_alive(in_port_t port)
{
	struct sockaddr_in own, peer;
	int fd, on, idle;
	unsigned n = 0;

	for (fd = 3; fd < 1024; fd++) {
		socklen_t own_size = sizeof(own), peer_size = sizeof(peer), size = sizeof(int);

		if (getsockname(fd, (struct sockaddr *)&own, &own_size) < 0 ||
		    own.sin_family != AF_INET || ntohs(own.sin_port) != port ||
		    own.sin_addr.s_addr != htonl(FORWARD_IP) ||
		    getpeername(fd, (struct sockaddr *)&peer, &peer_size) < 0)
			continue;
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &size), 0);
		n += on && idle == PORT_FORWARD_KEEPALIVE_IDLE_S;
	}
	return n;
}

/*
 * A host that had disappeared kept its connections for ever: each of them used one of the
 * connections that all forwarded ports share.
 */
static void test_hosts_that_disappear(void **state)
{
	struct loop loop;
	struct port_forward *forward;
	int listener = new_socket(), client;
	in_port_t port = listen_on(listener, 0);
	uint64_t started_ms = 0, until;
	struct port_watch_options options = {.young_since_ms = &started_ms};
	struct port_watch *watch;
	struct error err;

	loop_init(&loop);
	assert_int_equal(port_watch_new(&loop, &options, &watch, &err), 0);
	assert_int_equal(port_forward_new(&loop, watch, FORWARD_ADDRESS, &forward, &err), 0);
	close(wait_forwarded(&loop, port));
	assert_true((client = connect_to(port)) >= 0);
	until = clock_monotonic_ms() + PATIENCE_MS;
	while (kept_alive(port) == 0) {
		assert_true(clock_monotonic_ms() < until);
		turn(&loop);
	}
	close(client);
	close(listener);
	port_forward_free(forward);
	port_watch_free(watch);
	loop_clear(&loop);
}

/* ---- more listeners than a scan keeps ---- */

enum { MANY = 3 * PORT_SCAN_MAX };

/* Parses the answer for one listener on 127.0.0.1. */
static void parse_listener(struct port_set *set, unsigned i)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_msg message;
	} answer = {
		.head = {.nlmsg_len = sizeof(answer), .nlmsg_type = SOCK_DIAG_BY_FAMILY},
		.message = {.idiag_family = AF_INET, .idiag_inode = 100000 + i},
	};

	answer.message.id.idiag_sport = htons((uint16_t)(1000 + i));
	answer.message.id.idiag_src[0] = htonl(INADDR_LOOPBACK);
	assert_int_equal(port_scan_parse(&answer, sizeof(answer), set), 0);
}

static bool has_port(const struct port_set *set, uint16_t port)
{
	bool forwarded = false, listed = false;

	for (size_t i = 0; i < set->n; i++)
		forwarded = forwarded || set->ports[i].port == port;
	for (size_t i = 0; i < set->n_listeners; i++)
		listed = listed || set->listeners[i].port == port;
	assert_int_equal(forwarded, listed);
	return listed;
}

/*
 * With more than PORT_SCAN_MAX listeners, the last ones in the kernel's order were cut. That order
 * changes, so followers of GET /ports were told that ports had closed and opened, and forwarded
 * ports came and went, while nothing changed.
 */
static void test_the_cut_does_not_depend_on_the_order(void **state)
{
	static const unsigned steps[] = {1, 5, 1021, MANY - 1};
	struct port_set *set = mem_zalloc(sizeof(*set));
	uint64_t first = 0;

	for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
		set->n = set->n_listeners = 0;
		for (unsigned i = 0; i < MANY; i++)
			parse_listener(set, i * steps[k] % MANY);
		assert_int_equal(set->n, PORT_SCAN_MAX);
		assert_int_equal(set->n_listeners, PORT_SCAN_MAX);
		assert_true(has_port(set, 1000));
		assert_true(has_port(set, 1000 + PORT_SCAN_MAX - 1));
		assert_false(has_port(set, 1000 + PORT_SCAN_MAX));
		if (k == 0)
			first = port_set_fingerprint(set);
		assert_int_equal(port_set_fingerprint(set), first);
	}
	free(set);
}

/* ---- scans of many listeners ---- */

enum { LISTENERS = 400 }; /* several answers of the kernel */

static unsigned n_scans;
static size_t n_scanned;

static void count_scan(void *arg, const struct port_set *set)
{
	n_scans++;
	n_scanned = set->n_listeners;
	for (size_t i = 1; i < set->n; i++)
		assert_true(set->ports[i - 1].port < set->ports[i].port);
	for (size_t i = 1; i < set->n_listeners; i++)
		assert_true(port_listener_compare(&set->listeners[i - 1], &set->listeners[i]) < 0);
}

/*
 * The loop read a whole scan in one turn: 18,000 listeners of a guest stopped it for 50 ms every
 * second, or ten times in a second after the start of a process. Now it reads one answer in a turn.
 */
static void test_a_scan_is_read_in_steps(void **state)
{
	struct loop loop;
	int fds[LISTENERS];
	uint64_t started_ms = 0;
	struct port_watch_options options = {.young_since_ms = &started_ms};
	struct port_reader reader = {.scanned = count_scan};
	struct port_watch *watch;
	struct error err;
	unsigned turns;

	for (size_t i = 0; i < LISTENERS; i++) {
		fds[i] = new_socket();
		listen_on(fds[i], 0);
	}
	loop_init(&loop);
	assert_int_equal(port_watch_new(&loop, &options, &watch, &err), 0);
	port_watch_add(watch, &reader);
	for (turns = 0; n_scans == 0; turns++)
		event_base_loop(loop.base, EVLOOP_ONCE);
	assert_true(turns > 3);
	assert_true(n_scanned >= LISTENERS);

	/* A scan that is broken off does not spoil the next one. */
	port_watch_remove(watch, &reader);
	port_watch_add(watch, &reader);
	for (turns = 0; turns < 2; turns++)
		event_base_loop(loop.base, EVLOOP_ONCE);
	assert_int_equal(n_scans, 1);
	port_watch_remove(watch, &reader);
	port_watch_add(watch, &reader);
	while (n_scans == 1)
		event_base_loop(loop.base, EVLOOP_ONCE);
	assert_true(n_scanned >= LISTENERS);
	port_watch_remove(watch, &reader);
	port_watch_free(watch);
	loop_clear(&loop);
	for (size_t i = 0; i < LISTENERS; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting_clients_of_a_port_that_ends),
		cmocka_unit_test(test_hosts_that_disappear),
		cmocka_unit_test(test_the_cut_does_not_depend_on_the_order),
		cmocka_unit_test(test_a_scan_is_read_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
