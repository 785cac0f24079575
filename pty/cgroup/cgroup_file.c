/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/cgroup/cgroup_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/path.h"

int cgroup_file_write(int dir_fd, const char *path, const char *value)
{
	FD_AUTO int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd_write_all(fd, value, strlen(value));
}

ssize_t cgroup_file_read(int dir_fd, const char *path, char *text, size_t room)
{
	FD_AUTO int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	n = fd_read_all(fd, text, room - 1);
	text[n > 0 ? n : 0] = '\0';
	return n;
}

/* Parses a decimal number up to the end of its line. */
static bool parse_number(const char *text, uint64_t *ret)
{
	return decimal_parse(text, strcspn(text, "\n"), UINT64_MAX, ret);
}

bool cgroup_file_key(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);
	const char *line = text;

	while (line && *line) {
		if (strncmp(line, key, n) == 0 && line[n] == ' ')
			return parse_number(line + n + 1, ret);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return false;
}

int cgroup_file_read_key(int dir_fd, const char *path, const char *key, uint64_t *ret)
{
	char text[CGROUP_FILE_BYTES];
	ssize_t n = cgroup_file_read(dir_fd, path, text, sizeof(text));

	if (n < 0)
		return (int)n;
	return cgroup_file_key(text, key, ret) ? 0 : -ENODATA;
}

int cgroup_file_read_number(int dir_fd, const char *path, uint64_t *ret)
{
	char text[64];
	ssize_t n = cgroup_file_read(dir_fd, path, text, sizeof(text));

	if (n < 0)
		return (int)n;
	if (strcmp(text, "max\n") == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	return parse_number(text, ret) ? 0 : -ENODATA;
}

/* The maximum number of ancestors that are checked. */
#define FREEZE_MAX_DEPTH 8

bool cgroup_file_is_frozen(int dir_fd)
{
	char path[(FREEZE_MAX_DEPTH + 1) * 3 + sizeof("cgroup.freeze")] = "cgroup.freeze";
	uint64_t value;
	unsigned depth;

	if (cgroup_file_read_key(dir_fd, "cgroup.events", "frozen", &value) == 0 && value)
		return true;
	/* The root of the hierarchy has no cgroup.freeze, and above its mount there is none. */
	for (depth = 0; depth <= FREEZE_MAX_DEPTH; depth++) {
		if (cgroup_file_read_number(dir_fd, path, &value) < 0)
			return false;
		if (value)
			return true;
		memmove(path + 3, path, strlen(path) + 1);
		memcpy(path, "../", 3);
	}
	return false;
}

static int remove_below(int dir_fd, const char *name, unsigned depth);

/* Removes one directory. If it is busy because of child cgroups, removes these first. */
static int remove_at(int dir_fd, const char *name, unsigned depth)
{
	int r;

	if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY || depth == CGROUP_REMOVE_MAX_DEPTH)
		return -errno;
	r = remove_below(dir_fd, name, depth);
	if (r < 0)
		return r;
	return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

static int remove_below(int dir_fd, const char *name, unsigned depth)
{
	FD_AUTO int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	const struct dirent *entry;
	uint64_t populated = 0;
	DIR *dir;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (cgroup_file_read_key(fd, "cgroup.events", "populated", &populated) == 0 && populated)
		return -EBUSY;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	fd_take(&fd);
	while (r == 0 && (entry = readdir(dir)))
		if (entry->d_type == DT_DIR && !path_is_dots(entry->d_name))
			r = remove_at(dirfd(dir), entry->d_name, depth + 1);
	closedir(dir);
	return r;
}

int cgroup_remove(int dir_fd, const char *name)
{
	return remove_at(dir_fd, name, 0);
}
