/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/audit.h"
#include "base/decimal.h"
#include "base/log.h"
#include "base/path.h"
#include "fs/http/sign.h"
#include "fs/service_impl.h"
#include "fs/text.h"
#include "rpc/http/stream.h"
#include "rpc/http/uri.h"

unsigned fs_error_status(enum error_code code)
{
	switch (code) {
	case ERROR_INVALID_ARGUMENT:
		return 400;
	case ERROR_UNAUTHENTICATED:
		return 401;
	case ERROR_NOT_FOUND:
		return 404;
	case ERROR_UNIMPLEMENTED:
		return 406;
	case ERROR_ABORTED:
		return 409;
	case ERROR_FAILED_PRECONDITION:
		return 412;
	case ERROR_OUT_OF_RANGE:
		return 416;
	case ERROR_RESOURCE_EXHAUSTED:
		return 507;
	default:
		return 500;
	}
}

void fs_reply_error(struct stream *s, const struct error *err)
{
	stream_reply_error(s, fs_error_status(err->code), err->message);
}

void fs_audit_file(struct stream *s, const char *event, const char *path, const char *user,
		   const char *error)
{
	audit_event(&(struct audit_event){.name = event,
					  .request = stream_log_request(s),
					  .asked_by = stream_user(s),
					  LOG_FIELDS(LOG_TEXT("path", path), LOG_TEXT("user", user),
						     LOG_TEXT("error", error))});
}

void fs_log_file(struct stream *s, const char *message, const char *path, const char *username)
{
	struct arena *arena = stream_arena(s);

	if (!log_has_sink())
		return;
	stream_set_log_members(s, &(struct stream_log_members){
					  .message = message,
					  .path = path ? arena_strdup(arena, path) : NULL,
					  .username = arena_strdup(arena, username),
					  .failure = LOG_LEVEL_ERROR,
				  });
}

void fs_reply_text(struct stream *s, unsigned status, const char *text)
{
	char *line = arena_printf(stream_arena(s), "%s\n", text);

	stream_set_outcome(s, arena_strdup(stream_arena(s), text));
	stream_header_set(s, "X-Content-Type-Options", "nosniff");
	stream_reply(s, status, "text/plain; charset=utf-8", line, strlen(line));
}

/* Looks up a parameter that may occur only once. Returns false after answering with 400. */
static bool get_parameter(struct fs_request *r, const char *name, const char **ret,
			  size_t *ret_bytes)
{
	struct arena *arena = stream_arena(r->stream);
	unsigned count;

	count = uri_query_get(arena, stream_head_in(r->stream)->query, name, ret, ret_bytes);
	if (count > 1) {
		fs_reply_text(r->stream, 400,
			      arena_printf(arena,
					   "Invalid format for parameter %s: multiple values for "
					   "single value parameter '%s'",
					   name, name));
		return false;
	}
	if (count == 0)
		*ret = NULL;
	return true;
}

/*
 * Parses the parameters that the reference does not have: format and gzip. Returns false after
 * answering with 400.
 */
static bool get_format(struct fs_request *r)
{
	const char *format, *gzip;
	size_t bytes;

	if (!get_parameter(r, "format", &format, &bytes) ||
	    !get_parameter(r, "gzip", &gzip, &bytes))
		return false;
	if (format && strcmp(format, "tar") != 0) {
		fs_reply_text(r->stream, 400, "Invalid format for parameter format: not 'tar'");
		return false;
	}
	r->tar = format != NULL;
	r->gzip = gzip && (strcmp(gzip, "1") == 0 || strcmp(gzip, "true") == 0);
	return true;
}

bool fs_request_init(struct fs_request *r, struct stream *s, struct fs_service *svc)
{
	struct arena *arena = stream_arena(s);
	size_t bytes;

	memset(r, 0, sizeof(*r));
	r->stream = s;
	r->svc = svc;
	if (!get_parameter(r, "path", &r->path, &r->path_bytes) ||
	    !get_parameter(r, "username", &r->username, &bytes) ||
	    !get_parameter(r, "signature", &r->signature, &bytes) ||
	    !get_parameter(r, "signature_expiration", &r->expiration, &bytes) || !get_format(r))
		return false;
	if (r->expiration) {
		if (strlen(r->expiration) != bytes ||
		    !decimal_parse_signed(r->expiration, &r->expiration_s)) {
			fs_reply_text(s, 400,
				      "Invalid format for parameter signature_expiration: not a "
				      "whole number of seconds");
			return false;
		}
		r->expiration = arena_printf(arena, "%lld", (long long)r->expiration_s);
	}
	return true;
}

bool fs_request_authorise(struct fs_request *r, const char *operation)
{
	const struct fs_auth *auth = &r->svc->auth;
	struct fs_sign sign = {
		.header_token = stream_header_in(r->stream, "x-access-token"),
		.path = r->path ? r->path : "",
		.operation = operation,
		.username = r->username ? r->username : "",
		.signature = r->signature,
		.expiration = r->expiration,
		.expiration_s = r->expiration_s,
		.now_s = time(NULL),
	};
	const char *wrong;

	if (auth->token)
		sign.token = auth->token(auth->arg, &sign.token_bytes);
	wrong = fs_sign_check(&sign);
	if (wrong)
		stream_reply_error(r->stream, 401, wrong);
	return !wrong;
}

bool fs_request_user(struct fs_request *r, struct arena *arena)
{
	struct context *context = r->svc->context;
	const char *name = r->username ? r->username : context->default_user;
	struct error err;

	if (user_find(context->users, name, arena, &r->user, &err) == 0)
		return true;
	name = fs_text(name, arena);
	stream_reply_error(r->stream, 401,
			   arena_printf(arena, "error looking up user '%s': user: unknown user %s",
					name, name));
	return false;
}

int fs_resolve(const struct user *user, const char *default_dir, const char *path, size_t bytes,
	       const char *what, struct arena *arena, char **ret, struct error *err)
{
	struct error cause;

	if (path_resolve(path, user, default_dir, arena, ret, &cause) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s '%s': %s", what,
				 fs_text(path, arena), fs_text(cause.message, arena));
	if (strlen(path) != bytes)
		return error_set_errno(err, ERROR_INTERNAL, EINVAL, "a NUL in the path '%s'",
				       fs_text(*ret, arena));
	return 0;
}
