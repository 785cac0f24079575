/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/tar_source.h"

#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "fs/entry.h"
#include "fs/http/gzip_out.h"
#include "fs/http/source.h"
#include "fs/netmount.h"
#include "fs/tar_write.h"
#include "fs/walk.h"
#include "rpc/context.h"

#define READ_BYTES (64 * 1024)

struct tar_source {
	struct fs_source source; /* first */
	struct context *context;
	int top; /* the directory; -1 once the walk owns it */
	bool walking;
	struct fs_walk walk;
	dev_t dev; /* device of the directory */
	struct fs_owners owners;
	struct arena arena;	   /* for one entry */
	int fd;			   /* the current file, or -1 */
	uint64_t size, left;	   /* size of the file, and its remaining bytes */
	struct gzip_out *gzip;	   /* NULL: plain */
	struct evbuffer *raw;	   /* bytes to compress */
	struct budget_share share; /* for the names of a large directory */
};

/* ---- entries ---- */

/* Reads the target of a link. NULL and errno if it can't be read. */
static const char *read_link(struct tar_source *t, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fs_walk_dirfd(&t->walk), name, target, sizeof(target));

	return n < 0 ? NULL : arena_strndup(&t->arena, target, (size_t)n);
}

/*
 * Opens a regular file. Returns 1 on success. Returns 0 if the file is gone or unreadable, and the
 * archive leaves it out. Returns -errno if the daemon can't open it now (EMFILE, ENOMEM, EIO of the
 * disk), and the archive is aborted, because a complete archive must not lack a file.
 */
