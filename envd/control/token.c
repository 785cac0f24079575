/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/token.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define MARKER_NAME "token"

/* The space that the marker reserves: more than it ever has. */
#define MARKER_BYTES 4096

/* 64 KiB on some arm64 kernels. mlock(2) and madvise(2) take whole pages only. */
static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/*
 * Allocates the page: locked, so that it does not enter swap, and excluded from core dumps
 * (madvise(2)). If mlock(2) fails, the page is used unlocked. By mem_alloc, whose reserve a first
 * token gets also when memory is short.
 */
static void page_new(struct token *t)
{
	uintptr_t end;

	t->block = mem_alloc(2 * page_bytes());
	end = (uintptr_t)t->block + page_bytes() - 1;
	t->page = (char *)(end - end % page_bytes());

	if (mlock(t->page, page_bytes()) < 0)
		log_debug("the access token's memory can't be locked");
	if (madvise(t->page, page_bytes(), MADV_DONTDUMP) < 0)
		log_warn("the access token's memory would be in a core dump: %s",
			 error_errno_text(errno));
}

/* ---- the marker ---- */

/* Opens the directory, if only root can change it and a reboot clears it. */
static int open_directory(const char *directory, struct error *err)
{
	struct statfs fs;
	struct stat status;
	int fd;

	mkdir(directory, 0700);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0 || fstatfs(fd, &fs) < 0) {
		error_set_errno(err, ERROR_INTERNAL, errno, "%s", directory);
		fd_close(&fd);
		return -1;
	}
	if (status.st_uid == 0 && (status.st_mode & 022) == 0 && fs.f_type == TMPFS_MAGIC)
		return fd;
	close(fd);
	return error_set(err, ERROR_FAILED_PRECONDITION,
			 "%s is not a directory on a tmpfs that only root can write to", directory);
}

const char *token_find_directory(void)
{
	static const char *const paths[] = {"/run/envd", "/dev/shm/envd"};
	struct error err;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_LEN(paths); i++) {
		fd = open_directory(paths[i], &err);
		if (fd >= 0) {
			close(fd);
			return paths[i];
		}
		log_info("no state directory: %s", err.message);
	}
	log_warn("a restart will not know that a token was set");
	return NULL;
}

/*
 * Reserves the page of the marker. Others can fill the tmpfs, and a marker that can't be written
 * would leave the next daemon without a token. 0 or -errno.
 */
static int reserve_marker(int fd)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, MARKER_BYTES) < 0 ? -errno : 0;
}

