/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `POST /files/compose`: concatenates files into one. compatibility/details 52 has the order of the
 * checks.
 *
 *	fs_compose_open → compose_body … → compose_body_end (loop) → compose_run (worker)
 *	→ compose_done (loop)
 */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/budget.h"
#include "base/buffer.h"
#include "base/log.h"
#include "base/mem.h"
#include "fs/entry.h"
#include "fs/http/concat.h"
#include "fs/http/request.h"
#include "fs/service_impl.h"
#include "rpc/codec/json.h"
#include "rpc/http/stream.h"

/* The maximum length of the body. */
#define COMPOSE_MAX_BYTES (1024u * 1024)

/* The memory of the decoded body for each of its bytes. */
#define DECODED_FACTOR 12

struct compose {
	struct work work;
	struct stream *stream; /* a reference */
	struct context *context;
	struct arena arena;
	struct error err;
	struct budget_share share; /* for the body and its decoded form */
	struct evbuffer *body;
	bool too_large;

	char **sources;
	size_t n_sources, sources_capacity;
	char *destination;
	char *username; /* NULL: the default one */
	struct user user;
	const char *default_dir;
	char *path; /* the destination, resolved */
	off_t size; /* of the result, for the log */
};

static void compose_body(struct stream *s, struct evbuffer *data);
static void compose_body_end(struct stream *s);
static void compose_run(struct work *work);
static void compose_done(struct work *work);
static void compose_gone(struct stream *s);
static void compose_free(struct compose *c);

static const struct stream_handler compose_handler = {
	.body = compose_body,
	.body_end = compose_body_end,
	.gone = compose_gone,
};

void fs_compose_open(struct stream *s, void *arg)
{
	struct fs_service *svc = arg;
	struct compose *c = mem_zalloc(sizeof(*c));

	c->stream = stream_ref(s);
	c->context = svc->context;
	budget_share_init(&c->share, &svc->context->budget, BUDGET_CLASS_UPLOADS);
	c->body = evbuffer_new();
	stream_set_log_members(s, &(struct stream_log_members){.message = "File compose",
							       .failure = LOG_LEVEL_ERROR});
	stream_set_handler(s, &compose_handler, c);
}

/*
 * Charges the body and its decoded form when the bytes arrive. The worst case is an empty string:
 * three bytes with its comma become a pointer in an array that doubles, and a string in the arena.
 */
static void compose_body(struct stream *s, struct evbuffer *data)
{
	struct compose *c = stream_data(s);
	size_t bytes = evbuffer_get_length(data);

	if (!c->too_large && !budget_share_take(&c->share, DECODED_FACTOR * bytes)) {
		stream_reply_error(s, 503, "too many requests wait for memory");
		compose_free(c);
		return;
	}
	if (evbuffer_get_length(c->body) + evbuffer_get_length(data) > COMPOSE_MAX_BYTES)
		c->too_large = true;
	else if (!c->too_large)
		buffer_gather(c->body, data);
}

/* ---- the request ---- */

/* A string; null counts as absent. */
static void get_string(struct json_lexer *in, struct arena *arena, char **ret)
{
	if (in->token == JSON_NULL)
		json_skip(in);
	else
		json_get_string(in, arena, ret, NULL);
}

static void get_sources(struct compose *c, struct json_lexer *in)
{
	char *source;

	c->n_sources = 0;
	if (in->token == JSON_NULL) {
		json_skip(in);
		return;
	}
	if (!json_open_array(in))
		return;
	while (json_next_element(in)) {
		source = NULL;
		get_string(in, &c->arena, &source);
		if (c->n_sources == c->sources_capacity) {
			c->sources_capacity = c->sources_capacity ? c->sources_capacity * 2 : 8;
			c->sources =
				mem_realloc(c->sources, c->sources_capacity * sizeof(*c->sources));
		}
		c->sources[c->n_sources++] = source ? source : arena_strdup(&c->arena, "");
	}
}

/* Parses the body; bytes after its JSON value are ignored. */
static int parse_body(struct compose *c)
{
	struct json_lexer *in = mem_alloc(sizeof(*in));
	size_t n = evbuffer_get_length(c->body);
	struct error err;
	int r = 0;

	json_lexer_init(in, evbuffer_pullup(c->body, -1), n);
	if (json_open_object(in))
		while (json_next_field(in)) {
			if (json_name_is_nocase(in, "source_paths"))
				get_sources(c, in);
			else if (json_name_is_nocase(in, "destination"))
				get_string(in, &c->arena, &c->destination);
			else if (json_name_is_nocase(in, "username"))
				get_string(in, &c->arena, &c->username);
			else
				json_skip(in);
		}
	if (in->token == JSON_ERROR && json_finish(in, &err) < 0)
		r = error_set(&c->err, ERROR_INVALID_ARGUMENT, "invalid request body: %s",
			      err.message);
	free(in);
	return r;
}

