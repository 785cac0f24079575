/* SPDX-License-Identifier: Apache-2.0 */
/* proto3 JSON to messages and back, and the same by way of the binary format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "base/mem.h"
#include "filesystem.pb-c.h"
#include "process.pb-c.h"
#include "rpc/codec/codec.h"
#include "rpc/codec/json.h"
#include "tests/proto/kinds.pb-c.h"
#include "tests/unit/guard.h"

#define MESSAGE_LIMIT (1024u * 1024)

static int decode(enum rpc_codec codec, const ProtobufCMessageDescriptor *type, const char *p,
		  size_t n, struct arena *arena, ProtobufCMessage **ret, struct error *err)
{
	struct guard guard;
	int r = codec_decode(codec, type, guard_put(&guard, p, n), n, 0, arena, ret, err);

	/* The message does not point to what is gone now. */
	guard_clear(&guard);
	return r;
}

/* Decodes, encodes, and does so again through the binary format. */
static char *round_trip(const ProtobufCMessageDescriptor *type, const char *text,
			struct arena *arena)
{
	struct error err = {0};
	ProtobufCMessage *message;
	char *json, *binary, *again;
	size_t json_bytes, binary_bytes, again_bytes;

	if (decode(RPC_CODEC_JSON, type, text, strlen(text), arena, &message, &err) < 0)
		return arena_printf(arena, "%s: %s", error_code_name(err.code), err.message);
	assert_int_equal(codec_encode(RPC_CODEC_JSON, message, 5, &json, &json_bytes, &err), 0);
	assert_int_equal(codec_encode(RPC_CODEC_PROTO, message, 3, &binary, &binary_bytes, &err),
			 0);
	assert_int_equal(
		decode(RPC_CODEC_PROTO, type, binary + 3, binary_bytes, arena, &message, &err), 0);
	assert_int_equal(codec_encode(RPC_CODEC_JSON, message, 0, &again, &again_bytes, &err), 0);
	if (json_bytes != again_bytes || memcmp(json + 5, again, json_bytes) != 0)
		fail_msg("%s becomes %.*s", text, (int)again_bytes, again);
	free(binary);
	free(again);
	again = arena_strndup(arena, json + 5, json_bytes);
	free(json);
	return again;
}

/* What is accepted: `json` comes out, or what went in where it is NULL. */
struct accepted {
	const ProtobufCMessageDescriptor *type;
	const char *in, *out;
};

static void check_accepted(const struct accepted *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct arena arena = {.limit_bytes = MESSAGE_LIMIT};
		const char *expected = cases[i].out ? cases[i].out : cases[i].in;
		char *got = round_trip(cases[i].type, cases[i].in, &arena);

		if (strcmp(got, expected) != 0)
			fail_msg("%s: %s", cases[i].in, got);
		arena_clear(&arena);
	}
}

/* What is refused as invalid_argument, with `what` in the message. */
struct refused {
	const ProtobufCMessageDescriptor *type;
	const char *in, *what;
};

static void check_refused(const struct refused *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct arena arena = {.limit_bytes = MESSAGE_LIMIT};
		struct error err = {0};
		ProtobufCMessage *message;

		if (decode(RPC_CODEC_JSON, cases[i].type, cases[i].in, strlen(cases[i].in), &arena,
			   &message, &err) == 0)
			fail_msg("%s is taken", cases[i].in);
		if (err.code != ERROR_INVALID_ARGUMENT || !strstr(err.message, cases[i].what))
			fail_msg("%s: %s", cases[i].in, err.message);
		arena_clear(&arena);
	}
}

#define SCALARS	   &kinds__scalars__descriptor
#define LISTS	   &kinds__lists__descriptor
#define MAPS	   &kinds__maps__descriptor
#define ONEOFS	   &kinds__oneofs__descriptor
#define TREE	   &kinds__tree__descriptor
#define WELL_KNOWN &kinds__well_known__descriptor

