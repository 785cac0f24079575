/* SPDX-License-Identifier: Apache-2.0 */
/* What is pure in /files: ranges, conditions, types, names, signatures. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "fs/http/content_type.h"
#include "fs/http/disposition.h"
#include "fs/http/range.h"
#include "fs/http/sign.h"
#include "fs/http/validator.h"
#include "tests/unit/guard.h"

static void test_ranges(void **state)
{
	static const struct {
		const char *value;
		uint64_t size;
		enum fs_ranges result;
		const char *ranges; /* "start+length ..." */
	} cases[] = {
		{NULL, 10, FS_RANGES_NONE, ""},
		{"", 10, FS_RANGES_NONE, ""},
		{"bytes=", 10, FS_RANGES_NONE, ""},
		{"bytes=,, ,", 10, FS_RANGES_NONE, ""},
		{"bytes=0-0", 10, FS_RANGES_SOME, "0+1 "},
		{"bytes=2-5", 10, FS_RANGES_SOME, "2+4 "},
		{"bytes=2-", 10, FS_RANGES_SOME, "2+8 "},
		{"bytes=9-100", 10, FS_RANGES_SOME, "9+1 "},
		{"bytes=2-9", 10, FS_RANGES_SOME, "2+8 "},
		{"bytes=2-10", 10, FS_RANGES_SOME, "2+8 "},
		{"bytes=-3", 10, FS_RANGES_SOME, "7+3 "},
		{"bytes=-30", 10, FS_RANGES_SOME, "0+10 "},
		{"bytes= 2 - 5 ,\t7-7", 10, FS_RANGES_SOME, "2+4 7+1 "},
		{"bytes=0-1,,4-5", 10, FS_RANGES_SOME, "0+2 4+2 "},
		{"bytes=7-8,0-1", 10, FS_RANGES_SOME, "7+2 0+2 "},
		{"bytes=+2-+3", 10, FS_RANGES_SOME, "2+2 "},
		{"bytes=50-60,1-1", 10, FS_RANGES_SOME, "1+1 "},
		{"bytes=50-x,1-1", 10, FS_RANGES_SOME, "1+1 "},
		{"bytes=0-8,0-0,3-3", 10, FS_RANGES_NONE, ""}, /* more than the file */
		{"bytes=0-8,0-0", 10, FS_RANGES_SOME, "0+9 0+1 "},
		{"bytes=10-", 10, FS_RANGES_UNSATISFIABLE, ""},
		{"bytes=10-20,30-", 10, FS_RANGES_UNSATISFIABLE, ""},
		{"bytes=-0", 10, FS_RANGES_UNSATISFIABLE, ""},
		{"bytes=0-", 0, FS_RANGES_NONE, ""},
		{"bytes=5-", 0, FS_RANGES_NONE, ""},
		{"bytes=-5", 0, FS_RANGES_NONE, ""},
		{"bytes=9223372036854775807-", 10, FS_RANGES_UNSATISFIABLE, ""},
		{"bytes=0-9223372036854775807", 10, FS_RANGES_SOME, "0+10 "},
		{"bytes=0-9223372036854775808", 10, FS_RANGES_INVALID, ""},
		{"bytes=99999999999999999999-", 10, FS_RANGES_INVALID, ""},
		{"lines=0-1", 10, FS_RANGES_INVALID, ""},
		{"Bytes=0-1", 10, FS_RANGES_INVALID, ""},
		{"bytes 0-1", 10, FS_RANGES_INVALID, ""},
		{"bytes=5-2", 10, FS_RANGES_INVALID, ""},
		{"bytes=-", 10, FS_RANGES_INVALID, ""},
		{"bytes=--1", 10, FS_RANGES_INVALID, ""},
		{"bytes=5", 10, FS_RANGES_INVALID, ""},
		{"bytes=a-b", 10, FS_RANGES_INVALID, ""},
		{"bytes=1-2;3-4", 10, FS_RANGES_INVALID, ""},
		{"bytes=0-1,x", 10, FS_RANGES_INVALID, ""},
	};
	struct fs_range ranges[FS_RANGES_MAX];
	struct guard guard;
	char text[256];
	size_t count;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *value = cases[i].value;

		if (value)
			value = guard_put(&guard, value, strlen(value) + 1);
		assert_int_equal(fs_ranges_parse(value, cases[i].size, ranges, &count),
				 cases[i].result);
		text[0] = '\0';
		for (size_t k = 0; k < count; k++)
			sprintf(text + strlen(text), "%lu+%lu ", (unsigned long)ranges[k].start,
				(unsigned long)ranges[k].length);
		assert_string_equal(text, cases[i].ranges);
		if (value)
			guard_clear(&guard);
	}
}

