/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands on the host read and show: addresses, offsets, text of a peer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "envd/client/client.h"
#include "envd/client/show.h"
#include "envd/commands/session.h"

static void test_parse_to(void **state)
{
	static const struct {
		const char *text;
		int rc;
		sa_family_t family;
	} cases[] = {
		{"tcp:127.0.0.1:80", 0, AF_INET},
		{"tcp:127.0.0.1", 0, AF_INET},
		{"tcp:localhost:80", 0, AF_INET},
		{"tcp:[::1]:80", 0, AF_INET6},
		{"tcp:[::1]", 0, AF_INET6},
		{"unix:/run/envd.sock", 0, AF_UNIX},
		{"uds:/run/vsock", 0, AF_UNIX},
		{"vsock:3", 0, AF_VSOCK},
		{"vsock:3:8080", 0, AF_VSOCK},
		{"", -EINVAL, 0},
		{"tcp:", -EINVAL, 0},
		{"tcp:host:80", -EINVAL, 0},
		{"tcp:::1:80", -EINVAL, 0},
		{"tcp:[::1", -EINVAL, 0},
		{"tcp:[::1]80", -EINVAL, 0},
		{"tcp:127.0.0.1:", -EINVAL, 0},
		{"tcp:127.0.0.1:0", -EINVAL, 0},
		{"tcp:127.0.0.1:65536", -EINVAL, 0},
		{"unix:", -EINVAL, 0},
		{"vsock:", -EINVAL, 0},
		{"vsock:x", -EINVAL, 0},
		{"vsock:3:", -EINVAL, 0},
		{"127.0.0.1:80", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dial_target target;

		assert_int_equal(client_parse_to(cases[i].text, &target), cases[i].rc);
		if (cases[i].rc == 0)
			assert_int_equal(target.address.storage.ss_family, cases[i].family);
	}
}

static void test_parse_offsets(void **state)
{
	static const struct {
		const char *text;
		bool valid;
		uint64_t offsets[SESSION_OUTPUTS];
	} cases[] = {
		{"stdout=1, stderr=20", true, {1, 20, 7}},
		{"stderr=20,stdout=1", true, {1, 20, 7}},
		{"pty=3", true, {7, 7, 3}},
		{"", false, {0}},
		{"stdout", false, {0}},
		{"stdout=", false, {0}},
		{"stdout=-1", false, {0}},
		{"stdout=1,", false, {0}},
		{"stdout=1 stderr=1", false, {0}},
		{"stdin=1", false, {0}},
		{"pty=99999999999999999999", false, {0}},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t offsets[SESSION_OUTPUTS] = {7, 7, 7};

		assert_int_equal(session_parse_offsets(cases[i].text, offsets), cases[i].valid);
		if (cases[i].valid)
			assert_memory_equal(offsets, cases[i].offsets, sizeof(offsets));
	}
}

static void test_show(void **state)
{
	static const struct {
		const char *text, *shown, *json;
	} cases[] = {
		{"plain text", "plain text", "plain text"},
		{"größe 日本 🙂", "größe 日本 🙂", "größe 日本 🙂"},
		{"\x1b[2J", "\\x1b[2J", "\\u001b[2J"},
		{"a\nb\tc\\", "a\\nb\\tc\\\\", "a\\u000ab\\u0009c\\"},
		{"\x7f\r", "\\x7f\\x0d", "\\u007f\\u000d"},
		{"\xc2\x9b"
		 "2J",
		 "\\xc2\\x9b"
		 "2J",
		 "\\u009b"
		 "2J"},
		{"\xe2\x80\xae", "\\xe2\\x80\\xae", "\\u202e"},
		{"\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81", "\\udb40\\udc41"},
		{"\xff\xc3", "\\xff\\xc3", "\\ufffd\\ufffd"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int json = 0; json < 2; json++) {
			char *shown;
			size_t n;
			FILE *to = open_memstream(&shown, &n);

			if (json)
				show_json(to, cases[i].text, strlen(cases[i].text));
			else
				show_text(to, cases[i].text);
			fclose(to);
			assert_string_equal(shown, json ? cases[i].json : cases[i].shown);
			free(shown);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_to),
		cmocka_unit_test(test_parse_offsets),
		cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