static void test_scalars(void **state)
{
	static const struct accepted accepted[] = {
		{SCALARS, "{}", NULL},
		{SCALARS, " {\n} ", "{}"},
		/* Defaults are left out. */
		{SCALARS,
		 "{\"anInt32\":0,\"anInt64\":\"0\",\"aFloat\":0.0,\"aBool\":false,\"text\":\"\","
		 "\"data\":\"\",\"color\":\"COLOR_UNSPECIFIED\"}",
		 "{}"},
		{SCALARS,
		 "{\"anInt32\":-2147483648,\"aSint32\":2147483647,\"anSfixed32\":-1,"
		 "\"aUint32\":4294967295,\"aFixed32\":1}",
		 NULL},
		{SCALARS,
		 "{\"anInt64\":\"-9223372036854775808\",\"aSint64\":\"9223372036854775807\","
		 "\"anSfixed64\":\"-1\",\"aUint64\":\"18446744073709551615\",\"aFixed64\":\"1\"}",
		 NULL},
		/* Either spelling; numbers as strings, as whole floats, and 64 bits as numbers. */
		{SCALARS,
		 "{\"an_int32\":\"7\",\"a_uint64\":7,\"a_fixed32\":7.0,\"aSint64\":\"7e0\"}",
		 "{\"anInt32\":7,\"aFixed32\":7,\"aSint64\":\"7\",\"aUint64\":\"7\"}"},
		{SCALARS, "{\"\\u0061n\\u0049nt32\":7}", "{\"anInt32\":7}"},
		{SCALARS, "{\"aFloat\":1.5,\"aDouble\":-0.1}", NULL},
		{SCALARS, "{\"aFloat\":\"1.5\",\"aDouble\":\"-1e-1\"}",
		 "{\"aFloat\":1.5,\"aDouble\":-0.1}"},
		{SCALARS, "{\"aFloat\":\"NaN\",\"aDouble\":\"-Infinity\"}", NULL},
		{SCALARS, "{\"aDouble\":\"Infinity\"}", NULL},
		{SCALARS, "{\"aFloat\":3.4028235e+38}", NULL},
		{SCALARS, "{\"aBool\":true}", NULL},
		/* Enums by name or number; an unknown name is absent, an unknown number stays. */
		{SCALARS, "{\"color\":\"COLOR_RED\"}", NULL},
		{SCALARS, "{\"color\":1}", "{\"color\":\"COLOR_RED\"}"},
		{SCALARS, "{\"color\":-5}", "{\"color\":\"COLOR_NEGATIVE\"}"},
		{SCALARS, "{\"color\":77}", NULL},
		{SCALARS, "{\"color\":\"COLOR_BLUE\"}", "{}"},
		{SCALARS, "{\"text\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\xf0\x9f\x98\x80\"}", NULL},
		{SCALARS, "{\"text\":\"\\ud83d\\ude00\\/<\"}", "{\"text\":\"\xf0\x9f\x98\x80/<\"}"},
		{SCALARS, "{\"data\":\"+/+/AA==\"}", NULL},
		{SCALARS, "{\"data\":\"-_-_AA\"}", "{\"data\":\"+/+/AA==\"}"},
		{SCALARS, "{\"data\":\"\\u0041\\/AA\"}", "{\"data\":\"A/AA\"}"},
		/* null is absent, and a field that is not known is passed over. */
		{SCALARS, "{\"anInt32\":null,\"text\":null,\"data\":null}", "{}"},
		{SCALARS, "{\"what\":{\"text\":[{},\"\",1.5e3]},\"plain\":true,\"what\":[]}",
		 "{\"plain\":true}"},
		{SCALARS, "{\"withTwo\":true,\"ends1\":true}", NULL},
		{SCALARS, "{\"with__two\":true,\"ends_1\":true}",
		 "{\"withTwo\":true,\"ends1\":true}"},
		{SCALARS, "{\"text\\u0000\":\"x\",\"color\":\"COLOR_RED\\u0000\"}", "{}"},
		{SCALARS,
		 "{\"AnInt32\":1,\"anint32\":1,\"an_Int32\":1,\"anInt3\":1,\"anInt322\":1}", "{}"},
	};
	static const struct refused refused[] = {
		{SCALARS, "", "unexpected end"},
		{SCALARS, "null", "object"},
		{SCALARS, "[]", "object"},
		{SCALARS, "{} {}", "follows"},
		{SCALARS, "{\"anInt32\":1,\"anInt32\":1}", "an_int32: comes twice"},
		{SCALARS, "{\"anInt32\":1,\"an_int32\":1}", "an_int32: comes twice"},
		{SCALARS, "{\"anInt32\":null,\"an_int32\":1}", "an_int32: comes twice"},
		{SCALARS, "{\"anInt32\":2147483648}", "an_int32: number out of range"},
		{SCALARS, "{\"anInt32\":-2147483649}", "out of range"},
		{SCALARS, "{\"aUint32\":4294967296}", "out of range"},
		{SCALARS, "{\"aUint32\":-1}", "out of range"},
		{SCALARS, "{\"aUint64\":\"18446744073709551616\"}", "out of range"},
		{SCALARS, "{\"anInt64\":\"9223372036854775808\"}", "out of range"},
		{SCALARS, "{\"anInt32\":1.5}", "whole"},
		{SCALARS, "{\"anInt32\":\"\"}", "whole"},
		{SCALARS, "{\"anInt32\":\" 1\"}", "whole"},
		{SCALARS, "{\"anInt32\":\"1 \"}", "whole"},
		{SCALARS, "{\"anInt32\":\"0x1\"}", "whole"},
		{SCALARS, "{\"anInt32\":true}", "whole"},
		{SCALARS, "{\"anInt32\":{}}", "whole"},
		{SCALARS, "{\"anInt32\":[1]}", "whole"},
		{SCALARS, "{\"aDouble\":1e999}", "out of range"},
		{SCALARS, "{\"aFloat\":1e39}", "out of range"},
		{SCALARS, "{\"aFloat\":\"nan\"}", "number"},
		{SCALARS, "{\"aFloat\":NaN}", "value"},
		{SCALARS, "{\"aFloat\":false}", "number"},
		{SCALARS, "{\"aBool\":\"true\"}", "true or false"},
		{SCALARS, "{\"aBool\":1}", "true or false"},
		{SCALARS, "{\"color\":true}", "enum"},
		{SCALARS, "{\"color\":1.5}", "whole"},
		{SCALARS, "{\"color\":2147483648}", "out of range"},
		{SCALARS, "{\"text\":1}", "text: a string"},
		{SCALARS, "{\"text\":\"\\ud800\"}", "escape"},
		{SCALARS, "{\"text\":\"\xff\"}", "UTF-8"},
		{SCALARS, "{\"data\":\"+_==\"}", "data: base64"},
		{SCALARS, "{\"data\":\"AA A\"}", "data: base64"},
		{SCALARS, "{\"data\":\"AA\\u0020A\"}", "data: base64"},
		{SCALARS, "{\"text\":\"a\\u0000b\"}", "text: contains a NUL"},
	};

	check_accepted(accepted, ARRAY_LEN(accepted));
	check_refused(refused, ARRAY_LEN(refused));
}