static void test_many_ranges(void **state)
{
	struct fs_range ranges[FS_RANGES_MAX];
	char value[8192] = "bytes=";
	size_t count;

	for (unsigned i = 0; i < FS_RANGES_MAX; i++)
		sprintf(value + strlen(value), "%u-%u,", i, i);
	assert_int_equal(fs_ranges_parse(value, 100000, ranges, &count), FS_RANGES_SOME);
	assert_int_equal(count, FS_RANGES_MAX);
	strcat(value, "0-0");
	assert_int_equal(fs_ranges_parse(value, 100000, ranges, &count), FS_RANGES_NONE);
	strcat(value, ",x");
	assert_int_equal(fs_ranges_parse(value, 100000, ranges, &count), FS_RANGES_INVALID);
}

static void test_content_range(void **state)
{
	static const struct {
		const char *value;
		bool good;
		uint64_t first, last, total;
	} cases[] = {
		{"bytes 0-9/10", true, 0, 9, 10},
		{"Bytes 5-5/*", true, 5, 5, FS_TOTAL_UNKNOWN},
		{"bytes 0-9223372036854775806/9223372036854775807", true, 0, INT64_MAX - 1,
		 INT64_MAX},
		{"bytes 0-9223372036854775807/*", false, 0, 0, 0},
		{"bytes 0-9223372036854775808/*", false, 0, 0, 0},
		{"bytes */10", false, 0, 0, 0},
		{"bytes 5-4/10", false, 0, 0, 0},
		{"bytes 5-10/10", false, 0, 0, 0},
		{"bytes 5-6", false, 0, 0, 0},
		{"bytes 5/6-7", false, 0, 0, 0},
		{"bytes=5-6/7", false, 0, 0, 0},
		{"bytes -6/7", false, 0, 0, 0},
		{"bytes 1-/7", false, 0, 0, 0},
		{"bytes 1-2/", false, 0, 0, 0},
		{"bytes 1-2/7 ", false, 0, 0, 0},
		{"bytes +1-2/7", false, 0, 0, 0},
		{"", false, 0, 0, 0},
	};
	struct fs_content_range range;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(fs_content_range_parse(cases[i].value, &range),
				 cases[i].good ? 0 : -EINVAL);
		if (!cases[i].good)
			continue;
		assert_true(range.first == cases[i].first);
		assert_true(range.last == cases[i].last);
		assert_true(range.total == cases[i].total);
	}
}

/* A file of 1994-11-06 08:49:37 GMT (784111777), looked at much later. */
static struct fs_validator old_file(void)
{
	struct stat st = {.st_dev = 0x801,
			  .st_ino = 0x1234,
			  .st_size = 0xabc,
			  .st_mtim = {.tv_sec = 784111777, .tv_nsec = 5},
			  .st_ctim = {.tv_sec = 784111777, .tv_nsec = 6}};
	struct timespec now = {.tv_sec = 1700000000};
	struct fs_validator v;

	fs_validator_init(&v, &st, &now);
	return v;
}

#define OLD_ETAG      "\"801-1234-abc-ae1b981bc490a05-ae1b981bc490a06\""
#define OLD_GZIP_ETAG "\"801-1234-abc-ae1b981bc490a05-ae1b981bc490a06-gzip\""

