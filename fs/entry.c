#include "fs/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/mem.h"
#include "base/user.h"
#include "base/utf8.h"

#define PREFIX_BYTES (sizeof(FS_METADATA_PREFIX) - 1)

/* Most files have no attribute, or a few: the stack does for them. */
#define SMALL_BYTES 1024

void fs_owners_init(struct fs_owners *owners, struct user_db *users)
{
	memset(owners, 0, sizeof(*owners));
	owners->users = users;
}

void fs_owners_clear(struct fs_owners *owners)
{
	struct user_db *users = owners->users;

	arena_clear(&owners->arena);
	fs_owners_init(owners, users);
}

/*
 * The slot that has this id, or the free one where it is to go. One that is replaced keeps its
 * name in the arena, for entries point to it; so a tree with ever new owners is given up on and
 * costs a look-up for each.
 */
static struct fs_owner *owner_slot(struct fs_owner *slots, unsigned id)
{
	size_t i;

	for (i = 0; i < FS_OWNERS_KEPT; i++)
		if (!slots[i].name || slots[i].id == id)
			return &slots[i];
	return NULL;
}

/* A name for a user or group number: from the files, else the number itself. */
static const char *owner_name(struct fs_owners *owners, bool group, unsigned id,
			      struct arena *arena)
{
	struct fs_owner *slot = owner_slot(group ? owners->group : owners->user, id);
	const char *name = NULL;

	if (slot && slot->name)
		return slot->name;
	if (slot)
		arena = &owners->arena;
	if (owners->users)
		name = group ? user_group_name(owners->users, id, arena)
			     : user_name(owners->users, id, arena);
	name = name ? fs_text(name, arena) : arena_printf(arena, "%u", id);
	if (slot)
		*slot = (struct fs_owner){id, name};
	return name;
}

void fs_permissions_text(mode_t mode, char text[FS_PERMISSIONS_BYTES])
{
	static const char rwx[] = "rwxrwxrwx";
	char *out = text;
	unsigned i;

	if (S_ISDIR(mode))
		*out++ = 'd';
	if (S_ISLNK(mode))
		*out++ = 'L';
	if (S_ISBLK(mode) || S_ISCHR(mode))
		*out++ = 'D';
	if (S_ISFIFO(mode))
		*out++ = 'p';
	if (S_ISSOCK(mode))
		*out++ = 'S';
	if (mode & S_ISUID)
		*out++ = 'u';
	if (mode & S_ISGID)
		*out++ = 'g';
	if (S_ISCHR(mode))
		*out++ = 'c';
	if (mode & S_ISVTX)
		*out++ = 't';
	if (out == text)
		*out++ = '-';
	for (i = 0; i < 9; i++)
		*out++ = mode & (0400u >> i) ? rwx[i] : '-';
	*out = '\0';
}

char *fs_path_name(const char *path, struct arena *arena)
{
	size_t end = strlen(path), start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	if (start == end && start > 0)
		start--;
	return arena_strndup(arena, path + start, end - start);
}

const char *fs_text(const char *s, struct arena *arena)
{
	size_t n = strlen(s);
	char *text;

	if (utf8_valid(s, n))
		return s;
	text = arena_alloc(arena, 3 * n + 1);
	text[utf8_sanitize(text, s, n)] = '\0';
	return text;
}

static Filesystem__FileType file_type(mode_t mode)
{
	if (S_ISREG(mode))
		return FILESYSTEM__FILE_TYPE__FILE_TYPE_FILE;
	if (S_ISDIR(mode))
		return FILESYSTEM__FILE_TYPE__FILE_TYPE_DIRECTORY;
	if (S_ISLNK(mode))
		return FILESYSTEM__FILE_TYPE__FILE_TYPE_SYMLINK;
	return FILESYSTEM__FILE_TYPE__FILE_TYPE_UNSPECIFIED;
}

/*
 * Where a link leads, and what is there. A link that leads nowhere is its own target. (One in
 * /proc/PID/fd has no path to resolve, and yet leads somewhere.)
 */
static mode_t resolve_link(const char *path, struct arena *arena, Filesystem__EntryInfo *info)
{
	char *resolved = realpath(path, NULL);
	const char *target = resolved ? resolved : path;
	struct stat st;
	mode_t mode;

	mode = stat(target, &st) == 0 ? st.st_mode : 0;
	info->symlink_target = fs_text(arena_strdup(arena, target), arena);
	info->opt_symlink_target_case = FILESYSTEM__ENTRY_INFO__OPT_SYMLINK_TARGET_SYMLINK_TARGET;
	free(resolved);
	return mode;
}

/* The value of one attribute as text in the arena; NULL where it is gone, or not UTF-8. */
static char *metadata_value(const char *path, const char *name, size_t max_bytes,
			    struct arena *arena)
{
	char small[SMALL_BYTES], *value = small, *text = NULL;
	ssize_t n = getxattr(path, name, small, sizeof(small));

