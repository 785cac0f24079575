/* SPDX-License-Identifier: Apache-2.0 */
/* gzip: bytes come back; a text that is none is refused, whole and in pieces alike. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/codec/gzip.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES (64 * 1024)

/* Reads the text in pieces of `step` bytes; true where it is whole, with its length. */
static bool read_pieces(const uint8_t *data, size_t n, size_t step, size_t *ret_bytes)
{
	struct gunzip *g = gunzip_new();
	bool complete;
	char out[100];
	ssize_t got = 0;

	*ret_bytes = 0;
	for (size_t at = 0; at < n && got >= 0; at += step) {
		const char *p = (const char *)data + at;
		size_t left = n - at < step ? n - at : step;

		do {
			got = gunzip_read(g, &p, &left, out, sizeof(out));
			if (got > 0)
				*ret_bytes += (size_t)got;
		} while ((got > 0 || left > 0) && got >= 0 && *ret_bytes <= MAX_BYTES);
		if (*ret_bytes > MAX_BYTES)
			break;
	}
	complete = got >= 0 && gunzip_complete(g);
	gunzip_free(g);
	return complete;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t packed_bytes, bytes, in_pieces;
	char *packed, *out;
	bool complete;
	int r;

	gzip_compress(data, n, 1, &packed, &packed_bytes);
	CHECK(gzip_decompress(packed + 1, packed_bytes, n, &out, &bytes) == 0);
	CHECK(bytes == n && (n == 0 || memcmp(out, data, n) == 0));
	free(out);
	free(packed);

	r = gzip_decompress(data, n, MAX_BYTES, &out, &bytes);
	complete = read_pieces(data, n, n % 7 + 1, &in_pieces);
	if (r == 0) {
		CHECK(complete && in_pieces == bytes);
		free(out);
	} else if (r == -EMSGSIZE) {
		CHECK(in_pieces > MAX_BYTES);
	} else {
		CHECK(r == -EBADMSG && (!complete || in_pieces > MAX_BYTES));
	}
	return 0;
}
