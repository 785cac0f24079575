/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of files as tar archives, which are made and unpacked while they are sent. */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/client/exchange.h"
#include "envd/commands/transfer.h"
#include "envd/commands/transfer_impl.h"
#include "fs/tar_write.h"
#include "fs/untar.h"
#include "fs/walk.h"

/* ---- from the guest ---- */

int transfer_get_tree(const struct client *c, const char *path, int top, mode_t mask,
		      struct progress *p, struct error *err)
{
	char *target = transfer_target(c, path, "&format=tar");
	struct exchange *x = mem_zalloc(sizeof(*x));
	enum reply_event event = REPLY_ERROR;
	struct fs_untar untar;
	const char *type;
	int r;

	fs_untar_init(&untar, top, geteuid(), getegid(), err);
	/* A guest must not choose devices of this machine. */
	untar.no_nodes = true;
	untar.mask = mask;
	r = exchange_open(x, c, "GET", target, "", 0, err);
	if (r == 0)
		r = exchange_head(x, err);
	if (r == 0 && x->reply.status != 200)
		r = exchange_refused(x, err);
	type = r == 0 ? reply_field(&x->reply, "Content-Type") : NULL;
	if (r == 0 && (!type || strcmp(type, "application/x-tar") != 0))
		r = error_set(err, ERROR_UNIMPLEMENTED, "this envd sends no directories");
	while (r == 0 && (event = exchange_next(x, CLIENT_SILENCE_MS, err)) == REPLY_DATA) {
		progress_add(p, x->reply.data_bytes);
		r = fs_untar_bytes(&untar, x->reply.data, x->reply.data_bytes);
	}
	if (r == 0 && event == REPLY_MORE)
		r = error_set(err, ERROR_UNAVAILABLE, "%s: nothing comes", c->to);
	if (r == 0)
		r = event == REPLY_END ? fs_untar_finish(&untar, false) : -1;
	fs_untar_clear(&untar);
	exchange_close(x);
	free(x);
	free(target);
	return r;
}

/* ---- to the guest ---- */

/* An upload of entries. */
struct archive {
	struct exchange *x;
	struct evbuffer *out;
	struct progress *progress;
	struct error *err;
	bool answered; /* the daemon has answered already: it refuses */
	char piece[TRANSFER_PIECE_BYTES];
};

/* Sends what was added to `out`. 0 or -1. */
static int flush(struct archive *a)
{
	size_t n = evbuffer_get_length(a->out);
	int r;

	if (a->answered || n == 0)
		return 0;
	exchange_put(a->x, evbuffer_pullup(a->out, -1), n);
	evbuffer_drain(a->out, n);
	progress_add(a->progress, n);
	r = exchange_send(a->x, a->err);
	a->answered = r > 0;
	return r < 0 ? -1 : 0;
}

/* Adds the contents of an open file, exactly as many bytes as its header says. 0 or -1. */
static int add_contents(struct archive *a, int fd, const struct tar_entry *e)
{
	uint64_t left = e->size;

	while (left && !a->answered) {
		size_t want = left < sizeof(a->piece) ? (size_t)left : sizeof(a->piece);
		ssize_t n = fd_read_all(fd, a->piece, want);

		if (n < 0)
			return error_set_errno(a->err, ERROR_ABORTED, (int)n, "%s", e->name);
		if ((size_t)n < want)
			return error_set(a->err, ERROR_ABORTED,
					 "%s: the file became shorter meanwhile", e->name);
		evbuffer_add(a->out, a->piece, (size_t)n);
		left -= (uint64_t)n;
		if (flush(a) < 0)
			return -1;
	}
	tar_write_padding(e->size, a->out);
	return 0;
}

static void describe(struct tar_entry *e, const struct stat *st, char type)
{
	e->type = type;
	e->mode = st->st_mode & 07777;
	e->mtime_s = st->st_mtim.tv_sec;
	e->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	e->size = type == TAR_FILE ? (uint64_t)st->st_size : 0;
}

/* Adds an open regular file. 0 or -1. */
static int add_file(struct archive *a, int fd, struct tar_entry *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(a->err, ERROR_ABORTED, errno, "%s", e->name);
	if (!S_ISREG(st.st_mode))
		return error_set(a->err, ERROR_ABORTED, "%s: not a regular file", e->name);
	describe(e, &st, TAR_FILE);
	tar_write_header(e, a->out);
	return add_contents(a, fd, e);
}