static int check_request(struct compose *c)
{
	const char *name;
	struct error err;

	if (c->too_large)
		return error_set(&c->err, ERROR_INVALID_ARGUMENT,
				 "invalid request body: longer than %u bytes", COMPOSE_MAX_BYTES);
	if (parse_body(c) < 0)
		return -1;
	if (c->n_sources == 0)
		return error_set(&c->err, ERROR_INVALID_ARGUMENT, "source_paths must not be empty");
	if (!c->destination || !*c->destination)
		return error_set(&c->err, ERROR_INVALID_ARGUMENT, "destination is required");
	name = c->username ? c->username : c->context->default_user;
	if (user_find(c->context->users, name, &c->arena, &c->user, &err) < 0)
		return error_set(&c->err, ERROR_UNAUTHENTICATED,
				 "error looking up user '%s': user: unknown user %s", name, name);
	c->default_dir = c->context->default_workdir
				 ? arena_strdup(&c->arena, c->context->default_workdir)
				 : NULL;
	return fs_resolve(&c->user, c->default_dir, c->destination, strlen(c->destination),
			  "error resolving destination path", &c->arena, &c->path, &c->err);
}

/* From here on the work is completed even if the client goes away. */
static void compose_body_end(struct stream *s)
{
	static const struct stream_handler waiting;
	struct compose *c = stream_data(s);
	int r = check_request(c);

	evbuffer_free(c->body);
	c->body = NULL;
	stream_set_handler(s, &waiting, NULL);
	if (r < 0) {
		fs_reply_error(s, &c->err);
		compose_free(c);
		return;
	}
	c->work.run = compose_run;
	c->work.done = compose_done;
	work_submit(c->context->file_workers, &c->work);
}

/* ---- the work ---- */

/* Resolves and checks one source. */
static int check_source(struct compose *c, size_t i)
{
	const char *given = c->sources[i], *shown = fs_text(given, &c->arena);
	struct stat st;

	if (fs_resolve(&c->user, c->default_dir, given, strlen(given),
		       "error resolving source path", &c->arena, &c->sources[i], &c->err) < 0)
		return -1;
	if (strcmp(c->sources[i], c->path) == 0)
		return error_set(&c->err, ERROR_INVALID_ARGUMENT,
				 "source path \"%s\" cannot be the same as destination", shown);
	if (stat(c->sources[i], &st) < 0)
		return error_set(&c->err, ERROR_NOT_FOUND, "source file not found: %s", shown);
	if (!S_ISREG(st.st_mode))
		return error_set(&c->err, ERROR_INVALID_ARGUMENT,
				 "source path is not a regular file: %s", shown);
	return 0;
}

static void compose_run(struct work *work)
{
	struct compose *c = container_of(work, struct compose, work);
	struct stat st;
	size_t i;

	for (i = 0; i < c->n_sources; i++)
		if (check_source(c, i) < 0)
			return;
	if (fs_concat(c->sources, c->n_sources, c->path, c->user.uid, c->user.gid, &c->err) == 0 &&
	    log_has_sink() && stat(c->path, &st) == 0)
		c->size = st.st_size;
}

static void reply_entry(struct compose *c)
{
	struct json_writer out;

	json_writer_init(&out, 0, 128);
	json_put_object(&out);
	json_put_name(&out, "name");
	json_put_string(&out, fs_path_name(c->path, &c->arena));
	json_put_name(&out, "path");
	json_put_string(&out, c->path);
	json_put_name(&out, "type");
	json_put_string(&out, "file");
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	stream_reply(c->stream, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
}

static void compose_done(struct work *work)
{
	struct compose *c = container_of(work, struct compose, work);

	if (c->err.code) {
		fs_audit_file(c->stream, "file_written", c->path, c->user.name, c->err.message);
		fs_reply_error(c->stream, &c->err);
	} else {
		fs_audit_file(c->stream, "file_written", c->path, c->user.name, NULL);
		for (size_t i = 0; i < c->n_sources; i++)
			fs_audit_file(c->stream, "file_removed", c->sources[i], c->user.name, NULL);
		log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
					     .request = stream_log_request(c->stream),
					     LOG_FIELDS(LOG_TEXT("path", c->path),
							LOG_NUMBER("sources", c->n_sources),
							LOG_NUMBER("size", c->size))},
			  "File compose completed");
		stream_set_quiet(c->stream);
		reply_entry(c);
	}
	compose_free(c);
}

static void compose_gone(struct stream *s)
{
	compose_free(stream_data(s));
}

static void compose_free(struct compose *c)
{
	if (c->body)
		evbuffer_free(c->body);
	budget_share_clear(&c->share);
	stream_unref(c->stream);
	free(c->sources);
	arena_clear(&c->arena);
	free(c);
}
