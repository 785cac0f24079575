/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar archives: read whole and in pieces, written and read again, and unpacked against their will.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/mem.h"
#include "fs/http/request.h"
#include "fs/tar_read.h"
#include "fs/tar_write.h"
#include "fs/untar.h"
#include "tests/unit/files.h"
#include "tests/unit/guard.h"

#define STRING_101                                                                                 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                                       \
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbc"

static struct evbuffer *archive;
static struct arena arena;

/* Adds an entry as the daemon writes it. */
static void add(char type, const char *name, const char *link, const char *contents)
{
	struct tar_entry e = {.type = type,
			      .name = name,
			      .link = link,
			      .mode = 0644,
			      .size = strlen(contents),
			      .mtime_s = 1000000000,
			      .mtime_ns = 5};

	tar_write_header(&e, archive);
	evbuffer_add(archive, contents, strlen(contents));
	tar_write_padding(strlen(contents), archive);
}

/* Adds a block as another program may write it, its checksum right. */
static void add_header(struct tar_header *h)
{
	snprintf(h->checksum, sizeof(h->checksum), "%06o", tar_checksum(h));
	evbuffer_add(archive, h, sizeof(*h));
}

/* Adds an entry with contents that are given as they are. */
static void add_raw(char type, const char *name, const void *contents, size_t n)
{
	struct tar_header h = {.type = type, .mode = "0000644", .magic = "ustar"};

	char size[24];

	memcpy(h.name, name, strlen(name));
	snprintf(size, sizeof(size), "%011zo", n);
	memcpy(h.size, size, sizeof(h.size));
	add_header(&h);
	evbuffer_add(archive, contents, n);
	tar_write_padding(n, archive);
}

static int setup(void **state)
{
	archive = evbuffer_new();
	return 0;
}

static int teardown(void **state)
{
	evbuffer_free(archive);
	arena_clear(&arena);
	return 0;
}

/* What the reader tells of n bytes that come in pieces, as a line of text. In the arena. */
static char *read_archive(const void *bytes, size_t n, size_t step)
{
	struct tar_read t = {0};
	struct evbuffer *told = evbuffer_new();
	enum tar_read_event event = TAR_READ_MORE;
	const char *p, *rest = bytes;
	struct guard guard;
	size_t left, piece;
	char *text, name[4096];

	*name = '\0';
	for (; n && event != TAR_READ_ERROR; rest += piece, n -= piece) {
		piece = step < n ? step : n;
		left = piece;
		p = guard_put(&guard, rest, piece);
		while ((event = tar_read_next(&t, &p, &left)) != TAR_READ_MORE) {
			if (event == TAR_READ_ENTRY)
				snprintf(name, sizeof(name), "%s", t.entry.name);
			/*
			 * The reader once freed a long name before it told of the entry's end, and
			 * the message about a failed utimensat(2) read the freed name.
			 */
			if (event == TAR_READ_ENTRY_END)
				assert_memory_equal(t.entry.name, name, strnlen(name, 4095));
			if (event == TAR_READ_ENTRY)
				evbuffer_add_printf(
					told, "%c %s%s%s %o %lld.%u %llu <", t.entry.type,
					t.entry.name, *t.entry.link ? "->" : "", t.entry.link,
					t.entry.mode, (long long)t.entry.mtime_s, t.entry.mtime_ns,
					(unsigned long long)t.entry.size);
			else if (event == TAR_READ_DATA)
				evbuffer_add(told, t.data, t.data_bytes);
			else if (event == TAR_READ_ENTRY_END)
				evbuffer_add(told, "> ", 2);
			else if (event == TAR_READ_END)
				evbuffer_add(told, "end", 3);
			if (event == TAR_READ_ERROR)
				break;
		}
		guard_clear(&guard);
	}
	if (tar_read_finish(&t) < 0)
		evbuffer_add_printf(told, "! %s", t.error);
	tar_read_clear(&t);
	evbuffer_add(told, "", 1);
	text = arena_strdup(&arena, (char *)evbuffer_pullup(told, -1));
	evbuffer_free(told);
	return text;
}

/* The archive so far reads as this text, however it is cut. */
static void assert_reads(const char *expected)
{
	static const size_t steps[] = {1, 7, 511, 512, 513, 100000};
	size_t n = evbuffer_get_length(archive), i;
	unsigned char *bytes = evbuffer_pullup(archive, -1);

	for (i = 0; i < ARRAY_LEN(steps); i++)
		assert_string_equal(read_archive(bytes, n, steps[i]), expected);
	evbuffer_drain(archive, n);
}

