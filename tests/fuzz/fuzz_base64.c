/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: bytes come back, and what is taken as base64 is what is written, bar its spelling. */
#include <stdlib.h>
#include <string.h>

#include "rpc/codec/base64.h"
#include "tests/fuzz/fuzz.h"

/* Whether the characters are one alphabet's, and how many there are without padding. */
static bool plain_check(const char *p, size_t n, size_t *ret_digits)
{
	bool standard = false, url_safe = false;

	if (n % 4 == 0)
		for (int i = 0; i < 2 && n && p[n - 1] == '='; i++)
			n--;
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (c == '+' || c == '/')
			standard = true;
		else if (c == '-' || c == '_')
			url_safe = true;
		else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			   (c >= '0' && c <= '9')))
			return false;
	}
	*ret_digits = n;
	return n % 4 != 1 && !(standard && url_safe);
}

static void check_decode(const char *text, size_t n)
{
	/* Exactly as much room as is asked for, so that the sanitizer sees one byte more. */
	char *out = malloc(base64_decoded_max_bytes(n));
	ssize_t got = base64_decode(out, text, n);
	size_t digits;

	CHECK((got >= 0) == plain_check(text, n, &digits));
	if (got >= 0) {
		char *again = malloc(base64_encoded_bytes((size_t)got));
		size_t m = base64_encode_unpadded(again, out, (size_t)got);

		CHECK(m == digits);
		/* The last digit may have had bits too many. */
		for (size_t i = 0; i + 1 < m; i++)
			CHECK(again[i] == text[i] || strchr("-_", text[i]));
		free(again);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(base64_encoded_bytes(n));
	size_t length = base64_encode(text, data, n);

	CHECK(length == base64_encoded_bytes(n));
	CHECK(base64_decode(text, text, length) == (ssize_t)n);
	CHECK(n == 0 || memcmp(text, data, n) == 0);
	free(text);

	text = malloc(n ? n : 1);
	if (n)
		memcpy(text, data, n);
	check_decode(text, n);
	free(text);
	return 0;
}
