/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/auth.h"

#include <string.h>

#include "base/mem.h"
#include "rpc/http/stream.h"

static bool is_exempt(const struct http_head *head)
{
	static const struct {
		const char *method, *path;
	} exempt[] = {
		{"GET", "/health"}, {"HEAD", "/health"}, {"GET", "/files"},
		{"HEAD", "/files"}, {"POST", "/files"},	 {"POST", "/init"},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(exempt); i++)
		if (strcmp(head->method, exempt[i].method) == 0 &&
		    strcmp(head->path, exempt[i].path) == 0)
			return true;
	return false;
}

bool auth_allows(const struct stream *s, void *arg)
{
	struct token *token = arg;
	const char *sent;

	if (!token_is_set(token))
		return true;
	sent = stream_header_in(s, "x-access-token");
	/* The token is compared on every path, because the right token unlocks a locked daemon. */
	return (sent && token_equals(token, sent, strlen(sent))) || is_exempt(stream_head_in(s));
}

enum auth_verdict auth_decide(bool token_is_set, enum auth_sent sent, enum auth_mmds mmds)
{
	if (token_is_set && sent == AUTH_SENT_CURRENT)
		return AUTH_ALLOWED;
	if (mmds == AUTH_MMDS_MATCHES)
		return AUTH_ALLOWED;
	if (!token_is_set && mmds == AUTH_MMDS_NONE)
		return AUTH_ALLOWED; /* the first caller may set it */
	return sent == AUTH_SENT_NONE ? AUTH_RESET_REFUSED : AUTH_TOKEN_REFUSED;
}

enum auth_mmds auth_compare_hash(const char *hash, const char *token, size_t token_bytes)
{
	char own[TOKEN_HASH_BYTES];

	if (!hash || !*hash)
		return AUTH_MMDS_NONE;
	token_hash(token ? token : "", token ? token_bytes : 0, own);
	return mem_equal_constant_time(own, strlen(own), hash, strlen(hash)) ? AUTH_MMDS_MATCHES
									     : AUTH_MMDS_DIFFERS;
}

const char *auth_verdict_text(enum auth_verdict verdict)
{
	return verdict == AUTH_RESET_REFUSED ? "access token reset not authorized"
					     : "access token validation failed";
}