static void test_written(void **state)
{
	add(TAR_DIRECTORY, "d/", "", "");
	add(TAR_FILE, "d/\xff\xc3\xa4 x", "", "contents");
	add(TAR_SYMLINK, "l", "d/e", "");
	add(TAR_FILE, STRING_101 "/" STRING_101, "", "");
	add(TAR_SYMLINK, "m", STRING_101, "");
	tar_write_end(archive);
	evbuffer_add(archive, "rubbish", 7);
	assert_reads("5 d/ 644 1000000000.5 0 <> "
		     "0 d/\xff\xc3\xa4 x 644 1000000000.5 8 <contents> "
		     "2 l->d/e 644 1000000000.5 0 <> "
		     "0 " STRING_101 "/" STRING_101 " 644 1000000000.5 0 <> "
		     "2 m->" STRING_101 " 644 1000000000.5 0 <> end");
}

/* Numbers that need a pax header, and times. */
static void test_numbers(void **state)
{
	static const struct {
		uint64_t size;
		int64_t mtime_s;
		uint32_t mtime_ns;
	} cases[] = {
		{0, 0, 0},
		{077777777777, 1, 0},
		{0100000000000, -1, 0},
		{INT64_MAX, 1, 1},
		{5, 077777777777, 0},
		{6, 0100000000000, 999999999},
		{1234567, -86400, 0},
	};
	struct tar_read t;
	const char *p;
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct tar_entry e = {.type = TAR_FILE,
				      .name = "f",
				      .link = "",
				      .uid = UINT32_MAX,
				      .size = cases[i].size,
				      .mtime_s = cases[i].mtime_s,
				      .mtime_ns = cases[i].mtime_ns};

		memset(&t, 0, sizeof(t));
		tar_write_header(&e, archive);
		n = evbuffer_get_length(archive);
		p = (char *)evbuffer_pullup(archive, -1);
		assert_int_equal(tar_read_next(&t, &p, &n), TAR_READ_ENTRY);
		assert_int_equal(t.entry.size, e.size);
		assert_int_equal(t.entry.mtime_s, e.mtime_s);
		assert_int_equal(t.entry.mtime_ns, e.mtime_ns);
		tar_read_clear(&t);
		evbuffer_drain(archive, evbuffer_get_length(archive));
	}
}

/* What other programs write. */
static void test_foreign(void **state)
{
	struct tar_header h = {.name = "old/", .mode = "755 ", .size = "0 "};
	struct tar_header prefix = {.name = "name",
				    .mode = "0000600",
				    .size = "00000000002",
				    .type = TAR_CONTIGUOUS,
				    .magic = "ustar",
				    .prefix = "before"};
	struct tar_header gnu = {.name = "gnu", .mode = "0000600", .prefix = "times"};
	static const char binary[] = "\x80\0\0\0\0\0\0\0\0\0\0\3";
	static const char pax[] = "20 mtime=-1.5000000\n15 path=a\nb\n c\n17 comment=hello\n";

	add_header(&h);
	add_header(&prefix);
	evbuffer_add(archive, "xy", 2);
	tar_write_padding(2, archive);
	memcpy(gnu.magic, "ustar ", 6);
	memcpy(gnu.size, binary, sizeof(gnu.size));
	add_header(&gnu);
	evbuffer_add(archive, "abc", 3);
	tar_write_padding(3, archive);
	assert_reads("5 old/ 755 0.0 0 <> 0 before/name 600 0.0 2 <xy> 0 gnu 600 0.0 3 <abc> ");

	add_raw(TAR_PAX_GLOBAL, "g", "16 path=ignored\n", 16);
	add_raw(TAR_GNU_VOLUME, "volume", "", 0);
	add_raw(TAR_GNU_NAME, "././@LongLink", "long name", 10);
	add_raw(TAR_GNU_LINK, "././@LongLink", "long link", 10);
	add_raw(TAR_SYMLINK, "cut", "", 0);
	add_raw(TAR_PAX, "p", pax, sizeof(pax) - 1);
	add_raw(TAR_FILE, "short", "data", 4);
	add_raw(TAR_FILE, "next", "", 0);
	assert_reads("2 long name->long link 644 0.0 0 <> "
		     "0 a\nb\n c 644 -2.500000000 4 <data> 0 next 644 0.0 0 <> ");
}

