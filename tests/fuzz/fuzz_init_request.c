/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of POST /init: what is accepted keeps the bounds, and its texts are whole. */
#include <stdlib.h>
#include <string.h>

#include "envd/control/init_request.h"
#include "tests/fuzz/fuzz.h"

/* Reads a text to its end, so that a sanitizer sees one that has none. */
static void touch(const char *text)
{
	CHECK(!text || strlen(text) <= INIT_BODY_MAX_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct init_request request;
	struct arena arena = {0};
	struct error err;
	char *body = malloc(n);

	if (n)
		memcpy(body, data, n);
	if (init_request_parse(body, n, &arena, &request, &err) == 0) {
		CHECK(!request.token ||
		      (request.token >= body && request.token + request.token_bytes <= body + n));
		CHECK(request.n_vars <= INIT_MAX_VARS);
		CHECK(request.n_mounts <= INIT_MAX_MOUNTS);
		for (size_t i = 0; i < request.n_vars; i++) {
			touch(request.vars[i].name);
			touch(request.vars[i].value);
		}
		for (size_t i = 0; i < request.n_mounts; i++) {
			touch(request.mounts[i].nfs_target);
			touch(request.mounts[i].path);
		}
		touch(request.default_user);
		touch(request.default_workdir);
		touch(request.hyperloop_ip);
		touch(request.ca_bundle);
		touch(request.lifecycle_id);
	} else {
		CHECK(err.code == ERROR_INVALID_ARGUMENT);
	}
	arena_clear(&arena);
	free(body);
	return 0;
}
