/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups, from /etc/passwd and /etc/group (passwd(5), group(5)).
 *
 * A static binary can't use getpwnam(3), which loads NSS modules at run time, so these functions
 * read the files themselves. A file is read again when its device, inode, size or times have
 * changed. If a read fails, the earlier content stays in effect, and the next call tries again.
 *
 * The functions access /etc on the guest's root file system. The loop may call them (the files are
 * small and cached), and so may workers (a lock protects the cache). Results lie in the caller's
 * arena, so they stay valid when another thread reads a file again.
 */
#ifndef BASE_USER_H
#define BASE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

/* A larger passwd or group file is treated as empty, and the fact is logged. */
#define USER_FILE_MAX_BYTES (16u * 1024 * 1024)

/* The kernel's NGROUPS_MAX, the most groups of a process. Further groups are ignored. */
#define USER_MAX_GROUPS 65536

struct user {
	const char *name;
	uid_t uid;
	gid_t gid;
	const char *home; /* as in the file; may be empty */
	const char *shell;
	gid_t *groups; /* all of them, the primary one first */
	size_t n_groups;
};

struct user_db;

/* Creates a database without reading the files. Copies the paths; NULL: the files in /etc. */
struct user_db *user_db_new(const char *passwd_path, const char *group_path);
void user_db_free(struct user_db *db);

/*
 * For a daemon without root: from now on user_find knows only the user with this uid. If the passwd
 * file has no line for the uid, as in a container that runs under a random one, the user's name is
 * the number, `gid` is its group and `home` its home ("/" if NULL or empty; copied). user_name and
 * user_group_name still find all names.
 */
void user_db_restrict(struct user_db *db, uid_t uid, gid_t gid, const char *home);

/*
 * Finds the user of this name with all supplementary groups, allocated in the arena. 0, or -1 with
 * ERROR_UNAUTHENTICATED ("invalid username: 'x'") if there is none; or with
 * ERROR_RESOURCE_EXHAUSTED or ERROR_INTERNAL if a file can't be read and was never read before. If
 * the passwd file does not exist, there is one user: root, with the home /root.
 */
int user_find(struct user_db *db, const char *name, struct arena *arena, struct user *ret,
	      struct error *err);

/* As user_find, but by uid; -1 with ERROR_NOT_FOUND if no user has it. */
int user_find_uid(struct user_db *db, uid_t uid, struct arena *arena, struct user *ret,
		  struct error *err);

/*
 * Return the name of a uid or gid, copied to the arena, or NULL if the number has no name. A name
 * may be up to USER_NAME_STALE_MS old, so that a long listing does not stat(2) the file for each
 * entry. A number without a name is looked up in the current file.
 */
#define USER_NAME_STALE_MS 100
const char *user_name(struct user_db *db, uid_t uid, struct arena *arena);
const char *user_group_name(struct user_db *db, gid_t gid, struct arena *arena);

#endif
