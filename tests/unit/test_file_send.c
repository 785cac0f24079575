/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker sends of a file, and why it ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/work.h"
#include "rpc/http/file_send.h"

#define FILE_BYTES (5u * 1024 * 1024 + 17)

struct place {
	struct loop loop;
	struct workers *workers;
	int fd; /* of a file without a name */
	char *data;
	int ours; /* what is sent to, and where it comes out */
	int theirs;
	unsigned calls;
	uint64_t sent; /* of the last call */
	enum file_send_end end;
};

static int begin(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));
	char path[] = "/var/tmp/envd-test-XXXXXX";
	int pair[2];
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	loop_init(&p->loop);
	p->workers = workers_new(&p->loop, "test", 1);
	p->data = mem_alloc(FILE_BYTES);
	for (i = 0; i < FILE_BYTES; i++)
		p->data[i] = (char)(i * 2654435761u >> 24);
	p->fd = mkstemp(path);
	assert_true(p->fd >= 0);
	unlink(path);
	assert_int_equal(fd_write_all(p->fd, p->data, FILE_BYTES), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	p->ours = pair[0];
	p->theirs = pair[1];
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct place *p = *state;

	workers_free(p->workers);
	loop_clear(&p->loop);
	fd_close(&p->fd);
	fd_close(&p->ours);
	fd_close(&p->theirs);
	free(p->data);
	free(p);
	return 0;
}

static void on_sent(void *arg, uint64_t sent, enum file_send_end end)
{
	struct place *p = arg;

	p->calls++;
	p->sent = sent;
	p->end = end;
	loop_stop(&p->loop);
}

static void send_part(struct place *p, off_t offset, uint64_t length)
{
	p->calls = 0;
	assert_non_null(file_send_start(&p->loop, p->workers, p->ours, p->fd, offset, length, 1,
					on_sent, p));
	loop_run(&p->loop);
	assert_int_equal(p->calls, 1);
}

/* Takes what has come, and compares it with the file from `offset` on. The count. */
static size_t take(struct place *p, size_t offset)
{
	static char piece[65536];
	size_t taken = 0;
	ssize_t n;

	while ((n = read(p->theirs, piece, sizeof(piece))) > 0) {
		assert_true(offset + taken + (size_t)n <= FILE_BYTES);
		assert_memory_equal(piece, p->data + offset + taken, (size_t)n);
		taken += (size_t)n;
	}
	return taken;
}

/* A client that takes nothing while it is sent to, and everything between. */
static void test_in_parts(void **state)
{
	static const size_t offsets[] = {0, 1, 4096, FILE_BYTES - 70000, FILE_BYTES - 1};
	struct place *p = *state;
	size_t i, offset;

	for (i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		for (offset = offsets[i]; offset < FILE_BYTES; offset += p->sent) {
			send_part(p, (off_t)offset, FILE_BYTES - offset);
			assert_true(p->sent > 0);
			assert_int_equal(p->end, offset + p->sent < FILE_BYTES ? FILE_SEND_FULL
									       : FILE_SEND_TURN);
			assert_int_equal(take(p, offset), p->sent);
		}
	}
}

static void test_no_more_than_asked(void **state)
{
	struct place *p = *state;

	send_part(p, 100, 5000);
	assert_int_equal(p->end, FILE_SEND_TURN);
	assert_int_equal(p->sent, 5000);
	assert_int_equal(take(p, 100), 5000);
}

static void test_nothing_fits(void **state)
{
	struct place *p = *state;

	send_part(p, 0, FILE_BYTES);
	assert_int_equal(p->end, FILE_SEND_FULL);
	send_part(p, (off_t)p->sent, FILE_BYTES);
	assert_int_equal(p->end, FILE_SEND_FULL);
	assert_int_equal(p->sent, 0);
}

static void test_short_file(void **state)
{
	struct place *p = *state;

	assert_int_equal(ftruncate(p->fd, 10000), 0);
	send_part(p, 1000, FILE_BYTES - 1000);
	assert_int_equal(p->end, FILE_SEND_FAILED);
	assert_int_equal(p->sent, 9000);
	assert_int_equal(take(p, 1000), 9000);
}

static void test_client_gone(void **state)
{
	struct place *p = *state;

	fd_close(&p->theirs);
	send_part(p, 0, FILE_BYTES);
	assert_int_equal(p->end, FILE_SEND_FAILED);
	assert_int_equal(p->sent, 0);
}

/* Nobody is told, and both descriptors are closed all the same: the other side sees the end. */
static void test_forgotten(void **state)
{
	struct place *p = *state;
	struct pollfd pollfd = {.fd = p->theirs, .events = POLLRDHUP};

	file_send_forget(file_send_start(&p->loop, p->workers, p->ours, p->fd, 0, FILE_BYTES, 1,
					 on_sent, p));
	file_send_forget(NULL);
	fd_close(&p->ours);
	assert_int_equal(poll(&pollfd, 1, 20000), 1);
	assert_true(pollfd.revents & POLLRDHUP);
	while (workers_busy(p->workers))
		event_base_loop(p->loop.base, EVLOOP_ONCE);
	assert_int_equal(p->calls, 0);
}

/*
 * A queued download needs two more descriptors than it has. Without them it was broken off, though
 * a moment later there were enough.
 */
static void test_no_descriptors(void **state)
{
	struct place *p = *state;
	struct rlimit old, none;
	struct file_send *sending;

	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = 3;
	/* A thread for the work must be there: it needs no descriptor. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	sending = file_send_start(&p->loop, p->workers, p->ours, p->fd, 5, 100, 1, on_sent, p);
	assert_non_null(sending);
	event_base_loop(p->loop.base, EVLOOP_ONCE);
	assert_int_equal(p->calls, 0);
	/* One that is forgotten while it waits is no more. */
	file_send_forget(
		file_send_start(&p->loop, p->workers, p->ours, p->fd, 0, 1, 1, on_sent, p));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	loop_run(&p->loop);
	assert_int_equal(p->calls, 1);
	assert_int_equal(p->sent, 100);
	assert_int_equal(take(p, 5), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_parts, begin, end),
		cmocka_unit_test_setup_teardown(test_no_more_than_asked, begin, end),
		cmocka_unit_test_setup_teardown(test_nothing_fits, begin, end),
		cmocka_unit_test_setup_teardown(test_short_file, begin, end),
		cmocka_unit_test_setup_teardown(test_client_gone, begin, end),
		cmocka_unit_test_setup_teardown(test_forgotten, begin, end),
		cmocka_unit_test_setup_teardown(test_no_descriptors, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
