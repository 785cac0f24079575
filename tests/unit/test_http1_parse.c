/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: what is taken, what is refused, and that the cut of the input makes no odds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "rpc/http/http1_parse.h"
#include "tests/unit/guard.h"

/* A literal that may have NULs in it, and its length. */
#define B(literal) (literal), sizeof(literal) - 1

#define HOST "Host: h\r\n"

/* Scans and parses a head that lies before a guard page. Its length, 0, or -status. */
static int parse_bytes(const char *bytes, size_t n, struct arena *arena, struct http_head *head)
{
	struct http1_scan scan = {0};
	struct guard guard;
	const char *p = guard_put(&guard, bytes, n), *why = NULL;
	int taken = http1_scan_head(&scan, p, n, &why), r = taken;

	if (taken > 0) {
		/* The parser may look at the head alone. */
		struct guard exact;

		r = http1_parse_head(&scan, guard_put(&exact, p, (size_t)taken), (size_t)taken,
				     arena, head, &why);
		guard_clear(&exact);
	}
	guard_clear(&guard);
	if (r < 0)
		assert_non_null(why);
	return r < 0 ? r : taken;
}

static int parse(const char *text, struct arena *arena, struct http_head *head)
{
	return parse_bytes(text, strlen(text), arena, head);
}

static void test_request_line(void **state)
{
	static const struct {
		const char *text;
		const char *method, *target, *path, *query;
		int minor;
	} cases[] = {
		{"GET / HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "/", NULL, 1},
		{"GET / HTTP/1.0\r\n\r\n", "GET", "/", "/", NULL, 0},
		{"GET / HTTP/1.9\r\n" HOST "\r\n", "GET", "/", "/", NULL, 1},
		{"get /x HTTP/1.1\r\n" HOST "\r\n", "get", "/x", "/x", NULL, 1},
		{"M-SEARCH!#$%&'*+.^_`|~9 /x HTTP/1.0\r\n\r\n", "M-SEARCH!#$%&'*+.^_`|~9", "/x",
		 "/x", NULL, 0},
		{"GET /a/b?c=d&e HTTP/1.1\r\n" HOST "\r\n", "GET", "/a/b?c=d&e", "/a/b", "c=d&e",
		 1},
		{"GET /? HTTP/1.1\r\n" HOST "\r\n", "GET", "/?", "/", "", 1},
		{"GET /??x?y HTTP/1.1\r\n" HOST "\r\n", "GET", "/??x?y", "/", "?x?y", 1},
		{"GET //a HTTP/1.1\r\n" HOST "\r\n", "GET", "//a", "//a", NULL, 1},
		{"GET /%41%2f%c3 HTTP/1.1\r\n" HOST "\r\n", "GET", "/%41%2f%c3", "/%41%2f%c3", NULL,
		 1},
		{"GET /?% HTTP/1.1\r\n" HOST "\r\n", "GET", "/?%", "/", "%", 1},
		{"GET /\xc3\xa9\"{|}<>\\^`#[] HTTP/1.1\r\n" HOST "\r\n", "GET",
		 "/\xc3\xa9\"{|}<>\\^`#[]", "/\xc3\xa9\"{|}<>\\^`#[]", NULL, 1},
		{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS", "*", "*", NULL, 1},
		{"OPTIONS /x HTTP/1.1\r\n" HOST "\r\n", "OPTIONS", "/x", "/x", NULL, 1},
		{"GET http://h/a?b HTTP/1.1\r\n" HOST "\r\n", "GET", "http://h/a?b", "/a", "b", 1},
		{"GET HTTPS://[::1]:80/a HTTP/1.1\r\n" HOST "\r\n", "GET", "HTTPS://[::1]:80/a",
		 "/a", NULL, 1},
		{"GET http://h HTTP/1.1\r\n" HOST "\r\n", "GET", "http://h", "/", NULL, 1},
		{"GET http://h?q HTTP/1.1\r\n" HOST "\r\n", "GET", "http://h?q", "/", "q", 1},
		{"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET", "/", "/", NULL, 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct http_head head;

		assert_int_equal(parse(cases[i].text, &arena, &head), strlen(cases[i].text));
		assert_string_equal(head.method, cases[i].method);
		assert_string_equal(head.target, cases[i].target);
		assert_string_equal(head.path, cases[i].path);
		if (cases[i].query)
			assert_string_equal(head.query, cases[i].query);
		else
			assert_null(head.query);
		assert_int_equal(head.minor_version, cases[i].minor);
		arena_clear(&arena);
	}
}

static void test_fields(void **state)
{
	struct arena arena = {0};
	struct http_head head;

	assert_true(parse("GET / HTTP/1.1\r\n"
			  "HOST:\tlocalhost:49983 \t\r\n"
			  "X-Empty:\r\n"
			  "X-Blank: \t \r\n"
			  "Accept: a ,\tb\r\n"
			  "x-obs: \xff\x80 \xc3\xa9\r\n"
			  "accept:second\r\n"
			  "!#$%&'*+-.^_`|~09azAZ: v:w\r\n"
			  "\r\n",
			  &arena, &head) > 0);
	assert_int_equal(head.n_fields, 7);
	assert_string_equal(http_head_get(&head, "host"), "localhost:49983");
	assert_string_equal(http_head_get(&head, "x-empty"), "");
	assert_string_equal(http_head_get(&head, "x-blank"), "");
	assert_string_equal(http_head_get(&head, "accept"), "a ,\tb");
	assert_string_equal(http_head_get(&head, "x-obs"), "\xff\x80 \xc3\xa9");
	assert_string_equal(http_head_get(&head, "!#$%&'*+-.^_`|~09azaz"), "v:w");
	assert_null(http_head_get(&head, "x"));
	assert_null(http_head_get(&head, "accep"));
	assert_int_equal(http_head_count(&head, "accept"), 2);
	assert_int_equal(http_head_count(&head, "nothing"), 0);
	for (unsigned i = 0; i < head.n_fields; i++) {
		assert_int_equal(head.fields[i].name_bytes, strlen(head.fields[i].name));
		assert_int_equal(head.fields[i].value_bytes, strlen(head.fields[i].value));
	}
	arena_clear(&arena);
}

static void test_framing(void **state)
{
	static const struct {
		const char *version, *fields;
		enum http_body body;
		uint64_t length;
		bool keep_alive, expect;
	} cases[] = {
		{"1.1", "", HTTP_BODY_NONE, 0, true, false},
		{"1.0", "", HTTP_BODY_NONE, 0, false, false},
		{"1.1", "Content-Length: 0\r\n", HTTP_BODY_NONE, 0, true, false},
		{"1.1", "Content-Length: 5\r\n", HTTP_BODY_LENGTH, 5, true, false},
		{"1.1", "content-length:0005 \r\n", HTTP_BODY_LENGTH, 5, true, false},
		{"1.0", "Content-Length: 5\r\n", HTTP_BODY_LENGTH, 5, false, false},
		{"1.1", "Content-Length: 9223372036854775807\r\n", HTTP_BODY_LENGTH, INT64_MAX,
		 true, false},
		{"1.1", "Transfer-Encoding: chunked\r\n", HTTP_BODY_CHUNKED, 0, true, false},
		{"1.1", "Transfer-Encoding:\tCHUNKED\t\r\n", HTTP_BODY_CHUNKED, 0, true, false},
		{"1.1", "Connection: close\r\n", HTTP_BODY_NONE, 0, false, false},
		{"1.1", "Connection: TE , Close\r\n", HTTP_BODY_NONE, 0, false, false},
		{"1.1", "Connection: te\r\nConnection: ,close,\r\n", HTTP_BODY_NONE, 0, false,
		 false},
		{"1.1", "Connection: closed, not-close\r\n", HTTP_BODY_NONE, 0, true, false},
		{"1.1", "Connection: keep-alive, close\r\n", HTTP_BODY_NONE, 0, false, false},
		{"1.0", "Connection: Keep-Alive\r\n", HTTP_BODY_NONE, 0, true, false},
		{"1.0", "Connection: keep-alive close\r\n", HTTP_BODY_NONE, 0, false, false},
		{"1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", HTTP_BODY_LENGTH, 1, true,
		 true},
		{"1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", HTTP_BODY_CHUNKED,
		 0, true, true},
		{"1.1", "Expect: 100-continue\r\n", HTTP_BODY_NONE, 0, true, false},
		{"1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", HTTP_BODY_LENGTH, 1, false,
		 false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct http_head head;
		char text[256];

		snprintf(text, sizeof(text), "POST / HTTP/%s\r\n%s" HOST "\r\n", cases[i].version,
			 cases[i].fields);
		assert_int_equal(parse(text, &arena, &head), strlen(text));
		assert_int_equal(head.body, cases[i].body);
		assert_int_equal(head.content_length, cases[i].length);
		assert_int_equal(head.keep_alive, cases[i].keep_alive);
		assert_int_equal(head.expect_continue, cases[i].expect);
		arena_clear(&arena);
	}
}

/* Each row of the table in rpc/http/http1_parse.h that is about heads. */
static void test_refused(void **state)
{
	static const struct {
		const char *name, *text;
		size_t n;
		int status;
	} cases[] = {
		{"two empty lines", B("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"LF before the request", B("\nGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"request line ends in LF", B("GET / HTTP/1.1\n" HOST "\r\n"), 400},
		{"field ends in LF", B("GET / HTTP/1.1\r\nHost: h\n\r\n"), 400},
		{"head ends in LF", B("GET / HTTP/1.1\r\n" HOST "\n"), 400},
		/* Taken for the empty line at the end, it would begin the next request early. */
		{"a byte and LF for the end", B("GET / HTTP/1.1\r\n" HOST "X\n"), 400},
		{"CR in the request line", B("GET / HTTP/1.1\rX\r\n" HOST "\r\n"), 400},
		{"CR CR LF", B("GET / HTTP/1.1\r\r\n" HOST "\r\n"), 400},
		{"CR before the request", B("\rGET / HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"CR in a value", B("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"), 400},
		{"CR at a value's end", B("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"), 400},
		{"CR in a name", B("GET / HTTP/1.1\r\n" HOST "a\rb: c\r\n\r\n"), 400},
		{"CR for an end", B("GET / HTTP/1.1\r\n" HOST "\r\rX: y\r\n\r\n"), 400},
		{"space before a field", B("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400},
		{"fold", B("GET / HTTP/1.1\r\n" HOST "X: y\r\n z\r\n\r\n"), 400},
		{"fold by tab", B("GET / HTTP/1.1\r\n" HOST "X: y\r\n\tz\r\n\r\n"), 400},
		{"no method", B(" / HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"method in brackets", B("(GET) / HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"method ends in a colon", B("GET: / HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"method alone", B("GET\r\n" HOST "\r\n"), 400},
		{"HTTP/0.9", B("GET /\r\n\r\n"), 400},
		{"no target", B("GET  HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"two spaces", B("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"two spaces behind", B("GET /  HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"tab", B("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"tab behind", B("GET /\tHTTP/1.1\r\n" HOST "\r\n"), 400},
		{"space at the end", B("GET / HTTP/1.1 \r\n" HOST "\r\n"), 400},
		{"space in the target", B("GET /a b HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"NUL in the target", B("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"NUL in a value", B("GET / HTTP/1.1\r\nHost: h\0\r\n\r\n"), 400},
		{"NUL in a name", B("GET / HTTP/1.1\r\n" HOST "a\0: b\r\n\r\n"), 400},
		{"DEL in the target", B("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"bad escape", B("GET /%4 HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"bad escape at the end", B("GET /% HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"bad escape before a query", B("GET /%4?1 HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"no path", B("GET a HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"query alone", B("GET ?a HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"scheme", B("GET ftp://h/ HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"no host", B("GET http:///a HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"user", B("GET http://u@h/a HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"authority", B("GET h:80 HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"asterisk", B("GET * HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"asterisk and more", B("OPTIONS *a HTTP/1.1\r\n" HOST "\r\n"), 400},
		{"CONNECT", B("CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n"), 501},
		{"version in lower case", B("GET / http/1.1\r\n" HOST "\r\n"), 400},
		{"version cut", B("GET / HTTP/1\r\n" HOST "\r\n"), 400},
		{"version too long", B("GET / HTTP/1.10\r\n" HOST "\r\n"), 400},
		{"version without a dot", B("GET / HTTP/1,1\r\n" HOST "\r\n"), 400},
		{"version in letters", B("GET / HTTP/1.x\r\n" HOST "\r\n"), 400},
		{"HTTP/2", B("PRI * HTTP/2.0\r\n\r\n"), 505},
		{"HTTP/0", B("GET / HTTP/0.9\r\n" HOST "\r\n"), 505},
		{"no name", B("GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n"), 400},
		{"no colon", B("GET / HTTP/1.1\r\n" HOST "x\r\n\r\n"), 400},
		{"space before the colon", B("GET / HTTP/1.1\r\n" HOST "x : y\r\n\r\n"), 400},
		{"tab before the colon", B("GET / HTTP/1.1\r\nHost\t: h\r\n\r\n"), 400},
		{"name in brackets", B("GET / HTTP/1.1\r\n" HOST "(x): y\r\n\r\n"), 400},
		{"obs-text in a name", B("GET / HTTP/1.1\r\n" HOST "\xc3\xa9: y\r\n\r\n"), 400},
		{"ESC in a value", B("GET / HTTP/1.1\r\n" HOST "x: \x1b[0m\r\n\r\n"), 400},
		{"DEL in a value", B("GET / HTTP/1.1\r\n" HOST "x: \x7f\r\n\r\n"), 400},
		{"vertical tab in a value", B("GET / HTTP/1.1\r\n" HOST "x: \v\r\n\r\n"), 400},
		{"no Host", B("GET / HTTP/1.1\r\n\r\n"), 400},
		{"two Hosts", B("GET / HTTP/1.1\r\n" HOST HOST "\r\n"), 400},
		{"two Hosts in 1.0", B("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), 400},
		{"slash in Host", B("GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"), 400},
		{"user in Host", B("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"), 400},
		{"space in Host", B("GET / HTTP/1.1\r\nHost: h h\r\n\r\n"), 400},
		{"length empty", B("GET / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"), 400},
		{"length +", B("GET / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n"), 400},
		{"length -", B("GET / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n"), 400},
		{"length in hex", B("GET / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n"), 400},
		{"length and words", B("GET / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n"),
		 400},
		{"length list", B("GET / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"), 400},
		{"length > int64",
		 B("GET / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775808\r\n\r\n"), 400},
		{"length > uint64",
		 B("GET / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\n"), 400},
		{"two lengths",
		 B("GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
		 400},
		{"two equal lengths",
		 B("GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
		 400},
		{"length and chunked",
		 B("GET / HTTP/1.1\r\n" HOST
		   "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 400},
		{"chunked and length",
		 B("GET / HTTP/1.1\r\n" HOST
		   "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
		 400},
		{"chunked in 1.0", B("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
		{"no coding", B("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"), 501},
		{"gzip", B("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n"), 501},
		{"identity", B("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"),
		 501},
		{"gzip, chunked",
		 B("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501},
		{"chunked twice",
		 B("GET / HTTP/1.1\r\n" HOST
		   "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 501},
		{"chunked, parameter",
		 B("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked;q=1\r\n\r\n"), 501},
		{"chunked in quotes",
		 B("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: \"chunked\"\r\n\r\n"), 501},
		{"expectation", B("GET / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n"), 417},
		{"expectations", B("GET / HTTP/1.1\r\n" HOST "Expect: 100-continue, x\r\n\r\n"),
		 417},
		{"TLS", B("\x16\x03\x01\x02"), 400},
		{"SOCKS", B("\x05\x01"), 400},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct http_head head;
		int r = parse_bytes(cases[i].text, cases[i].n, &arena, &head);

		if (r != -cases[i].status)
			fail_msg("%s: %d", cases[i].name, r);
		arena_clear(&arena);
	}
}

/*
 * Every prefix of a head needs more; the whole is found however it was cut; what follows is left
 * alone.
 */
static void test_every_split(void **state)
{
	static const char text[] = "\r\nPOST /process.Process/List?x HTTP/1.1\r\n"
				   "Host: localhost\r\nContent-Length: 3\r\n\r\n{} GET";
	const size_t head_bytes = sizeof(text) - 1 - 6;
	struct guard guard;
	const char *why;

	for (size_t cut = 0; cut < head_bytes; cut++) {
		struct http1_scan scan = {0};
		int r = http1_scan_head(&scan, guard_put(&guard, text, cut), cut, &why);

		assert_int_equal(r, 0);
		guard_clear(&guard);
		for (size_t n = cut + 1; n < head_bytes; n += 7) {
			r = http1_scan_head(&scan, guard_put(&guard, text, n), n, &why);
			assert_int_equal(r, 0);
			guard_clear(&guard);
		}
		r = http1_scan_head(&scan, text, sizeof(text) - 1, &why);
		assert_int_equal(r, head_bytes);
		assert_int_equal(scan.n_lines, 3);
	}
}

static void test_limits(void **state)
{
	static char text[HTTP_HEAD_MAX_BYTES + 100];
	struct arena arena = {0};
	struct http_head head;
	size_t n;

	/* As many fields as are allowed, and one more. */
	for (unsigned extra = 0; extra < 2; extra++) {
		n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST);
		for (unsigned i = 1; i < HTTP_MAX_FIELDS + extra; i++)
			n += (size_t)sprintf(text + n, "x: y\r\n");
		n += (size_t)sprintf(text + n, "\r\n");
		assert_int_equal(parse_bytes(text, n, &arena, &head), extra ? -431 : (int)n);
		if (!extra)
			assert_int_equal(head.n_fields, HTTP_MAX_FIELDS);
	}

	/* As many bytes, and one more, with and without the end in sight. */
	for (size_t extra = 0; extra < 2; extra++) {
		n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" HOST "x: ");
		memset(text + n, 'y', sizeof(text) - n);
		n = HTTP_HEAD_MAX_BYTES + extra - 4;
		memcpy(text + n, "\r\n\r\n", 4);
		n += 4;
		assert_int_equal(parse_bytes(text, n, &arena, &head), extra ? -431 : (int)n);
		assert_int_equal(parse_bytes(text, HTTP_HEAD_MAX_BYTES - 1, &arena, &head), 0);
	}
	memset(text, 'A', sizeof(text));
	assert_int_equal(parse_bytes(text, HTTP_HEAD_MAX_BYTES - 1, &arena, &head), 0);
	assert_int_equal(parse_bytes(text, HTTP_HEAD_MAX_BYTES, &arena, &head), -431);
	arena_clear(&arena);
}

/* The heads that the clients which matter send, as they send them. */
static void test_known_clients(void **state)
{
	static const struct {
		const char *text;
		unsigned n_fields;
		enum http_body body;
	} cases[] = {
		{"POST /process.Process/Start HTTP/1.1\r\n" /* undici, connect-web */
		 "host: localhost:49983\r\nconnection: keep-alive\r\n"
		 "content-type: application/connect+json\r\nconnect-protocol-version: 1\r\n"
		 "authorization: Basic dXNlcjo=\r\naccept: */*\r\naccept-language: *\r\n"
		 "sec-fetch-mode: cors\r\nuser-agent: undici\r\naccept-encoding: gzip, deflate\r\n"
		 "transfer-encoding: chunked\r\n\r\n",
		 11, HTTP_BODY_CHUNKED},
		{"POST /files?path=%2Fhome%2Fuser%2Fa%20b&username=user HTTP/1.1\r\n" /* httpx */
		 "Host: localhost:49983\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
		 "Connection: keep-alive\r\nUser-Agent: python-httpx/0.27.0\r\n"
		 "Content-Length: 12\r\nContent-Type: multipart/form-data; boundary=abc\r\n\r\n",
		 7, HTTP_BODY_LENGTH},
		{"POST /process.Process/List HTTP/1.1\r\n" /* Go, connect-go */
		 "Host: 127.0.0.1:49983\r\nUser-Agent: connect-go/1.18.1 (go1.26.0)\r\n"
		 "Content-Length: 0\r\nAccept-Encoding: gzip\r\nConnect-Protocol-Version: 1\r\n"
		 "Content-Type: application/proto\r\n\r\n",
		 6, HTTP_BODY_NONE},
		{"PUT /files?path=\"\xc3\xa9\" HTTP/1.1\r\n" /* curl, which escapes nothing */
		 "Host: [::1]:49983\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
		 "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
		 5, HTTP_BODY_LENGTH},
		{"GET /health HTTP/1.0\r\nConnection: close\r\n\r\n", 1, HTTP_BODY_NONE}, /* ab */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct http_head head;

		assert_int_equal(parse(cases[i].text, &arena, &head), strlen(cases[i].text));
		assert_int_equal(head.n_fields, cases[i].n_fields);
		assert_int_equal(head.body, cases[i].body);
		arena_clear(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_line),  cmocka_unit_test(test_fields),
		cmocka_unit_test(test_framing),	      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_every_split),   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_known_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
