/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `GET /files` and `HEAD /files`:
 *
 *	fs_download_open (loop) → download_plan (worker) → send_answer (loop)
 *	→ the ranges of the file one after the other, or download_make_body
 */
#include "fs/http/download.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "fs/create.h"
#include "fs/entry.h"
#include "fs/http/disposition.h"
#include "fs/service_impl.h"
#include "rpc/http/http_date.h"
#include "rpc/http/stream.h"

static void plan_run(struct work *work);
static void plan_done(struct work *work);
static void send_answer(struct download *d);
static void send_body(struct download *d);
static void send_next_range(struct stream *s);
static void download_gone(struct stream *s);

static const struct stream_handler ranges_handler = {
	.writable = send_next_range,
	.gone = download_gone,
};

/* ---- the request ---- */

static bool given(const char *value)
{
	return value && *value;
}

static void read_head(struct download *d, struct stream *s)
{
	struct fs_conditions *c = &d->conditions;
	const char *accept = stream_header_in(s, "accept-encoding");

	c->if_match = stream_header_in(s, "if-match");
	c->if_none_match = stream_header_in(s, "if-none-match");
	c->if_modified_since = stream_header_in(s, "if-modified-since");
	c->if_unmodified_since = stream_header_in(s, "if-unmodified-since");
	c->if_range = stream_header_in(s, "if-range");
	d->range = stream_header_in(s, "range");
	d->coding = header_accept_encoding(accept);
	d->identity_refused = header_identity_refused(accept);
	d->wants_identity = given(d->range) || given(c->if_modified_since) ||
			    given(c->if_none_match) || given(c->if_range);
}

void fs_download_open(struct stream *s, void *arg)
{
	static const struct stream_handler waiting;
	struct fs_service *svc = arg;
	struct fs_request request;
	struct error err;
	struct download *d;
	int r;

	if (!fs_request_init(&request, s, svc) || !fs_request_authorise(&request, "read"))
		return;
	d = mem_zalloc(sizeof(*d));
	d->fd = -1;
	d->context = svc->context;
	d->stream = stream_ref(s);
	if (!fs_request_user(&request, &d->arena)) {
		download_free(d);
		return;
	}
	d->asked = request.path ? request.path : "";
	fs_log_file(s, "File read", d->asked, request.user.name);
	r = fs_resolve(&request.user, svc->context->default_workdir, d->asked, request.path_bytes,
		       "error expanding and resolving path", &d->arena, &d->path, &err);
	if (r < 0) {
		fs_reply_error(s, &err);
		download_free(d);
		return;
	}
	fs_log_file(s, "File read", d->path, request.user.name);
	read_head(d, s);
	stream_set_handler(s, &waiting, d);
	if (request.tar) {
		d->packed = request.gzip;
		download_tar(d);
		return;
	}
	d->work.run = plan_run;
	d->work.done = plan_done;
	work_submit(d->context->file_workers, &d->work);
}

/* ---- the answer ---- */

static void plan_run(struct work *work)
{
	download_plan(container_of(work, struct download, work));
}

static void plan_done(struct work *work)
{
	send_answer(container_of(work, struct download, work));
}

/* Adds the header fields that all answers about the file have. */
static void add_file_fields(struct download *d)
{
	struct stream *s = d->stream;
	char date[HTTP_DATE_BYTES];

	stream_header(s, "Content-Disposition",
		      fs_disposition_format(fs_path_name(d->path, &d->arena), &d->arena));
	if (d->sizeless || d->answer == DOWNLOAD_BAD_RANGE || d->answer == DOWNLOAD_UNSATISFIABLE)
		return;
	stream_header(s, "ETag",
		      d->gzip || (d->answer == DOWNLOAD_NOT_MODIFIED && !d->not_gzip)
			      ? d->validator.gzip_etag
			      : d->validator.etag);
	if (d->answer == DOWNLOAD_NOT_MODIFIED || d->gzip)
		return;
	if (d->validator.has_mtime && http_date_format(date, d->validator.mtime_s))
		stream_header(s, "Last-Modified", date);
	if (d->answer != DOWNLOAD_PRECONDITION)
		stream_header(s, "Accept-Ranges", "bytes");
}

static void send_answer(struct download *d)
{
	struct stream *s = d->stream;

	if (!stream_live(s)) {
		download_free(d);
		return;
	}
	if (d->vary)
		stream_header_set(s, "Vary", "Accept-Encoding");
	if (d->answer != DOWNLOAD_FAILURE)
		add_file_fields(d);
	switch (d->answer) {
	case DOWNLOAD_BYTES:
	case DOWNLOAD_FILE:
	case DOWNLOAD_MADE:
		send_body(d);
		return;
	case DOWNLOAD_FAILURE:
		fs_reply_error(s, &d->err);
		break;
	case DOWNLOAD_NOT_MODIFIED:
		stream_reply(s, 304, NULL, NULL, 0);
		break;
	case DOWNLOAD_PRECONDITION:
		stream_reply(s, 412, NULL, NULL, 0);
		break;
	case DOWNLOAD_UNSATISFIABLE:
		stream_headerf(s, "Content-Range", "bytes */%lld", (long long)d->st.st_size);
		fs_reply_text(s, 416, "invalid range: failed to overlap");
		break;
	case DOWNLOAD_BAD_RANGE:
		fs_reply_text(s, 416, "invalid range");
		break;
	}
	download_free(d);
}

