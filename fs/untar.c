/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/untar.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "fs/create.h"
#include "fs/text.h"

/* The maximum number of attempts at an openat2(2) that concurrent renames disturb (EAGAIN). */
#define BENEATH_TRIES 100

void fs_untar_init(struct fs_untar *u, int top, uid_t uid, gid_t gid, struct error *err)
{
	memset(u, 0, sizeof(*u));
	u->err = err;
	u->top = top;
	u->uid = uid;
	u->gid = gid;
	u->parent = u->fd = -1;
}

void fs_untar_clear(struct fs_untar *u)
{
	tar_read_clear(&u->reader);
	fd_close(&u->fd);
	fd_close(&u->parent);
	fd_close(&u->top);
	free(u->parent_path);
	u->parent_path = NULL;
	arena_clear(&u->arena);
}

/* ---- errors ---- */

/* Fails because of the archive (400). */
static int refuse(struct fs_untar *u, const char *why)
{
	return error_set(u->err, ERROR_INVALID_ARGUMENT, "cannot unpack '%s': %s",
			 fs_text(u->reader.entry.name, &u->arena), why);
}

/* Fails because of a system call; errno decides whether the archive is at fault. */
static int fail(struct fs_untar *u, int errnum, const char *what)
{
	switch (errnum < 0 ? -errnum : errnum) {
	case EXDEV: /* openat2: the path leads out */
		return refuse(u, "it leads out of the directory");
	case ELOOP:
	case ENOTDIR:
		return refuse(u, "an element of its path is not a directory");
	case EEXIST:
	case EISDIR:
	case ENOTEMPTY:
		return refuse(u, "a directory is in its place");
	case ENAMETOOLONG:
		return refuse(u, "its name is too long");
	case ENOSPC:
	case EDQUOT:
		return error_set(u->err, ERROR_RESOURCE_EXHAUSTED,
				 "not enough disk space available");
	default:
		return error_set_errno(u->err, ERROR_INTERNAL, errnum, "error unpacking '%s': %s",
				       fs_text(u->reader.entry.name, &u->arena), what);
	}
}

/* ---- paths ---- */

static int open_beneath(int top, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve,
	};
	unsigned tries = 0;
	int fd;

	/* EAGAIN: another process renamed something while ".." was looked up. */
	do {
		fd = (int)syscall(SYS_openat2, top, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < BENEATH_TRIES)));
	return fd < 0 ? -errno : fd;
}

/*
 * Returns the name without ".", double and trailing slashes, in the arena; "" for the top itself;
 * NULL if the name is absolute or contains "..".
 */
static char *clean_name(struct fs_untar *u, const char *name)
{
	char *clean = arena_alloc(&u->arena, strlen(name) + 1), *out = clean;
	size_t n;

	if (*name == '/')
		return NULL;
	for (; *name; name += n) {
		name += strspn(name, "/");
		n = strcspn(name, "/");
		if (n == 0 || (n == 1 && name[0] == '.'))
			continue;
		if (n == 2 && name[0] == '.' && name[1] == '.')
			return NULL;
		if (out != clean)
			*out++ = '/';
		memcpy(out, name, n);
		out += n;
	}
	*out = '\0';
	return clean;
}

/* Makes the directories of a path that are missing. 0 or -errno. */
static int make_missing(struct fs_untar *u, char *path)
{
	FD_AUTO int at = open_beneath(u->top, ".", O_PATH | O_DIRECTORY, 0);
	char *slash, *name = path;
	int r;

	while (at >= 0 && name) {
		slash = strchr(name, '/');
		if (slash)
			*slash = '\0';
		r = fs_create_dir(at, name, 0755 & ~u->mask, u->uid, u->gid);
		if (slash)
			*slash = '/';
		if (r < 0 && r != -EEXIST)
			return r;
		/* Opened by the whole path: a link in it may lead elsewhere inside the top. */
		fd_close(&at);
		if (slash)
			*slash = '\0';
		at = open_beneath(u->top, path, O_PATH | O_DIRECTORY, 0);
		if (slash)
			*slash = '/';
		name = slash ? slash + 1 : NULL;
	}
	return at < 0 ? at : 0;
}