static void test_wrong(void **state)
{
	static const struct {
		const char *pax, *error;
	} cases[] = {
		{"x", "a pax record of a wrong length"},
		{"12 path=ab\n", "a pax record of a wrong length"},
		{"3 x", "a pax record of a wrong length"},
		{"0 path=ab\n", "a pax record of a wrong length"},
		{"99999999999999999999 a=b\n", "a pax record of a wrong length"},
		{"10 path=ab", "a pax record of a wrong length"},
		{"7 path\n", "a pax record without a value"},
		{"9 size=x\n", "a size that is no number"},
		{"11 size=-1\n", "a size that is no number"},
		{"8 size=\n", "a size that is no number"},
		{"28 size=9223372036854775808\n", "a size that is no number"},
		{"13 mtime=1.x\n", "a time that is no number"},
		{"22 GNU.sparse.major=1\n", "sparse files are not supported"},
	};
	struct tar_header h = {.name = "f", .mode = "0000644", .size = "8"};
	static char large[TAR_EXTENSION_MAX_BYTES + 1];
	char text[100];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		add_raw(TAR_PAX, "p", cases[i].pax, strlen(cases[i].pax));
		snprintf(text, sizeof(text), "! %s", cases[i].error);
		assert_reads(text);
	}
	add_raw(TAR_PAX, "p", "11 path=a\0\n", 11);
	assert_reads("! a NUL in a name");
	add_raw(TAR_GNU_NAME, "p", large, sizeof(large));
	assert_reads("! an extended header that is too long");
	add_header(&h);
	assert_reads("! a size that is no number");
	memcpy(h.size, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
	add_header(&h);
	assert_reads("! a size that is no number");
	strcpy(h.size, "1");
	strcpy(h.mode, "rw");
	add_header(&h);
	assert_reads("! a mode that is no number");
	strcpy(h.mode, "644");
	h.checksum[0] = '7';
	evbuffer_add(archive, &h, sizeof(h));
	assert_reads("! a header whose checksum is wrong");
	add_raw(TAR_FILE, "f", "1234", 4);
	evbuffer_add(archive, "x", 1);
	assert_reads("0 f 644 0.0 4 <1234> ! the archive is cut short");
}

/* An archive is whole at the end of each entry, and nowhere else. */
static void test_cut(void **state)
{
	const unsigned char *bytes;

	add_raw(TAR_FILE, "f", "1234", 4);
	bytes = evbuffer_pullup(archive, -1);
	for (size_t n = 0; n < 2 * TAR_BLOCK_BYTES; n++) {
		bool whole = n == 0 || n >= TAR_BLOCK_BYTES + 4;

		assert_int_equal(strchr(read_archive(bytes, n, 100), '!') == NULL, whole);
	}
}

/* ---- unpacking ---- */

static char dir[64];

