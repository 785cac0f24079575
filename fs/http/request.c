#include "fs/http/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/path.h"
#include "base/utf8.h"
#include "fs/entry.h"
#include "fs/http/sign.h"
#include "fs/service_impl.h"
#include "rpc/http/stream.h"
#include "rpc/http/uri.h"

/* Shortens a text that was cut, so that no character is left half. */
static int trim_message(struct fs_failure *failure)
{
	size_t n = strlen(failure->message);

	if (n == sizeof(failure->message) - 1)
		failure->message[utf8_floor(failure->message, n)] = '\0';
	return -1;
}

int fs_fail(struct fs_failure *failure, unsigned status, const char *format, ...)
{
	va_list ap;

	failure->status = status;
	va_start(ap, format);
	vsnprintf(failure->message, sizeof(failure->message), format, ap);
	va_end(ap);
	return trim_message(failure);
}

int fs_fail_errno(struct fs_failure *failure, unsigned status, int errnum, const char *format, ...)
{
	va_list ap;
	size_t n;

	failure->status = status;
	va_start(ap, format);
	vsnprintf(failure->message, sizeof(failure->message), format, ap);
	va_end(ap);
	n = strlen(failure->message);
	snprintf(failure->message + n, sizeof(failure->message) - n, ": %s",
		 error_errno_text(errnum));
	return trim_message(failure);
}

unsigned fs_failure_status(int errnum)
{
	errnum = abs(errnum);
	return errnum == ENOSPC || errnum == EDQUOT ? 507 : 500;
}

void fs_reply_failure(struct stream *s, const struct fs_failure *failure)
{
	stream_reply_error(s, failure->status, failure->message);
}

void fs_reply_text(struct stream *s, unsigned status, const char *text)
{
	char *line = arena_printf(stream_arena(s), "%s\n", text);

	stream_header_set(s, "X-Content-Type-Options", "nosniff");
	stream_reply(s, status, "text/plain; charset=utf-8", line, strlen(line));
}

/* Looks up a parameter that may come once. False: answered with 400. */
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

/* A whole number with an optional sign. */
static bool parse_seconds(const char *text, int64_t *ret)
{
	char *end;

	if (!*text || !strchr("+-0123456789", *text))
		return false;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' && end[-1] >= '0' && end[-1] <= '9';
}

/* Reads what is there beyond the reference: format and gzip. False: answered with 400. */
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
		    !parse_seconds(r->expiration, &r->expiration_s)) {
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
	       const char *what, struct arena *arena, char **ret, struct fs_failure *failure)
{
	struct error err;

	if (path_resolve(path, user, default_dir, arena, ret, &err) < 0)
		return fs_fail(failure, 400, "%s '%s': %s", what, fs_text(path, arena),
			       fs_text(err.message, arena));
	if (strlen(path) != bytes)
		return fs_fail_errno(failure, 500, EINVAL, "a NUL in the path '%s'",
				     fs_text(*ret, arena));
	return 0;
}
