/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <stdbool.h>
#include <string.h>

/* Returns the beginning of the element that ends at `end`, or `floor`. */
static size_t element_start(const char *path, size_t end, size_t floor)
{
	while (end > floor && path[end - 1] != '/')
		end--;
	return end;
}

char *path_clean(struct arena *arena, const char *path)
{
	bool rooted = path[0] == '/';
	char *out = arena_alloc(arena, strlen(path) + 2);
	size_t n = 0, floor, length;

	if (rooted)
		out[n++] = '/';
	/* `..` can't remove anything before `floor`: the root, or a leading `../..`. */
	floor = n;
	while (*path) {
		length = strcspn(path, "/");
		if (length == 0) {
			path++;
			continue;
		}
		if (length == 2 && path[0] == '.' && path[1] == '.') {
			if (n > floor) {
				n = element_start(out, n, floor);
				if (n > floor)
					n--;
			} else if (!rooted) {
				if (n > 0)
					out[n++] = '/';
				memcpy(out + n, "..", 2);
				n += 2;
				floor = n;
			}
		} else if (length != 1 || path[0] != '.') {
			if (n > 0 && out[n - 1] != '/')
				out[n++] = '/';
			memcpy(out + n, path, length);
			n += length;
		}
		path += length;
	}
	if (n == 0)
		out[n++] = '.';
	out[n] = '\0';
	return out;
}

/*
 * Joins the path to the home directory and cleans it. A home that is not absolute counts from "/".
 */
static char *join_home(struct arena *arena, const struct user *user, const char *below)
{
	return path_clean(arena, arena_printf(arena, "/%s/%s", user->home, below));
}

int path_resolve(const char *path, const struct user *user, const char *default_dir,
		 struct arena *arena, char **ret, struct error *err)
{
	if (!*path && default_dir)
		path = default_dir;
	if (path[0] == '~') {
		if (path[1] && path[1] != '/')
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "failed to expand path '%s' for user '%s': cannot expand "
					 "user-specific home dir",
					 path, user->name);
		*ret = join_home(arena, user, path + 1);
	} else if (path[0] == '/') {
		*ret = arena_strdup(arena, path);
	} else {
		*ret = join_home(arena, user, path);
	}
	return 0;
}

bool path_is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}
