/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: both alphabets, every length around the vector's size, every byte in every place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rpc/codec/base64.h"
#include "tests/unit/guard.h"

static void test_vectors(void **state)
{
	/* RFC 4648 section 10, and the last two digits. */
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xfb\xef\xbe\xff\xff\xff", "++++////"},
	};
	char text[16], bytes[16];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].bytes), length = strlen(cases[i].text);
		size_t unpadded = strcspn(cases[i].text, "=");

		assert_int_equal(base64_encoded_bytes(n), length);
		assert_int_equal(base64_encode(text, cases[i].bytes, n), length);
		assert_memory_equal(text, cases[i].text, length);
		assert_int_equal(base64_encode_unpadded(text, cases[i].bytes, n), unpadded);
		assert_memory_equal(text, cases[i].text, unpadded);
		assert_int_equal(base64_decode(bytes, cases[i].text, length), n);
		assert_memory_equal(bytes, cases[i].bytes, n);
		assert_int_equal(base64_decode(bytes, cases[i].text, unpadded), n);
		assert_memory_equal(bytes, cases[i].bytes, n);
	}
}

static void test_decode(void **state)
{
	static const struct {
		const char *name, *text;
		ssize_t n; /* of the result */
	} cases[] = {
		{"url-safe", "-_-_", 3},
		{"url-safe, no padding", "-_-_-w", 4},
		{"url-safe, padding", "-_-_-w==", 4},
		{"mixed", "-_+/", -EINVAL},
		{"mixed, far apart", "+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-AAA", -EINVAL},
		{"url-safe behind vectors", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-", 33},
		{"bits left over", "Zh==", 1},
		{"one character", "A", -EINVAL},
		{"five", "AAAAA", -EINVAL},
		{"only padding", "====", -EINVAL},
		{"half padded", "=", -EINVAL},
		{"too much padding", "A===", -EINVAL},
		{"padding not at the end of a group", "AA=", -EINVAL},
		{"padding in the midst", "AA==AAAA", -EINVAL},
		{"newline", "AAA\n", -EINVAL},
		{"newline behind", "AAAA\n", -EINVAL},
		{"space", "AA AA", -EINVAL},
		{"NUL is no character", "AA\xff\x80", -EINVAL},
		{"characters beyond",
		 "AAAAAAAAAAAAAAA\xc1"
		 "AAAAAAAAAAAAAAAA",
		 -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].text);
		struct guard in, out;
		const char *text = guard_put(&in, cases[i].text, n);
		char zero[64] = {0}, *room = guard_put(&out, zero, base64_decoded_max_bytes(n));

		if (base64_decode(room, text, n) != cases[i].n)
			fail_msg("%s", cases[i].name);
		guard_clear(&in);
		guard_clear(&out);
	}
}

/* Every length there and back, with nothing to spare at the end of any buffer. */
static void test_lengths(void **state)
{
	uint8_t bytes[200];

	srand(1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)rand();
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		struct guard in, text, out;
		char zero[300] = {0};
		const char *p = guard_put(&in, bytes, n);
		size_t length = base64_encoded_bytes(n), unpadded;
		char *t = guard_put(&text, zero, length);
		char *o;

		assert_int_equal(base64_encode(t, p, n), length);
		for (unpadded = length; unpadded > 0 && t[unpadded - 1] == '='; unpadded--)
			;
		o = guard_put(&out, zero, base64_decoded_max_bytes(unpadded));
		assert_int_equal(base64_decode(o, t, unpadded), n);
		assert_memory_equal(o, p, n);
		/* And where it lies. */
		assert_int_equal(base64_decode(t, t, length), n);
		assert_memory_equal(t, p, n);
		guard_clear(&in);
		guard_clear(&text);
		guard_clear(&out);
	}
}

/* In the vector's part and in the plain one a byte is a digit, or it is an error. */
static void test_every_byte(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[64];
	uint8_t out[64];

	for (size_t place = 0; place < sizeof(text); place++)
		for (int c = 0; c < 256; c++) {
			const char *digit = c ? strchr(digits, c) : NULL;
			size_t value = digit ? (size_t)(digit - digits) : c == '-' ? 62 : 63;
			bool valid = digit || c == '-' || c == '_';
			unsigned group;
			ssize_t n;

			if (c == '=' && place == sizeof(text) - 1)
				continue;
			memset(text, 'A', sizeof(text));
			text[place] = (char)c;
			n = base64_decode(out, text, sizeof(text));
			assert_int_equal(n, valid ? 48 : -EINVAL);
			if (!valid)
				continue;
			group = (unsigned)out[place / 4 * 3] << 16 |
				(unsigned)out[place / 4 * 3 + 1] << 8 | out[place / 4 * 3 + 2];
			assert_int_equal(group, value << (18 - place % 4 * 6));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