static void test_lists_and_maps(void **state)
{
	static const struct accepted accepted[] = {
		{LISTS, "{\"int32s\":[],\"texts\":null}", "{}"},
		{LISTS,
		 "{\"int32s\":[1,0,-1],\"sint64s\":[\"1\",\"-1\"],\"fixed32s\":[7],"
		 "\"doubles\":[0.5,\"NaN\"],\"bools\":[true,false],"
		 "\"colors\":[\"COLOR_RED\",7,\"COLOR_UNSPECIFIED\"],\"texts\":[\"\",\"a\"],"
		 "\"datas\":[\"\",\"AA==\"],\"trees\":[{},{\"label\":\"x\"}],\"unpacked\":[1,2],"
		 "\"far\":[\"300\"]}",
		 NULL},
		{LISTS, "{\"colors\":[\"COLOR_BLUE\",\"COLOR_RED\"]}",
		 "{\"colors\":[\"COLOR_RED\"]}"},
		{MAPS, "{\"texts\":{}}", "{}"},
		{MAPS,
		 "{\"texts\":{\"\":\"\",\"A\":\"1\",\"a b\":\"\"},\"byInt32\":{\"7\":\"AA==\"},"
		 "\"byUint64\":{\"0\":{},\"18446744073709551615\":{\"label\":\"x\"}},"
		 "\"byBool\":{\"false\":\"COLOR_UNSPECIFIED\",\"true\":\"COLOR_RED\"},"
		 "\"bySint64Key\":{\"-1\":0.5}}",
		 NULL},
		{MAPS, "{\"texts\":{\"\\u0041\":\"1\"},\"byInt32\":{\"7.0\":\"\"}}",
		 "{\"texts\":{\"A\":\"1\"},\"byInt32\":{\"7\":\"\"}}"},
		{MAPS, "{\"byBool\":{\"true\":\"COLOR_BLUE\"}}", "{}"},
	};
	static const struct refused refused[] = {
		{LISTS, "{\"int32s\":1}", "int32s: an array"},
		{LISTS, "{\"int32s\":{}}", "int32s: an array"},
		{LISTS, "{\"int32s\":[null]}", "int32s: a whole number"},
		{LISTS, "{\"texts\":[null]}", "texts: a string"},
		{LISTS, "{\"trees\":[null]}", "trees: an object"},
		{LISTS, "{\"int32s\":[1,]}", "value"},
		{LISTS, "{\"int32s\":[1]", "end"},
		{MAPS, "{\"texts\":[]}", "texts: an object"},
		{MAPS, "{\"texts\":{\"a\":null}}", "value: a string"},
		{MAPS, "{\"texts\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}",
		 "texts: a key comes twice"},
		{MAPS, "{\"texts\":{\"a\":\"1\",\"\\u0061\":\"3\"}}", "texts: a key comes twice"},
		{MAPS, "{\"byInt32\":{\"1\":\"\",\"01\":\"\"}}", "key: a whole number"},
		{MAPS, "{\"byInt32\":{\"1\":\"\",\"1.0\":\"\"}}", "by_int32: a key comes twice"},
		{MAPS, "{\"byInt32\":{\"\":\"\"}}", "key: a whole number"},
		{MAPS, "{\"byInt32\":{\"4294967296\":\"\"}}", "key: number out of range"},
		{MAPS, "{\"byBool\":{\"True\":0}}", "key: true or false"},
		{MAPS, "{\"texts\":{\"a\\u0000\":\"\"}}", "key: contains a NUL"},
	};

	check_accepted(accepted, ARRAY_LEN(accepted));
	check_refused(refused, ARRAY_LEN(refused));
}

