/* SPDX-License-Identifier: Apache-2.0 */
/* The helper commands' arguments, and what `envd ready` reads. */
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
#include "envd/commands/args.h"
#include "envd/commands/probe.h"

static const struct arg table[] = {
	{"port", 'p', ARG_VALUE}, {"help", 'h', ARG_PLAIN}, {NULL, 0, ARG_VALUE}};

static void test_args_next(void **state)
{
	static const struct {
		const char *argv[4];
		int key;
		const char *value;
	} cases[] = {
		{{"x", NULL}, 0, NULL},
		{{"x", "--port", "7", NULL}, 'p', "7"},
		{{"x", "-port", "7", NULL}, 'p', "7"},
		{{"x", "--port=7", NULL}, 'p', "7"},
		{{"x", "--port=", NULL}, 'p', ""},
		{{"x", "--port", "--help", NULL}, 'p', "--help"},
		{{"x", "--help", NULL}, 'h', NULL},
		{{"x", "--port", NULL}, -1, NULL},
		{{"x", "--help=1", NULL}, -1, NULL},
		{{"x", "---port", "7", NULL}, -1, NULL},
		{{"x", "port", "7", NULL}, -1, NULL},
		{{"x", "--por", "7", NULL}, -1, NULL},
		{{"x", "--ports", "7", NULL}, -1, NULL},
		{{"x", "", NULL}, -1, NULL},
		{{"x", "--", NULL}, -1, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *argv[4];
		struct args args;

		memcpy(argv, cases[i].argv, sizeof(argv));
		args_init(&args, "test", table, argv);
		assert_int_equal(args_next(&args), cases[i].key);
		if (cases[i].key <= 0)
			continue;
		if (cases[i].value)
			assert_string_equal(args.value, cases[i].value);
		else
			assert_null(args.value);
		assert_int_equal(args_next(&args), 0);
	}
}

/* The whole line as one text: keys, values in parentheses, operands in brackets, ! for an error. */
static void test_args_line(void **state)
{
	static const struct arg exec[] = {
		{"interactive", 'i', ARG_PLAIN | ARG_BRIEF},
		{"tty", 't', ARG_PLAIN | ARG_BRIEF},
		{"env", 'e', ARG_BRIEF},
		{"timeout", 'T', ARG_VALUE},
		{NULL, 0, ARG_VALUE},
	};
	static const struct {
		enum args_operands operands;
		const char *argv[6];
		const char *line;
	} cases[] = {
		{ARGS_COMMAND, {"x", "-it", "--", "ls", "-l"}, "it[ls][-l]"},
		{ARGS_COMMAND, {"x", "-i", "ls", "-t", "--"}, "i[ls][-t][--]"},
		{ARGS_COMMAND, {"x", "-ite", "A=1", "sh"}, "ite(A=1)[sh]"},
		{ARGS_COMMAND, {"x", "-eA=1", "-e", "B=-2", "sh"}, "e(A=1)e(B=-2)[sh]"},
		{ARGS_COMMAND, {"x", "-timeout", "5", "sh"}, "T(5)[sh]"},
		{ARGS_COMMAND, {"x", "-tty", "sh"}, "t[sh]"},
		{ARGS_COMMAND, {"x", "--", "--", "-"}, "[--][-]"},
		{ARGS_COMMAND, {"x", "-ix", "sh"}, "i!"},
		{ARGS_COMMAND, {"x", "-T", "5"}, "!"},
		{ARGS_COMMAND, {"x", "-ie"}, "i!"},
		{ARGS_OPERANDS, {"x", "a", "-i", "b", "--tty", "-"}, "[a]i[b]t[-]"},
		{ARGS_OPERANDS, {"x", "a", "--", "-i"}, "[a][-i]"},
		{ARGS_OPERANDS, {"x", "", "-i"}, "[]i"},
		{ARGS_NO_OPERANDS, {"x", "-i", "a"}, "i!"},
		{ARGS_NO_OPERANDS, {"x", "-"}, "!"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[64] = "", *argv[7] = {NULL};
		struct args args;
		int key;

		memcpy(argv, cases[i].argv, sizeof(cases[i].argv));
		args_init(&args, "test", exec, argv);
		args.operands = cases[i].operands;
		while ((key = args_next(&args)) > 0) {
			char *end = line + strlen(line);
			size_t room = sizeof(line) - strlen(line);

			if (key == ARGS_OPERAND)
				snprintf(end, room, "[%s]", args.value);
			else if (args.value)
				snprintf(end, room, "%c(%s)", key, args.value);
			else
				snprintf(end, room, "%c", key);
		}
		if (key < 0)
			strcat(line, "!");
		assert_string_equal(line, cases[i].line);
	}
}

static void test_args_seconds(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ms;
	} cases[] = {
		{"0", 0, 0},
		{"1", 0, 1000},
		{"1.5", 0, 1500},
		{".25", 0, 250},
		{"0.0019", 0, 1},
		{"1000000000", 0, 1000000000000},
		{"1000000001", -1, 0},
		{"", -1, 0},
		{".", -1, 0},
		{"1.", -1, 0},
		{"-1", -1, 0},
		{"1s", -1, 0},
		{"99999999999999999999", -1, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t ms = 0;

		assert_int_equal(args_seconds(cases[i].text, &ms), cases[i].rc ? -EINVAL : 0);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void test_args_number(void **state)
{
	unsigned n = 7;

	assert_int_equal(args_number("65535", 1, 65535, &n), 0);
	assert_int_equal(n, 65535);
	assert_int_equal(args_number("65536", 1, 65535, &n), -EINVAL);
	assert_int_equal(args_number("0", 1, 65535, &n), -EINVAL);
	assert_int_equal(args_number("", 0, 9, &n), -EINVAL);
	assert_int_equal(args_number("+1", 0, 9, &n), -EINVAL);
	assert_int_equal(args_number("1 ", 0, 9, &n), -EINVAL);
	assert_int_equal(args_number("18446744073709551617", 0, 9, &n), -EINVAL);
}

static void test_probe_net_line(void **state)
{
	static const char listening[] = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 "
					"00:00000000 00000000     0        0 1 1 0 100 0 0 10 0";
	static const char listening6[] =
		"   1: 00000000000000000000000001000000:0050 "
		"00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000";

	assert_true(probe_net_line(listening, 8080, 0x0a));
	assert_false(probe_net_line(listening, 8081, 0x0a));
	assert_false(probe_net_line(listening, 8080, 0x01));
	assert_true(probe_net_line(listening6, 80, 0x0a));
	assert_false(probe_net_line("  sl  local_address rem_address   st tx_queue", 0, 0x0a));
	assert_false(probe_net_line("", 0, 0));
	assert_false(probe_net_line("   0:", 0, 0));
	assert_false(probe_net_line("\n", 8080, 0x0a));
}

static void test_probe_url(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *host, *name, *target;
		unsigned port;
	} cases[] = {
		{"http://localhost", 0, "localhost", "localhost", "/", 80},
		{"http://localhost:3000/health", 0, "localhost:3000", "localhost", "/health", 3000},
		{"HTTP://127.0.0.1/a?b#c", 0, "127.0.0.1", "127.0.0.1", "/a?b", 80},
		{"http://h?q=1", 0, "h", "h", "/?q=1", 80},
		{"http://h#f", 0, "h", "h", "/", 80},
		{"http://[::1]:81/", 0, "[::1]:81", "::1", "/", 81},
		{"http://[::1]", 0, "[::1]", "::1", "/", 80},
		{"https://localhost/", -EPROTONOSUPPORT, NULL, NULL, NULL, 0},
		{"localhost:80", -EPROTONOSUPPORT, NULL, NULL, NULL, 0},
		{"http://", -EINVAL, NULL, NULL, NULL, 0},
		{"http:///x", -EINVAL, NULL, NULL, NULL, 0},
		{"http://:80/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://h:/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://h:0/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://h:65536/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://h:8o/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://[::1/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://[::1]x/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://u:p@h/", -EINVAL, NULL, NULL, NULL, 0},
		{"http://h/a b", -EINVAL, NULL, NULL, NULL, 0},
		{"http://h/\r\nX: y", -EINVAL, NULL, NULL, NULL, 0},
	};
	char longest[PROBE_URL_BYTES + 1];
	struct probe_url url;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(probe_url_parse(cases[i].text, &url), cases[i].rc);
		if (cases[i].rc)
			continue;
		assert_string_equal(url.host, cases[i].host);
		assert_string_equal(url.name, cases[i].name);
		assert_string_equal(url.target, cases[i].target);
		assert_int_equal(url.port, cases[i].port);
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "http://", 7);
	longest[PROBE_URL_BYTES] = '\0';
	assert_int_equal(probe_url_parse(longest, &url), -EINVAL);
	longest[PROBE_URL_BYTES - 1] = '\0';
	assert_int_equal(probe_url_parse(longest, &url), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_args_next),      cmocka_unit_test(test_args_seconds),
		cmocka_unit_test(test_args_line),      cmocka_unit_test(test_args_number),
		cmocka_unit_test(test_probe_net_line), cmocka_unit_test(test_probe_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
