/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `POST /files`: the order of its checks is compatibility/details 40.
 *
 *	fs_upload_open (loop) → upload_take (worker), for each piece → upload_done (loop)
 */
#include "fs/http/upload.h"

#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fs/entry.h"
#include "fs/service_impl.h"
#include "rpc/codec/gzip.h"
#include "rpc/codec/json.h"
#include "rpc/http/header_value.h"
#include "rpc/http/stream.h"

#define INFLATED_BYTES (64 * 1024)

/* The first bytes of a gzip file (RFC 1952 section 2.3), and the minimum length of its header. */
#define GZIP_HEAD	"\x1f\x8b\x08"
#define GZIP_HEAD_BYTES 10

static bool choose_coding(struct upload *u, struct stream *s, bool packed);
static bool choose_kind(struct upload *u, struct stream *s, bool tar);
static bool parse_options(struct upload *u, struct stream *s);
static void upload_refuse(struct upload *u, struct stream *s);
static int upload_take(struct fs_sink *sink, struct evbuffer *piece, bool last);
static void upload_done(struct fs_sink *sink);
static void upload_gone(struct fs_sink *sink);
static void abandon_run(struct work *work);
static void abandon_done(struct work *work);

/* ---- the request ---- */

void fs_upload_open(struct stream *s, void *arg)
{
	struct fs_service *svc = arg;
	const char *default_dir = svc->context->default_workdir;
	struct fs_request request;
	struct upload *u;

	if (!fs_request_init(&request, s, svc) || !fs_request_authorise(&request, "write"))
		return;
	u = mem_zalloc(sizeof(*u));
	u->path = request.path;
	u->path_bytes = request.path_bytes;
	u->default_dir = default_dir ? arena_strdup(&u->arena, default_dir) : NULL;
	if (!choose_coding(u, s, request.tar && request.gzip) ||
	    !fs_request_user(&request, &u->arena) ||
	    fs_metadata_parse(stream_head_in(s), &u->arena, &u->options.metadata, &u->err) < 0 ||
	    !choose_kind(u, s, request.tar) || !parse_options(u, s)) {
		upload_refuse(u, s);
		return;
	}
	u->user = request.user;
	fs_log_file(s, "File write", u->path, u->user.name);
	u->options.uid = u->user.uid;
	u->options.gid = u->user.gid;
	u->options.keep_owner = svc->keep_owner && !request.username;
	u->sink.take = upload_take;
	u->sink.done = upload_done;
	u->sink.gone = upload_gone;
	fs_sink_start(&u->sink, s, svc->context->file_workers, &svc->context->budget);
}

/*
 * Determines the coding of the body; `packed`: the body is a compressed archive. Returns false if
 * the coding is unknown.
 */
static bool choose_coding(struct upload *u, struct stream *s, bool packed)
{
	const char *value = stream_header_in(s, "content-encoding");

	if (packed && !value)
		value = "gzip";

	switch (header_content_encoding(value)) {
	case HEADER_CODING_GZIP:
		u->gunzip = gunzip_new();
		u->inflated = mem_alloc(INFLATED_BYTES);
		return true;
	case HEADER_CODING_IDENTITY:
		return true;
	default:
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "error decompressing request body: unsupported Content-Encoding: %s, "
			  "supported: [gzip]",
			  fs_text(value, &u->arena));
		return false;
	}
}

/* Selects a tar archive, and refuses options that do not apply to it. */
static bool choose_tar(struct upload *u, struct stream *s, const char *type)
{
	static const char *const others[] = {"content-range", "if-match", "if-none-match",
					     "x-envd-atomic"};
	size_t i;

	u->kind = &upload_tar;
	if (!u->path)
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "path query parameter is required for a tar archive");
	else if (!type ||
		 (strcmp(type, "application/x-tar") != 0 && strcmp(type, "application/gzip") != 0 &&
		  strcmp(type, "application/octet-stream") != 0))
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "unsupported content type: %s, expected application/x-tar or "
			  "application/octet-stream",
			  fs_text(type ? type : "", &u->arena));
	if (u->options.metadata.n)
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "metadata does not go with a tar archive");
	for (i = 0; i < ARRAY_LEN(others); i++)
		if (stream_header_in(s, others[i]))
			error_set(&u->err, ERROR_INVALID_ARGUMENT,
				  "%s does not go with a tar archive", others[i]);
	return u->err.code == ERROR_OK;
}

/* Decides by query and Content-Type what the body is. Returns false with u->err. */
static bool choose_kind(struct upload *u, struct stream *s, bool tar)
{
	const char *type = stream_header_in(s, "content-type"), *wrong;
	struct header_params params;

	if (!type)
		type = "";
	header_params_parse(&u->arena, type, &params);
	if (tar)
		return choose_tar(u, s, params.type);
	if (params.type && strcmp(params.type, "application/octet-stream") == 0) {
		u->kind = &upload_raw;
		if (!u->path)
			error_set(&u->err, ERROR_INVALID_ARGUMENT,
				  "path query parameter is required for raw body upload");
	} else if (params.type && strncmp(params.type, "multipart/", 10) == 0) {
		u->kind = &upload_form;
		wrong = upload_form_prepare(u, &params);
		if (wrong)
			error_set(&u->err, ERROR_INTERNAL, "error parsing multipart form: %s",
				  wrong);
	} else {
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "unsupported content type: %s, expected multipart/form-data or "
			  "application/octet-stream",
			  fs_text(type, &u->arena));
	}
	return u->err.code == ERROR_OK;
}

