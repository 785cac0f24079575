/* SPDX-License-Identifier: Apache-2.0 */
/* EntryInfo: permission texts, names, links, metadata, names that are not UTF-8. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "fs/create.h"
#include "fs/entry.h"
#include "fs/netmount.h"

static char dir[64];
static struct arena arena;
static struct fs_owners owners;

static int setup(void **state)
{
	strcpy(dir, "/tmp/envd-test-XXXXXX");
	fs_owners_init(&owners, NULL);
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	fs_owners_clear(&owners);
	arena_clear(&arena);
	return system(command);
}

static char *in_dir(const char *name)
{
	return arena_printf(&arena, "%s/%s", dir, name);
}

static char *make_file(const char *name, const char *text)
{
	char *path = in_dir(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return path;
}

static void test_permissions(void **state)
{
	static const struct {
		mode_t mode;
		const char *text;
	} cases[] = {
		{S_IFREG | 0644, "-rw-r--r--"},
		{S_IFREG, "----------"},
		{S_IFDIR | 0755, "drwxr-xr-x"},
		{S_IFDIR | S_ISVTX | 0777, "dtrwxrwxrwx"},
		{S_IFDIR | S_ISGID | 0750, "dgrwxr-x---"},
		{S_IFREG | S_ISUID | 0755, "urwxr-xr-x"},
		{S_IFREG | S_ISUID | S_ISGID | S_ISVTX | 0111, "ugt--x--x--x"},
		{S_IFLNK | 0777, "Lrwxrwxrwx"},
		{S_IFCHR | 0666, "Dcrw-rw-rw-"},
		{S_IFBLK | 0660, "Drw-rw----"},
		{S_IFIFO | 0644, "prw-r--r--"},
		{S_IFSOCK | 0755, "Srwxr-xr-x"},
		{S_IFCHR | S_ISUID | S_ISGID | S_ISVTX | 0777, "Dugctrwxrwxrwx"},
	};
	char text[FS_PERMISSIONS_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		fs_permissions_text(cases[i].mode, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_path_name(void **state)
{
	static const char *const cases[][2] = {
		{"/", "/"},	 {"//", "/"},	{"/a", "a"},	    {"/a/b", "b"}, {"/a/b///", "b"},
		{"/a/..", ".."}, {"/a/.", "."}, {"/a/b/../", ".."}, {"//a", "a"},  {"/a//b", "b"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(fs_path_name(cases[i][0], &arena), cases[i][1]);
}

static void test_file(void **state)
{
	char *path = make_file("file", "12345");
	struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 1700000000, .tv_nsec = 123456789}};
	struct fs_entry entry;
	struct error err;
	char number[16];

	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(utimensat(-1, path, times, 0), 0);
	assert_int_equal(fs_entry_read(path, &owners, &arena, &entry, &err), 0);
	assert_string_equal(entry.info.name, "file");
	assert_string_equal(entry.info.path, path);
	assert_int_equal(entry.info.type, FILESYSTEM__FILE_TYPE__FILE_TYPE_FILE);
	assert_int_equal(entry.info.size, 5);
	assert_int_equal(entry.info.mode, 0640);
	assert_string_equal(entry.info.permissions, "-rw-r-----");
	snprintf(number, sizeof(number), "%u", getuid());
	assert_string_equal(entry.info.owner, number);
	assert_int_equal(entry.info.modified_time->seconds, 1700000000);
	assert_int_equal(entry.info.modified_time->nanos, 123456789);
	assert_int_equal(entry.info.opt_symlink_target_case, 0);

	/* The epoch itself is no time (compatibility/details 89). */
	times[1] = (struct timespec){0};
	assert_int_equal(utimensat(-1, path, times, 0), 0);
	assert_int_equal(fs_entry_read(path, &owners, &arena, &entry, &err), 0);
	assert_null(entry.info.modified_time);

	fs_entry_make_legacy(&entry.info);
	assert_string_equal(entry.info.name, "file");
	assert_int_equal(entry.info.size, 0);
	assert_string_equal(entry.info.permissions, "");
}

static void test_errors(void **state)
{
	char *file = make_file("plain", "");
	struct fs_entry entry;
	struct error err;

	assert_int_equal(fs_entry_read(in_dir("none"), &owners, &arena, &entry, &err), -1);
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_int_equal(
		fs_entry_read(arena_printf(&arena, "%s/x", file), &owners, &arena, &entry, &err),
		-1);
	assert_int_equal(err.code, ERROR_INTERNAL);
}

static void test_links(void **state)
{
	char *target = make_file("target", "abc");
	struct fs_entry entry;
	struct error err;

	assert_int_equal(chmod(target, 0600), 0);
	assert_int_equal(symlink("target", in_dir("one")), 0);
	assert_int_equal(symlink("one", in_dir("two")), 0);
	assert_int_equal(fs_entry_read(in_dir("two"), &owners, &arena, &entry, &err), 0);
	assert_int_equal(entry.info.type, FILESYSTEM__FILE_TYPE__FILE_TYPE_FILE);
	assert_int_equal(entry.info.mode, 0600);
	assert_string_equal(entry.info.permissions, "Lrwxrwxrwx");
	assert_string_equal(entry.info.symlink_target, target);
	assert_int_equal(entry.info.size, 3); /* of the link: its text */

	assert_int_equal(symlink("nowhere", in_dir("broken")), 0);
	assert_int_equal(fs_entry_read(in_dir("broken"), &owners, &arena, &entry, &err), 0);
	assert_int_equal(entry.info.type, FILESYSTEM__FILE_TYPE__FILE_TYPE_UNSPECIFIED);
	assert_int_equal(entry.info.mode, 0);
	assert_string_equal(entry.info.symlink_target, in_dir("broken"));

	assert_int_equal(symlink("loop", in_dir("loop")), 0);
	assert_int_equal(fs_entry_read(in_dir("loop"), &owners, &arena, &entry, &err), 0);
	assert_string_equal(entry.info.symlink_target, in_dir("loop"));

	/* A slash behind a link to a directory follows it. */
	assert_int_equal(symlink("/", in_dir("root")), 0);
	assert_int_equal(fs_entry_read(in_dir("root/"), &owners, &arena, &entry, &err), 0);
	assert_string_equal(entry.info.name, "root");
	assert_int_equal(entry.info.permissions[0], 'd');
	assert_int_equal(entry.info.opt_symlink_target_case, 0);
}

