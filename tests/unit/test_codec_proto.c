/* SPDX-License-Identifier: Apache-2.0 */
/* The binary format: what is taken, merged, passed over and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/codec/codec.h"
#include "tests/proto/kinds.pb-c.h"
#include "tests/unit/guard.h"

/* A literal that may have NULs in it, and its length. */
#define B(literal) (literal), sizeof(literal) - 1

#define SCALARS &kinds__scalars__descriptor
#define LISTS	&kinds__lists__descriptor
#define MAPS	&kinds__maps__descriptor
#define ONEOFS	&kinds__oneofs__descriptor
#define TREE	&kinds__tree__descriptor

static int decode(const ProtobufCMessageDescriptor *type, const char *p, size_t n,
		  struct arena *arena, ProtobufCMessage **ret, struct error *err)
{
	struct guard guard;
	int r = codec_decode(RPC_CODEC_PROTO, type, guard_put(&guard, p, n), n, 0, arena, ret, err);

	guard_clear(&guard);
	return r;
}

/* Told in JSON, which the other test pins down. */
static void test_accepted(void **state)
{
	static const struct {
		const ProtobufCMessageDescriptor *type;
		const char *p;
		size_t n;
		const char *json;
	} cases[] = {
		{SCALARS, B(""), "{}"},
		{SCALARS, B("\x08\x07"), "{\"anInt32\":7}"},
		{SCALARS, B("\x08\x07\x08\x08"), "{\"anInt32\":8}"},
		{SCALARS, B("\x08\x87\x80\x80\x00"), "{\"anInt32\":7}"},
		{SCALARS, B("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "{\"anInt32\":-1}"},
		/* More bits than the type has are cut off. */
		{SCALARS, B("\x20\x81\x80\x80\x80\x10"), "{\"aUint32\":1}"},
		{SCALARS, B("\x10\x03"), "{\"aSint32\":-2}"},
		{SCALARS, B("\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		 "{\"aSint64\":\"-9223372036854775808\"}"},
		{SCALARS, B("\x1d\xff\xff\xff\xff"), "{\"anSfixed32\":-1}"},
		{SCALARS, B("\x51\x01\0\0\0\0\0\0\x80"), "{\"aFixed64\":\"9223372036854775809\"}"},
		{SCALARS, B("\x5d\0\0\xc0\x3f"), "{\"aFloat\":1.5}"},
		{SCALARS, B("\x61\0\0\0\0\0\0\xf8\x3f"), "{\"aDouble\":1.5}"},
		{SCALARS, B("\x68\x80\x02"), "{\"aBool\":true}"},
		{SCALARS, B("\x70\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		 "{\"color\":\"COLOR_NEGATIVE\"}"},
		{SCALARS, B("\x7a\x02\xc3\xa9"), "{\"text\":\"\xc3\xa9\"}"},
		{SCALARS, B("\x82\x01\x02\0\xff"), "{\"data\":\"AP8=\"}"},
		/* Fields that are not known, and known ones of another wire type. */
		{SCALARS,
		 B("\xa0\x06\x01\xa1\x06"
		   "12345678"
		   "\xa2\x06\x01x\xa5\x06"
		   "1234"),
		 "{}"},
		{SCALARS,
		 B("\x0a\x01x\x0d"
		   "1234\x7a\x00\x78\x05"),
		 "{}"},
		{SCALARS, B("\xa3\x06\x08\x01\xa3\x06\xa4\x06\x0b\x0c\xa4\x06\x08\x07"),
		 "{\"anInt32\":7}"},
		/* Packed or not, and both in turn. */
		{LISTS, B("\x0a\x03\x01\x02\x03\x08\x04\x0a\x00"), "{\"int32s\":[1,2,3,4]}"},
		{LISTS, B("\x1a\x08\x01\0\0\0\x02\0\0\0\x1d\x03\0\0\0"), "{\"fixed32s\":[1,2,3]}"},
		{LISTS, B("\x52\x02\x01\x02\x50\x03"), "{\"unpacked\":[1,2,3]}"},
		{LISTS, B("\xc2\xb8\x02\x02\xac\x02"), "{\"far\":[\"300\"]}"},
		{LISTS, B("\x3a\x00\x3a\x01x\x42\x00\x4a\x00"),
		 "{\"texts\":[\"\",\"x\"],\"datas\":[\"\"],\"trees\":[{}]}"},
		/* Of a map's entries with one key the last counts; their parts may be absent. */
		{MAPS,
		 B("\x0a\x06\x0a\x01"
		   "a\x12\x01"
		   "1\x0a\x06\x0a\x01"
		   "b\x12\x01"
		   "2\x0a\x06\x0a\x01"
		   "a\x12\x01"
		   "3"),
		 "{\"texts\":{\"a\":\"3\",\"b\":\"2\"}}"},
		{MAPS, B("\x0a\x00"), "{\"texts\":{\"\":\"\"}}"},
		{MAPS, B("\x1a\x02\x08\x01"), "{\"byUint64\":{\"1\":{}}}"},
		{MAPS, B("\x22\x04\x10\x01\x08\x01"), "{\"byBool\":{\"true\":\"COLOR_RED\"}}"},
		/* The last member of a oneof counts; the same one again is merged. */
		{ONEOFS, B("\x08\x01\x12\x01x\x1a\x00"), "{\"data\":\"\"}"},
		{ONEOFS, B("\x22\x03\x1a\x01x\x08\x07"), "{\"number\":7}"},
		{ONEOFS, B("\x22\x03\x1a\x01x\x22\x02\x0a\x00"),
		 "{\"tree\":{\"left\":{},\"label\":\"x\"}}"},
		{ONEOFS, B("\x22\x03\x1a\x01x\x08\x07\x22\x00"), "{\"tree\":{}}"},
		{TREE, B("\x0a\x03\x1a\x01x\x0a\x02\x12\x00\x1a\x01y"),
		 "{\"left\":{\"right\":{},\"label\":\"x\"},\"label\":\"y\"}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct error err = {0};
		ProtobufCMessage *message;
		char *json;
		size_t n;

		if (decode(cases[i].type, cases[i].p, cases[i].n, &arena, &message, &err) < 0)
			fail_msg("case %zu: %s", i, err.message);
		assert_int_equal(codec_encode(RPC_CODEC_JSON, message, 0, &json, &n, &err), 0);
		if (n != strlen(cases[i].json) || memcmp(json, cases[i].json, n) != 0)
			fail_msg("%s: %.*s", cases[i].json, (int)n, json);
		free(json);
		arena_clear(&arena);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const ProtobufCMessageDescriptor *type;
		const char *p;
		size_t n;
		const char *what;
	} cases[] = {
		{SCALARS, B("\x08"), "cut short"},
		{SCALARS, B("\x08\x80"), "cut short"},
		{SCALARS, B("\x80"), "cut short"},
		{SCALARS, B("\x1d\x01\x02\x03"), "cut short"},
		{SCALARS, B("\x51\x01\x02\x03\x04\x05\x06\x07"), "cut short"},
		{SCALARS, B("\x7a\x02x"), "cut short"},
		{SCALARS, B("\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "cut short"},
		{SCALARS, B("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), "64 bits"},
		{SCALARS, B("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), "64 bits"},
		{SCALARS, B("\x00\x00"), "field number"},
		{SCALARS, B("\x80\x80\x80\x80\x10\x00"), "field number"},
		{SCALARS, B("\x0e"), "wire type"},
		{SCALARS, B("\x0f"), "wire type"},
		{SCALARS, B("\xa3\x06"), "cut short"},
		{SCALARS, B("\xa4\x06"), "ends that has not begun"},
		{SCALARS, B("\xa3\x06\xac\x06"), "ends that has not begun"},
		{SCALARS, B("\xa2\x06\x05x"), "cut short"},
		{SCALARS, B("\x7a\x01\xff"), "text: invalid UTF-8"},
		{SCALARS,
		 B("\x7a\x03"
		   "a\0b"),
		 "text: contains a NUL"},
		{LISTS, B("\x0a\x02\x01\x80"), "cut short"},
		{LISTS, B("\x1a\x03\x01\0\0"), "cut short"},
		{MAPS, B("\x0a\x03\x0a\x01\xff"), "key: invalid UTF-8"},
		/* A length inside reaches beyond the message it is in. */
		{TREE, B("\x0a\x03\x1a\x02x\x1a\x01x"), "cut short"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena arena = {0};
		struct error err = {0};
		ProtobufCMessage *message;

		if (decode(cases[i].type, cases[i].p, cases[i].n, &arena, &message, &err) == 0)
			fail_msg("case %zu is taken", i);
		if (err.code != ERROR_INVALID_ARGUMENT || !strstr(err.message, cases[i].what))
			fail_msg("case %zu, %s: %s", i, cases[i].what, err.message);
		arena_clear(&arena);
	}
}

/* Submessages, and groups that are passed over, nest a hundred deep. */
static void test_depth(void **state)
{
	for (size_t depth = CODEC_MAX_DEPTH; depth <= CODEC_MAX_DEPTH + 1; depth++) {
		char text[4 * (CODEC_MAX_DEPTH + 1)], *p = text + sizeof(text);
		int expected = depth == CODEC_MAX_DEPTH ? 0 : -1;
		struct arena arena = {0};
		struct error err;
		ProtobufCMessage *message;

		for (size_t i = 0; i < depth; i++) {
			size_t inside = (size_t)(text + sizeof(text) - p);

			if (inside >= 0x80)
				*--p = (char)(inside >> 7);
			*--p = (char)(inside >= 0x80 ? inside | 0x80 : inside);
			*--p = 0x0a;
		}
		assert_int_equal(
			decode(TREE, p, (size_t)(text + sizeof(text) - p), &arena, &message, &err),
			expected);
		memset(text, 0x7b, depth);
		memset(text + depth, 0x7c, depth);
		assert_int_equal(decode(TREE, text, 2 * depth, &arena, &message, &err), expected);
		arena_clear(&arena);
	}
}

/* The limit holds for lists of nothing, too, and merging the same message does not cost squares. */
static void test_limit(void **state)
{
	size_t n = 1024 * 1024;
	char *text = mem_alloc(n);
	struct arena arena = {.limit_bytes = 256 * 1024};
	ProtobufCMessage *message;
	struct error err;

	for (size_t i = 0; i < n; i += 2)
		memcpy(text + i, "\x4a\x00", 2);
	assert_int_equal(decode(LISTS, text, n, &arena, &message, &err), -1);
	assert_int_equal(err.code, ERROR_RESOURCE_EXHAUSTED);
	assert_true(arena.total_bytes <= arena.limit_bytes);
	arena_clear(&arena);

	for (size_t i = 0; i < n; i += 2)
		memcpy(text + i, "\x0a\x00", 2);
	assert_int_equal(decode(TREE, text, n, &arena, &message, &err), 0);
	assert_true(arena.total_bytes <= 2 * ARENA_FIRST_CHUNK);
	arena_clear(&arena);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
