/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/user.h"
#include "fs/metadata.h"

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
 * Returns the slot of this id, or a free slot for it, or NULL if the cache is full. No slot is ever
 * replaced: entries point to its name. A tree with more owners costs one look-up for each entry.
 */
static struct fs_owner *owner_slot(struct fs_owner *slots, unsigned id)
{
	size_t i;

	for (i = 0; i < FS_OWNERS_KEPT; i++)
		if (!slots[i].name || slots[i].id == id)
			return &slots[i];
	return NULL;
}

const char *fs_owner_name(struct fs_owners *owners, bool group, unsigned id, struct arena *arena)
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
 * Sets the message's link target and returns the mode of the target. The target of a dangling link
 * is the link itself. (A link in /proc/PID/fd may have a target file although no path resolves.)
 */
static mode_t resolve_link(const char *path, struct arena *arena, Filesystem__EntryInfo *info)
{
	char *resolved = realpath(path, NULL);
	const char *target = resolved ? resolved : path;
	struct stat st;
	mode_t mode;

	mode = stat(target, &st) == 0 ? st.st_mode : 0;
	info->symlink_target = fs_text(arena_strdup(arena, target), arena);
	info->is_symlink = true;
	info->opt_symlink_target_case = FILESYSTEM__ENTRY_INFO__OPT_SYMLINK_TARGET_SYMLINK_TARGET;
	free(resolved);
	return mode;
}

/* Puts the metadata into the message. */
static void read_metadata(const char *path, struct arena *arena, Filesystem__EntryInfo *info)
{
	Filesystem__EntryInfo__MetadataEntry *entry;
	struct fs_metadata metadata;
	size_t i;

	fs_metadata_read(path, arena, &metadata);
	if (!metadata.n)
		return;
	info->n_metadata = metadata.n;
	info->metadata = arena_alloc(arena, metadata.n * sizeof(*info->metadata));
	for (i = 0; i < metadata.n; i++) {
		entry = arena_alloc(arena, sizeof(*entry));
		filesystem__entry_info__metadata_entry__init(entry);
		entry->key = metadata.items[i].key;
		entry->value = metadata.items[i].value;
		info->metadata[i] = entry;
	}
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
	info->owner = fs_owner_name(owners, false, st->st_uid, arena);
	info->group = fs_owner_name(owners, true, st->st_gid, arena);
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
		read_metadata(dirfd == AT_FDCWD ? name : path, arena, info);
	return 0;
}

void fs_entry_unknown(const char *path, unsigned char type, struct arena *arena,
		      struct fs_entry *ret)
{
	filesystem__entry_info__init(&ret->info);
	ret->stat = (struct stat){.st_mode = DTTOIF(type)};
	ret->info.path = fs_text(path, arena);
	ret->info.name = fs_path_name(ret->info.path, arena);
	ret->info.type = file_type(ret->stat.st_mode);
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
