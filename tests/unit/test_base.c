/* SPDX-License-Identifier: Apache-2.0 */
/* The leaf: errors, arenas, UTF-8, the loop, and what is left when memory is short. */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/loop_memory.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "rpc/codec/gzip.h"
#include "tests/unit/self.h"

static void test_decimal(void **state)
{
	static const char *const refused[] = {
		"",
		"+1",
		"-1",
		" 1",
		"1 ",
		"0x1",
		"1.5",
		"18446744073709551616",
		"99999999999999999999",
	};
	uint64_t n = 7;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_false(decimal_parse_text(refused[i], UINT64_MAX, &n));
		assert_int_equal(n, 7);
	}
	assert_true(decimal_parse_text("18446744073709551615", UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
	assert_true(decimal_parse_text("00000000000000000000000042", 42, &n));
	assert_int_equal(n, 42);
	assert_false(decimal_parse_text("43", 42, &n));
	assert_int_equal(decimal_digits("65,", 3, 100, &n), 2);
	assert_int_equal(n, 65);
	assert_int_equal(decimal_digits("65", 1, 100, &n), 1);
	assert_int_equal(n, 6);
}

static void test_decimal_signed(void **state)
{
	static const char *const refused[] = {
		"",
		"+",
		"-",
		"+-1",
		"--1",
		" 1",
		"1 ",
		"9223372036854775808",
		"-9223372036854775809",
	};
	int64_t n = 7;

	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_false(decimal_parse_signed(refused[i], &n));
		assert_int_equal(n, 7);
	}
	assert_true(decimal_parse_signed("9223372036854775807", &n));
	assert_true(n == INT64_MAX);
	assert_true(decimal_parse_signed("-9223372036854775808", &n));
	assert_true(n == INT64_MIN);
	assert_true(decimal_parse_signed("+12", &n));
	assert_int_equal(n, 12);
	assert_true(decimal_parse_signed("-0", &n));
	assert_int_equal(n, 0);
}

/* A secret is equal to itself alone: not to its beginning, and not to itself repeated. */
static void test_constant_time(void **state)
{
	static const struct {
		const char *secret, *given;
		bool equal;
	} cases[] = {
		{"abc", "abc", true},	  {"abc", "abd", false}, {"abc", "ab", false},
		{"abc", "abcabc", false}, {"abc", "", false},	 {"", "abc", false},
		{"", "", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (mem_equal_constant_time(cases[i].secret, strlen(cases[i].secret),
					    cases[i].given,
					    strlen(cases[i].given)) != cases[i].equal)
			fail_msg("'%s' and '%s'", cases[i].secret, cases[i].given);
}

/* A file of max_bytes is read, a longer one is refused, however long the first read was. */
static void test_file_limits(void **state)
{
	static const size_t sizes[] = {0, 10, 4095, 4096, 4097, 20000};
	char path[] = "/tmp/envd-test-XXXXXX", data[20000] = {0}, *text;
	int fd = mkstemp(path);
	size_t n;

	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, data, sizes[i], 0), sizes[i]);
		assert_int_equal(fd_read_file(AT_FDCWD, path, sizes[i], &text, &n), 0);
		assert_int_equal(n, sizes[i]);
		free(text);
		if (sizes[i] == 0)
			continue;
		assert_int_equal(fd_read_file(AT_FDCWD, path, sizes[i] - 1, &text, &n), -EFBIG);
	}
	close(fd);
	unlink(path);
}

static void test_error_texts(void **state)
{
	struct error err;
	char longest[2000];

	assert_int_equal(error_set(&err, ERROR_NOT_FOUND, "pid %d", 7), -1);
	assert_string_equal(err.message, "pid 7");
	error_prefix(&err, "looking up");
	assert_string_equal(err.message, "looking up: pid 7");
	error_set_errno(&err, ERROR_INTERNAL, -2, "open");
	assert_string_equal(err.message, "open: no such file or directory");

	/* A text that is cut stays UTF-8. */
	for (size_t i = 0; i + 2 < sizeof(longest); i += 2)
		memcpy(longest + i, "\xc3\xa9", 3);
	error_set(&err, ERROR_UNKNOWN, "%s", longest);
	assert_true(utf8_valid(err.message, strlen(err.message)));
}

static void test_utf8(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool valid;
	} cases[] = {
		{"", 0, true},
		{"plain ascii, more than eight bytes", 34, true},
		{"\0", 1, true},
		{"\xc3\xa9", 2, true},
		{"\xe2\x82\xac", 3, true},
		{"\xf0\x9f\x98\x80", 4, true},
		{"12345678\xf0\x9f\x98", 11, false}, /* cut */
		{"\xc0\x80", 2, false},		     /* overlong NUL */
		{"\xe0\x80\x80", 3, false},	     /* overlong */
		{"\xed\xa0\x80", 3, false},	     /* surrogate */
		{"\xf4\x90\x80\x80", 4, false},	     /* above U+10FFFF */
		{"\x80", 1, false},		     /* continuation alone */
		{"\xff", 1, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(utf8_valid(cases[i].bytes, cases[i].n), cases[i].valid);
}

static void test_utf8_sanitize(void **state)
{
	char out[64];
	size_t n = utf8_sanitize(out, "a\xff\xc3\xa9\xe2\x82", 6);

	assert_int_equal(n, 1 + 3 + 2 + 3 + 3);
	assert_memory_equal(out, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd", n);
}

static void test_arena_limit(void **state)
{
	struct arena a = {.limit_bytes = 8192};
	size_t got = 0;

	while (arena_try_alloc(&a, 100))
		got += 100;
	assert_true(got >= 4096 && got <= 8192);
	assert_true(a.total_bytes <= 8192);
	assert_null(arena_try_alloc(&a, SIZE_MAX / 4));
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 5), "x-5");
	/* An arena that arena_alloc had taken past its limit had none any more. */
	arena_alloc(&a, 8192);
	assert_true(a.total_bytes > a.limit_bytes);
	while (a.free < a.end)
		arena_alloc(&a, 1);
	assert_null(arena_try_alloc(&a, 1));
	arena_clear(&a);
	assert_int_equal(a.total_bytes, 0);
}

