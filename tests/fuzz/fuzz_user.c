/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of users and groups: what stands before the first NUL of the input is passwd, what
 * stands behind it is group.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/user.h"
#include "tests/fuzz/fuzz.h"

/* Makes a file of n bytes in memory, and the path by which it is opened. Returns its descriptor. */
static int make_file(const uint8_t *data, size_t n, char path[40])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n);
	snprintf(path, 40, "/proc/self/fd/%d", fd);
	return fd;
}

static void check_user(const struct user *user, const char *name)
{
	CHECK(!name || strcmp(user->name, name) == 0);
	CHECK(user->home && user->shell && !strpbrk(user->name, ":\n"));
	CHECK(!strpbrk(user->home, ":\n") && !strchr(user->shell, '\n'));
	CHECK(user->n_groups > 0 && user->n_groups <= USER_MAX_GROUPS);
	CHECK(user->groups[0] == user->gid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const names[] = {"root", "user", "a", ""};
	const uint8_t *nul = memchr(data, '\0', n);
	size_t passwd_bytes = nul ? (size_t)(nul - data) : n, i;
	char passwd_path[40], group_path[40];
	int passwd = make_file(data, passwd_bytes, passwd_path);
	int group = nul ? make_file(nul + 1, n - passwd_bytes - 1, group_path)
			: make_file(data, 0, group_path);
	struct user_db *db = user_db_new(passwd_path, group_path);
	struct arena arena = {0};
	struct user user;
	struct error err;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (user_find(db, names[i], &arena, &user, &err) == 0)
			check_user(&user, names[i]);
	for (i = 0; i < 3; i++) {
		if (user_find_uid(db, (uid_t)i, &arena, &user, &err) == 0) {
			check_user(&user, NULL);
			CHECK(user.uid == i && user_name(db, (uid_t)i, &arena));
		}
		user_group_name(db, (gid_t)i, &arena);
	}
	arena_clear(&arena);
	user_db_free(db);
	close(passwd);
	close(group);
	return 0;
}