	if (n < 0 && errno == ERANGE) {
		value = mem_alloc(XATTR_SIZE_MAX);
		n = getxattr(path, name, value, XATTR_SIZE_MAX);
	}
	/* A NUL is UTF-8, but a message's string would end there. */
	if (n >= 0 && (size_t)n <= max_bytes && utf8_valid(value, (size_t)n) &&
	    !memchr(value, '\0', (size_t)n))
		text = arena_strndup(arena, value, (size_t)n);
	if (value != small)
		free(value);
	return text;
}

static int metadata_order(const void *a, const void *b)
{
	const Filesystem__EntryInfo__MetadataEntry *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

/* Picks the metadata out of a list of attribute names, each ended by a NUL. */
static void collect_metadata(const char *path, const char *names, size_t n, struct arena *arena,
			     Filesystem__EntryInfo *info)
{
	Filesystem__EntryInfo__MetadataEntry *entry;
	size_t room = FS_METADATA_MAX_BYTES, count = 0, length;
	const char *p, *end = names + n;
	char *value;

	for (p = names; p < end; p += strlen(p) + 1)
		count += strncmp(p, FS_METADATA_PREFIX, PREFIX_BYTES) == 0;
	if (!count)
		return;
	info->metadata = arena_alloc(arena, count * sizeof(*info->metadata));
	for (p = names; p < end; p += length + 1) {
		length = strlen(p);
		if (strncmp(p, FS_METADATA_PREFIX, PREFIX_BYTES) != 0 || !utf8_valid(p, length))
			continue;
		value = length > room ? NULL : metadata_value(path, p, room - length, arena);
		if (!value)
			continue;
		room -= length + strlen(value);
		entry = arena_alloc(arena, sizeof(*entry));
		filesystem__entry_info__metadata_entry__init(entry);
		entry->key = arena_strdup(arena, p + PREFIX_BYTES);
		entry->value = value;
		info->metadata[info->n_metadata++] = entry;
	}
	qsort(info->metadata, info->n_metadata, sizeof(*info->metadata), metadata_order);
}

/* Reads the metadata; a file system that has none, or an entry that is gone, has none. */
static void read_metadata(const char *path, struct arena *arena, Filesystem__EntryInfo *info)
{
	char small[SMALL_BYTES], *names = small;
	ssize_t n = listxattr(path, small, sizeof(small));

	if (n < 0 && errno == ERANGE) {
		names = mem_alloc(XATTR_LIST_MAX);
		n = listxattr(path, names, XATTR_LIST_MAX);
	}
	if (n > 0)
		collect_metadata(path, names, (size_t)n, arena, info);
	if (names != small)
		free(names);
}

int fs_entry_read_at(int dirfd, const char *name, const char *path, const char *shown_path,
		     struct fs_owners *owners, struct arena *arena, struct fs_entry *ret)
{
	Filesystem__EntryInfo *info = &ret->info;
	struct stat *st = &ret->stat;
	mode_t mode;

	if (fstatat(dirfd, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return -errno;
	filesystem__entry_info__init(info);
	info->path = fs_text(shown_path ? shown_path : path, arena);
	info->name = fs_path_name(info->path, arena);
	info->size = st->st_size;
	fs_permissions_text(st->st_mode, ret->permissions);
	info->permissions = ret->permissions;
	info->owner = owner_name(owners, false, st->st_uid, arena);
	info->group = owner_name(owners, true, st->st_gid, arena);
	if (st->st_mtim.tv_sec || st->st_mtim.tv_nsec) {
		google__protobuf__timestamp__init(&ret->modified_time);
		ret->modified_time.seconds = st->st_mtim.tv_sec;
		ret->modified_time.nanos = (int32_t)st->st_mtim.tv_nsec;
		info->modified_time = &ret->modified_time;
	}
	mode = st->st_mode;
	if (S_ISLNK(mode))
		mode = resolve_link(path, arena, info);
	info->type = file_type(mode);
	info->mode = mode & 0777;
	/* xattr(7): only files and directories have attributes in the user namespace. */
	if (S_ISREG(mode) || S_ISDIR(mode))
		read_metadata(path, arena, info);
	return 0;
}

int fs_entry_read(const char *path, struct fs_owners *owners, struct arena *arena,
		  struct fs_entry *ret, struct error *err)
{
	int r = fs_entry_read_at(AT_FDCWD, path, path, NULL, owners, arena, ret);

	if (r == -ENOENT)
		return error_set_errno(err, ERROR_NOT_FOUND, r, "file not found: lstat %s",
				       fs_text(path, arena));
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "error getting file info: lstat %s",
				       fs_text(path, arena));
	return 0;
}

void fs_entry_make_legacy(Filesystem__EntryInfo *info)
{
	Filesystem__EntryInfo whole = *info;

	filesystem__entry_info__init(info);
	info->name = whole.name;
	info->type = whole.type;
	info->path = whole.path;
}