static void test_etag(void **state)
{
	struct fs_validator v = old_file();
	struct timespec now = {.tv_sec = 1000, .tv_nsec = 500000000};
	struct stat st = {.st_mtim = {.tv_sec = 998, .tv_nsec = 500000000}};
	static const struct {
		time_t mtime_s, ctime_s;
		bool weak;
	} cases[] = {
		{998, 998, false}, {998, 999, true}, {999, 998, true},
		{1001, 0, true},   {0, 1001, true},  {0, 0, false},
	};

	assert_string_equal(v.etag, OLD_ETAG);
	assert_string_equal(v.gzip_etag, OLD_GZIP_ETAG);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		st.st_mtim.tv_sec = cases[i].mtime_s;
		st.st_ctim.tv_sec = cases[i].ctime_s;
		fs_validator_init(&v, &st, &now);
		assert_int_equal(strncmp(v.etag, "W/\"", 3) == 0, cases[i].weak);
		assert_int_equal(strncmp(v.gzip_etag, "W/\"", 3) == 0, cases[i].weak);
	}
	/* The largest numbers fit. */
	memset(&st, 0xff, sizeof(st));
	fs_validator_init(&v, &st, &now);
	assert_string_equal(v.gzip_etag + strlen(v.gzip_etag) - 6, "-gzip\"");
}

static void test_conditions(void **state)
{
	static const char before[] = "Sun, 06 Nov 1994 08:49:36 GMT";
	static const char same[] = "Sun, 06 Nov 1994 08:49:37 GMT";
	static const struct {
		struct fs_conditions c;
		enum fs_verdict verdict;
	} cases[] = {
		{{0}, FS_VERDICT_GO},
		{{.if_match = "*"}, FS_VERDICT_GO},
		{{.if_match = OLD_ETAG}, FS_VERDICT_GO},
		{{.if_match = "\"x\", " OLD_ETAG}, FS_VERDICT_GO},
		{{.if_match = ""}, FS_VERDICT_GO},
		{{.if_match = "\"x\""}, FS_VERDICT_FAILED},
		{{.if_match = "W/" OLD_ETAG}, FS_VERDICT_FAILED}, /* strong */
		{{.if_match = "garbage"}, FS_VERDICT_FAILED},
		{{.if_match = "\"x"}, FS_VERDICT_FAILED},
		{{.if_unmodified_since = same}, FS_VERDICT_GO},
		{{.if_unmodified_since = before}, FS_VERDICT_FAILED},
		{{.if_unmodified_since = "garbage"}, FS_VERDICT_GO},
		{{.if_match = "*", .if_unmodified_since = before}, FS_VERDICT_GO},
		{{.if_none_match = "*"}, FS_VERDICT_NOT_MODIFIED},
		{{.if_none_match = OLD_ETAG}, FS_VERDICT_NOT_MODIFIED},
		{{.if_none_match = "W/" OLD_ETAG}, FS_VERDICT_NOT_MODIFIED}, /* weak */
		{{.if_none_match = OLD_GZIP_ETAG}, FS_VERDICT_NOT_MODIFIED_GZIP},
		{{.if_none_match = "\"a\",\"b\" , W/\"c\""}, FS_VERDICT_GO},
		{{.if_none_match = "\"x\"", .if_modified_since = same}, FS_VERDICT_GO},
		{{.if_modified_since = same}, FS_VERDICT_NOT_MODIFIED},
		{{.if_modified_since = before}, FS_VERDICT_GO},
		{{.if_modified_since = "garbage"}, FS_VERDICT_GO},
		{{.if_match = "\"x\"", .if_none_match = "*"}, FS_VERDICT_FAILED},
	};
	struct fs_validator v = old_file();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(fs_conditions_check(&cases[i].c, &v), cases[i].verdict);

	/* A file of the epoch has no date to compare with. */
	v.has_mtime = false;
	assert_int_equal(
		fs_conditions_check(&(struct fs_conditions){.if_modified_since = same}, &v),
		FS_VERDICT_GO);
}

static void test_if_range(void **state)
{
	static const struct {
		const char *value;
		bool counts;
	} cases[] = {
		{NULL, true},
		{"", true},
		{OLD_ETAG, true},
		{"W/" OLD_ETAG, false},
		{"\"x\"", false},
		{"Sun, 06 Nov 1994 08:49:37 GMT", true},
		{"Sun, 06 Nov 1994 08:49:38 GMT", false},
		{"Sun, 06 Nov 1994 08:49:36 GMT", false},
		{"garbage", false},
	};
	struct fs_validator v = old_file();

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(fs_conditions_range(
					 &(struct fs_conditions){.if_range = cases[i].value}, &v),
				 cases[i].counts);
}