static void test_oneofs(void **state)
{
	static const struct accepted accepted[] = {
		/* What has presence is written though it is zero or empty. */
		{ONEOFS, "{\"number\":0}", NULL},
		{ONEOFS, "{\"text\":\"\"}", NULL},
		{ONEOFS, "{\"data\":\"\"}", NULL},
		{ONEOFS, "{\"tree\":{}}", NULL},
		{ONEOFS, "{\"color\":\"COLOR_UNSPECIFIED\"}", NULL},
		{ONEOFS, "{\"real\":0}", NULL},
		{ONEOFS, "{\"real\":-0}", NULL},
		{ONEOFS, "{\"flag\":false,\"message\":{}}", NULL},
		{ONEOFS, "{\"number\":null,\"text\":\"x\",\"flag\":null}", "{\"text\":\"x\"}"},
		{ONEOFS, "{\"color\":\"COLOR_BLUE\",\"text\":\"x\"}", "{\"text\":\"x\"}"},
		{TREE, "{\"left\":{\"left\":{\"label\":\"x\"}},\"right\":{}}", NULL},
	};
	static const struct refused refused[] = {
		{ONEOFS, "{\"number\":0,\"text\":\"\"}", "text: another field of its oneof"},
		{ONEOFS, "{\"tree\":[]}", "tree: an object"},
		{ONEOFS, "{\"tree\":{\"left\":{\"label\":1}}}", "label: a string"},
	};

	check_accepted(accepted, ARRAY_LEN(accepted));
	check_refused(refused, ARRAY_LEN(refused));
}

#define ANY "{\"any\":{\"@type\":\"type.googleapis.com/"

