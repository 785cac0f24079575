/* SPDX-License-Identifier: Apache-2.0 */
/* traceparent and tracestate, by the grammar of W3C's Trace Context, sections 3.2 and 3.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/log.h"
#include "rpc/http/http_head.h"
#include "rpc/http/trace.h"
#include "tests/unit/guard.h"

#define ID     "0af7651916cd43dd8448eb211c80319c"
#define SPAN   "b7ad6b7169203331"
#define PARENT "00-" ID "-" SPAN "-01"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Reads the fields, each in front of a guard page. NULL leaves a field out. */
static struct log_request read_fields(struct arena *arena, const char *parent, const char *parent_2,
				      const char *state, const char *state_2)
{
	const char *const given[][2] = {{"traceparent", parent},
					{"traceparent", parent_2},
					{"tracestate", state},
					{"tracestate", state_2}};
	struct log_request request = {.operation = 7};
	struct http_field fields[ARRAY_LEN(given)];
	struct guard guards[ARRAY_LEN(given)];
	struct http_head head = {.fields = fields};

	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		struct http_field *field = &fields[head.n_fields];

		if (!given[i][1])
			continue;
		field->name = given[i][0];
		field->name_bytes = (unsigned)strlen(given[i][0]);
		field->value_bytes = (unsigned)strlen(given[i][1]);
		field->value =
			guard_put(&guards[head.n_fields++], given[i][1], strlen(given[i][1]) + 1);
	}
	trace_read(&head, arena, &request);
	for (unsigned i = 0; i < head.n_fields; i++)
		guard_clear(&guards[i]);
	assert_int_equal(request.operation, 7);
	return request;
}

