/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"

/* The most bytes that one copy_file_range(2) copies. */
#define PIECE_BYTES (16u * 1024 * 1024)

/* Bytes for each read(2) and write(2) if the kernel can't copy between the two files. */
#define BUFFER_BYTES (256u * 1024)

/* The ACL that new entries of a directory inherit (acl(5)): set when the directory is complete. */
#define DEFAULT_ACL "system.posix_acl_default"

struct fs_copy_level {
	struct stat st;
	char *acl; /* owned; NULL: none */
	size_t acl_bytes;
};

/* ---- attributes ---- */

/* Returns true if the file system can't keep an attribute: mv(1) then continues without it. */
static bool is_refusal(int errnum)
{
	return errnum == EPERM || errnum == EACCES || errnum == ENOTSUP || errnum == ENOSYS ||
	       errnum == ENODATA;
}

/* Copies the extended attributes; a directory's default ACL goes into `level`. 0 or -errno. */
static int copy_attributes(int from, int to, struct fs_copy_level *level)
{
	char *names = mem_alloc(XATTR_LIST_MAX), *value = mem_alloc(XATTR_SIZE_MAX), *name;
	ssize_t bytes, n = flistxattr(from, names, XATTR_LIST_MAX);
	int r = 0;

	for (name = names; r == 0 && n > 0 && name < names + n; name += strlen(name) + 1) {
		bytes = fgetxattr(from, name, value, XATTR_SIZE_MAX);
		if (bytes < 0)
			continue;
		if (level && strcmp(name, DEFAULT_ACL) == 0) {
			level->acl = mem_dup(value, (size_t)bytes);
			level->acl_bytes = (size_t)bytes;
		} else if (fsetxattr(to, name, value, (size_t)bytes, 0) < 0 && !is_refusal(errno)) {
			r = -errno;
		}
	}
	free(names);
	free(value);
	return r;
}

/* Sets owner, mode and times, in this order: a change of owner clears setuid and setgid. */
static int copy_status(int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (fchown(fd, st->st_uid, st->st_gid) < 0 && !is_refusal(errno))
		return -errno;
	if (fchmod(fd, st->st_mode & 07777) < 0 && !is_refusal(errno))
		return -errno;
	return futimens(fd, times) < 0 && !is_refusal(errno) ? -errno : 0;
}

/* ---- a file ---- */