static int open_marker(struct token *t, const char *directory, struct error *err)
{
	FD_AUTO int dir = open_directory(directory, err);
	ssize_t n;

	if (dir < 0)
		return -1;
	t->marker_fd = openat(dir, MARKER_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (t->marker_fd < 0 || reserve_marker(t->marker_fd) < 0) {
		error_set_errno(err, ERROR_INTERNAL, errno, "%s/" MARKER_NAME, directory);
		fd_close(&t->marker_fd);
		return -1;
	}
	t->has_marker = true;
	n = pread(t->marker_fd, t->lock, sizeof(t->lock) - 1, 0);
	/* A truncated marker locks the token, too; then no token matches. */
	t->locked = n != 0;
	t->lock[n > 0 ? n : 0] = '\0';
	return 0;
}

int token_open_marker(struct token *t, const char *directory, struct error *err)
{
	if (open_marker(t, directory, err) == 0)
		return 0;
	/* Without a hash: no token matches. */
	t->locked = true;
	t->lock[0] = '\0';
	return -1;
}

/* Computes the hash of the salt followed by the token. */
static void salted_hash(const char *salt, const char *p, size_t n, char ret[TOKEN_HASH_BYTES])
{
	SHA2_CTX context;

	SHA512Init(&context);
	SHA512Update(&context, (const uint8_t *)salt, TOKEN_SALT_BYTES);
	SHA512Update(&context, (const uint8_t *)p, n);
	SHA512End(&context, ret);
	explicit_bzero(&context, sizeof(context));
}

/*
 * Writes the marker. The file is on a tmpfs, so the loop does not wait for a disk. A hash replaces
 * another one by a single write: a truncation before it would free the reserved page, and a crash
 * between the two would open the daemon.
 */
static void write_marker(struct token *t)
{
	unsigned char random[TOKEN_SALT_BYTES / 2] = {0};
	char text[sizeof(t->lock)] = "";
	ssize_t n;
	size_t i;

	if (!t->has_marker)
		return;
	if (t->n) {
		if (getrandom(random, sizeof(random), GRND_NONBLOCK) < 0)
			log_debug("the salt of the token's marker is not random yet");
		for (i = 0; i < sizeof(random); i++)
			snprintf(text + 2 * i, 3, "%02x", random[i]);
		salted_hash(text, t->page, t->n, text + TOKEN_SALT_BYTES);
	}
	n = pwrite(t->marker_fd, text, strlen(text), 0);
	if (n != (ssize_t)strlen(text) || ftruncate(t->marker_fd, n) < 0 ||
	    reserve_marker(t->marker_fd) < 0)
		log_error("the token's marker can't be written: %s", error_errno_text(errno));
}

/* Returns true if the bytes are the token of the marker. */
static bool opens_lock(const struct token *t, const char *p, size_t n)
{
	char hash[TOKEN_HASH_BYTES];

	if (strlen(t->lock) != sizeof(t->lock) - 1)
		return false;
	salted_hash(t->lock, p, n, hash);
	return mem_equal_constant_time(t->lock + TOKEN_SALT_BYTES, strlen(hash), hash,
				       strlen(hash));
}

/* ---- the token ---- */

static void store(struct token *t, const char *p, size_t n)
{
	/* Fatal: the caller's fault; init_request.c and token_equals check the length. */
	if (n == 0 || n > TOKEN_MAX_BYTES)
		fatal("a token of %zu bytes", n);
	if (!t->page)
		page_new(t);
	explicit_bzero(t->page, page_bytes());
	memcpy(t->page, p, n);
	t->n = n;
	t->locked = false;
}

void token_set(struct token *t, const char *p, size_t n)
{
	bool changes = !t->n || !mem_equal_constant_time(t->page, t->n, p, n);

	store(t, p, n);
	if (changes)
		write_marker(t);
}

void token_clear(struct token *t)
{
	bool changes = token_is_set(t);

	if (t->page)
		explicit_bzero(t->page, page_bytes());
	t->n = 0;
	t->locked = false;
	if (changes)
		write_marker(t);
}

bool token_is_set(const struct token *t)
{
	return t->n > 0 || t->locked;
}

bool token_equals(struct token *t, const char *p, size_t n)
{
	if (t->n)
		return mem_equal_constant_time(t->page, t->n, p, n);
	if (!t->locked || n == 0 || n > TOKEN_MAX_BYTES || !opens_lock(t, p, n))
		return false;
	store(t, p, n);
	return true;
}

void token_free(struct token *t)
{
	if (!t->block)
		return;
	explicit_bzero(t->page, page_bytes());
	munlock(t->page, page_bytes());
	madvise(t->page, page_bytes(), MADV_DODUMP);
	free(t->block);
}

const char *token_bytes(const struct token *t, size_t *ret_bytes)
{
	*ret_bytes = t->n ? t->n : t->locked ? sizeof(t->lock) : 0;
	return t->n ? t->page : t->locked ? t->lock : NULL;
}

void token_hash(const char *p, size_t n, char ret[TOKEN_HASH_BYTES])
{
	SHA2_CTX context;

	SHA512Init(&context);
	SHA512Update(&context, (const uint8_t *)p, n);
	SHA512End(&context, ret);
	explicit_bzero(&context, sizeof(context));
}