/* Opens the directory of a cleaned path. 0 or -errno. */
static int find_parent(struct fs_untar *u, const char *path)
{
	const uint64_t flags = O_PATH | O_DIRECTORY;

	u->parent = open_beneath(u->top, path, flags, RESOLVE_NO_SYMLINKS);
	u->parent_real = u->parent >= 0;
	if (u->parent == -ELOOP)
		u->parent = open_beneath(u->top, path, flags, 0);
	return u->parent < 0 ? u->parent : 0;
}

/* Opens or makes an entry's directory; keeps the last one if it is the same. 0 or -errno. */
static int open_parent(struct fs_untar *u, const char *path)
{
	char *copy;
	int r;

	if (u->parent >= 0 && strcmp(path, u->parent_path) == 0)
		return 0;
	fd_close(&u->parent);
	free(u->parent_path);
	u->parent_path = mem_strdup(path);
	copy = arena_strdup(&u->arena, *path ? path : ".");
	r = find_parent(u, copy);
	if (r == -ENOENT) {
		r = make_missing(u, copy);
		if (r == 0)
			r = find_parent(u, copy);
	}
	return r;
}

/* Opens an entry's directory. Returns the name in it, "" for the top, NULL after a failure. */
static const char *begin(struct fs_untar *u, const struct tar_entry *e)
{
	char *path = clean_name(u, e->name), *slash;
	int r;

	if (!path) {
		refuse(u, "its name is absolute or has '..' in it");
		return NULL;
	}
	if (*path == '\0')
		return path;
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	r = open_parent(u, slash ? path : "");
	if (r < 0) {
		fail(u, r, "preparing its directory");
		return NULL;
	}
	return slash ? slash + 1 : path;
}

/* Removes the existing file of an entry's name, unless it is a directory. */
static int clear_place(struct fs_untar *u, const char *name)
{
	if (unlinkat(u->parent, name, 0) < 0 && errno != ENOENT)
		return fail(u, errno, "replacing what was there");
	return 0;
}

/* ---- links ---- */

/* Returns true if a symbolic link in `parent` stays inside the top: the rule of fs/untar.h. */
static bool target_is_inside(const struct fs_untar *u, const char *target)
{
	size_t depth = *u->parent_path ? 1 : 0, up = 0, n;
	const char *p;
	bool down = false;

	for (p = u->parent_path; *p; p++)
		depth += *p == '/';
	if (*target == '/' || *target == '\0' || !u->parent_real)
		return false;
	for (p = target; *p; p += n) {
		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			if (down || ++up > depth)
				return false;
		} else if (n && !(n == 1 && p[0] == '.')) {
			down = true;
		}
	}
	return true;
}

static int make_symlink(struct fs_untar *u, const char *name, const struct tar_entry *e)
{
	int r;

	if (!target_is_inside(u, e->link))
		return refuse(u, "the link leads out of the directory, or may do so");
	if (clear_place(u, name) < 0)
		return -1;
	r = fs_create_symlink(u->parent, name, e->link, u->uid, u->gid);
	return r < 0 ? fail(u, r, "making a link") : 0;
}

/*
 * Makes a hard link. A hard link to a symbolic link is refused: a relative target means another
 * file from another directory.
 */
static int make_hard_link(struct fs_untar *u, const char *name, const struct tar_entry *e)
{
	char *path = clean_name(u, e->link), self[40];
	FD_AUTO int fd = -1;
	struct stat st, old;

	if (!path || !*path)
		return refuse(u, "the link leads out of the directory");
	fd = open_beneath(u->top, path, O_PATH | O_NOFOLLOW, 0);
	if (fd == -ENOENT)
		return refuse(u, "it is a hard link to a file that does not exist");
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(u, fd < 0 ? fd : errno, "opening the target of the hard link");
	if (!S_ISREG(st.st_mode))
		return refuse(u, "it is a hard link to something other than a file");
	/* The name exists and is the same file already: nothing to do. */
	if (fstatat(u->parent, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_dev == st.st_dev &&
	    old.st_ino == st.st_ino)
		return 0;
	if (clear_place(u, name) < 0)
		return -1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, u->parent, name, AT_SYMLINK_FOLLOW) < 0)
		return fail(u, errno, "making a link");
	return 0;
}

/* ---- other types ---- */