static void test_well_known(void **state)
{
	static const struct accepted accepted[] = {
		{WELL_KNOWN, "{\"time\":\"1970-01-01T00:00:00Z\"}", NULL},
		{WELL_KNOWN, "{\"time\":\"2024-02-29T13:00:00.5+01:00\"}",
		 "{\"time\":\"2024-02-29T12:00:00.500Z\"}"},
		{WELL_KNOWN, "{\"duration\":\"0s\"}", NULL},
		{WELL_KNOWN, "{\"duration\":\"-1.500s\"}", NULL},
		{WELL_KNOWN, "{\"duration\":\"-0.5s\"}", "{\"duration\":\"-0.500s\"}"},
		{WELL_KNOWN, "{\"duration\":\"1.000001s\"}", NULL},
		{WELL_KNOWN, "{\"duration\":\"315576000000s\"}", NULL},
		{WELL_KNOWN, "{\"any\":{}}", NULL},
		{WELL_KNOWN, ANY "kinds.Tree\"}}", NULL},
		{WELL_KNOWN, ANY "kinds.Tree\",\"left\":{},\"label\":\"x\"}}", NULL},
		{WELL_KNOWN,
		 "{\"any\":{\"label\":\"x\",\"@type\":\"type.googleapis.com/kinds.Tree\"}}",
		 ANY "kinds.Tree\",\"label\":\"x\"}}"},
		{WELL_KNOWN, ANY "google.protobuf.Timestamp\",\"value\":\"1970-01-01T00:00:00Z\"}}",
		 NULL},
		{WELL_KNOWN, ANY "google.protobuf.Empty\",\"value\":{}}}", NULL},
		{WELL_KNOWN, ANY "google.protobuf.Int64Value\",\"value\":\"5\"}}", NULL},
		{WELL_KNOWN,
		 ANY
		 "google.protobuf.Any\",\"value\":{\"@type\":\"x/kinds.Tree\",\"label\":\"y\"}}}",
		 NULL},
		{WELL_KNOWN, "{\"anys\":[{},{\"@type\":\"/kinds.Tree\"}]}", NULL},
		{WELL_KNOWN, "{\"empty\":{}}", NULL},
		{WELL_KNOWN, "{\"empty\":{\"unknown\":1}}", "{\"empty\":{}}"},
		{WELL_KNOWN,
		 "{\"int64Value\":\"0\",\"stringValue\":\"\",\"bytesValue\":\"\",\"boolValue\":"
		 "false}",
		 NULL},
		{WELL_KNOWN, "{\"int64Value\":5,\"bytesValue\":\"_w\"}",
		 "{\"int64Value\":\"5\",\"bytesValue\":\"/w==\"}"},
		{WELL_KNOWN, "{\"time\":null,\"any\":null,\"int64Value\":null}", "{}"},
	};
	static const struct refused refused[] = {
		{WELL_KNOWN, "{\"time\":\"\"}", "bad timestamp"},
		{WELL_KNOWN, "{\"time\":{\"seconds\":1}}", "bad timestamp"},
		{WELL_KNOWN, "{\"time\":\"2023-02-29T00:00:00Z\"}", "bad timestamp"},
		{WELL_KNOWN, "{\"duration\":\"1\"}", "bad duration"},
		{WELL_KNOWN, "{\"duration\":\"s\"}", "bad duration"},
		{WELL_KNOWN, "{\"duration\":\"1.s\"}", "bad duration"},
		{WELL_KNOWN, "{\"duration\":\"+1s\"}", "bad duration"},
		{WELL_KNOWN, "{\"duration\":\"1.0000000001s\"}", "bad duration"},
		{WELL_KNOWN, "{\"duration\":\"315576000001s\"}", "bad duration"},
		{WELL_KNOWN, "{\"duration\":\"99999999999999999999s\"}", "bad duration"},
		{WELL_KNOWN, "{\"any\":\"x\"}", "Any: an object"},
		{WELL_KNOWN, "{\"any\":{\"label\":\"x\"}}", "Any: no @type"},
		{WELL_KNOWN, "{\"any\":{\"@type\":1}}", "Any: bad @type"},
		{WELL_KNOWN, ANY "kinds.Tree\",\"@type\":\"\"}}", "Any: bad @type"},
		{WELL_KNOWN, ANY "kinds.Oneofs\"}}", "Any: unknown type"},
		{WELL_KNOWN, ANY "kinds.Tree\",\"label\":1}}", "label: a string"},
		{WELL_KNOWN, ANY "google.protobuf.Timestamp\",\"value\":1}}", "bad timestamp"},
		{WELL_KNOWN, ANY "google.protobuf.Empty\",\"value\":{},\"value\":{}}}",
		 "two values"},
		{WELL_KNOWN, ANY "kinds.Tree\",", "end"},
		{WELL_KNOWN, "{\"int64Value\":{\"value\":1}}", "whole number"},
		{WELL_KNOWN, "{\"empty\":[]}", "an object"},
	};

	check_accepted(accepted, ARRAY_LEN(accepted));
	check_refused(refused, ARRAY_LEN(refused));
}

