/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in header fields: every reader of it on the same input. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "rpc/http/header_value.h"
#include "rpc/http/http_date.h"
#include "tests/fuzz/fuzz.h"

static void check_params(struct arena *arena, const char *text)
{
	struct header_params params;
	int r = header_params_parse(arena, text, &params);
	size_t n;

	CHECK(r == 0 ? params.type != NULL : params.n_params == 0);
	for (unsigned i = 0; i < params.n_params; i++) {
		const char *name = params.params[i].name;
		const char *value = header_param_get(arena, &params, name, &n);

		CHECK(value && n <= strlen(text) && value[n] == '\0');
	}
	header_param_get(arena, &params, "filename", &n);
}

static void check_date(const char *text)
{
	int64_t seconds, again;
	char out[HTTP_DATE_BYTES];

	if (!http_date_parse(text, &seconds))
		return;
	CHECK(http_date_format(out, seconds));
	CHECK(http_date_parse(out, &again) && again == seconds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena = {0};
	char *text = fuzz_text(data, n);
	const char *user;

	header_list_has(text, "close");
	header_accept_encoding(text);
	header_content_encoding(text);
	check_params(&arena, text);
	check_date(text);
	user = header_basic_user(&arena, text);
	CHECK(!user || strlen(user) < n);
	arena_clear(&arena);
	free(text);
	return 0;
}
