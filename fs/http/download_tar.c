/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `GET /files?path=DIR&format=tar`: sends a directory as a tar archive. With `gzip=1` the archive
 * itself is compressed; otherwise the response is, if the client accepts gzip.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "fs/entry.h"
#include "fs/http/disposition.h"
#include "fs/http/download.h"
#include "fs/http/tar_source.h"
#include "rpc/context.h"
#include "rpc/http/stream.h"

static void tar_run(struct work *work)
{
	struct download *d = container_of(work, struct download, work);
	const char *shown = fs_text(d->path, &d->arena);

	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
	if (d->fd >= 0)
		return;
	if (errno == ENOENT)
		error_set(&d->err, ERROR_NOT_FOUND, "path '%s' does not exist", shown);
	else if (errno == ENOTDIR)
		error_set(&d->err, ERROR_INVALID_ARGUMENT, "path '%s' is not a directory", shown);
	else
		error_set_errno(&d->err, ERROR_INTERNAL, errno, "error opening directory '%s'",
				shown);
}

/* Returns the name of the archive: the directory's name with an extension. */
static char *archive_name(struct download *d)
{
	const char *name = fs_path_name(d->path, &d->arena);

	if (strchr(name, '/') || path_is_dots(name))
		name = "files";
	return arena_printf(&d->arena, "%s.tar%s", name, d->packed ? ".gz" : "");
}

static void send_archive(struct download *d)
{
	struct stream *s = d->stream;
	bool gzip = !d->packed && (d->coding == HEADER_CODING_GZIP || d->identity_refused);

	stream_header_set(s, "Vary", "Accept-Encoding");
	stream_header(s, "Content-Disposition", fs_disposition_format(archive_name(d), &d->arena));
	stream_header(s, "Content-Type", d->packed ? "application/gzip" : "application/x-tar");
	if (gzip)
		stream_header(s, "Content-Encoding", "gzip");
	stream_head(s, 200, STREAM_LENGTH_UNKNOWN);
	if (download_is_head(d))
		stream_finish(s);
	else
		fs_tar_source_start(s, d->context, fd_take(&d->fd), gzip || d->packed);
	download_free(d);
}

static void tar_done(struct work *work)
{
	struct download *d = container_of(work, struct download, work);

	if (stream_live(d->stream) && d->err.code == ERROR_OK) {
		send_archive(d);
		return;
	}
	if (stream_live(d->stream))
		fs_reply_error(d->stream, &d->err);
	download_free(d);
}

void download_tar(struct download *d)
{
	if (d->coding == HEADER_CODING_NONE) {
		error_set(&d->err, ERROR_UNIMPLEMENTED,
			  "error parsing Accept-Encoding: no acceptable encoding found, supported: "
			  "[gzip]");
		fs_reply_error(d->stream, &d->err);
		download_free(d);
		return;
	}
	d->work.run = tar_run;
	d->work.done = tar_done;
	work_submit(d->context->file_workers, &d->work);
}