/* The services' own messages, in the words that clients use. */
static void test_services(void **state)
{
	static const struct accepted accepted[] = {
		{&process__start_request__descriptor,
		 "{\"process\":{\"cmd\":\"/bin/bash\",\"args\":[\"-l\",\"-c\",\"echo\"],"
		 "\"envs\":{\"A\":\"1\"},\"cwd\":\"/"
		 "\"},\"pty\":{\"size\":{\"cols\":80,\"rows\":24}},"
		 "\"tag\":\"t\",\"stdin\":false}",
		 NULL},
		{&process__start_response__descriptor,
		 "{\"event\":{\"end\":{\"exitCode\":-1,\"exited\":true,\"status\":\"s\","
		 "\"error\":\"\"}}}",
		 NULL},
		{&process__start_response__descriptor, "{\"event\":{\"keepalive\":{}}}", NULL},
		{&process__start_response__descriptor, "{\"event\":{\"data\":{\"stdout\":\"\"}}}",
		 NULL},
		{&process__send_signal_request__descriptor,
		 "{\"process\":{\"pid\":0},\"signal\":\"SIGNAL_SIGKILL\"}", NULL},
		{&filesystem__stat_response__descriptor,
		 "{\"entry\":{\"name\":\"n\",\"type\":\"FILE_TYPE_FILE\",\"path\":\"/"
		 "n\",\"size\":\"1\","
		 "\"mode\":420,\"modifiedTime\":\"2024-01-01T00:00:00Z\",\"symlinkTarget\":\"\","
		 "\"metadata\":{\"k\":\"v\"}}}",
		 NULL},
		{&filesystem__watch_dir_request__descriptor,
		 "{\"path\":\"/\",\"includeEntry\":true,\"allowNetworkMounts\":true}", NULL},
	};

	check_accepted(accepted, ARRAY_LEN(accepted));
}

/* Submessages nest a hundred deep, unknown fields as deep as JSON goes. */
static void test_depth(void **state)
{
	static const char open[] = "{\"left\":", unknown[] = "{\"x\":";
	char *text = mem_alloc(JSON_MAX_DEPTH * sizeof(unknown) + 1000);

	for (int depth = CODEC_MAX_DEPTH; depth <= CODEC_MAX_DEPTH + 1; depth++) {
		struct arena arena = {0};
		struct error err;
		ProtobufCMessage *message;
		char *p = text;

		for (int i = 0; i < depth; i++)
			p = stpcpy(p, open);
		p = stpcpy(p, "{}");
		for (int i = 0; i < depth; i++)
			p = stpcpy(p, "}");
		assert_int_equal(
			decode(RPC_CODEC_JSON, TREE, text, strlen(text), &arena, &message, &err),
			depth == CODEC_MAX_DEPTH ? 0 : -1);
		p = text;
		for (int i = 0; i < JSON_MAX_DEPTH - 1; i++)
			p = stpcpy(p, unknown);
		p = stpcpy(p, "{}");
		for (int i = 0; i < JSON_MAX_DEPTH - 1; i++)
			p = stpcpy(p, "}");
		assert_int_equal(
			decode(RPC_CODEC_JSON, TREE, text, strlen(text), &arena, &message, &err),
			0);
		arena_clear(&arena);
	}
	free(text);
}

/* A NUL has a code of the caller's choice. */
static void test_nul_code(void **state)
{
	static const char text[] = "{\"path\":\"/a\\u0000\"}", binary[] = "\x0a\x03/a\0";
	struct arena arena = {0};
	ProtobufCMessage *message;
	struct error err;

	assert_int_equal(codec_decode(RPC_CODEC_JSON, &filesystem__stat_request__descriptor, text,
				      sizeof(text) - 1, ERROR_INTERNAL, &arena, &message, &err),
			 -1);
	assert_int_equal(err.code, ERROR_INTERNAL);
	assert_int_equal(codec_decode(RPC_CODEC_PROTO, &filesystem__stat_request__descriptor,
				      binary, sizeof(binary) - 1, ERROR_INTERNAL, &arena, &message,
				      &err),
			 -1);
	assert_int_equal(err.code, ERROR_INTERNAL);
	arena_clear(&arena);
}