/*
 * Pieces stay where they are, and the arena goes on from its own last chunk, or from the other's.
 */
static void test_arena_adopt(void **state)
{
	struct arena a = {0}, b = {0};
	char *of_a, *of_b;

	for (int round = 0; round < 3; round++) {
		of_a = round ? arena_strdup(&a, "a") : NULL;
		of_b = arena_strdup(&b, "b");
		for (int i = 0; round == 2 && i < 100; i++)
			arena_alloc(&b, 5000);
		arena_adopt(&a, &b);
		assert_int_equal(b.total_bytes, 0);
		arena_strdup(&b, "other");
		arena_strdup(&a, "more");
		assert_string_equal(of_b, "b");
		assert_string_equal(of_a ? of_a : "a", "a");
		arena_clear(&b);
	}
	arena_clear(&a);
}

/* ---- the loop ---- */

struct reports {
	struct loop loop;
	struct fd_event event;
	int n;
};

static void on_report(evutil_socket_t fd, short what, void *arg)
{
	struct reports *r = arg;

	assert_int_equal(what, EV_READ);
	if (++r->n == 3) {
		fd_event_del(&r->event);
		loop_stop(&r->loop);
	}
}

static void on_patience(void *arg)
{
	loop_stop(arg);
}

/*
 * epoll_ctl refuses a regular file with EPERM. The loop tried again every 20 ms for ever, and the
 * callback never came. As in poll(2) such a file is always ready.
 */
static void test_a_file_is_always_ready(void **state)
{
	struct reports r = {.n = 0};
	struct timer patience;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	loop_init(&r.loop);
	timer_init(&patience, &r.loop, on_patience, &r.loop);
	timer_set_ms(&patience, 30000);
	fd_event_init(&r.event, &r.loop, fd, EV_READ | EV_PERSIST, on_report, &r);
	fd_event_add(&r.event);
	loop_run(&r.loop);
	assert_int_equal(r.n, 3);
	assert_true(TAILQ_EMPTY(&r.loop.unregistered));
	timer_cancel(&patience);
	loop_clear(&r.loop);
	close(fd);
}

/* ---- no memory ---- */

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/*
 * A sanitizer's own allocator ends the process when the kernel refuses memory. gcc has the macros,
 * clang the features.
 */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                             \
	!__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define RESERVE_TEST

/* The address space of this process, from the first field of statm (proc(5)). */
static size_t mapped_bytes(void)
{
	char text[32] = "";
	int fd = open("/proc/self/statm", O_RDONLY);

	if (read(fd, text, sizeof(text) - 1) < 0)
		_exit(10);
	close(fd);
	return strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* No address space is left: an allocation succeeds once, with what the reserve had. */
static int short_child(void)
{
	struct rlimit limit;
	char *p;

	mem_reserve_init();
	if (mem_is_short())
		return 1;
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = mapped_bytes();
	setrlimit(RLIMIT_AS, &limit);
	p = mem_alloc(MEM_RESERVE_BYTES / 2);
	if (!mem_is_short())
		return 3;
	memset(p, 1, MEM_RESERVE_BYTES / 2);
	free(p);
	return mem_is_short() ? 4 : 0;
}

/*
 * zlib and libevent called malloc without the reserve: a gzip answer while memory was short ended
 * the daemon ("out of memory (deflate)"), and an evbuffer that could not grow lacked bytes
 * unnoticed.
 */
static void leave_no_memory(void)
{
	struct rlimit limit;
	size_t n;

	mem_reserve_init();
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = mapped_bytes();
	setrlimit(RLIMIT_AS, &limit);
	for (n = 65536; n >= 64; n /= 2)
		/* cppcheck-suppress leakNoVarFunctionCall ; all memory is to be used up */
		while (malloc(n))
			continue;
}

static char long_text[100000];

static int short_zlib_child(void)
{
	char *packed;
	size_t n;

	leave_no_memory();
	gzip_compress(long_text, sizeof(long_text), 0, &packed, &n);
	return n && mem_is_short() ? 0 : 1;
}

static int short_buffer_child(void)
{
	struct evbuffer *buffer;

	loop_memory_init();
	buffer = evbuffer_new();
	leave_no_memory();
	evbuffer_add(buffer, long_text, sizeof(long_text));
	return evbuffer_get_length(buffer) == sizeof(long_text) && mem_is_short() ? 0 : 1;
}

static void test_the_reserve_is_used_before_the_end(void **state)
{
	assert_int_equal(exit_status_of(short_child), 0);
}

static void test_the_reserve_is_for_libraries_too(void **state)
{
	assert_int_equal(exit_status_of(short_zlib_child), 0);
	assert_int_equal(exit_status_of(short_buffer_child), 0);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_texts),
		cmocka_unit_test(test_decimal),
		cmocka_unit_test(test_decimal_signed),
		cmocka_unit_test(test_constant_time),
		cmocka_unit_test(test_file_limits),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_utf8_sanitize),
		cmocka_unit_test(test_arena_limit),
		cmocka_unit_test(test_arena_adopt),
		cmocka_unit_test(test_a_file_is_always_ready),
#ifdef RESERVE_TEST
		cmocka_unit_test(test_the_reserve_is_used_before_the_end),
		cmocka_unit_test(test_the_reserve_is_for_libraries_too),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
