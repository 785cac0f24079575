/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"

#define BUFFER_BYTES (16 * 1024)

/* The number of entries between two checks of the clock. */
#define CLOCK_ENTRIES 64

/* The emptying of one directory: passes over its entries until one finds nothing to remove. */
struct fs_remove_level {
	char *buffer;	 /* entries from getdents64(2); NULL in levels far above the current one */
	size_t at, n;	 /* offsets in `buffer`: the next entry, and the end */
	off_t position;	 /* the next entry's position in the directory */
	size_t removed;	 /* entries removed in this pass */
	unsigned passes; /* completed passes */
};

static void note_error(struct fs_remove *remove, int error)
{
	if (!remove->error)
		remove->error = error;
}

/* Returns true if the last element of the path, of n bytes, is "." or "..". */
static bool ends_in_dots(const char *path, size_t n)
{
	if (n == 0 || path[n - 1] != '.')
		return false;
	return n == 1 || path[n - 2] == '/' ||
	       (path[n - 2] == '.' && (n == 2 || path[n - 3] == '/'));
}

/* Returns the parent of an absolute path of n bytes without trailing slashes, owned. */
static char *parent_of(const char *path, size_t n)
{
	size_t end = n;

	while (end > 0 && path[end - 1] != '/')
		end--;
	return mem_strndup(end ? path : ".", end ? end : 1);
}

/*
 * unlink(2) fails on a directory with EISDIR in Linux, with EPERM in POSIX and some file systems.
 */
static bool may_be_directory(int error)
{
	return error == -EISDIR || error == -EPERM || error == -EACCES;
}

/* A result of remove_entry: the entry is a directory that must be emptied first. */
#define GO_INTO 1

/* Removes one entry. Returns 0 if the entry does not exist any more, GO_INTO, or -errno. */
static int remove_entry(int dirfd, const char *name, unsigned char type)
{
	int r = -EISDIR;

	if (type != DT_DIR) {
		r = unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
		if (r == -ENOENT)
			return 0;
		if (!may_be_directory(r))
			return r;
	}
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	switch (errno) {
	case ENOENT:
		return 0;
	case ENOTEMPTY:
	case EEXIST: /* POSIX leaves file systems the choice */
	case EBUSY:  /* a mount point: its contents are removed, as rm(1) does */
		return GO_INTO;
	case ENOTDIR: /* the error of unlink(2) holds, or a directory was replaced since */
		if (type != DT_DIR)
			return r;
		return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	default:
		return -errno;
	}
}

/*
 * Enters a directory that was not empty. A level far above frees its buffer, as fs/dirs.h closes
 * its descriptor: on the way up the level is read again from its position.
 */
static int enter(struct fs_remove *remove, const char *name)
{
	int r = fs_dirs_push(&remove->dirs, name);
	size_t n = remove->dirs.n;

	if (r < 0)
		return r;
	if (n > remove->levels_capacity) {
		remove->levels_capacity =
			remove->levels_capacity ? remove->levels_capacity * 2 : 16;
		remove->levels = mem_realloc(remove->levels,
					     remove->levels_capacity * sizeof(*remove->levels));
	}
	remove->levels[n - 1] = (struct fs_remove_level){0};
	if (n > FS_DIRS_OPEN + 1) {
		struct fs_remove_level *above = &remove->levels[n - FS_DIRS_OPEN];

		free(above->buffer);
		above->buffer = NULL;
		above->at = above->n = 0;
	}
	return 0;
}

void fs_remove_begin(struct fs_remove *remove, const char *path)
{
	FD_AUTO int parent = -1;
	size_t n = strlen(path);
	char *above;
	int r;

	memset(remove, 0, sizeof(*remove));
	remove->finished = true;
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (ends_in_dots(path, n) || (n == 1 && path[0] == '/')) {
		remove->error = -EINVAL;
		return;
	}
	above = parent_of(path, n);
	remove->name = mem_strndup(path + strlen(above), n - strlen(above));
	parent = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(above);
	r = parent < 0 ? -errno : remove_entry(parent, remove->name, DT_UNKNOWN);
	if (r == GO_INTO) {
		r = fs_dirs_init(&remove->dirs, fd_take(&parent));
		if (r == 0)
			r = enter(remove, remove->name);
		remove->finished = r < 0;
	}
	remove->error = r == -ENOENT ? 0 : r;
}

