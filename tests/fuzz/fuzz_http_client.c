/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers to the small HTTP client: one that came whole, and the same one byte by byte, end alike.
 * The first byte tells whether the server closes behind the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "envd/control/http_client.h"
#include "tests/fuzz/fuzz.h"

struct answer {
	int rc, status;
	char *body;
	size_t body_bytes;
};

/* As the client reads it: in steps, to the first that decides. The text is the caller's to free. */
static char *read_in_steps(const uint8_t *data, size_t n, size_t step, bool closes,
			   struct answer *ret)
{
	char *text = malloc(n + 1);
	size_t have = 0, bytes;

	memset(ret, 0, sizeof(*ret));
	while (ret->rc == 0 && have < n) {
		bytes = step < n - have ? step : n - have;
		memcpy(text + have, data + have, bytes);
		have += bytes;
		ret->rc = http_client_parse(text, have, 0, &ret->status, &ret->body,
					    &ret->body_bytes);
	}
	if (ret->rc == 0 && closes) {
		ret->rc = http_client_parse(text, have, 1, &ret->status, &ret->body,
					    &ret->body_bytes);
		CHECK(ret->rc != 0);
	}
	if (ret->rc > 0) {
		CHECK(ret->status >= 100 && ret->status <= 999);
		CHECK(ret->body >= text && ret->body + ret->body_bytes <= text + have);
	}
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct answer whole, bytewise;
	char *a, *b;

	if (n == 0 || n > HTTP_CLIENT_MAX_BYTES)
		return 0;
	a = read_in_steps(data + 1, n - 1, n, data[0] & 1, &whole);
	b = read_in_steps(data + 1, n - 1, 1, data[0] & 1, &bytewise);
	/* Bytewise an answer may be seen to be complete before what follows it has come. */
	if (whole.rc > 0) {
		CHECK(bytewise.rc > 0);
		CHECK(whole.status == bytewise.status);
		CHECK(whole.body_bytes == bytewise.body_bytes);
		CHECK(memcmp(whole.body, bytewise.body, whole.body_bytes) == 0);
	}
	free(a);
	free(b);
	return 0;
}