static void test_write_conditions(void **state)
{
	struct fs_validator v = old_file();

	assert_true(fs_if_match(NULL, NULL));
	assert_true(fs_if_match("*", &v));
	assert_true(fs_if_match(OLD_ETAG, &v));
	assert_false(fs_if_match("*", NULL));
	assert_false(fs_if_match("\"other\"", &v));
	assert_true(fs_if_none_match("*", NULL));
	assert_false(fs_if_none_match("*", &v));
	assert_false(fs_if_none_match(OLD_ETAG, &v));
	assert_true(fs_if_none_match("\"other\"", &v));
}

static void test_disposition(void **state)
{
	static const char *const cases[][2] = {
		{"plain.txt", "inline; filename=plain.txt"},
		{"with space", "inline; filename=\"with space\""},
		{"a\"b\\c", "inline; filename=\"a\\\"b\\\\c\""},
		{"a;b", "inline; filename=\"a;b\""},
		{"tab\there", "inline; filename=\"tab\there\""},
		{"line\nbreak", "inline; filename*=utf-8''line%0Abreak"},
		{"na\xc3\xafve caf\xc3\xa9", "inline; filename*=utf-8''na%C3%AFve%20caf%C3%A9"},
		{"50%\xff'*", "inline; filename*=utf-8''50%25%FF%27%2A"},
		{"", "inline; filename=\"\""},
	};
	struct arena arena = {0};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(fs_disposition_format(cases[i][0], &arena), cases[i][1]);
	arena_clear(&arena);
}

static void test_sniff(void **state)
{
	static const char text[] = "text/plain; charset=utf-8",
			  binary[] = "application/octet-stream";
	static const struct {
		const char *bytes;
		size_t n;
		const char *type;
	} cases[] = {
		{"", 0, text},
		{" \t\n", 3, text},
		{"hello", 5, text},
		{"hel\0lo", 6, binary},
		{"\1", 1, binary},
		{"\x1b[1m", 4, text},
		{"<html>", 6, "text/html; charset=utf-8"},
		{" \n<!doctype html>", 17, "text/html; charset=utf-8"},
		{"<html", 5, text},
		{"<htmlx", 6, text},
		{"<!-- x", 6, "text/html; charset=utf-8"},
		{"  <?xml", 7, "text/xml; charset=utf-8"},
		{"%PDF-1.7", 8, "application/pdf"},
		{"\xfe\xff\0a", 4, "text/plain; charset=utf-16be"},
		{"\xfe\xff\0", 3, binary},
		{"\xef\xbb\xbf\x01", 4, text},
		{"GIF89a", 6, "image/gif"},
		{"\x89PNG\r\n\x1a\n", 8, "image/png"},
		{"RIFF....WEBPVP", 14, "image/webp"},
		{"RIFF....WAVE", 12, "audio/wave"},
		{"RIFF....WAV", 11, text},
		{"\0\0\0\x14"
		 "ftypmp42....abcd",
		 20, "video/mp4"},
		{"\0\0\0\x14"
		 "ftypisom....mp41",
		 20, "video/mp4"},
		{"\0\0\0\x18"
		 "ftypisom....mp41",
		 20, binary},
		{"\x1f\x8b\x08\0", 4, "application/x-gzip"},
		{"PK\3\4", 4, "application/zip"},
		{"\0asm", 4, "application/wasm"},
		{"0123456789012345678901234567890123LP", 36, "application/vnd.ms-fontobject"},
	};
	struct guard guard;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_string_equal(
			fs_type_by_content(guard_put(&guard, cases[i].bytes, cases[i].n),
					   cases[i].n),
			cases[i].type);
		guard_clear(&guard);
	}
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void check_type(const char *path, const char *expected)
{
	struct arena arena = {0};
	const char *type;

	/* The second call finds the answer in the cache. */
	for (int i = 0; i < 2; i++) {
		type = fs_type_by_extension(path, &arena);
		if (expected)
			assert_string_equal(type, expected);
		else
			assert_null(type);
	}
	arena_clear(&arena);
}