static int begin_file(struct fs_copy *c, int from, const char *from_name, int to,
		      const char *to_name)
{
	c->in = openat(from, from_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (c->in < 0 || fstat(c->in, &c->st) < 0)
		return -errno;
	if (!S_ISREG(c->st.st_mode))
		return -EBUSY;
	c->out = openat(to, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (c->out < 0)
		return -errno;
	c->offset = 0;
	c->state = FS_COPY_FILE;
	return 0;
}

/* Copies by reading and writing. Returns the number of bytes, 0 at the end, or -errno. */
static ssize_t copy_slowly(struct fs_copy *c, size_t n)
{
	char *buffer = mem_alloc(BUFFER_BYTES);
	ssize_t got = pread(c->in, buffer, n < BUFFER_BYTES ? n : BUFFER_BYTES, c->offset);
	int r = got < 0 ? -errno : 0;

	if (got > 0 && lseek(c->out, c->offset, SEEK_SET) < 0)
		r = -errno;
	if (r == 0 && got > 0)
		r = fd_write_all(c->out, buffer, (size_t)got);
	free(buffer);
	return r < 0 ? r : got;
}

/* Copies one piece, skipping holes. Returns 1 if more follows, 0 at the end, or -errno. */
static int copy_piece(struct fs_copy *c)
{
	off_t data = lseek(c->in, c->offset, SEEK_DATA), hole, from, to;
	size_t n = PIECE_BYTES;
	ssize_t done;

	/* A file of size 0 may have contents (procfs), and a file system may not support holes. */
	if (data < 0 && errno == ENXIO && c->st.st_size)
		return 0;
	if (data >= 0) {
		c->offset = data;
		hole = lseek(c->in, data, SEEK_HOLE);
		if (hole > data && hole - data < PIECE_BYTES)
			n = (size_t)(hole - data);
	}
	from = to = c->offset;
	done = copy_file_range(c->in, &from, c->out, &to, n, 0);
	/*
	 * The kernel may refuse to copy between two file systems, and may take a file with contents
	 * for an empty one (procfs).
	 */
	if (done <= 0 && (done == 0 || errno != ENOSPC))
		done = copy_slowly(c, n);
	else if (done < 0)
		done = -errno;
	if (done <= 0)
		return (int)done;
	c->offset += done;
	return 1;
}

static int end_file(struct fs_copy *c)
{
	struct stat now;
	int r;

	if (fstat(c->in, &now) < 0)
		return -errno;
	/* The source changed during the copy. */
	if (now.st_size != c->st.st_size || now.st_mtim.tv_sec != c->st.st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != c->st.st_mtim.tv_nsec)
		return -EBUSY;
	/* Extends the copy by the hole at the end of the source. */
	if (c->st.st_size && ftruncate(c->out, c->st.st_size) < 0)
		return -errno;
	r = copy_attributes(c->in, c->out, NULL);
	if (r == 0)
		r = copy_status(c->out, &c->st);
	fd_close(&c->in);
	/* NFS reports a lack of space at close(2). */
	if (close(fd_take(&c->out)) < 0 && errno != EINTR && r == 0)
		r = -errno;
	return r;
}

/* ---- links and special files ---- */

static int copy_link(int from, const char *from_name, int to, const char *to_name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, from_name, target, sizeof(target));

	if (n < 0)
		return -errno;
	if (n == sizeof(target))
		return -ENAMETOOLONG;
	target[n] = '\0';
	return symlinkat(target, to, to_name) < 0 ? -errno : 0;
}

/* Copies a link, a FIFO, a socket or a device. */
static int copy_special(const struct stat *st, int from, const char *from_name, int to,
			const char *to_name)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	int r;

	if (S_ISLNK(st->st_mode))
		r = copy_link(from, from_name, to, to_name);
	else
		r = mknodat(to, to_name, st->st_mode & (S_IFMT | 07777), st->st_rdev) < 0 ? -errno
											  : 0;
	if (r < 0)
		return r;
	if (fchownat(to, to_name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
	    !is_refusal(errno))
		return -errno;
	if (!S_ISLNK(st->st_mode) && fchmodat(to, to_name, st->st_mode & 07777, 0) < 0 &&
	    !is_refusal(errno))
		return -errno;
	return utimensat(to, to_name, times, AT_SYMLINK_NOFOLLOW) < 0 && !is_refusal(errno) ? -errno
											    : 0;
}

/* ---- directories ---- */

/* Creates the copy of the directory `from_fd` and enters it. */
static int enter_copy(struct fs_copy *c, int from_fd, const char *to_name)
{
	struct fs_copy_level *level;
	struct stat st;
	int r;

	if (fstat(from_fd, &st) < 0)
		return -errno;
	if (st.st_dev != c->dev)
		return -EXDEV;
	if (mkdirat(fs_dirs_fd(&c->to), to_name, 0700) < 0)
		return -errno;
	r = fs_dirs_push(&c->to, to_name);
	if (r < 0)
		return r;
	if (c->to.n > c->levels_capacity) {
		c->levels_capacity = c->levels_capacity ? c->levels_capacity * 2 : 16;
		c->levels = mem_realloc(c->levels, c->levels_capacity * sizeof(*c->levels));
	}
	level = &c->levels[c->to.n - 1];
	*level = (struct fs_copy_level){.st = st};
	return copy_attributes(from_fd, fs_dirs_fd(&c->to), level);
}

/* Completes the current directory, and returns to its parent. */
static int leave_copy(struct fs_copy *c)
{
	struct fs_copy_level *level = &c->levels[c->to.n - 1];
	int fd = fs_dirs_fd(&c->to), r = fd < 0 ? -ESTALE : 0;

	if (r == 0 && level->acl &&
	    fsetxattr(fd, DEFAULT_ACL, level->acl, level->acl_bytes, 0) < 0 && !is_refusal(errno))
		r = -errno;
	if (r == 0)
		r = copy_status(fd, &level->st);
	free(level->acl);
	free(fs_dirs_pop(&c->to));
	return r;
}

/* ---- entries ---- */

static int copy_entry(struct fs_copy *c)
{
	int from = fs_walk_dirfd(&c->walk), to, r = 0;
	const char *name = c->walk.name;
	char copied[NAME_MAX + 1];
	struct stat st;

	while (r == 0 && c->to.n > c->walk.depth + 1)
		r = leave_copy(c);
	if (r < 0)
		return r;
	to = fs_dirs_fd(&c->to);
	if (to < 0)
		return -ESTALE;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return begin_file(c, from, name, to, name);
	if (!S_ISDIR(st.st_mode))
		return copy_special(&st, from, name, to, name);
	/* A copy, because fs_walk_enter invalidates walk.name. */
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(copied, name);
	r = fs_walk_enter(&c->walk);
	return r < 0 ? r : enter_copy(c, fs_walk_dirfd(&c->walk), copied);
}

/* Copies the next entry. Returns 1 if more follow, 0 at the end, or -errno. */
static int next_entry(struct fs_copy *c)
{
	enum fs_walk_event event = fs_walk_next(&c->walk);
	int r = 0;

	c->memory_bytes = c->walk.memory_bytes;
	switch (event) {
	case FS_WALK_ENTRY:
		r = copy_entry(c);
		return r < 0 ? r : 1;
	case FS_WALK_PAUSE:
		return 1;
	case FS_WALK_ERROR:
		return c->walk.error;
	case FS_WALK_END:
		break;
	}
	while (r == 0 && c->to.n > 1)
		r = leave_copy(c);
	return r;
}

/* ---- steps ---- */

static void end(struct fs_copy *c, int error)
{
	c->error = error;
	c->state = FS_COPY_ENDED;
}

static int begin_tree(struct fs_copy *c, int from, const char *from_name, int to,
		      const char *to_name)
{
	int top = openat(from, from_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), own, r;
	struct stat st = {0};

	if (top < 0)
		return -errno;
	c->is_tree = true;
	r = fstat(top, &st) < 0 ? -errno : 0;
	c->dev = st.st_dev;
	if (r == 0)
		r = fs_walk_init(&c->walk, top);
	else
		close(top);
	own = fcntl(to, F_DUPFD_CLOEXEC, 3);
	if (r == 0)
		r = own < 0 ? -errno : fs_dirs_init(&c->to, own);
	else
		fd_close(&own);
	c->state = FS_COPY_ENTRIES;
	return r < 0 ? r : enter_copy(c, fs_walk_dirfd(&c->walk), to_name);
}

void fs_copy_begin(struct fs_copy *copy, int from, const char *from_name, int to,
		   const char *to_name)
{
	struct stat st;
	int r;

	memset(copy, 0, sizeof(*copy));
	copy->in = copy->out = -1;
	if (fstatat(from, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		end(copy, -errno);
		return;
	}
	if (S_ISDIR(st.st_mode))
		r = begin_tree(copy, from, from_name, to, to_name);
	else if (S_ISREG(st.st_mode))
		r = begin_file(copy, from, from_name, to, to_name);
	else
		r = copy_special(&st, from, from_name, to, to_name);
	if (r < 0 || copy->state == FS_COPY_IDLE)
		end(copy, r);
}

bool fs_copy_step(struct fs_copy *c, uint64_t max_ms)
{
	uint64_t until = clock_monotonic_ms() + max_ms;
	int r;

	while (c->state != FS_COPY_ENDED) {
		if (c->state == FS_COPY_FILE) {
			r = copy_piece(c);
			if (r == 0) {
				r = end_file(c);
				c->state = FS_COPY_ENTRIES;
				if (r == 0 && c->is_tree)
					r = 1;
			}
		} else {
			r = next_entry(c);
		}
		if (r <= 0)
			end(c, r);
		if (clock_monotonic_ms() >= until)
			break;
	}
	return c->state == FS_COPY_ENDED;
}

void fs_copy_clear(struct fs_copy *c)
{
	fd_close(&c->in);
	fd_close(&c->out);
	while (c->levels && c->to.n > 1) {
		free(c->levels[c->to.n - 1].acl);
		free(fs_dirs_pop(&c->to));
	}
	free(c->levels);
	if (c->is_tree) {
		fs_walk_clear(&c->walk);
		fs_dirs_clear(&c->to);
	}
	memset(c, 0, sizeof(*c));
	c->in = c->out = -1;
	c->state = FS_COPY_ENDED;
}
