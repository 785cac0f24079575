/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upload of a tar archive, which is unpacked into the directory of the query. The directory is
 * created if it does not exist.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/mem.h"
#include "fs/entry.h"
#include "fs/http/upload.h"
#include "fs/make_dirs.h"
#include "fs/untar.h"

struct tar_upload {
	struct fs_untar untar;
	char *path;
};

static int tar_begin(struct upload *u)
{
	struct tar_upload *t;
	int errnum, top;
	char *path;

	if (upload_resolve(u, u->path, u->path_bytes, &path) < 0)
		return -1;
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 && errno == ENOENT) {
		if (fs_make_dirs(path, u->user.uid, u->user.gid, &u->err, &errnum) < 0) {
			u->err.code = fs_errno_code(errnum);
			return error_prefix(&u->err, "error ensuring directories");
		}
		top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (top < 0)
		return error_set_errno(
			&u->err, errno == ENOTDIR ? ERROR_INVALID_ARGUMENT : ERROR_INTERNAL, errno,
			"error opening directory '%s'", fs_text(path, &u->arena));
	t = u->state = mem_alloc(sizeof(*t));
	t->path = path;
	fs_untar_init(&t->untar, top, u->user.uid, u->user.gid, &u->err);
	return 0;
}

static int tar_bytes(struct upload *u, const char *p, size_t n)
{
	struct tar_upload *t = u->state;

	return fs_untar_bytes(&t->untar, p, n);
}

static int tar_end(struct upload *u)
{
	struct tar_upload *t = u->state;

	if (fs_untar_finish(&t->untar, u->options.sync) < 0)
		return -1;
	return upload_add_dir(u, t->path);
}

static void tar_clear(struct upload *u)
{
	struct tar_upload *t = u->state;

	if (!t)
		return;
	fs_untar_clear(&t->untar);
	free(t);
	u->state = NULL;
}

const struct upload_kind upload_tar = {
	.begin = tar_begin,
	.bytes = tar_bytes,
	.end = tar_end,
	.clear = tar_clear,
};