static int open_file(struct tar_source *t, const char *name, struct stat *st)
{
	int r;

	t->fd = openat(fs_walk_dirfd(&t->walk), name,
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (t->fd >= 0 && fstat(t->fd, st) == 0) {
		if (S_ISREG(st->st_mode))
			return 1;
		fd_close(&t->fd);
		return 0;
	}
	r = -errno;
	fd_close(&t->fd);
	switch (r) {
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -EINTR:
	case -EIO:
		return r;
	default:
		return 0;
	}
}

/* Returns true if a directory is the root of one of the kernel's own file systems. */
static bool is_kernels(struct tar_source *t, const struct stat *st)
{
	FD_AUTO int fd = -1;
	struct statfs fs;

	if (st->st_dev == t->dev)
		return false;
	fd = openat(fs_walk_dirfd(&t->walk), t->walk.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && fstatfs(fd, &fs) == 0 && fs_magic_is_sizeless((long)fs.f_type);
}

/*
 * Fills in the type of the entry and the fields of this type. 1; 0: the entry is left out; -errno:
 * the archive is aborted.
 */
static int describe(struct tar_source *t, struct stat *st, struct tar_entry *e)
{
	int r;

	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		r = open_file(t, t->walk.name, st);
		if (r <= 0)
			return r;
		e->type = TAR_FILE;
		e->size = (uint64_t)st->st_size;
		return 1;
	case S_IFDIR:
		e->type = TAR_DIRECTORY;
		e->name = arena_printf(&t->arena, "%s/", t->walk.relative);
		return 1;
	case S_IFLNK:
		e->type = TAR_SYMLINK;
		e->link = read_link(t, t->walk.name);
		return e->link ? 1 : errno == EIO || errno == ENOMEM ? -errno : 0;
	case S_IFIFO:
		e->type = TAR_FIFO;
		return 1;
	case S_IFCHR:
	case S_IFBLK:
		e->type = S_ISCHR(st->st_mode) ? TAR_CHAR_DEVICE : TAR_BLOCK_DEVICE;
		e->major = major(st->st_rdev);
		e->minor = minor(st->st_rdev);
		return 1;
	default:
		return 0;
	}
}

/*
 * Adds an entry that can't be read: a mount whose server has died becomes an empty directory. If it
 * is a file, it is left out, because an entry without its contents would be wrong.
 */
static void add_dead(struct tar_source *t, int errnum, struct evbuffer *out)
{
	struct tar_entry e = {.type = TAR_DIRECTORY, .link = "", .user = "", .group = ""};

	log_warn("an archive lacks '%s': %s", t->walk.relative, error_errno_text(errnum));
	if (t->walk.type != DT_DIR)
		return;
	e.name = arena_printf(&t->arena, "%s/", t->walk.relative);
	e.mode = 0755;
	tar_write_header(&e, out);
}

/* Adds the header of the current entry, and enters a directory. 0 or -errno. */
static int add_entry(struct tar_source *t, struct evbuffer *out)
{
	struct tar_entry e = {.name = t->walk.relative, .link = ""};
	struct stat st;
	int r;

	arena_clear(&t->arena);
	if (fstatat(fs_walk_dirfd(&t->walk), t->walk.name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		r = -errno;
		if (!fs_errno_is_dead_mount(r))
			return r == -ENOENT ? 0 : r;
		add_dead(t, r, out);
		return 0;
	}
	r = describe(t, &st, &e);
	if (r <= 0)
		return r;
	e.mode = st.st_mode & 07777;
	e.uid = st.st_uid;
	e.gid = st.st_gid;
	e.user = fs_owner_name(&t->owners, false, st.st_uid, &t->arena);
	e.group = fs_owner_name(&t->owners, true, st.st_gid, &t->arena);
	e.mtime_s = st.st_mtim.tv_sec;
	e.mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	tar_write_header(&e, out);
	t->size = t->left = e.size;
	if (e.type != TAR_DIRECTORY || is_kernels(t, &st))
		return 0;
	r = fs_walk_enter(&t->walk);
	if (r < 0 && fs_errno_is_dead_mount(r))
		log_warn("an archive lacks the contents of '%s': %s", t->walk.relative,
			 error_errno_text(r));
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || fs_errno_is_dead_mount(r) ? 0 : r;
}

/* Adds a piece of the current file, and the padding of its last block. 0 or -errno. */
static int add_contents(struct tar_source *t, struct evbuffer *out)
{
	size_t want = t->left < READ_BYTES ? (size_t)t->left : READ_BYTES;
	struct evbuffer_iovec iov;
	ssize_t n;

	if (want) {
		evbuffer_reserve_space(out, (ev_ssize_t)want, &iov, 1);
		n = fd_read_all(t->fd, iov.iov_base, want);
		iov.iov_len = n > 0 ? (size_t)n : 0;
		evbuffer_commit_space(out, &iov, 1);
		if (n < (ssize_t)want)
			return n < 0 ? (int)n : -EIO;
		t->left -= (uint64_t)n;
	}
	if (t->left == 0) {
		tar_write_padding(t->size, out);
		fd_close(&t->fd);
	}
	return 0;
}

/* ---- pieces ---- */

/*
 * Adds the next bytes to the archive. 1: more follows, or a pause (*pause); 0: the end; or -errno.
 */
static int add_some(struct tar_source *t, struct evbuffer *out, bool *pause)
{
	int r;

	if (t->fd >= 0) {
		r = add_contents(t, out);
		return r < 0 ? r : 1;
	}
	switch (fs_walk_next(&t->walk)) {
	case FS_WALK_ENTRY:
		r = add_entry(t, out);
		return r < 0 ? r : 1;
	case FS_WALK_PAUSE:
		*pause = true;
		return 1;
	case FS_WALK_ERROR:
		return t->walk.error;
	case FS_WALK_END:
		break;
	}
	tar_write_end(out);
	return 0;
}

static void compress_raw(struct tar_source *t, bool last, struct evbuffer *out)
{
	size_t n = evbuffer_get_length(t->raw);

	gzip_out_write(t->gzip, evbuffer_pullup(t->raw, -1), n, last, out);
	evbuffer_drain(t->raw, n);
}

static int tar_begin(struct tar_source *t)
{
	struct stat st;

	if (fstat(t->top, &st) < 0)
		return -errno;
	t->dev = st.st_dev;
	t->walking = true;
	return fs_walk_init(&t->walk, fd_take(&t->top));
}

static int tar_fill(struct fs_source *source, struct evbuffer *out)
{
	struct tar_source *t = (struct tar_source *)source;
	struct evbuffer *to = t->gzip ? t->raw : out;
	bool pause = false;
	int r = t->walking ? 1 : tar_begin(t);

	if (r < 0)
		return r;
	do {
		r = add_some(t, to, &pause);
		if (r < 0)
			return r;
		/* Large pieces compress better. */
		if (t->gzip && (r == 0 || evbuffer_get_length(to) >= READ_BYTES))
			compress_raw(t, r == 0, out);
	} while (r && !pause && evbuffer_get_length(out) < FS_SOURCE_PIECE_BYTES);
	return r;
}

/* Charges the names of a large directory. */
static bool tar_admit(struct fs_source *source)
{
	struct tar_source *t = (struct tar_source *)source;

	return budget_share_set(&t->share, t->walk.memory_bytes);
}

/* ---- the end ---- */

/* A worker closes the descriptors: close(2) on a network mount waits for the server. */
static void close_run(struct work *work)
{
	struct tar_source *t = container_of(work, struct tar_source, source.work);

	fd_close(&t->fd);
	fd_close(&t->top);
	if (t->walking)
		fs_walk_clear(&t->walk);
}

static void close_done(struct work *work)
{
	struct tar_source *t = container_of(work, struct tar_source, source.work);

	gzip_out_free(t->gzip);
	if (t->raw)
		evbuffer_free(t->raw);
	fs_owners_clear(&t->owners);
	arena_clear(&t->arena);
	free(t);
}

static void tar_release(struct fs_source *source)
{
	struct tar_source *t = (struct tar_source *)source;

	budget_share_clear(&t->share);
	source->work.run = close_run;
	source->work.done = close_done;
	work_submit(source->workers, &source->work);
}

void fs_tar_source_start(struct stream *s, struct context *context, int fd, bool gzip)
{
	struct tar_source *t = mem_zalloc(sizeof(*t));

	t->context = context;
	budget_share_init(&t->share, &context->budget, BUDGET_CLASS_RESPONSES);
	t->top = fd;
	t->fd = -1;
	fs_owners_init(&t->owners, context->users);
	if (gzip) {
		t->gzip = gzip_out_new();
		t->raw = evbuffer_new();
	}
	t->source.fill = tar_fill;
	t->source.admit = tar_admit;
	t->source.release = tar_release;
	fs_source_start(&t->source, s, context->file_workers);
}
