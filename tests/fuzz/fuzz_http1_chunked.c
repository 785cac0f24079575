/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked bodies. The input is such a body. What comes out is the same wherever it was cut, and
 * llhttp reads the same data in it.
 */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/http/http1_chunked.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/oracle.h"

/* What came of a body: its data, how much of the input is its own, how it ended. */
struct outcome {
	struct evbuffer *data;
	size_t taken;
	int status; /* of the refusal, or 0 */
	bool done;
};

/* Decodes the input in pieces of `step` bytes, each in memory of just that size. */
static struct outcome decode(const char *p, size_t n, size_t step)
{
	struct outcome out = {.data = evbuffer_new()};
	struct http1_chunked c = {0};
	const char *why;

	while (out.taken < n && !out.done && !out.status) {
		size_t have = n - out.taken < step ? n - out.taken : step, at = 0;
		char *piece = malloc(have);

		memcpy(piece, p + out.taken, have);
		while (at < have && !(out.done = http1_chunked_done(&c))) {
			ssize_t r = http1_chunked_framing(&c, piece + at, have - at, &why);
			uint64_t left;

			if (r < 0) {
				out.status = (int)-r;
				break;
			}
			CHECK((size_t)r <= have - at);
			at += (size_t)r;
			left = http1_chunked_left(&c);
			if (left > have - at)
				left = have - at;
			CHECK(r > 0 || left > 0 || http1_chunked_done(&c));
			evbuffer_add(out.data, piece + at, left);
			http1_chunked_data(&c, left);
			at += left;
		}
		out.done = http1_chunked_done(&c);
		out.taken += at;
		free(piece);
	}
	return out;
}

static bool same_data(struct evbuffer *a, struct evbuffer *b)
{
	size_t n = evbuffer_get_length(a);

	return evbuffer_get_length(b) == n &&
	       (n == 0 || !memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), n));
}

static void check_oracle(const char *p, const struct outcome *whole)
{
	static const char head[] =
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
	size_t n = sizeof(head) - 1 + whole->taken;
	char *request = malloc(n);
	struct oracle o;

	memcpy(request, head, sizeof(head) - 1);
	memcpy(request + sizeof(head) - 1, p, whole->taken);
	oracle_run(&o, request, n);
	/* Of extensions we look at no more than which bytes they have. */
	if (!o.error || !memchr(p, ';', whole->taken)) {
		if (o.error)
			fatal("llhttp refuses it: %s", o.reason);
		CHECK(o.message_complete);
		CHECK(o.body_bytes == evbuffer_get_length(whole->data));
		CHECK(!o.body_bytes ||
		      !memcmp(o.body, evbuffer_pullup(whole->data, -1), o.body_bytes));
	}
	oracle_clear(&o);
	free(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct outcome whole, cut;

	if (n == 0 || n > 4096)
		return 0;
	whole = decode(p, n, n);
	for (size_t step = 1; step <= 7; step += 3) {
		cut = decode(p, n, step);
		CHECK(cut.status == whole.status && cut.done == whole.done);
		CHECK(same_data(cut.data, whole.data));
		CHECK(!whole.done || cut.taken == whole.taken);
		evbuffer_free(cut.data);
	}
	if (whole.done)
		check_oracle(p, &whole);
	evbuffer_free(whole.data);
	return 0;
}