static uint64_t range_last(const struct fs_range *range)
{
	return range->start + range->length - 1;
}

/* Returns the head of one part of multipart/byteranges (RFC 9110 section 14.6). */
static char *part_head(struct download *d, size_t i)
{
	const struct fs_range *range = &d->ranges[i];

	return arena_printf(&d->arena,
			    "%s--%s\r\nContent-Range: bytes %" PRIu64 "-%" PRIu64 "/%lld\r\n"
			    "Content-Type: %s\r\n\r\n",
			    i ? "\r\n" : "", d->boundary, range->start, range_last(range),
			    (long long)d->st.st_size, d->type);
}

static char *parts_end(struct download *d)
{
	return arena_printf(&d->arena, "\r\n--%s--\r\n", d->boundary);
}

/* Returns the length of the body with all parts. */
static uint64_t parts_length(struct download *d)
{
	uint64_t length = strlen(parts_end(d));
	size_t i;

	for (i = 0; i < d->n_ranges; i++)
		length += strlen(part_head(d, i)) + d->ranges[i].length;
	return length;
}

static char *make_boundary(struct arena *arena)
{
	return arena_printf(arena, "%016" PRIx64 "%016" PRIx64, fs_random(), fs_random());
}

bool download_is_head(const struct download *d)
{
	return strcmp(stream_head_in(d->stream)->method, "HEAD") == 0;
}

static void release_bytes(const void *p, size_t n, void *arg)
{
	free(arg);
}

/* Sends a body that is in memory, together with the head. */
static void send_bytes(struct download *d, unsigned status)
{
	char *bytes = d->bytes;

	stream_head(d->stream, status, (int64_t)d->n_bytes);
	if (d->n_bytes) {
		d->bytes = NULL;
		stream_send_ref(d->stream, bytes, d->n_bytes, release_bytes, bytes);
	}
	stream_finish(d->stream);
	download_free(d);
}

/* Sends the head and the body of a response that has a body. */
static void send_body(struct download *d)
{
	struct stream *s = d->stream;
	unsigned status = d->partial ? 206 : 200;
	int64_t length = STREAM_LENGTH_UNKNOWN;

	stream_header(s, "Content-Type", d->type);
	if (d->gzip)
		stream_header(s, "Content-Encoding", "gzip");
	if (d->partial && d->n_ranges > 1) {
		d->boundary = make_boundary(&d->arena);
		stream_header_set(
			s, "Content-Type",
			arena_printf(&d->arena, "multipart/byteranges; boundary=%s", d->boundary));
	} else if (d->partial) {
		stream_headerf(s, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%lld",
			       d->ranges[0].start, range_last(&d->ranges[0]),
			       (long long)d->st.st_size);
	}
	if (d->answer == DOWNLOAD_BYTES) {
		send_bytes(d, status);
		return;
	}
	if (d->boundary)
		length = (int64_t)parts_length(d);
	else if (!d->gzip && !d->sizeless)
		length = (int64_t)d->ranges[0].length;
	stream_head(s, status, length);
	if (download_is_head(d)) {
		stream_finish(s);
		download_free(d);
	} else if (d->answer == DOWNLOAD_MADE) {
		download_make_body(d);
	} else {
		stream_set_handler(s, &ranges_handler, d);
		send_next_range(s);
	}
}

/* Sends the next range, or ends the response. Called again when the range was sent. */
static void send_next_range(struct stream *s)
{
	struct download *d = stream_data(s);
	const struct fs_range *range;
	char *text;

	if (d->next_range == d->n_ranges) {
		if (d->boundary) {
			text = parts_end(d);
			stream_send_bytes(s, text, strlen(text));
		}
		stream_finish(s);
		download_free(d);
		return;
	}
	range = &d->ranges[d->next_range];
	if (d->boundary) {
		text = part_head(d, d->next_range);
		stream_send_bytes(s, text, strlen(text));
	}
	d->next_range++;
	stream_send_file(s, d->context->file_workers, d->fd, (off_t)range->start, range->length);
}

/* ---- the end ---- */

static void close_run(struct work *work);
static void close_done(struct work *work);

static void download_gone(struct stream *s)
{
	download_free(stream_data(s));
}

void download_free(struct download *d)
{
	/*
	 * A worker closes the file, because close(2) can take long: on a FUSE mount it waits for
	 * the server, and for a large unlinked file it frees the blocks.
	 */
	if (d->fd >= 0) {
		d->work.run = close_run;
		d->work.done = close_done;
		work_submit(d->context->file_workers, &d->work);
		return;
	}
	fd_close(&d->fd);
	stream_unref(d->stream);
	free(d->bytes);
	arena_clear(&d->arena);
	free(d);
}

static void close_run(struct work *work)
{
	fd_close(&container_of(work, struct download, work)->fd);
}

static void close_done(struct work *work)
{
	download_free(container_of(work, struct download, work));
}