static bool header_is_set(struct stream *s, const char *name)
{
	const char *value = stream_header_in(s, name);

	return value && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0);
}

/*
 * Parses the options that the reference does not have. Returns false if they contradict each other.
 */
static bool parse_options(struct upload *u, struct stream *s)
{
	struct fs_target_options *o = &u->options;
	const char *range = stream_header_in(s, "content-range");
	const struct http_head *head = stream_head_in(s);

	o->atomic = header_is_set(s, "x-envd-atomic");
	o->sync = header_is_set(s, "x-envd-sync");
	o->if_match = stream_header_in(s, "if-match");
	o->if_none_match = stream_header_in(s, "if-none-match");
	if (!range)
		return true;
	o->has_range = true;
	if (u->kind != &upload_raw)
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "Content-Range goes with application/octet-stream alone");
	else if (o->atomic || u->gunzip)
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "Content-Range goes neither with X-Envd-Atomic nor with gzip");
	else if (fs_content_range_parse(range, &o->range) < 0)
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "Content-Range is not `bytes FIRST-LAST/TOTAL`");
	else if (head->body != HTTP_BODY_CHUNKED &&
		 head->content_length != fs_content_range_bytes(&o->range))
		error_set(&u->err, ERROR_INVALID_ARGUMENT,
			  "the body has %" PRIu64 " bytes, its Content-Range %" PRIu64,
			  head->content_length, fs_content_range_bytes(&o->range));
	return u->err.code == ERROR_OK;
}

/* Refuses a request before its body is read. */
static void upload_refuse(struct upload *u, struct stream *s)
{
	if (u->err.code)
		fs_reply_error(s, &u->err);
	if (u->kind)
		u->kind->clear(u);
	gunzip_free(u->gunzip);
	free(u->inflated);
	arena_clear(&u->arena);
	free(u);
}

/* ---- on a worker ---- */

/* Inflates n bytes and passes the result on. */
static int take_gzip(struct upload *u, const char *p, size_t n)
{
	ssize_t got;

	do {
		got = gunzip_read(u->gunzip, &p, &n, u->inflated, INFLATED_BYTES);
		if (got < 0)
			return error_set(&u->err, ERROR_INTERNAL,
					 "error writing file: gzip: invalid data");
		if (got > 0 && u->kind->bytes(u, u->inflated, (size_t)got) < 0)
			return -1;
	} while (got > 0 || n > 0);
	return 0;
}

/* Checks that the body begins as gzip, before any file is changed. */
static int check_gzip_head(struct upload *u, struct evbuffer *piece)
{
	char head[GZIP_HEAD_BYTES];

	if (evbuffer_copyout(piece, head, sizeof(head)) == (ev_ssize_t)sizeof(head) &&
	    memcmp(head, GZIP_HEAD, 3) == 0)
		return 0;
	return error_set(&u->err, ERROR_INVALID_ARGUMENT,
			 "error decompressing request body: failed to create gzip reader: invalid "
			 "header");
}

static int take_piece(struct upload *u, struct evbuffer *piece)
{
	struct evbuffer_iovec iov;
	int r = 0;

	if (!u->gunzip && u->kind->buffer)
		return u->kind->buffer(u, piece);
	while (r == 0 && evbuffer_peek(piece, -1, NULL, &iov, 1) > 0 && iov.iov_len) {
		if (u->gunzip)
			r = take_gzip(u, iov.iov_base, iov.iov_len);
		else
			r = u->kind->bytes(u, iov.iov_base, iov.iov_len);
		evbuffer_drain(piece, iov.iov_len);
	}
	return r;
}

/* Takes one piece; after the last one, ends the upload. */
static int take(struct upload *u, struct evbuffer *piece, bool last)
{
	bool waiting = !evbuffer_get_length(piece) && !last;

	if (!u->begun) {
		/* A client that waits for "100 Continue" has not sent gzip yet. */
		if (u->gunzip && waiting)
			return 0;
		if (u->gunzip && check_gzip_head(u, piece) < 0)
			return -1;
		u->begun = true;
		if (u->kind->begin(u) < 0)
			return -1;
	}
	if (take_piece(u, piece) < 0)
		return -1;
	if (!last)
		return 0;
	if (u->gunzip && !gunzip_complete(u->gunzip))
		return error_set(&u->err, ERROR_INTERNAL, "error writing file: unexpected EOF");
	return u->kind->end(u);
}

/* The kind's state is freed here, on the worker, because closing a file can block. */
static int upload_take(struct fs_sink *sink, struct evbuffer *piece, bool last)
{
	struct upload *u = (struct upload *)sink;
	int r = take(u, piece, last);

	if (r < 0 || last)
		u->kind->clear(u);
	return r;
}