/*
 * Returns the next entry of the current directory other than "." and ".."; NULL at the end, or if
 * the directory can't be read or reached any more.
 */
static const struct dirent64 *next_entry(struct fs_remove *remove, struct fs_remove_level *level)
{
	int fd = fs_dirs_fd(&remove->dirs);
	const struct dirent64 *d;
	ssize_t n;

	for (;;) {
		if (level->at == level->n) {
			if (!level->buffer) {
				level->buffer = mem_alloc(BUFFER_BYTES);
				lseek(fd, level->position, SEEK_SET);
			}
			n = getdents64(fd, level->buffer, BUFFER_BYTES);
			if (n < 0 && errno != ENOENT)
				note_error(remove, fd < 0 ? -ESTALE : -errno);
			level->at = 0;
			level->n = n > 0 ? (size_t)n : 0;
			if (n <= 0)
				return NULL;
		}
		d = (const void *)(level->buffer + level->at);
		level->at += d->d_reclen;
		level->position = (off_t)d->d_off;
		if (!path_is_dots(d->d_name))
			return d;
	}
}

/*
 * Ends a pass over the current directory. If the pass removed something, another pass follows,
 * because readdir may have skipped entries, or others may have created some. Otherwise the
 * directory is left and removed.
 */
static void end_pass(struct fs_remove *remove, struct fs_remove_level *level)
{
	char *name;
	int r;

	if (level->removed && ++level->passes < FS_REMOVE_PASSES &&
	    fs_dirs_fd(&remove->dirs) >= 0) {
		lseek(fs_dirs_fd(&remove->dirs), 0, SEEK_SET);
		level->position = 0;
		level->removed = 0;
		return;
	}
	free(level->buffer);
	level->buffer = NULL;
	name = fs_dirs_pop(&remove->dirs);
	r = -ESTALE;
	if (fs_dirs_fd(&remove->dirs) >= 0)
		r = unlinkat(fs_dirs_fd(&remove->dirs), name, AT_REMOVEDIR) < 0 ? -errno : 0;
	free(name);
	if (r < 0 && r != -ENOENT)
		note_error(remove, r);
	else if (remove->dirs.n > 1)
		remove->levels[remove->dirs.n - 1].removed++;
	remove->finished = remove->dirs.n == 1;
}

bool fs_remove_step(struct fs_remove *remove, uint64_t max_ms)
{
	uint64_t until = clock_monotonic_ms() + max_ms;
	struct fs_remove_level *level;
	const struct dirent64 *d;
	unsigned count = 0;
	int r;

	while (!remove->finished) {
		level = &remove->levels[remove->dirs.n - 1];
		d = next_entry(remove, level);
		if (d) {
			r = remove_entry(fs_dirs_fd(&remove->dirs), d->d_name, d->d_type);
			if (r == GO_INTO) {
				r = enter(remove, d->d_name);
				/* Replaced meanwhile: the next pass removes the new entry. */
				if (r == -ENOTDIR || r == -ELOOP || r == -ENOENT)
					level->removed++, r = 0;
			} else if (r == 0) {
				level->removed++;
			}
			if (r < 0)
				note_error(remove, r);
		} else {
			end_pass(remove, level);
		}
		if (++count % CLOCK_ENTRIES == 0 && clock_monotonic_ms() >= until)
			break;
	}
	return remove->finished;
}

void fs_remove_clear(struct fs_remove *remove)
{
	size_t i;

	for (i = 1; i < remove->dirs.n; i++)
		free(remove->levels[i].buffer);
	fs_dirs_clear(&remove->dirs);
	free(remove->levels);
	free(remove->name);
	memset(remove, 0, sizeof(*remove));
	remove->finished = true;
}
