/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/start_key.h"

#include <sha256.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pty/start_options.h"

static void start_key_set_state(struct start_key *key, enum start_key_state state)
{
	static const char *const names[] = {
		[START_KEY_STARTING] = "starting",
		[START_KEY_RUNNING] = "running",
		[START_KEY_ENDED] = "ended",
	};

	log_debug("start key '%s': %s -> %s", key->text, names[key->state], names[state]);
	key->state = state;
}

/* FNV-1a. */
static struct start_key_list *bucket(struct start_keys *keys, const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	return &keys->buckets[hash % START_KEY_BUCKETS];
}

/* Adds a text, NULL: none, so that no other sequence of texts adds the same bytes. */
static void digest_text(SHA2_CTX *sha, const char *text)
{
	const uint8_t present = text != NULL;

	SHA256Update(sha, &present, sizeof(present));
	if (text)
		SHA256Update(sha, (const uint8_t *)text, strlen(text) + 1);
}

static void digest_request(const struct rpc_call *call, const ProtobufCMessage *request,
			   uint8_t digest[START_KEY_DIGEST])
{
	const char *header;
	size_t i, n = protobuf_c_message_get_packed_size(request);
	uint8_t *packed = mem_alloc(n);
	SHA2_CTX sha;

	protobuf_c_message_pack(request, packed);
	SHA256Init(&sha);
	digest_text(&sha, rpc_call_user(call));
	for (i = 0; (header = start_options_header(i)); i++)
		digest_text(&sha, rpc_call_header(call, header));
	SHA256Update(&sha, packed, n);
	SHA256Final(digest, &sha);
	free(packed);
}

static struct start_key *start_key_new(struct start_keys *keys, const char *text,
				       const uint8_t digest[START_KEY_DIGEST])
{
	struct start_key *key = mem_zalloc(sizeof(*key) + strlen(text) + 1);

	strcpy(key->text, text);
	memcpy(key->request, digest, START_KEY_DIGEST);
	TAILQ_INIT(&key->waiting);
	LIST_INSERT_HEAD(bucket(keys, text), key, link);
	return key;
}

int start_key_take(struct start_keys *keys, const struct rpc_call *call,
		   const ProtobufCMessage *request, struct start_key **ret, struct error *err)
{
	const char *text = rpc_call_header(call, "x-envd-start-key");
	uint8_t digest[START_KEY_DIGEST];
	struct start_key *key;

	*ret = NULL;
	if (!text)
		return 0;
	if (*text == '\0' || strlen(text) > START_KEY_MAX_BYTES)
		return error_set(err, ERROR_INVALID_ARGUMENT, "X-Envd-Start-Key has 1 to %u bytes",
				 START_KEY_MAX_BYTES);
	if (protobuf_c_message_get_packed_size(request) > START_KEY_REQUEST_MAX_BYTES)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "a request with X-Envd-Start-Key has at most %d bytes",
				 START_KEY_REQUEST_MAX_BYTES);
	digest_request(call, request, digest);
	LIST_FOREACH (key, bucket(keys, text), link) {
		if (strcmp(key->text, text) != 0)
			continue;
		if (memcmp(key->request, digest, sizeof(digest)) != 0)
			return error_set(err, ERROR_ALREADY_EXISTS,
					 "another request was started with the key '%s'", text);
		*ret = key;
		return 1;
	}
	*ret = start_key_new(keys, text, digest);
	return 0;
}

struct start_key *start_key_restore(struct start_keys *keys, const char *text,
				    const uint8_t *digest, size_t digest_bytes)
{
	const struct start_key *key;

	if (*text == '\0' || strlen(text) > START_KEY_MAX_BYTES || digest_bytes != START_KEY_DIGEST)
		return NULL;
	LIST_FOREACH (key, bucket(keys, text), link)
		if (strcmp(key->text, text) == 0)
			return NULL;
	return start_key_new(keys, text, digest);
}

void start_key_run(struct start_key *key, struct proc *p)
{
	if (!key)
		return;
	key->proc = p;
	start_key_set_state(key, START_KEY_RUNNING);
}

void start_key_end(struct start_key *key, struct retained_exit *exit)
{
	if (!key)
		return;
	key->proc = NULL;
	key->exit = exit;
	start_key_set_state(key, START_KEY_ENDED);
}

void start_key_free(struct start_key *key)
{
	if (!key)
		return;
	LIST_REMOVE(key, link);
	free(key);
}