/* ---- the files that were written ---- */

int upload_resolve(struct upload *u, const char *path, size_t bytes, char **ret)
{
	return fs_resolve(&u->user, u->default_dir, path, bytes, "error resolving path", &u->arena,
			  ret, &u->err);
}

static int add_file(struct upload *u, const char *path, bool is_dir)
{
	struct upload_file *file;

	u->answer_bytes += 2 * strlen(path) + 64;
	if (u->n_files == UPLOAD_MAX_FILES || u->answer_bytes > UPLOAD_ANSWER_MAX_BYTES)
		return error_set(&u->err, ERROR_INVALID_ARGUMENT, "too many files in one request");
	if (u->n_files == u->files_capacity) {
		u->files_capacity = u->files_capacity ? u->files_capacity * 2 : 4;
		u->files = mem_realloc(u->files, u->files_capacity * sizeof(*u->files));
	}
	file = &u->files[u->n_files++];
	*file = (struct upload_file){.path = path, .is_dir = is_dir};
	if (u->options.metadata.n && !is_dir)
		fs_metadata_read(path, &u->arena, &file->metadata);
	return 0;
}

int upload_add_file(struct upload *u, const char *path)
{
	return add_file(u, path, false);
}

int upload_add_dir(struct upload *u, const char *path)
{
	return add_file(u, path, true);
}

/* Writes the JSON of one file, with the keys in the reference's order. */
static void put_file(struct json_writer *out, const struct upload_file *file, struct arena *arena)
{
	size_t i;

	json_put_object(out);
	if (file->metadata.n) {
		json_put_name(out, "metadata");
		json_put_object(out);
		for (i = 0; i < file->metadata.n; i++) {
			json_put_name(out, file->metadata.items[i].key);
			json_put_string(out, file->metadata.items[i].value);
		}
		json_put_object_end(out);
	}
	json_put_name(out, "name");
	json_put_string(out, fs_path_name(file->path, arena));
	json_put_name(out, "path");
	json_put_string(out, file->path);
	json_put_name(out, "type");
	json_put_string(out, file->is_dir ? "dir" : "file");
	json_put_object_end(out);
}

static void reply_files(struct upload *u)
{
	struct json_writer out;
	size_t i;

	json_writer_init(&out, 0, 128);
	json_put_array(&out);
	for (i = 0; i < u->n_files; i++)
		put_file(&out, &u->files[i], &u->arena);
	json_put_array_end(&out);
	stream_reply(u->sink.stream, 200, "text/plain; charset=utf-8", out.data, out.n);
	json_writer_clear(&out);
}

/* ---- the end ---- */

static void upload_free(struct upload *u)
{
	fs_sink_clear(&u->sink);
	u->kind->clear(u);
	gunzip_free(u->gunzip);
	free(u->inflated);
	free(u->files);
	arena_clear(&u->arena);
	free(u);
}

/* Logs each file of the request. The line of the request itself has the path of the first one. */
static void log_files(const struct upload *u)
{
	struct stream *s = u->sink.stream;

	for (size_t i = 0; i < u->n_files; i++)
		log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG,
					     .event_type = "file_processing",
					     .request = stream_log_request(s),
					     LOG_FIELDS(LOG_TEXT("path", u->files[i].path))},
			  "File processing");
	if (u->n_files)
		fs_log_file(s, "File write", u->files[0].path, u->user.name);
}

/* A failed upload may have changed the file: the error says so. */
static void audit_files(struct upload *u, const char *error)
{
	struct stream *s = u->sink.stream;

	for (size_t i = 0; i < u->n_files; i++)
		fs_audit_file(s, "file_written", u->files[i].path, u->user.name, NULL);
	if (error)
		fs_audit_file(s, "file_written", u->path, u->user.name, error);
}

static void upload_done(struct fs_sink *sink)
{
	struct upload *u = (struct upload *)sink;

	audit_files(u, u->err.code ? u->err.message : NULL);
	if (u->err.code) {
		if (u->err.code == ERROR_OUT_OF_RANGE)
			stream_headerf(sink->stream, "Content-Range", "bytes */%lld",
				       (long long)u->target.size);
		fs_reply_error(sink->stream, &u->err);
	} else {
		log_files(u);
		reply_files(u);
	}
	upload_free(u);
}

/*
 * The client disconnected during the upload. Written files stay; an atomic target is undone, on a
 * worker, because that needs system calls on the guest's file system.
 */
static void upload_gone(struct fs_sink *sink)
{
	sink->work.run = abandon_run;
	sink->work.done = abandon_done;
	work_submit(sink->workers, &sink->work);
}

static void abandon_run(struct work *work)
{
	struct upload *u = container_of(work, struct upload, sink.work);

	u->kind->clear(u);
}

static void abandon_done(struct work *work)
{
	struct upload *u = container_of(work, struct upload, sink.work);

	audit_files(u, "the client has gone");
	upload_free(u);
}
