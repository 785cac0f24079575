/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager hears, and how the machine of PID 1 mode is told to end. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/boot/notify.h"
#include "envd/boot/pid1.h"
#include "tests/unit/self.h"

/* The manager's socket under the name, '@' for an abstract one; it waits for 5 s at most. */
static int manager_open(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 5};
	size_t bytes = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memcpy(addr.sun_path, name, bytes);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	else
		unlink(name);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)),
			 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void assert_told(int manager, const char *expected)
{
	char text[256];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

/* Like assert_told; meanwhile the timers of the loop send what waits. */
static void assert_told_by(struct loop *loop, int manager, const char *expected)
{
	while (recv(manager, (char[1]){0}, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
		event_base_loop(loop->base, EVLOOP_ONCE);
	assert_told(manager, expected);
}

static void assert_silent(int manager)
{
	char text[256];

	assert_int_equal(recv(manager, text, sizeof(text), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_ready_and_stopping(void **state)
{
	static const char *const prefixes[] = {"/tmp/", "@"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		struct notify n;
		struct loop loop;
		char name[64];
		int manager;

		snprintf(name, sizeof(name), "%stest_notify.%d", prefixes[i], getpid());
		manager = manager_open(name);
		setenv("NOTIFY_SOCKET", name, 1);
		unsetenv("WATCHDOG_USEC");
		loop_init(&loop);
		notify_init(&n);
		assert_null(getenv("NOTIFY_SOCKET"));
		assert_silent(manager);
		notify_ready(&n, &loop);
		assert_told(manager, "READY=1");
		/* Nobody asked for a watchdog: there is no timer. */
		assert_false(timer_pending(&n.timer));
		notify_stopping(&n);
		assert_told(manager, "STOPPING=1");
		notify_clear(&n);
		loop_clear(&loop);
		close(manager);
		unlink(name);
	}
}

static void test_watchdog(void **state)
{
	char name[64], pid[16];
	struct notify n;
	struct loop loop;
	int manager;

	snprintf(name, sizeof(name), "@test_notify.%d", getpid());
	snprintf(pid, sizeof(pid), "%d", getpid());
	manager = manager_open(name);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "40000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	loop_init(&loop);
	notify_init(&n);
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	assert_int_equal(n.watchdog_ms, 40);
	notify_ready(&n, &loop);
	assert_told(manager, "READY=1");
	for (int i = 0; i < 3; i++) {
		/* The loop sleeps until the timer, and no longer than the manager's patience. */
		event_base_loop(loop.base, EVLOOP_ONCE);
		assert_told(manager, "WATCHDOG=1");
	}
	notify_stopping(&n);
	assert_told(manager, "STOPPING=1");
	assert_false(timer_pending(&n.timer));
	notify_clear(&n);
	loop_clear(&loop);
	close(manager);
}

/* A manager that does not read yet, and processes that wait until it has room. */
struct busy {
	int manager;
	struct loop loop;
	struct notify notify;
	int pipes[2]; /* the descriptors of each process */
	int next, total;
};

/* Stores the processes that wait, as the table of processes does. */
static void store_waiting(void *arg)
{
	struct busy *b = arg;
	char name[NOTIFY_NAME_BYTES];

	for (; b->next < b->total; b->next++) {
		snprintf(name, sizeof(name), "proc.%d", b->next);
		if (!notify_store(&b->notify, name, b->pipes, 2))
			return;
	}
}

/* Stores processes until the manager has no room. */
static void busy_begin(struct busy *b, int total)
{
	struct timeval patience = {.tv_sec = 60};
	int ends[2];

	b->next = 0;
	b->total = total;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	b->manager = ends[1];
	assert_int_equal(pipe(b->pipes), 0);
	loop_init(&b->loop);
	notify_init_connected(&b->notify, ends[0]);
	/* A daemon that adopts processes sends before it is ready. */
	store_waiting(b);
	assert_int_not_equal(b->next, total);
	assert_int_not_equal(b->next, 0);
}

/* The manager reads what was sent about the process of this number. */
static void assert_stored(struct busy *b, int number)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "FDSTORE=1\nFDPOLL=0\nFDNAME=proc.%d", number);
	assert_told_by(&b->loop, b->manager, expected);
}

static void busy_end(struct busy *b)
{
	notify_clear(&b->notify);
	loop_clear(&b->loop);
	close(b->manager);
	close(b->pipes[0]);
	close(b->pipes[1]);
}

/*
 * A manager that is busy. The kernel queues few datagrams for it (ten, unless
 * net.unix.max_dgram_qlen is raised), and descriptors beyond these were lost: after a burst of
 * starts, some processes were not in the store when the daemon crashed.
 */
static void test_a_busy_manager(void **state)
{
	enum { MESSAGES = 2000 };
	unsigned before = count_descriptors();
	struct busy b;

	busy_begin(&b, MESSAGES);
	notify_on_room(&b.notify, store_waiting, &b);
	notify_ready(&b.notify, &b.loop);
	fcntl(b.manager, F_SETFL, 0);
	for (int i = 0, taken = b.next; i < MESSAGES; i++) {
		if (i == taken)
			assert_told_by(&b.loop, b.manager, "READY=1");
		assert_stored(&b, i);
	}
	busy_end(&b);
	assert_int_equal(count_descriptors(), before);
}

/*
 * A manager that does not read. Each message waited in a queue without a bound, with duplicates of
 * its descriptors, and was tried every 5 ms: a guest that starts short processes took all of the
 * daemon's descriptors, and a watchdog added two messages in each period.
 */
static void test_a_manager_that_does_not_read(void **state)
{
	unsigned before;
	struct busy b;
	int sent;

	busy_begin(&b, 100000);
	b.notify.watchdog_ms = 4;
	sent = b.next;
	before = count_descriptors();
	for (int i = 0; i < 1000; i++)
		assert_false(notify_store(&b.notify, "proc.waits", b.pipes, 2));
	assert_int_equal(count_descriptors(), before);
	notify_drop(&b.notify, "proc.0");
	notify_ready(&b.notify, &b.loop);
	while (b.notify.retry_ms < NOTIFY_RETRY_MAX_MS / 10)
		event_base_loop(b.loop.base, EVLOOP_ONCE);
	assert_int_equal(b.notify.states, 1u << NOTIFY_READY | 1u << NOTIFY_WATCHDOG);
	notify_stopping(&b.notify);
	notify_on_room(&b.notify, store_waiting, &b);
	b.total = sent + 1;

	fcntl(b.manager, F_SETFL, 0);
	for (int i = 0; i < sent; i++)
		assert_stored(&b, i);
	assert_told_by(&b.loop, b.manager, "READY=1");
	assert_told_by(&b.loop, b.manager, "WATCHDOG=1");
	assert_told_by(&b.loop, b.manager, "STOPPING=1");
	assert_told_by(&b.loop, b.manager, "FDSTOREREMOVE=1\nFDNAME=proc.0");
	assert_stored(&b, sent);
	assert_int_equal(b.notify.retry_ms, NOTIFY_RETRY_MS);
	assert_false(timer_pending(&b.notify.retry));
	busy_end(&b);
}

/* A period meant for another process, and names that lead nowhere. */
static void test_not_for_us(void **state)
{
	static const char *const names[] = {"", "/", "relative", "@", NULL};
	char longest[200] = "/";
	struct notify n;
	struct loop loop;

	loop_init(&loop);
	setenv("NOTIFY_SOCKET", "@test_notify.absent", 1);
	setenv("WATCHDOG_USEC", "40000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	notify_init(&n);
	assert_int_equal(n.watchdog_ms, 0);
	notify_ready(&n, &loop);
	notify_clear(&n);

	memset(longest + 1, 'x', sizeof(longest) - 2);
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		setenv("NOTIFY_SOCKET", names[i] ? names[i] : longest, 1);
		notify_init(&n);
		assert_int_equal(n.fd, -1);
		notify_ready(&n, &loop);
		notify_stopping(&n);
		notify_clear(&n);
	}
	loop_clear(&loop);
}

static void test_halt_parse(void **state)
{
	enum pid1_halt halt = PID1_HALT_HALT;

	assert_int_equal(pid1_halt_parse("auto", &halt), 0);
	assert_int_equal(halt, PID1_HALT_AUTO);
	assert_int_equal(pid1_halt_parse("poweroff", &halt), 0);
	assert_int_equal(halt, PID1_HALT_POWEROFF);
	assert_int_equal(pid1_halt_parse("reboot", &halt), 0);
	assert_int_equal(halt, PID1_HALT_REBOOT);
	assert_int_equal(pid1_halt_parse("halt", &halt), 0);
	assert_int_equal(halt, PID1_HALT_HALT);
	assert_int_equal(pid1_halt_parse("", &halt), -EINVAL);
	assert_int_equal(pid1_halt_parse("Reboot", &halt), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready_and_stopping),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_a_busy_manager),
		cmocka_unit_test(test_a_manager_that_does_not_read),
		cmocka_unit_test(test_not_for_us),
		cmocka_unit_test(test_halt_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
