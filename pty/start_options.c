/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/start_options.h"

#include <inttypes.h>
#include <string.h>

#include "base/decimal.h"
#include "base/mem.h"
#include "pty/kept.h"
#include "pty/rpc.h"
#include "pty/seccomp/profiles.h"

/* What a parser reads: the value of its header, NULL if the request does not have it. */
struct source {
	const char *text;
	const struct pty_service *svc;
	bool is_system;
};

static int parse_scope(const struct source *from, struct start_options *ret, struct error *err)
{
	ret->scope = from->svc->kill_scope;
	if (from->text && kill_scope_parse(from->text, &ret->scope) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "X-Envd-Kill-Scope is leader, session or tree, not '%s'",
				 from->text);
	return 0;
}

static int parse_end(const struct source *from, struct start_options *ret, struct error *err)
{
	ret->ends_with_leader = from->text && strcmp(from->text, "leader") == 0;
	if (from->text && !ret->ends_with_leader && strcmp(from->text, "output") != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "X-Envd-End is leader or output, not '%s'", from->text);
	return 0;
}

static int parse_limits(const struct source *from, struct start_options *ret, struct error *err)
{
	if (limits_parse(from->text, "X-Envd-Limits", &ret->limits, err) < 0)
		return -1;
	if (!from->is_system)
		limits_default(&ret->limits, &from->svc->limits);
	return 0;
}

static int parse_seccomp(const struct source *from, struct start_options *ret, struct error *err)
{
	const struct seccomp_profiles *profiles = from->svc->seccomp;

	ret->seccomp = NULL;
	return profiles ? seccomp_profiles_choose(profiles, from->text, &ret->seccomp, err) : 0;
}

static int parse_number(const char *text, const char *name, uint64_t max, uint64_t *ret,
			struct error *err)
{
	*ret = 0;
	if (!text)
		return 0;
	if (!decimal_parse_text(text, max, ret) || *ret < 1)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "%s is a number from 1 to %" PRIu64 ", not '%s'", name, max, text);
	return 0;
}

static int parse_keep_output(const struct source *from, struct start_options *ret,
			     struct error *err)
{
	uint64_t bytes;

	if (parse_number(from->text, "X-Envd-Keep-Output", KEPT_MAX_BYTES, &bytes, err) < 0)
		return -1;
	ret->keep_output_bytes = (size_t)bytes;
	return 0;
}

static int parse_keep_for(const struct source *from, struct start_options *ret, struct error *err)
{
	uint64_t seconds;

	if (parse_number(from->text, "X-Envd-Keep-For", KEEP_FOR_MAX_S, &seconds, err) < 0)
		return -1;
	ret->keep_for_ms = seconds * 1000;
	return 0;
}

static const struct {
	const char *name;
	int (*parse)(const struct source *from, struct start_options *ret, struct error *err);
} headers[] = {
	{"x-envd-kill-scope", parse_scope},	   {"x-envd-end", parse_end},
	{"x-envd-limits", parse_limits},	   {"x-envd-seccomp", parse_seccomp},
	{"x-envd-keep-output", parse_keep_output}, {"x-envd-keep-for", parse_keep_for},
};

int start_options_parse(const struct rpc_call *call, const struct pty_service *svc, bool is_system,
			struct start_options *ret, struct error *err)
{
	struct source from = {.svc = svc, .is_system = is_system};
	size_t i;

	for (i = 0; i < ARRAY_LEN(headers); i++) {
		from.text = rpc_call_header(call, headers[i].name);
		if (headers[i].parse(&from, ret, err) < 0)
			return -1;
	}
	return 0;
}

const char *start_options_header(size_t i)
{
	return i < ARRAY_LEN(headers) ? headers[i].name : NULL;
}