static void test_not_utf8(void **state)
{
	char *path = make_file("a\xff\xe2\x82z", "");
	struct fs_entry entry;
	struct error err;

	assert_int_equal(fs_entry_read(path, &owners, &arena, &entry, &err), 0);
	assert_string_equal(entry.info.name, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
	assert_string_equal(entry.info.path, in_dir(entry.info.name));
}

static void test_metadata(void **state)
{
	char *path = make_file("meta", ""), *large = arena_zalloc(&arena, 3000);
	struct fs_entry entry;
	struct error err;

	memset(large, 'v', 2999);
	assert_int_equal(setxattr(path, "user.e2b.b", "two", 3, 0), 0);
	assert_int_equal(setxattr(path, "user.e2b.a", "", 0, 0), 0);
	assert_int_equal(setxattr(path, "user.e2b.bad", "\xff", 1, 0), 0);
	assert_int_equal(setxattr(path, "user.e2b.nul", "a\0b", 3, 0), 0);
	assert_int_equal(setxattr(path, "user.e2b.large", large, 2999, 0), 0);
	assert_int_equal(setxattr(path, "user.other", "x", 1, 0), 0);
	assert_int_equal(symlink("meta", in_dir("to-meta")), 0);
	for (int link = 0; link < 2; link++) {
		assert_int_equal(fs_entry_read(link ? in_dir("to-meta") : path, &owners, &arena,
					       &entry, &err),
				 0);
		assert_int_equal(entry.info.n_metadata, 3);
		assert_string_equal(entry.info.metadata[0]->key, "a");
		assert_string_equal(entry.info.metadata[0]->value, "");
		assert_string_equal(entry.info.metadata[1]->key, "b");
		assert_string_equal(entry.info.metadata[1]->value, "two");
		assert_string_equal(entry.info.metadata[2]->value, large);
	}
}

static void test_network(void **state)
{
	bool network = true;

	assert_true(fs_magic_is_network(0x6969));
	assert_true(fs_magic_is_network(0x65735546));
	assert_true(fs_magic_is_network((long)(int)0xff534d42));
	assert_true(fs_magic_is_network(0xfe534d42));
	assert_false(fs_magic_is_network(0xef53)); /* ext4 */
	assert_int_equal(fs_path_is_network("/proc", &network), 0);
	assert_false(network);
	assert_int_equal(fs_path_is_network(in_dir("none"), &network), -2);
}

/*
 * What is created for a user belongs to that user from the first moment, wherever root may create.
 * mkdir and chown, one after the other, let an unprivileged process exchange the name in between:
 * after 23 tries it was given a directory of root's.
 */
static void test_create(void **state)
{
	char top[] = "/var/tmp/envd-test-XXXXXX";
	struct stat st;
	mode_t mask;
	int fd;

	if (getuid() != 0)
		skip();
	assert_non_null(mkdtemp(top));
	fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	mask = umask(027);
	for (int setgid = 0; setgid < 2; setgid++) {
		assert_int_equal(chmod(top, setgid ? 02700 : 0700), 0);
		assert_int_equal(fs_create_dir(fd, "d", 01777, 1234, 2345), 0);
		assert_int_equal(fs_create_symlink(fd, "l", "d", 1234, 2345), 0);
		assert_int_equal(fs_create_node(fd, "n", S_IFIFO | 0666, 0, 1234, 2345), 0);
		assert_int_equal(fs_create_dir(fd, "d", 0700, 1234, 2345), -EEXIST);
		for (const char *name = "dln"; *name; name++) {
			const char one[] = {*name, '\0'};

			assert_int_equal(fstatat(fd, one, &st, AT_SYMLINK_NOFOLLOW), 0);
			assert_int_equal(st.st_uid, 1234);
			assert_int_equal(st.st_gid, 2345);
			if (*name == 'd')
				assert_int_equal(st.st_mode & 01777, 01777);
			assert_int_equal(unlinkat(fd, one, *name == 'd' ? AT_REMOVEDIR : 0), 0);
		}
		/* And the thread is root again. */
		assert_int_equal(fs_create_dir(fd, "root", 0755, 0, 0), 0);
		assert_int_equal(fstatat(fd, "root", &st, 0), 0);
		assert_int_equal(st.st_uid, 0);
		assert_int_equal(st.st_gid, 0);
		assert_int_equal(unlinkat(fd, "root", AT_REMOVEDIR), 0);
	}
	umask(mask);
	close(fd);
	assert_int_equal(rmdir(top), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),	  cmocka_unit_test(test_permissions),
		cmocka_unit_test(test_path_name), cmocka_unit_test(test_file),
		cmocka_unit_test(test_errors),	  cmocka_unit_test(test_links),
		cmocka_unit_test(test_not_utf8),  cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_network),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