static int setup_dir(void **state)
{
	strcpy(dir, "/tmp/envd-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	return mkdir(arena_printf(&arena, "%s/top", dir), 0755) < 0 ? -1 : setup(state);
}

static int teardown_dir(void **state)
{
	char command[100];

	teardown(state);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* Unpacks the archive below dir/top. Returns the HTTP status of the error, or 0. */
static unsigned unpack(uid_t uid)
{
	struct error err = {0};
	struct fs_untar u;
	int top = open(arena_printf(&arena, "%s/top", dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = evbuffer_get_length(archive);

	assert_true(top >= 0);
	fs_untar_init(&u, top, uid, uid, &err);
	if (fs_untar_bytes(&u, (char *)evbuffer_pullup(archive, -1), n) == 0)
		fs_untar_finish(&u, false);
	fs_untar_clear(&u);
	evbuffer_drain(archive, n);
	return err.code ? fs_error_status(err.code) : 0;
}

static char *in_dir(const char *name)
{
	return arena_printf(&arena, "%s/%s", dir, name);
}

static void put_file(const char *name, const char *text)
{
	FD_AUTO int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_unpack(void **state)
{
	struct stat st;

	put_file("top/there", "old");
	assert_int_equal(link(in_dir("top/there"), in_dir("kept")), 0);
	add(TAR_FILE, "./there", "", "new");
	add(TAR_FILE, "a//b/./c", "", "deep");
	add(TAR_DIRECTORY, "a/", "", "");
	add(TAR_HARD_LINK, "a/hard", "./a/b/c", "");
	/* The place of the link was cleared first, so this once removed the file. */
	add(TAR_HARD_LINK, "a/b/c", "a/b/c", "");
	add(TAR_HARD_LINK, "a/hard", "a/b/c", "");
	add(TAR_SYMLINK, "a/b/up", "../../there", "");
	add(TAR_SYMLINK, "a/b/down", "x/y", "");
	add(TAR_FIFO, "fifo", "", "");
	add(TAR_DIRECTORY, "./", "", "");
	tar_write_end(archive);
	assert_int_equal(unpack(getuid()), 0);
	assert_file(in_dir("top/there"), "new");
	assert_file(in_dir("kept"), "old");
	assert_file(in_dir("top/a/hard"), "deep");
	assert_file(in_dir("top/a/b/up"), "new");
	assert_int_equal(stat(in_dir("top/a/b/c"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(stat(in_dir("top/fifo"), &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
}

/* The ways out: each is refused, and leaves what is outside as it was. */
static void test_ways_out(void **state)
{
	static const struct {
		char type;
		const char *name, *link;
	} cases[] = {
		{TAR_FILE, "../out", ""},
		{TAR_FILE, "a/../../out", ""},
		{TAR_FILE, "a/..", ""},
		{TAR_FILE, "/tmp/out", ""},
		{TAR_FILE, "//tmp/out", ""},
		{TAR_FILE, "", ""},
		{TAR_FILE, ".", ""},
		{TAR_DIRECTORY, "..", ""},
		{TAR_DIRECTORY, "/", ""},
		{TAR_FILE, "away/out", ""},
		{TAR_DIRECTORY, "away/out", ""},
		{TAR_FILE, "away/deeper/out", ""},
		{TAR_DIRECTORY, "away", ""},
		{TAR_FILE, "file/x", ""},
		{TAR_FILE, "sub", ""},
		{TAR_SYMLINK, "l", "/etc"},
		{TAR_SYMLINK, "l", ".."},
		{TAR_SYMLINK, "l", ""},
		{TAR_SYMLINK, "l", "a/.."},
		{TAR_SYMLINK, "l", "./../x"},
		{TAR_SYMLINK, "sub/l", "../../x"},
		{TAR_SYMLINK, "sub/l", "..//../"},
		{TAR_SYMLINK, "inside/l", "../x"},
		{TAR_SYMLINK, "sub/l", "../sub/.."},
		{TAR_HARD_LINK, "l", "/etc/passwd"},
		{TAR_HARD_LINK, "l", "../kept"},
		{TAR_HARD_LINK, "l", "away/kept"},
		{TAR_HARD_LINK, "l", "away"},
		{TAR_HARD_LINK, "l", "nothing"},
		{TAR_HARD_LINK, "l", ""},
		{TAR_HARD_LINK, "l", "sub"},
		{'S', "sparse", ""},
		{'?', "unknown", ""},
	};
	struct stat st;

	put_file("kept", "kept");
	put_file("top/file", "file");
	assert_int_equal(mkdir(in_dir("top/sub"), 0755), 0);
	assert_int_equal(symlink("..", in_dir("top/away")), 0);
	assert_int_equal(symlink("sub", in_dir("top/inside")), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		add(cases[i].type, cases[i].name, cases[i].link, "");
		tar_write_end(archive);
		if (unpack(getuid()) != 400)
			fail_msg("%c '%s' -> '%s' was not refused", cases[i].type, cases[i].name,
				 cases[i].link);
		assert_int_equal(lstat(in_dir("out"), &st), -1);
		assert_int_equal(lstat(in_dir("top/l"), &st), -1);
		assert_int_equal(lstat(in_dir("top/sub/l"), &st), -1);
	}
	assert_file(in_dir("kept"), "kept");
	assert_file(in_dir("top/file"), "file");

	/* Through a link that stays inside there is a way, and a link in the way of a file goes. */
	add(TAR_FILE, "inside/new/f", "", "f");
	add(TAR_DIRECTORY, "inside", "", "");
	add(TAR_FILE, "away", "", "no link any more");
	assert_int_equal(unpack(getuid()), 0);
	assert_file(in_dir("top/sub/new/f"), "f");
	assert_file(in_dir("top/away"), "no link any more");
	assert_file(in_dir("kept"), "kept");
}

/* Devices are root's, and what is unpacked is the user's. */
static void test_users(void **state)
{
	struct stat st;

	if (getuid() == 0) {
		add(TAR_FILE, "a/f", "", "f");
		add(TAR_SYMLINK, "a/l", "f", "");
		assert_int_equal(unpack(1234), 0);
		for (size_t i = 0; i < 3; i++) {
			static const char *const names[] = {"top/a", "top/a/f", "top/a/l"};

			assert_int_equal(lstat(in_dir(names[i]), &st), 0);
			assert_int_equal(st.st_uid, 1234);
			assert_int_equal(st.st_gid, 1234);
		}
	}
	add(TAR_CHAR_DEVICE, "null", "", "");
	assert_int_equal(unpack(1234), 400);
	assert_int_equal(lstat(in_dir("top/null"), &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unpack, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_ways_out, setup_dir, teardown_dir),
		cmocka_unit_test_setup_teardown(test_users, setup_dir, teardown_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