static void test_types(void **state)
{
	char globs[] = "/tmp/envd-globs-XXXXXX", types[] = "/tmp/envd-types-XXXXXX";
	const char *const globs_list[] = {"/nonexistent", globs, NULL};
	const char *const types_list[] = {types, NULL}, *const none[] = {NULL};
	struct arena arena = {0};

	close(mkstemp(globs));
	close(mkstemp(types));
	write_file(globs, "# comment\n60:text/x-new:*.new\n50:application/old:*.new\n"
			  "50:text/x-c++src:*.C:cs\n50:text/x-csrc:*.c\n50:image/x:*.js\n"
			  "50:notype:*.bad\n50:a/b:README*\n50:text/x-last:*.last");
	write_file(types,
		   "# x\ntext/x-first first multi\nimage/mine png # json\n\napplication/second\t"
		   "multi second\r\n");

	fs_type_set_files(globs_list, types_list);
	check_type("/x.new", "text/x-new; charset=utf-8");
	check_type("/x.C", "text/x-c++src; charset=utf-8");
	check_type("/x.c", "text/x-csrc; charset=utf-8");
	check_type("/x.js", "text/javascript; charset=utf-8"); /* the built-in one wins */
	check_type("/x.JS", "text/javascript; charset=utf-8");
	check_type("/x.last", "text/x-last; charset=utf-8");
	check_type("/x.LaSt", "text/x-last; charset=utf-8");
	check_type("/x.bad", NULL);
	check_type("/x.png", "image/png");
	check_type("/.json", "application/json");
	check_type("/a.json/x", NULL);
	check_type("/x", NULL);
	check_type("/x.", NULL);

	fs_type_set_files(none, types_list);
	check_type("/x.png", "image/mine"); /* the file wins */
	check_type("/x.json", "application/json");
	check_type("/x.first", "text/x-first; charset=utf-8");
	check_type("/x.multi", "application/second");
	check_type("/x.second", "application/second");

	fs_type_set_files(none, none);
	check_type("/x.png", "image/png");
	/* More extensions than are remembered. */
	for (unsigned i = 0; i < 200; i++)
		check_type(arena_printf(&arena, "/x.e%u", i), NULL);
	fs_type_set_files(NULL, NULL);
	arena_clear(&arena);
	unlink(globs);
	unlink(types);
}

static void test_sign(void **state)
{
	/* printf '%s' '/p:read:user:token' | openssl dgst -sha256 -binary | base64 */
	static const char plain[] = "v1_rXm0gz6Z26jTM0B/fQNsYfxhkXdcn3AEbZjxgtiJZEk";
	static const char expiring[] = "v1_tJ52QPSLleR3mxvR8gw12StCFjw40l8C0/hk28A9vsw";
	const struct fs_sign base = {.token = "token",
				     .token_bytes = 5,
				     .path = "/p",
				     .operation = "read",
				     .username = "user",
				     .now_s = 100};
	struct fs_sign s = base;

	s.token = NULL;
	assert_null(fs_sign_check(&s));
	s = base;
	assert_string_equal(fs_sign_check(&s), "missing signature query parameter");
	s.signature = plain;
	assert_null(fs_sign_check(&s));
	s.signature = "v1_";
	assert_string_equal(fs_sign_check(&s), "invalid signature");
	s.signature = "v1_rXm0gz6Z26jTM0B/fQNsYfxhkXdcn3AEbZjxgtiJZEk=";
	assert_string_equal(fs_sign_check(&s), "invalid signature");
	s.operation = "write";
	s.signature = plain;
	assert_string_equal(fs_sign_check(&s), "invalid signature");

	/* Valid through the second of its expiry; wrong comes before expired. */
	s = base;
	s.expiration = "100";
	s.expiration_s = 100;
	s.signature = expiring;
	assert_null(fs_sign_check(&s));
	s.now_s = 101;
	assert_string_equal(fs_sign_check(&s), "signature is already expired");
	s.signature = plain;
	assert_string_equal(fs_sign_check(&s), "invalid signature");

	/* A token in the head decides alone, unless it is empty. */
	s = base;
	s.header_token = "token";
	assert_null(fs_sign_check(&s));
	s.signature = plain;
	for (size_t i = 0; i < 3; i++) {
		s.header_token = (const char *[]){"Token", "tok", "tokens"}[i];
		assert_string_equal(fs_sign_check(&s),
				    "access token present in header but does not match");
	}
	s.header_token = "";
	assert_null(fs_sign_check(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_many_ranges),
		cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_etag),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_if_range),
		cmocka_unit_test(test_write_conditions),
		cmocka_unit_test(test_disposition),
		cmocka_unit_test(test_sniff),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_sign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
