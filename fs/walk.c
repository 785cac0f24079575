/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"

#define BUFFER_BYTES (64 * 1024)

/* The names of one directory. `text` has for each a byte for its type, the name, and a NUL. */
struct fs_walk_names {
	char *text;
	size_t n, capacity;
	uint32_t *order; /* offsets in `text`, sorted by name */
	size_t count, order_capacity;
	size_t next;
	size_t path_bytes; /* length of the directory's path with its slash */
};

/* The limit for the names of one directory (offsets are uint32_t); beyond it -EFBIG. */
#define NAMES_MAX_BYTES (UINT32_MAX / 2)

static struct fs_walk_names *last_names(struct fs_walk *walk)
{
	return &walk->names[walk->dirs.n - 1];
}

static size_t names_bytes(const struct fs_walk_names *names)
{
	return names->capacity + names->order_capacity * sizeof(*names->order);
}

/* Begins to read the names of the directory that was just entered. */
static void begin_names(struct fs_walk *walk, size_t path_bytes)
{
	if (walk->dirs.n > walk->names_capacity) {
		walk->names_capacity = walk->names_capacity ? walk->names_capacity * 2 : 8;
		walk->names = mem_realloc(walk->names, walk->names_capacity * sizeof(*walk->names));
	}
	*last_names(walk) = (struct fs_walk_names){.path_bytes = path_bytes};
	walk->reading = true;
	walk->turns++;
}

static void free_names(struct fs_walk *walk, struct fs_walk_names *names)
{
	walk->memory_bytes -= names_bytes(names);
	free(names->text);
	free(names->order);
}

int fs_walk_init(struct fs_walk *walk, int fd)
{
	int r;

	memset(walk, 0, sizeof(*walk));
	r = fs_dirs_init(&walk->dirs, fd);
	if (r < 0) {
		walk->ended = true;
		return r;
	}
	walk->buffer = mem_alloc(BUFFER_BYTES);
	begin_names(walk, 0);
	return 0;
}

void fs_walk_clear(struct fs_walk *walk)
{
	size_t i;

	for (i = 0; i < walk->dirs.n; i++)
		free_names(walk, &walk->names[i]);
	fs_dirs_clear(&walk->dirs);
	free(walk->names);
	free(walk->path);
	free(walk->buffer);
	memset(walk, 0, sizeof(*walk));
	walk->ended = true;
}

static void add_name(struct fs_walk_names *names, unsigned char type, const char *name)
{
	size_t length = strlen(name) + 1;

	if (names->n + length + 1 > names->capacity) {
		names->capacity = names->capacity ? names->capacity * 2 : 1024;
		names->text = mem_realloc(names->text, names->capacity);
	}
	if (names->count == names->order_capacity) {
		names->order_capacity = names->order_capacity ? names->order_capacity * 2 : 32;
		names->order =
			mem_realloc(names->order, names->order_capacity * sizeof(*names->order));
	}
	names->order[names->count++] = (uint32_t)names->n;
	names->text[names->n] = (char)type;
	memcpy(names->text + names->n + 1, name, length);
	names->n += length + 1;
}

static int name_order(const void *a, const void *b, void *text)
{
	const uint32_t *x = a, *y = b;

	return strcmp((char *)text + *x + 1, (char *)text + *y + 1);
}

/* Adds the n bytes of entries in `buffer`. */
static void add_buffer(struct fs_walk *walk, size_t n)
{
	struct fs_walk_names *names = last_names(walk);
	size_t before = names_bytes(names), at;

	for (at = 0; at < n;) {
		const struct dirent64 *d = (const void *)(walk->buffer + at);

		at += d->d_reclen;
		if (!path_is_dots(d->d_name))
			add_name(names, d->d_type, d->d_name);
	}
	walk->memory_bytes += names_bytes(names) - before;
}

/*
 * Reads names. Returns FS_WALK_ENTRY at the directory's end, FS_WALK_PAUSE after
 * FS_WALK_READ_BYTES, or FS_WALK_ERROR. A directory that was removed meanwhile (ENOENT) ends early.
 */
static enum fs_walk_event read_names(struct fs_walk *walk)
{
	struct fs_walk_names *names = last_names(walk);
	size_t read_bytes = 0;
	ssize_t n;

	while (read_bytes < FS_WALK_READ_BYTES) {
		n = getdents64(fs_dirs_fd(&walk->dirs), walk->buffer, BUFFER_BYTES);
		if (n <= 0 || names->n > NAMES_MAX_BYTES) {
			walk->reading = false;
			if (names->count)
				qsort_r(names->order, names->count, sizeof(*names->order),
					name_order, names->text);
			if (n > 0)
				n = -1, errno = EFBIG;
			if (n == 0 || errno == ENOENT)
				return FS_WALK_ENTRY;
			walk->error = -errno;
			return FS_WALK_ERROR;
		}
		add_buffer(walk, (size_t)n);
		read_bytes += (size_t)n;
	}
	return FS_WALK_PAUSE;
}

/* Makes the next name of the last directory the current entry. */
static void take_name(struct fs_walk *walk)
{
	struct fs_walk_names *names = last_names(walk);
	const char *entry = names->text + names->order[names->next++];
	size_t length = strlen(entry + 1), needed = names->path_bytes + length + 2;

	if (needed > walk->path_capacity) {
		walk->path_capacity = needed + 256;
		walk->path = mem_realloc(walk->path, walk->path_capacity);
	}
	memcpy(walk->path + names->path_bytes, entry + 1, length + 1);
	walk->relative = walk->path;
	walk->name = walk->path + names->path_bytes;
	walk->type = (unsigned char)entry[0];
	walk->depth = walk->dirs.n;
}

enum fs_walk_event fs_walk_next(struct fs_walk *walk)
{
	struct fs_walk_names *names;
	enum fs_walk_event event;

	while (!walk->ended) {
		names = last_names(walk);
		if (walk->reading) {
			event = read_names(walk);
			if (event != FS_WALK_ENTRY)
				return event;
		}
		if (names->next < names->count && fs_dirs_fd(&walk->dirs) >= 0) {
			take_name(walk);
			return FS_WALK_ENTRY;
		}
		if (walk->dirs.n == 1) {
			walk->ended = true;
			break;
		}
		free_names(walk, names);
		free(fs_dirs_pop(&walk->dirs));
		walk->turns++;
	}
	return FS_WALK_END;
}

int fs_walk_enter(struct fs_walk *walk)
{
	int r = fs_dirs_push(&walk->dirs, walk->name);
	size_t length;

	if (r < 0)
		return r;
	length = strlen(walk->path);
	walk->path[length] = '/';
	begin_names(walk, length + 1);
	return 0;
}

int fs_walk_dirfd(const struct fs_walk *walk)
{
	return fs_dirs_fd(&walk->dirs);
}