/* Many small fields cost more than their bytes: the arena's limit holds. */
static void test_limit(void **state)
{
	struct arena arena = {.limit_bytes = 64 * 1024};
	size_t n = 64 * 1024;
	char *text = mem_alloc(n * 4 + 32), *p;
	ProtobufCMessage *message;
	struct error err;

	p = stpcpy(text, "{\"texts\":[\"a\"");
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, ",\"a\"");
	strcpy(p, "]}");
	assert_int_equal(decode(RPC_CODEC_JSON, LISTS, text, strlen(text), &arena, &message, &err),
			 -1);
	assert_int_equal(err.code, ERROR_RESOURCE_EXHAUSTED);
	assert_true(arena.total_bytes <= arena.limit_bytes);
	arena_clear(&arena);
	free(text);
}

/* What a service hands over wrongly: text that is not UTF-8, a time that has no text. */
static void test_encoding(void **state)
{
	Filesystem__EntryInfo entry = FILESYSTEM__ENTRY_INFO__INIT;
	Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	static const char expected[] = "{\"name\":\"a\xef\xbf\xbdz\"}";
	struct error err;
	char *text;
	size_t n;

	entry.name = "a\xffz";
	assert_int_equal(codec_encode(RPC_CODEC_JSON, &entry.base, 0, &text, &n, &err), 0);
	assert_int_equal(n, sizeof(expected) - 1);
	assert_memory_equal(text, expected, n);
	free(text);

	entry.modified_time = &time;
	time.seconds = INT64_MAX;
	assert_int_equal(codec_encode(RPC_CODEC_JSON, &entry.base, 0, &text, &n, &err), -1);
	assert_int_equal(err.code, ERROR_INTERNAL);
}

/* A list written element by element is the message written whole. */
static void test_list(void **state)
{
	for (int codec = RPC_CODEC_PROTO; codec <= RPC_CODEC_JSON; codec++)
		for (size_t n = 0; n < 3; n++) {
			Filesystem__ListDirResponse whole = FILESYSTEM__LIST_DIR_RESPONSE__INIT;
			Filesystem__EntryInfo entry = FILESYSTEM__ENTRY_INFO__INIT;
			Filesystem__EntryInfo *entries[] = {&entry, &entry};
			struct evbuffer *out = evbuffer_new();
			struct codec_list list;
			struct error err;
			char *expected;
			size_t expected_bytes;

			entry.name = "a name that is long enough for a length of two bytes, which "
				     "makes it a hundred and twenty-eight at least, or so it has "
				     "been counted";
			whole.entries = entries;
			whole.n_entries = n;
			codec_encode(codec, &whole.base, 0, &expected, &expected_bytes, &err);
			codec_list_begin(&list, codec, whole.base.descriptor, "entries", out);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(codec_list_add(&list, &entry.base, &err), 0);
			codec_list_end(&list);
			codec_list_clear(&list);
			assert_int_equal(evbuffer_get_length(out), expected_bytes);
			assert_memory_equal(evbuffer_pullup(out, -1), expected, expected_bytes);
			evbuffer_free(out);
			free(expected);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),	 cmocka_unit_test(test_lists_and_maps),
		cmocka_unit_test(test_oneofs),	 cmocka_unit_test(test_well_known),
		cmocka_unit_test(test_services), cmocka_unit_test(test_depth),
		cmocka_unit_test(test_nul_code), cmocka_unit_test(test_limit),
		cmocka_unit_test(test_encoding), cmocka_unit_test(test_list),
	};

	codec_register_type(TREE);
	codec_register_type(&google__protobuf__timestamp__descriptor);
	codec_register_type(&google__protobuf__empty__descriptor);
	codec_register_type(&google__protobuf__int64_value__descriptor);
	codec_register_type(&google__protobuf__any__descriptor);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