/* Adds the current entry of a walk, and enters a directory. 0 or -1. */
static int add_entry(struct archive *a, struct fs_walk *walk)
{
	struct tar_entry e = {.name = walk->relative, .link = "", .user = "", .group = ""};
	char link[PATH_MAX], *name;
	int at = fs_walk_dirfd(walk), r;
	struct stat st;
	ssize_t n;

	if (fstatat(at, walk->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(a->err, ERROR_ABORTED, errno, "%s", walk->relative);
	if (S_ISREG(st.st_mode)) {
		FD_AUTO int fd = openat(at, walk->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			return error_set_errno(a->err, ERROR_ABORTED, errno, "%s", walk->relative);
		return add_file(a, fd, &e);
	}
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(at, walk->name, link, sizeof(link) - 1);
		if (n < 0)
			return error_set_errno(a->err, ERROR_ABORTED, errno, "%s", walk->relative);
		link[n] = '\0';
		e.link = link;
		describe(&e, &st, TAR_SYMLINK);
		tar_write_header(&e, a->out);
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		return error_set(a->err, ERROR_ABORTED, "%s: neither file, directory nor link",
				 walk->relative);
	name = mem_alloc(strlen(walk->relative) + 2);
	strcpy(stpcpy(name, walk->relative), "/");
	e.name = name;
	describe(&e, &st, TAR_DIRECTORY);
	tar_write_header(&e, a->out);
	r = fs_walk_enter(walk);
	if (r < 0)
		error_set_errno(a->err, ERROR_ABORTED, r, "%s", name);
	free(name);
	return r < 0 ? -1 : 0;
}

/* Adds all entries of a directory, whose ownership passes. 0 or -1. */
static int add_tree(struct archive *a, int top)
{
	enum fs_walk_event event = FS_WALK_PAUSE;
	struct fs_walk walk;
	int r = fs_walk_init(&walk, top);

	if (r < 0)
		return error_set_errno(a->err, ERROR_ABORTED, r, "the directory");
	while (r == 0 && !a->answered && (event = fs_walk_next(&walk)) != FS_WALK_END) {
		if (event == FS_WALK_ERROR)
			r = error_set_errno(a->err, ERROR_ABORTED, walk.error, "%s", walk.relative);
		else if (event == FS_WALK_ENTRY)
			r = add_entry(a, &walk);
		if (r == 0 && evbuffer_get_length(a->out) >= TRANSFER_PIECE_BYTES)
			r = flush(a);
	}
	fs_walk_clear(&walk);
	return r;
}

static struct archive *archive_new(const struct client *c, const char *path, struct progress *p,
				   struct error *err)
{
	struct archive *a = mem_zalloc(sizeof(*a));
	char *target = transfer_target(c, path, "&format=tar");

	a->x = mem_zalloc(sizeof(*a->x));
	a->out = evbuffer_new();
	/* Fatal: a command on the host, which serves nobody else. */
	if (!a->out)
		fatal("evbuffer_new failed");
	a->progress = p;
	a->err = err;
	if (exchange_open(a->x, c, "POST", target, "Content-Type: application/x-tar\r\n",
			  EXCHANGE_CHUNKED, err) < 0)
		a->answered = true; /* archive_finish reports it */
	free(target);
	return a;
}

/* Ends the archive if r is 0, and frees it. 0 or -1. */
static int archive_finish(struct archive *a, int r)
{
	struct exchange *x = a->x;
	bool open = x->fd >= 0;

	if (r == 0 && open) {
		tar_write_end(a->out);
		r = flush(a);
	}
	if (r == 0 && open && !a->answered)
		exchange_put_end(x);
	if (r == 0)
		r = open ? exchange_success(x, a->err) : -1;
	exchange_close(x);
	evbuffer_free(a->out);
	free(x);
	free(a);
	return r;
}

int transfer_put_tree(const struct client *c, const char *path, int top, struct progress *p,
		      struct error *err)
{
	struct archive *a = archive_new(c, path, p, err);

	return archive_finish(a, add_tree(a, top));
}

int transfer_put_entry(const struct client *c, const char *directory, const char *name, int fd,
		       struct progress *p, struct error *err)
{
	struct archive *a = archive_new(c, directory, p, err);
	struct tar_entry e = {.name = name, .link = "", .user = "", .group = ""};

	return archive_finish(a, a->answered ? 0 : add_file(a, fd, &e));
}
