/* SPDX-License-Identifier: Apache-2.0 */
/* The file of an upload: in place, in parts, on conditions, and replaced as a whole. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/mem.h"
#include "fs/http/atomic.h"
#include "fs/http/request.h"
#include "fs/http/target.h"
#include "fs/http/validator.h"
#include "tests/unit/files.h"

static char dir[64];
static struct arena arena;
static struct error err;
static int64_t size_told; /* of the last target */

static unsigned synced_dirs, synced_files;

/* In place of libc's: counts what is synced. */
int fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		synced_dirs++;
	else
		synced_files++;
	return (int)syscall(SYS_fsync, fd);
}

static int setup(void **state)
{
	strcpy(dir, "/var/tmp/envd-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[100];

	arena_clear(&arena);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static char *in_dir(const char *name)
{
	return arena_printf(&arena, "%s/%s", dir, name);
}

static void put_file(const char *name, const char *text, mode_t mode)
{
	FD_AUTO int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
}

/* What is in the directory. */
static unsigned count_entries(void)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static struct fs_target_options options_of_user(void)
{
	return (struct fs_target_options){.uid = getuid(), .gid = getgid()};
}

/* Uploads a text as a whole. Returns the HTTP status of the error, or 0. */
static unsigned upload(const char *name, const struct fs_target_options *options, const char *text)
{
	struct fs_target t;
	int r;

	memset(&err, 0, sizeof(err));
	r = fs_target_open(&t, in_dir(name), options, &err);
	if (r == 0)
		r = fs_target_write(&t, text, strlen(text), &err);
	if (r == 0)
		r = fs_target_finish(&t, &err);
	fs_target_close(&t);
	size_told = t.size;
	assert_int_equal(r, err.code ? -1 : 0);
	return err.code ? fs_error_status(err.code) : 0;
}

static void test_parts(void **state)
{
	static const struct {
		const char *range, *text;
		unsigned status;
		int64_t told;
		const char *contents; /* afterwards; NULL: no file */
	} steps[] = {
		{"bytes 4-7/8", "part", 416, 0, NULL},
		{"bytes 0-3/8", "abcd", 0, -1, "abcd"},
		{"bytes 5-7/8", "xyz", 416, 4, "abcd"},
		{"bytes 4-5/8", "ef", 0, -1, "abcdef"},
		{"bytes 4-5/8", "EF", 0, -1, "abcdEF"},
		{"bytes 4-5/5", "EF", 400, -1, "abcdEF"},
		{"bytes 1-2/*", "BC", 0, -1, "aBCdEF"},
		{"bytes 4-7/8", "efgh", 0, -1, "aBCdefgh"},
		{"bytes 4-5/7", "ef", 409, 8, "aBCdefgh"},
		{"bytes 8-8/9", "too long", 400, -1, "aBCdefgh"},
		{"bytes 8-11/12", "cut", 400, -1, "aBCdefghcut"},
		/*
		 * A part that begins at 0 once truncated the file: all that it did not bring was
		 * lost.
		 */
		{"bytes 0-1/2", "ab", 409, 11, "aBCdefghcut"},
		{"bytes 0-1/*", "ab", 0, -1, "abCdefghcut"},
		{"bytes 0-2/11", "ABC", 0, -1, "ABCdefghcut"},
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct fs_target_options o = options_of_user();
		struct stat st;

		o.has_range = true;
		if (fs_content_range_parse(steps[i].range, &o.range) < 0) {
			assert_int_equal(steps[i].status, 400);
			continue;
		}
		if (upload("f", &o, steps[i].text) != steps[i].status)
			fail_msg("%s: %u %s", steps[i].range, err.code, err.message);
		assert_int_equal(size_told, steps[i].told);
		if (steps[i].contents)
			assert_file(in_dir("f"), steps[i].contents);
		else
			assert_int_equal(stat(in_dir("f"), &st), -1);
	}
}

/* The ETag that a download of the file gives once it is old enough. */
static char *etag_of(const char *name)
{
	struct fs_validator v;
	struct timespec later;
	struct stat st;

	assert_int_equal(stat(in_dir(name), &st), 0);
	clock_gettime(CLOCK_REALTIME, &later);
	later.tv_sec += 10;
	fs_validator_init(&v, &st, &later);
	return arena_strdup(&arena, v.etag);
}

/* Its ctime, which nobody can set, has to grow old by itself. */
static void wait_until_strong(const char *name)
{
	struct timespec now;
	struct stat st;

	do {
		usleep(50000);
		assert_int_equal(stat(in_dir(name), &st), 0);
		clock_gettime(CLOCK_REALTIME, &now);
	} while (now.tv_sec - st.st_ctim.tv_sec < FS_ETAG_WEAK_MS / 1000 + 1);
}

static void test_conditions(void **state)
{
	struct fs_target_options o;

	for (int atomic = 0; atomic < 2; atomic++) {
		o = options_of_user();
		o.atomic = atomic;
		o.if_match = "*";
		assert_int_equal(upload("absent", &o, "x"), 412);
		o.if_match = NULL;
		o.if_none_match = "*";
		assert_int_equal(upload("new", &o, "first"), 0);
		assert_int_equal(upload("new", &o, "second"), 412);
		assert_file(in_dir("new"), "first");
		o.if_none_match = NULL;
		o.if_match = "\"of another file\", W/\"x\"";
		assert_int_equal(upload("new", &o, "third"), 412);
		o.if_match = etag_of("new"); /* the file is too young for it */
		assert_int_equal(upload("new", &o, "fourth"), 412);
		assert_file(in_dir("new"), "first");
		assert_int_equal(count_entries(), 1);
		if (!atomic)
			assert_int_equal(unlink(in_dir("new")), 0);
	}
	wait_until_strong("new");
	assert_int_equal(upload("new", &o, "fifth"), 0);
	assert_int_equal(upload("new", &o, "sixth"), 412);
	assert_file(in_dir("new"), "fifth");
	assert_int_equal(count_entries(), 1);
}

static void test_atomic(void **state)
{
	struct fs_target_options o = options_of_user();
	struct fs_target t;
	struct stat before, after;
	char value[16] = "";

	o.atomic = true;
	o.sync = true;
	put_file("f", "old", 04751);
	assert_int_equal(setxattr(in_dir("f"), "user.kept", "yes", 3, 0), 0);
	if (getuid() == 0)
		assert_int_equal(setxattr(in_dir("f"), "security.capability",
					  "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0),
				 0);
	assert_int_equal(setxattr(in_dir("f"), "user.e2b.gone", "yes", 3, 0), 0);
	assert_int_equal(symlink("f", in_dir("link")), 0);
	assert_int_equal(symlink("sub/../dangling", in_dir("broken")), 0);
	assert_int_equal(mkdir(in_dir("sub"), 0755), 0);
	assert_int_equal(stat(in_dir("f"), &before), 0);
	assert_int_equal(upload("link", &o, "new"), 0);
	assert_file(in_dir("f"), "new");
	assert_int_equal(stat(in_dir("f"), &after), 0);
	/* setuid was for the old contents. */
	assert_int_equal(before.st_mode & 07777, 04751);
	assert_int_equal(after.st_mode & 07777, 0751);
	assert_int_equal(after.st_uid, before.st_uid);
	assert_int_not_equal(after.st_ino, before.st_ino);
	assert_int_equal(getxattr(in_dir("f"), "user.kept", value, sizeof(value)), 3);
	assert_int_equal(getxattr(in_dir("f"), "user.e2b.gone", value, sizeof(value)), -1);
	/* Capabilities were for the old contents, too. */
	assert_int_equal(getxattr(in_dir("f"), "security.capability", NULL, 0), -1);
	assert_int_equal(lstat(in_dir("link"), &after), 0);
	assert_true(S_ISLNK(after.st_mode));
	assert_int_equal(upload("broken", &o, "mended"), 0);
	assert_file(in_dir("dangling"), "mended");
	assert_int_equal(count_entries(), 5);

	/* Given up midway, there is no trace. */
	assert_int_equal(fs_target_open(&t, in_dir("f"), &o, &err), 0);
	assert_int_equal(fs_target_write(&t, "half", 4, &err), 0);
	fs_target_close(&t);
	assert_int_equal(fs_target_open(&t, in_dir("made/new"), &o, &err), 0);
	fs_target_close(&t);
	assert_file(in_dir("f"), "new");
	assert_int_equal(rmdir(in_dir("made")), 0);
	assert_int_equal(count_entries(), 5);

	assert_int_equal(upload("sub", &o, "x"), 400);
	assert_int_equal(upload("sub/", &o, "x"), 400);
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_int_equal(upload("fifo", &o, "x"), 400);
	assert_int_equal(upload("f/x", &o, "x"), 500);
}

static void test_plain(void **state)
{
	struct fs_target_options o = options_of_user();
	struct fs_target t;
	struct stat before, after;

	put_file("f", "a longer text", 0640);
	assert_int_equal(stat(in_dir("f"), &before), 0);
	assert_int_equal(upload("f", &o, "text"), 0);
	assert_file(in_dir("f"), "text");
	assert_int_equal(stat(in_dir("f"), &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode, before.st_mode);
	/* What was written stays. */
	assert_int_equal(fs_target_open(&t, in_dir("f"), &o, &err), 0);
	assert_int_equal(fs_target_write(&t, "ha", 2, &err), 0);
	fs_target_close(&t);
	assert_file(in_dir("f"), "ha");
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_int_equal(upload("fifo", &o, "x"), 400);
	assert_int_equal(upload("new/deep/file", &o, "x"), 0);
	assert_file(in_dir("new/deep/file"), "x");
}

/*
 * Two clients that write the same file at the same time: their bytes were mixed, both in a new file
 * and in an old one. Now the one that ends last wins, whole.
 */
static void test_two_writers(void **state)
{
	struct fs_target_options o = options_of_user();
	struct fs_target one, two;

	for (int old = 0; old < 2; old++) {
		assert_int_equal(fs_target_open(&one, in_dir("f"), &o, &err), 0);
		assert_int_equal(fs_target_write(&one, "on", 2, &err), 0);
		assert_int_equal(fs_target_open(&two, in_dir("f"), &o, &err), 0);
		assert_int_equal(fs_target_write(&two, "TWO and", 7, &err), 0);
		assert_int_equal(fs_target_write(&one, "e", 1, &err), 0);
		assert_int_equal(fs_target_finish(&one, &err), 0);
		assert_file(in_dir("f"), "one");
		assert_int_equal(fs_target_write(&two, " more", 5, &err), 0);
		assert_int_equal(fs_target_finish(&two, &err), 0);
		fs_target_close(&one);
		fs_target_close(&two);
		assert_file(in_dir("f"), "TWO and more");
		assert_int_equal(count_entries(), 1);
	}
	/* The failure of the first removes nothing of the second. */
	assert_int_equal(unlink(in_dir("f")), 0);
	assert_int_equal(fs_target_open(&one, in_dir("f"), &o, &err), 0);
	assert_int_equal(upload("f", &o, "second"), 0);
	fs_target_close(&one);
	assert_file(in_dir("f"), "second");
}

/*
 * If-None-Match and If-Match are promises: of two clients that saw the same state, one wins. Both
 * were answered with 200, since the condition was checked before either changed the file.
 */
static void test_conditions_exclude(void **state)
{
	struct fs_target_options o = options_of_user();
	struct fs_target one, two;

	o.if_none_match = "*";
	for (o.atomic = false;; o.atomic = true) {
		assert_int_equal(fs_target_open(&one, in_dir("new"), &o, &err), 0);
		assert_int_equal(fs_target_write(&one, "one", 3, &err), 0);
		if (o.atomic) {
			assert_int_equal(fs_target_open(&two, in_dir("new"), &o, &err), 0);
			assert_int_equal(fs_target_write(&two, "two", 3, &err), 0);
			assert_int_equal(fs_target_finish(&one, &err), 0);
			assert_int_equal(fs_target_finish(&two, &err), -1);
			assert_int_equal(err.code, ERROR_FAILED_PRECONDITION);
		} else {
			assert_int_equal(fs_target_open(&two, in_dir("new"), &o, &err), -1);
			assert_int_equal(err.code, ERROR_FAILED_PRECONDITION);
			assert_int_equal(fs_target_finish(&one, &err), 0);
		}
		fs_target_close(&one);
		fs_target_close(&two);
		assert_file(in_dir("new"), "one");
		assert_int_equal(count_entries(), 1);
		assert_int_equal(unlink(in_dir("new")), 0);
		if (o.atomic)
			break;
	}
	/* Another process creates the file between the check and the change: the kernel decides. */
	assert_int_equal(fs_target_open(&one, in_dir("new"), &o, &err), 0);
	assert_int_equal(fs_atomic_commit(one.atomic, one.fd, true, false), 0);
	assert_int_equal(fs_atomic_commit(one.atomic, one.fd, true, false), -EEXIST);
	fs_target_close(&one);

	o = options_of_user();
	wait_until_strong("new");
	o.if_match = etag_of("new");
	assert_int_equal(fs_target_open(&one, in_dir("new"), &o, &err), 0);
	assert_int_equal(fs_target_open(&two, in_dir("new"), &o, &err), -1);
	assert_int_equal(err.code, ERROR_FAILED_PRECONDITION);
	fs_target_close(&two);
	fs_target_close(&one);
}

/* A failed upload left its partial new file behind, so a full disk stayed full. */
static void test_failure_removes_new(void **state)
{
	struct fs_target_options o = options_of_user();
	struct fs_target t;
	struct stat st;

	assert_int_equal(fs_target_open(&t, in_dir("new"), &o, &err), 0);
	assert_int_equal(fs_target_write(&t, "part", 4, &err), 0);
	assert_int_equal(stat(in_dir("new"), &st), 0);
	fs_target_close(&t);
	assert_int_equal(count_entries(), 0);
	/* Unless the name is another's by now. */
	assert_int_equal(fs_target_open(&t, in_dir("new"), &o, &err), 0);
	assert_int_equal(rename(in_dir("new"), in_dir("moved")), 0);
	put_file("new", "another", 0600);
	fs_target_close(&t);
	assert_file(in_dir("new"), "another");
	assert_int_equal(count_entries(), 2);
}

/*
 * A file system that keeps no owners (s3fs), or a daemon without CAP_CHOWN: the answer was an
 * error, and the file empty. Who owns the file is then the mount's business.
 */
static void test_chown_refused(void **state)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3],
		none[_LINUX_CAPABILITY_U32S_3];
	struct fs_target_options o = {.uid = 1234, .gid = 1234};

	if (getuid() != 0)
		skip();
	assert_int_equal(syscall(SYS_capget, &header, sets), 0);
	memcpy(none, sets, sizeof(sets));
	none[0].effective &= ~CAP_TO_MASK(CAP_CHOWN);
	assert_int_equal(syscall(SYS_capset, &header, none), 0);
	for (int old = 0; old < 2; old++) {
		assert_int_equal(upload("f", &o, old ? "again" : "first"), 0);
		assert_file(in_dir("f"), old ? "again" : "first");
	}
	o.atomic = true;
	assert_int_equal(upload("g", &o, "atomic"), 0);
	assert_file(in_dir("g"), "atomic");
	assert_int_equal(syscall(SYS_capset, &header, sets), 0);
}

/* The reader of a FIFO saw an end of file when an upload to it was refused. */
static void test_fifo_is_not_opened(void **state)
{
	struct fs_target_options o = options_of_user();
	struct pollfd reader = {.events = POLLIN};

	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	reader.fd = open(in_dir("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(upload("fifo", &o, "x"), 400);
	assert_int_equal(poll(&reader, 1, 0), 0);
	close(reader.fd);
}

/*
 * An atomic upload followed links by readlink(2), which fs.protected_symlinks does not concern: a
 * link of another user in /tmp led root's upload to any file.
 */
static void test_protected_links(void **state)
{
	struct fs_target_options o = options_of_user();

	if (getuid() != 0)
		skip();
	put_file("f", "kept", 0600);
	assert_int_equal(mkdir(in_dir("tmp"), 0755), 0);
	assert_int_equal(chmod(in_dir("tmp"), 01777), 0);
	assert_int_equal(symlink("../f", in_dir("tmp/theirs")), 0);
	assert_int_equal(lchown(in_dir("tmp/theirs"), 1234, 1234), 0);
	assert_int_equal(symlink("../f", in_dir("tmp/ours")), 0);
	o.atomic = true;
	assert_int_equal(upload("tmp/theirs", &o, "lost"), 500);
	assert_file(in_dir("f"), "kept");
	assert_int_equal(upload("tmp/ours", &o, "new"), 0);
	assert_file(in_dir("f"), "new");
	/* In a directory of that user's own the link is followed. */
	assert_int_equal(chown(in_dir("tmp"), 1234, 1234), 0);
	assert_int_equal(upload("tmp/theirs", &o, "theirs"), 0);
	assert_file(in_dir("f"), "theirs");
}

/* Temporary files of a daemon that was killed stayed for ever. */
static void test_sweep(void **state)
{
	static const char name[] = ".envd-0123456789abcdef.tmp";
	struct stat st;
	int fd, dirfd;

	put_file(name, "left behind", 0600);
	put_file(".envd-0123456789abcdeg.tmp", "another name", 0600);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open(in_dir(name), O_WRONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	fs_atomic_sweep(dirfd);
	assert_int_equal(stat(in_dir(name), &st), 0);
	close(fd);
	fs_atomic_sweep(dirfd);
	assert_int_equal(stat(in_dir(name), &st), -1);
	assert_int_equal(count_entries(), 1);
	close(dirfd);
}

/*
 * X-Envd-Sync: a new name is durable once its directory is synced (fsync(2)). Nobody noticed when
 * the directory was left out.
 */
static void test_sync(void **state)
{
	struct fs_target_options o = options_of_user();

	for (o.atomic = false;; o.atomic = true) {
		for (o.sync = false;; o.sync = true) {
			synced_dirs = synced_files = 0;
			assert_int_equal(upload(o.sync ? "synced" : "lazy", &o, "new"), 0);
			assert_int_equal(synced_dirs, o.sync);
			assert_int_equal(synced_files, o.sync);
			if (o.sync)
				break;
		}
		assert_int_equal(unlink(in_dir("synced")), 0);
		assert_int_equal(unlink(in_dir("lazy")), 0);
		if (o.atomic)
			break;
	}
}

/* A change that fails after the new file got its temporary name takes that name away again. */
static void test_failed_change_leaves_no_name(void **state)
{
	struct fs_target_options o = options_of_user();
	struct fs_target t;

	o.atomic = true;
	put_file("f", "old", 0600);
	assert_int_equal(fs_target_open(&t, in_dir("f"), &o, &err), 0);
	assert_int_equal(fs_target_write(&t, "new", 3, &err), 0);
	assert_int_equal(unlink(in_dir("f")), 0);
	assert_int_equal(mkdir(in_dir("f"), 0755), 0);
	assert_int_equal(fs_target_finish(&t, &err), -1);
	fs_target_close(&t);
	assert_int_equal(count_entries(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_writers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conditions_exclude, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_removes_new, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chown_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fifo_is_not_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_protected_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conditions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_atomic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_change_leaves_no_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