/* Makes a directory; an existing one is not changed. */
static int make_directory(struct fs_untar *u, const char *name, const struct tar_entry *e)
{
	FD_AUTO int fd = -1;
	int r;

	if (*name == '\0')
		return 0;
	r = fs_create_dir(u->parent, name, e->mode & 01777 & ~u->mask, u->uid, u->gid);
	if (r == -EEXIST) {
		fd = openat(u->parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			return 0;
		/* A link to a directory inside the top is accepted in its place. */
		fd = open_beneath(u->parent, name, O_PATH | O_DIRECTORY, 0);
		return fd < 0 ? refuse(u, "an existing entry is not a directory") : 0;
	}
	return r < 0 ? fail(u, r, "making a directory") : 0;
}

static int make_node(struct fs_untar *u, const char *name, const struct tar_entry *e)
{
	mode_t type = S_IFIFO;
	int r;

	if (u->no_nodes)
		return refuse(u, "devices and FIFOs are not created");
	if (e->type != TAR_FIFO && u->uid != 0)
		return refuse(u, "only root may create devices");
	if (e->type != TAR_FIFO)
		type = e->type == TAR_CHAR_DEVICE ? S_IFCHR : S_IFBLK;
	if (clear_place(u, name) < 0)
		return -1;
	r = fs_create_node(u->parent, name, type | (e->mode & 0777), makedev(e->major, e->minor),
			   u->uid, u->gid);
	return r < 0 ? fail(u, r, "making it") : 0;
}

static int open_file(struct fs_untar *u, const char *name)
{
	int r;

	if (clear_place(u, name) < 0)
		return -1;
	u->fd = openat(u->parent, name,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
	if (u->fd < 0)
		return fail(u, errno, "making a file");
	r = fs_give(u->fd, u->uid, u->gid);
	return r < 0 ? fail(u, r, "making a file") : 0;
}

static int begin_entry(struct fs_untar *u)
{
	const struct tar_entry *e = &u->reader.entry;
	const char *name = begin(u, e);

	if (!name)
		return -1;
	if (*name == '\0' && e->type != TAR_DIRECTORY)
		return refuse(u, "it has no name");
	switch (e->type) {
	case TAR_FILE:
		return open_file(u, name);
	case TAR_DIRECTORY:
		return make_directory(u, name, e);
	case TAR_SYMLINK:
		return make_symlink(u, name, e);
	case TAR_HARD_LINK:
		return make_hard_link(u, name, e);
	case TAR_FIFO:
	case TAR_CHAR_DEVICE:
	case TAR_BLOCK_DEVICE:
		return make_node(u, name, e);
	default:
		return refuse(u, "it is of a type that is not supported");
	}
}

static int end_entry(struct fs_untar *u)
{
	const struct tar_entry *e = &u->reader.entry;
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_NOW},
		{.tv_sec = e->mtime_s, .tv_nsec = e->mtime_ns},
	};

	if (u->fd >= 0) {
		if (fchmod(u->fd, e->mode & 0777 & ~u->mask) < 0 || futimens(u->fd, times) < 0)
			return fail(u, errno, "setting mode and time");
		/* NFS reports a lack of space at close(2). */
		if (close(fd_take(&u->fd)) < 0 && errno != EINTR)
			return fail(u, errno, "writing");
	}
	arena_clear(&u->arena);
	return 0;
}

int fs_untar_bytes(struct fs_untar *u, const char *p, size_t n)
{
	struct tar_read *t = &u->reader;
	int r = 0;

	while (r == 0) {
		switch (tar_read_next(t, &p, &n)) {
		case TAR_READ_MORE:
		case TAR_READ_END:
			return 0;
		case TAR_READ_ENTRY:
			r = begin_entry(u);
			break;
		case TAR_READ_DATA:
			r = fd_write_all(u->fd, t->data, t->data_bytes);
			if (r < 0)
				r = fail(u, r, "writing");
			break;
		case TAR_READ_ENTRY_END:
			r = end_entry(u);
			break;
		case TAR_READ_ERROR:
			r = error_set(u->err, ERROR_INVALID_ARGUMENT, "invalid tar archive: %s",
				      t->error);
			break;
		}
	}
	return r;
}

int fs_untar_finish(struct fs_untar *u, bool sync)
{
	if (tar_read_finish(&u->reader) < 0)
		return error_set(u->err, ERROR_INVALID_ARGUMENT, "invalid tar archive: %s",
				 u->reader.error);
	if (sync && syncfs(u->top) < 0)
		return error_set_errno(u->err, fs_errno_code(errno), errno,
				       "error writing to disk");
	return 0;
}
