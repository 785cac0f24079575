/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/init_request.h"

#include <string.h>

#include "envd/control/token.h"
#include "rpc/codec/json.h"
#include "rpc/codec/rfc3339.h"

/* A string; null counts as absent. */
static int get_text(struct json_lexer *in, struct arena *arena, const char **ret)
{
	char *text;

	if (in->token == JSON_NULL) {
		*ret = NULL;
		return 0;
	}
	if (json_get_string(in, arena, &text, NULL) < 0)
		return -1;
	*ret = text;
	return 0;
}

static int get_timestamp(struct json_lexer *in, struct arena *arena, struct init_request *r)
{
	const char *text = NULL;
	int64_t seconds;
	int32_t nanos;

	if (get_text(in, arena, &text) < 0 || !text)
		return text ? 0 : -1;
	if (rfc3339_parse(text, strlen(text), &seconds, &nanos) < 0)
		return json_fail(in, "is not an RFC 3339 time");
	if (seconds > INT64_MAX / 1000000000 - 1 || seconds < INT64_MIN / 1000000000 + 1)
		return json_fail(in, "is out of range");
	r->has_timestamp = true;
	r->timestamp_ns = seconds * 1000000000 + nanos;
	return 0;
}

/*
 * The token is not copied, so that only the body has to be wiped. A text with escapes is refused,
 * because decoding it would make a copy.
 */
static int get_token(struct json_lexer *in, struct init_request *r)
{
	if (in->token == JSON_NULL)
		return 0;
	if (in->token != JSON_STRING)
		return json_fail(in, "must be a string");
	if (in->text.escaped)
		return json_fail(in, "must not have escapes");
	if (in->text.n == 0 || in->text.n > TOKEN_MAX_BYTES)
		return json_fail(in, "has a bad length");
	r->token = in->text.p;
	r->token_bytes = in->text.n;
	return 0;
}

static int get_vars(struct json_lexer *in, struct arena *arena, struct init_request *r)
{
	struct init_var *var;
	const char *value;
	size_t room = 0;
	char *name;

	if (in->token == JSON_NULL)
		return 0;
	r->has_vars = true;
	r->n_vars = 0;
	if (!json_open_object(in))
		return -1;
	while (json_next_field(in)) {
		if (r->n_vars == INIT_MAX_VARS)
			return json_fail(in, "exceeds the maximum number of variables");
		if (r->n_vars == room) {
			room = room ? room * 2 : 16;
			var = arena_alloc(arena, room * sizeof(*var));
			if (r->n_vars)
				memcpy(var, r->vars, r->n_vars * sizeof(*var));
			r->vars = var;
		}
		name = arena_alloc(arena, in->name.n + 1);
		name[json_text_decode(&in->name, name)] = '\0';
		if (get_text(in, arena, &value) < 0)
			return -1;
		var = &r->vars[r->n_vars++];
		var->name = name;
		var->value = value ? value : "";
	}
	return 0;
}

static int get_mount(struct json_lexer *in, struct arena *arena, struct init_mount *mount)
{
	int r = 0;

	mount->nfs_target = mount->path = "";
	if (in->token == JSON_NULL)
		return 0;
	if (!json_open_object(in))
		return -1;
	while (r == 0 && json_next_field(in)) {
		if (json_name_is_nocase(in, "nfs_target"))
			r = get_text(in, arena, &mount->nfs_target);
		else if (json_name_is_nocase(in, "path"))
			r = get_text(in, arena, &mount->path);
		else
			json_skip(in);
	}
	if (!mount->nfs_target)
		mount->nfs_target = "";
	if (!mount->path)
		mount->path = "";
	return r;
}

static int get_mounts(struct json_lexer *in, struct arena *arena, struct init_request *r)
{
	if (in->token == JSON_NULL)
		return 0;
	r->has_mounts = true;
	r->mounts = arena_alloc(arena, INIT_MAX_MOUNTS * sizeof(*r->mounts));
	r->n_mounts = 0;
	if (!json_open_array(in))
		return -1;
	while (json_next_element(in)) {
		if (r->n_mounts == INIT_MAX_MOUNTS)
			return json_fail(in, "has too many entries");
		if (get_mount(in, arena, &r->mounts[r->n_mounts++]) < 0)
			return -1;
	}
	return 0;
}

/* "skip" leaves the workload frozen; any other text thaws it. */
static int get_thaw(struct json_lexer *in, struct arena *arena, struct init_request *r)
{
	const char *text;

	if (get_text(in, arena, &text) < 0)
		return -1;
	r->skips_thaw = text && strcmp(text, "skip") == 0;
	return 0;
}

static int get_cpus(struct json_lexer *in, struct init_request *r)
{
	int result;

	if (in->token == JSON_NULL)
		return 0;
	if (in->token != JSON_NUMBER)
		return json_fail(in, "must be a number");
	result = json_number_int64(in->text.p, in->text.n, &r->cpus);
	if (result < 0)
		return json_fail(in, "must be a whole number");
	r->has_cpus = true;
	return 0;
}

static int get_field(struct json_lexer *in, struct arena *arena, struct init_request *r)
{
	if (json_name_is_nocase(in, "timestamp"))
		return in->token == JSON_NULL ? 0 : get_timestamp(in, arena, r);
	if (json_name_is_nocase(in, "accessToken"))
		return get_token(in, r);
	if (json_name_is_nocase(in, "envVars"))
		return get_vars(in, arena, r);
	if (json_name_is_nocase(in, "defaultUser"))
		return get_text(in, arena, &r->default_user);
	if (json_name_is_nocase(in, "defaultWorkdir"))
		return get_text(in, arena, &r->default_workdir);
	if (json_name_is_nocase(in, "hyperloopIP"))
		return get_text(in, arena, &r->hyperloop_ip);
	if (json_name_is_nocase(in, "caBundle"))
		return get_text(in, arena, &r->ca_bundle);
	if (json_name_is_nocase(in, "lifecycleID"))
		return get_text(in, arena, &r->lifecycle_id);
	if (json_name_is_nocase(in, "thaw"))
		return get_thaw(in, arena, r);
	if (json_name_is_nocase(in, "cpuCount"))
		return get_cpus(in, r);
	if (json_name_is_nocase(in, "volumeMounts"))
		return get_mounts(in, arena, r);
	json_skip(in);
	return 0;
}

int init_request_parse(const char *body, size_t n, struct arena *arena, struct init_request *ret,
		       struct error *err)
{
	struct json_lexer in;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (n == 0)
		return 0;
	json_lexer_init(&in, body, n);
	if (json_next(&in) == JSON_NULL)
		return json_next(&in) == JSON_END ? 0 : json_finish(&in, err);
	if (json_open_object(&in))
		while (r == 0 && json_next_field(&in))
			r = get_field(&in, arena, ret);
	return json_finish(&in, err);
}
