/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups from files: what a line may look like, and that changes are seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/user.h"

struct fixture {
	char dir[64];
	char passwd[96];
	char group[96];
	struct user_db *db;
	struct arena arena;
};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	strcpy(f->dir, "/tmp/envd-user-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->passwd, sizeof(f->passwd), "%s/passwd", f->dir);
	snprintf(f->group, sizeof(f->group), "%s/group", f->dir);
	f->db = user_db_new(f->passwd, f->group);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	user_db_free(f->db);
	arena_clear(&f->arena);
	unlink(f->passwd);
	unlink(f->group);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void test_passwd_lines(void **state)
{
	static const struct {
		const char *line;
		const char *name;
		bool found;
		uid_t uid;
		const char *home, *shell;
	} cases[] = {
		{"u:x:1000:1001:A User,,,:/home/u:/bin/bash", "u", true, 1000, "/home/u",
		 "/bin/bash"},
		{"u:x:1000:1001::/home/u", "u", true, 1000, "/home/u", ""},
		{"u:x:1000:1001:::", "u", true, 1000, "", ""},
		{"u::0:0::/:/bin/sh:more", "u", true, 0, "/", "/bin/sh"},
		{"u:x:4294967294:1::/:", "u", true, 4294967294u, "/", ""},
		{"other:x:1:1::/:\nu:x:2:2::/two:\nu:x:3:3::/three:", "u", true, 2, "/two", ""},
		{"\n\n  \nu:x:2:2::/two:", "u", true, 2, "/two", ""},
		{"u:x:4294967295:1::/:", "u", false, 0, NULL, NULL},
		{"u:x:99999999999999999999:1::/:", "u", false, 0, NULL, NULL},
		{"u:x::1::/:", "u", false, 0, NULL, NULL},
		{"u:x:-1:1::/:", "u", false, 0, NULL, NULL},
		{"u:x:1x:1::/:", "u", false, 0, NULL, NULL},
		{"u:x:1:1:", "u", false, 0, NULL, NULL},
		{"u", "u", false, 0, NULL, NULL},
		{"#u:x:1:1::/:", "#u", false, 0, NULL, NULL},
		{"+u:x:1:1::/:", "+u", false, 0, NULL, NULL},
		{":x:1:1::/:", "", false, 0, NULL, NULL},
		{"", "", false, 0, NULL, NULL},
		{"u:x:1:1::/:", "U", false, 0, NULL, NULL},
		{"u:x:1:1::/:", "u:x", false, 0, NULL, NULL},
	};
	struct fixture *f = *state;
	struct user user;
	struct error err;

	write_file(f->group, "");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_file(f->passwd, cases[i].line);
		assert_int_equal(user_find(f->db, cases[i].name, &f->arena, &user, &err),
				 cases[i].found ? 0 : -1);
		if (!cases[i].found) {
			assert_int_equal(err.code, ERROR_UNAUTHENTICATED);
			continue;
		}
		assert_string_equal(user.name, cases[i].name);
		assert_int_equal(user.uid, cases[i].uid);
		assert_string_equal(user.home, cases[i].home);
		assert_string_equal(user.shell, cases[i].shell);
	}
}

static void test_groups(void **state)
{
	static const gid_t expected[] = {100, 10, 12, 15, 16};
	struct fixture *f = *state;
	struct user user;
	struct error err;

	write_file(f->passwd, "u:x:1000:100::/home/u:/bin/sh\n");
	write_file(f->group, "users:x:100:u\n"
			     "only:x:10:u\n"
			     "longer:x:11:uu,xu,u2\n"
			     "first:x:12:u,other\n"
			     "bad:x:13x:u\n"
			     "none:x:14:\n"
			     "middle:x:15:other,u,third\n"
			     "last:x:16:other,u");
	assert_int_equal(user_find(f->db, "u", &f->arena, &user, &err), 0);
	assert_int_equal(user.gid, 100);
	assert_int_equal(user.n_groups, ARRAY_LEN(expected));
	assert_memory_equal(user.groups, expected, sizeof(expected));
	assert_string_equal(user_group_name(f->db, 15, &f->arena), "middle");
	assert_null(user_group_name(f->db, 13, &f->arena));
}

