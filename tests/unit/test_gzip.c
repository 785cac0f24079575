/* SPDX-License-Identifier: Apache-2.0 */
/* gzip: there and back, the bound, and everything that is not whole. */
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
#include "rpc/codec/gzip.h"
#include "tests/unit/guard.h"

/* n bytes that compress to about half. */
static char *sample(size_t n)
{
	char *p = mem_alloc(n);

	srand(7);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)("0123456789abcdef"[rand() % 16]);
	return p;
}

static void test_identity(void **state)
{
	static const size_t sizes[] = {0,    1,	   100,	  511,	 512,	513,	1000,
				       4096, 5000, 32768, 32769, 65536, 200000, 3000000};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = sizes[i], packed_bytes, bytes;
		char *in = sample(n), *packed, *out;

		gzip_compress(in, n, 5, &packed, &packed_bytes);
		/* Exactly the bound will do, and one less will not. */
		assert_int_equal(gzip_decompress(packed + 5, packed_bytes, n, &out, &bytes), 0);
		assert_int_equal(bytes, n);
		assert_memory_equal(out, in, n);
		free(out);
		if (n)
			assert_int_equal(
				gzip_decompress(packed + 5, packed_bytes, n - 1, &out, &bytes),
				-EMSGSIZE);
		free(packed);
		free(in);
	}
}

/* What inflates a thousandfold costs no more than the bound. */
static void test_bomb(void **state)
{
	size_t n = 32u * 1024 * 1024, packed_bytes, bytes;
	char *in = mem_zalloc(n), *packed, *out;

	gzip_compress(in, n, 0, &packed, &packed_bytes);
	assert_true(packed_bytes < n / 200);
	assert_int_equal(gzip_decompress(packed, packed_bytes, 1024 * 1024, &out, &bytes),
			 -EMSGSIZE);
	free(packed);
	free(in);
}

static void test_members(void **state)
{
	char *packed, *text, *out;
	size_t packed_bytes, bytes;

	gzip_compress("one", 3, 0, &packed, &packed_bytes);
	text = mem_alloc(packed_bytes * 2 + 1);
	memcpy(text, packed, packed_bytes);
	memcpy(text + packed_bytes, packed, packed_bytes);
	assert_int_equal(gzip_decompress(text, packed_bytes * 2, 100, &out, &bytes), 0);
	assert_int_equal(bytes, 6);
	assert_memory_equal(out, "oneone", 6);
	free(out);
	assert_int_equal(gzip_decompress(text, packed_bytes * 2, 5, &out, &bytes), -EMSGSIZE);

	text[packed_bytes * 2] = 'x';
	assert_int_equal(gzip_decompress(text, packed_bytes * 2 + 1, 100, &out, &bytes), -EBADMSG);
	free(text);
	free(packed);
}

/* Cut anywhere, or with any bit of the trailer wrong, it is an error. */
static void test_corrupt(void **state)
{
	size_t n = 300, packed_bytes, bytes;
	char *in = sample(n), *packed, *out;

	gzip_compress(in, n, 0, &packed, &packed_bytes);
	for (size_t cut = 0; cut < packed_bytes; cut++) {
		struct guard guard;
		const char *p = guard_put(&guard, packed, cut);

		assert_int_equal(gzip_decompress(p, cut, 1000, &out, &bytes), -EBADMSG);
		guard_clear(&guard);
	}
	for (size_t bit = 0; bit < 64; bit++) {
		char *byte = packed + packed_bytes - 8 + bit / 8;

		*byte = (char)(*byte ^ 1 << bit % 8);
		assert_int_equal(gzip_decompress(packed, packed_bytes, 1000, &out, &bytes),
				 -EBADMSG);
		*byte = (char)(*byte ^ 1 << bit % 8);
	}
	free(packed);
	free(in);
}

/* A body in pieces of any size comes to the same, and its end is known. */
static void test_pieces(void **state)
{
	size_t n = 5000, packed_bytes;
	char *in = sample(n), *packed;

	gzip_compress(in, n, 0, &packed, &packed_bytes);
	for (size_t step = 1; step < packed_bytes + 100; step += step / 3 + 1) {
		struct gunzip *g = gunzip_new();
		char out[6000];
		size_t got = 0;

		for (size_t at = 0; at < packed_bytes; at += step) {
			const char *p = packed + at;
			size_t left = packed_bytes - at < step ? packed_bytes - at : step;
			ssize_t r;

			assert_false(gunzip_complete(g));
			do {
				r = gunzip_read(g, &p, &left, out + got, 100);
				assert_true(r >= 0);
				got += (size_t)r;
			} while (r > 0 || left > 0);
		}
		assert_true(gunzip_complete(g));
		assert_int_equal(got, n);
		assert_memory_equal(out, in, n);
		gunzip_free(g);
	}
	free(packed);
	free(in);
}

static void test_broken_body_stays_broken(void **state)
{
	struct gunzip *g = gunzip_new();
	const char *p = "no gzip";
	size_t n = 7;
	char out[10];

	assert_int_equal(gunzip_read(g, &p, &n, out, sizeof(out)), -EBADMSG);
	assert_int_equal(gunzip_read(g, &p, &n, out, sizeof(out)), -EBADMSG);
	assert_false(gunzip_complete(g));
	gunzip_free(g);
	gunzip_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity), cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_members),	 cmocka_unit_test(test_corrupt),
		cmocka_unit_test(test_pieces),	 cmocka_unit_test(test_broken_body_stays_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