static void test_parent(void **state)
{
	static const struct {
		const char *field;
		const char *read; /* NULL: ignored */
	} cases[] = {
		{PARENT, PARENT},
		{"00-" ID "-" SPAN "-00", "00-" ID "-" SPAN "-00"},
		{"00-" ID "-" SPAN "-ff", "00-" ID "-" SPAN "-ff"},
		/* A later version: the fields that version 00 knows, and its one flag. */
		{"01-" ID "-" SPAN "-01", PARENT},
		{"cc-" ID "-" SPAN "-03-more", PARENT},
		{"cc-" ID "-" SPAN "-fe-", "00-" ID "-" SPAN "-00"},
		{"cc-" ID "-" SPAN "-01more", NULL},
		{"00-" ID "-" SPAN "-01-", NULL},
		{"00-" ID "-" SPAN "-01-more", NULL},
		{"ff-" ID "-" SPAN "-01", NULL},
		{"0-" ID "-" SPAN "-01", NULL},
		{"0G-" ID "-" SPAN "-01", NULL},
		{"", NULL},
		{"00", NULL},
		{"00-" ID "-" SPAN "-0", NULL},
		{"00-" ID "-" SPAN "-0g", NULL},
		{"00-" ID "-" SPAN "_01", NULL},
		{"00_" ID "-" SPAN "-01", NULL},
		{"00-" ID "_" SPAN "-01", NULL},
		{"00-0AF7651916cd43dd8448eb211c80319c-" SPAN "-01", NULL},
		{"00-0af7651916cd43dd8448eb211c80319-" SPAN "-010", NULL},
		{"00-00000000000000000000000000000000-" SPAN "-01", NULL},
		{"00-" ID "-0000000000000000-01", NULL},
		{"00-" ID "-B7AD6B7169203331-01", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct log_request r = read_fields(&arena, cases[i].field, NULL, "k=v", NULL);

		if (cases[i].read) {
			assert_string_equal(r.traceparent, cases[i].read);
			assert_string_equal(r.tracestate, "k=v");
		} else {
			assert_null(r.traceparent);
			assert_null(r.tracestate);
		}
		arena_clear(&arena);
	}
}

static void test_parent_is_absent_or_doubled(void **state)
{
	struct arena arena = {0};
	struct log_request r = read_fields(&arena, NULL, NULL, "k=v", NULL);

	assert_null(r.traceparent);
	assert_null(r.tracestate);
	r = read_fields(&arena, PARENT, PARENT, "k=v", NULL);
	assert_null(r.traceparent);
	arena_clear(&arena);
}

static void test_state(void **state)
{
	static const struct {
		const char *field, *more;
		const char *read; /* NULL: ignored */
	} cases[] = {
		{"k=v", NULL, "k=v"},
		{"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", NULL,
		 "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"},
		{"k=v", "l=w", "k=v,l=w"},
		{" k=v \t,\t l=w,", NULL, "k=v,l=w"},
		{",,k=v,, ,", NULL, "k=v"},
		{"", NULL, NULL},
		{" , ", NULL, NULL},
		{"fw529a3039@dt=FfAAAA", NULL, "fw529a3039@dt=FfAAAA"},
		{"1tenant@sys=v", NULL, "1tenant@sys=v"},
		{"a_-*/9=v", NULL, "a_-*/9=v"},
		{"k= v", NULL, "k= v"},
		{"k=a b!~", NULL, "k=a b!~"},
		{"k=" A64 A64 A64 A64, NULL, "k=" A64 A64 A64 A64},
		{"k=" A64 A64 A64 A64 "a", NULL, NULL},
		{A64 A64 A64 A64 "=v", NULL, A64 A64 A64 A64 "=v"},
		{A64 A64 A64 A64 "a=v", NULL, NULL},
		{"t@aaaaaaaaaaaaaa=v", NULL, "t@aaaaaaaaaaaaaa=v"},
		{"t@aaaaaaaaaaaaaaa=v", NULL, NULL},
		{"t@=v", NULL, NULL},
		{"@s=v", NULL, NULL},
		{"t@1s=v", NULL, NULL},
		{"a@b@c=v", NULL, NULL},
		{"1k=v", NULL, NULL},
		{"K=v", NULL, NULL},
		{"k k=v", NULL, NULL},
		{"k", NULL, NULL},
		{"k=", NULL, NULL},
		{"=v", NULL, NULL},
		{"k=v=w", NULL, NULL},
		{"k=\xc3\xa4", NULL, NULL},
		{"k=a\tb", NULL, NULL},
		/* A key twice, also in two fields. */
		{"k=v,k=w", NULL, NULL},
		{"k=v", "k=v", NULL},
		/* One bad member makes the list invalid. */
		{"k=v,L=w", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct log_request r =
			read_fields(&arena, PARENT, NULL, cases[i].field, cases[i].more);

		assert_string_equal(r.traceparent, PARENT);
		if (cases[i].read)
			assert_string_equal(r.tracestate, cases[i].read);
		else
			assert_null(r.tracestate);
		arena_clear(&arena);
	}
}

/* 32 members and 512 characters pass, one more of either does not. */
static void test_state_bounds(void **state)
{
	struct arena arena = {0};
	char text[2 * TRACE_STATE_MAX_BYTES];
	size_t n = 0, i;

	for (i = 0; i < 33; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%sk%zu=v", i ? "," : "", i);
		if (i == 31)
			assert_string_equal(
				read_fields(&arena, PARENT, NULL, text, NULL).tracestate, text);
	}
	assert_null(read_fields(&arena, PARENT, NULL, text, NULL).tracestate);
	for (i = TRACE_STATE_MAX_BYTES; i <= TRACE_STATE_MAX_BYTES + 1; i++) {
		memset(text, 'v', sizeof(text));
		memcpy(text, "a=", 2);
		memcpy(text + 200, ",b=", 3);
		memcpy(text + 400, ",c=", 3);
		text[i] = '\0';
		if (i == TRACE_STATE_MAX_BYTES)
			assert_string_equal(
				read_fields(&arena, PARENT, NULL, text, NULL).tracestate, text);
		else
			assert_null(read_fields(&arena, PARENT, NULL, text, NULL).tracestate);
	}
	arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parent),
		cmocka_unit_test(test_parent_is_absent_or_doubled),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_state_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
