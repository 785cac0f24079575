/* SPDX-License-Identifier: Apache-2.0 */
/* An upload whose body is the contents of the file. */
#include "fs/http/upload.h"

static int raw_begin(struct upload *u)
{
	char *path;

	if (upload_resolve(u, u->path, u->path_bytes, &path) < 0)
		return -1;
	return fs_target_open(&u->target, path, &u->options, &u->err);
}

static int raw_bytes(struct upload *u, const char *p, size_t n)
{
	return fs_target_write(&u->target, p, n, &u->err);
}

static int raw_buffer(struct upload *u, struct evbuffer *data)
{
	return fs_target_write_buffer(&u->target, data, &u->err);
}

static int raw_end(struct upload *u)
{
	if (fs_target_finish(&u->target, &u->err) < 0)
		return -1;
	return upload_add_file(u, u->target.path);
}

static void raw_clear(struct upload *u)
{
	fs_target_close(&u->target);
}

const struct upload_kind upload_raw = {
	.begin = raw_begin,
	.bytes = raw_bytes,
	.buffer = raw_buffer,
	.end = raw_end,
	.clear = raw_clear,
};