/* Each change counts at once, those within one tick of the clock and of the same size too. */
static void test_changes_are_seen(void **state)
{
	struct fixture *f = *state;
	struct user user;
	struct error err;
	char line[64];

	assert_int_equal(user_find(f->db, "u", &f->arena, &user, &err), -1);
	for (unsigned uid = 1000; uid < 1050; uid++) {
		snprintf(line, sizeof(line), "u:x:%u:1::/:\n", uid);
		write_file(f->passwd, line);
		assert_int_equal(user_find(f->db, "u", &f->arena, &user, &err), 0);
		assert_int_equal(user.uid, uid);
	}
	assert_string_equal(user_name(f->db, 1049, &f->arena), "u");
	write_file(f->passwd, "new:x:77:1::/:\n");
	assert_string_equal(user_name(f->db, 77, &f->arena), "new");
	assert_int_equal(user_find_uid(f->db, 77, &f->arena, &user, &err), 0);
	assert_string_equal(user.name, "new");
	assert_int_equal(user_find_uid(f->db, 1049, &f->arena, &user, &err), -1);
	unlink(f->passwd);
	assert_int_equal(user_find(f->db, "new", &f->arena, &user, &err), -1);
}

static void test_restricted(void **state)
{
	struct fixture *f = *state;
	struct user user;
	struct error err;

	write_file(f->passwd, "root:x:0:0::/root:\nme:x:1000:1000::/home/me:\n");
	user_db_restrict(f->db, 1000, 1000, NULL);
	assert_int_equal(user_find(f->db, "me", &f->arena, &user, &err), 0);
	assert_int_equal(user_find(f->db, "root", &f->arena, &user, &err), -1);
	assert_string_equal(err.message, "invalid username: 'root'");
	assert_string_equal(user_name(f->db, 0, &f->arena), "root");
}

/*
 * A container under a random uid (OpenShift gives one to each project) has no line for it in
 * /etc/passwd: the daemon ended at the start with "uid 1234 has no name".
 */
static void test_restricted_to_a_number(void **state)
{
	struct fixture *f = *state;
	struct user user;
	struct error err;

	write_file(f->passwd, "root:x:0:0::/root:\n");
	user_db_restrict(f->db, 1234, 5678, "/data");
	assert_int_equal(user_find(f->db, "1234", &f->arena, &user, &err), 0);
	assert_int_equal(user.uid, 1234);
	assert_int_equal(user.gid, 5678);
	assert_string_equal(user.home, "/data");
	assert_int_equal(user_find_uid(f->db, 1234, &f->arena, &user, &err), 0);
	assert_string_equal(user.name, "1234");
	assert_int_equal(user_find(f->db, "root", &f->arena, &user, &err), -1);
	assert_null(user_name(f->db, 1234, &f->arena));
}

/* Without /etc/passwd every request was refused: "invalid username: 'root'". */
static void test_no_passwd_file(void **state)
{
	struct fixture *f = *state;
	struct user user;
	struct error err;

	assert_int_equal(user_find(f->db, "root", &f->arena, &user, &err), 0);
	assert_int_equal(user.uid, 0);
	assert_int_equal(user.n_groups, 1);
	assert_string_equal(user.home, "/root");
	assert_int_equal(user_find_uid(f->db, 0, &f->arena, &user, &err), 0);
	assert_string_equal(user.name, "root");
	assert_int_equal(user_find(f->db, "user", &f->arena, &user, &err), -1);
	/* A file that exists decides, also if it has no root. */
	write_file(f->passwd, "me:x:1000:1000::/home/me:\n");
	assert_int_equal(user_find(f->db, "root", &f->arena, &user, &err), -1);
}

/* Makes every open(2) fail with EMFILE; returns the old limit. */
static struct rlimit forbid_descriptors(void)
{
	struct rlimit old, none;

	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	return old;
}

/*
 * The first lookup of a user ran into EMFILE. The empty table that came of it was kept: every Start
 * was `unauthenticated` from then on, also when there were descriptors again.
 */
static void test_a_failure_is_not_remembered(void **state)
{
	struct fixture *f = *state;
	struct rlimit old;
	struct user user;
	struct error err;

	write_file(f->passwd, "u:x:7:8::/home/u:/bin/sh\n");
	write_file(f->group, "g:x:9:u\n");
	usleep(200000); /* the files' times are past: what is read now counts as settled */
	old = forbid_descriptors();
	assert_int_equal(user_find(f->db, "u", &f->arena, &user, &err), -1);
	assert_int_equal(err.code, ERROR_RESOURCE_EXHAUSTED);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(user_find(f->db, "u", &f->arena, &user, &err), 0);
	assert_int_equal(user.n_groups, 2);

	/* What was read before stays in effect while the changed file can't be read. */
	write_file(f->passwd, "u:x:7:8::/home/u:/bin/sh\nv:x:9:9::/:\n");
	old = forbid_descriptors();
	assert_int_equal(user_find(f->db, "u", &f->arena, &user, &err), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(user_find(f->db, "v", &f->arena, &user, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_restricted_to_a_number, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_passwd_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_failure_is_not_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passwd_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes_are_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restricted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
