/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access token, and the marker, a file that records that a token is set.
 *
 * The token lies in locked memory that is excluded from core dumps, and is wiped when it changes.
 *
 * Without a marker, a daemon that restarts after a crash knows no token and accepts all requests
 * until the next /init. The marker contains a salted hash of the token and lies in a directory on
 * tmpfs that only root can write to. A daemon that finds a marker is *locked*: every request needs
 * a token with this hash. The first request with such a token makes the token known again. A reboot
 * clears the tmpfs. A daemon that can't use the directory does not know whether a token was set. It
 * is locked, too, and no token matches: only the metadata service can then confirm a token
 * (envd/control/auth.h).
 */
#ifndef ENVD_TOKEN_H
#define ENVD_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* The maximum length of a token. (Existing platforms send 64 hexadecimal digits.) */
#define TOKEN_MAX_BYTES 2048

/* Room for a SHA-512 as lower-case hexadecimal digits, with a NUL. */
#define TOKEN_HASH_BYTES 129

/* Hexadecimal digits of the marker's salt. */
#define TOKEN_SALT_BYTES 32

struct token {
	char *page; /* a locked page inside `block`; NULL until the first token */
	void *block;
	size_t n; /* 0: no token is known */
	bool has_marker;
	int marker_fd;					/* if has_marker: the file, open */
	bool locked;					/* no token is known, only `lock` */
	char lock[TOKEN_SALT_BYTES + TOKEN_HASH_BYTES]; /* salt, then the hash of salt and token */
};

/*
 * Returns the directory for the marker if the operator names none: the first of /run/envd and
 * /dev/shm/envd that token_open_marker accepts, which is created if it is missing. A container
 * without the right to mount has no tmpfs at /run. NULL, and a warning in the log, if there is
 * none.
 */
const char *token_find_directory(void);

/*
 * Opens the marker in `directory`; creates the directory if it is missing. If the marker contains a
 * hash, the token becomes locked. Call it once, before the daemon serves. Returns 0, or -1 with the
 * reason if the directory is not on a tmpfs, or others than root can write to it; the token is then
 * locked without a hash.
 */
int token_open_marker(struct token *t, const char *directory, struct error *err);

/* Sets the token to the n bytes (1 to TOKEN_MAX_BYTES). Copies them. Updates the marker. */
void token_set(struct token *t, const char *p, size_t n);

/* Wipes the token: from now on requests need no token. Updates the marker. */
void token_clear(struct token *t);

/* Returns true if requests need a token: a token is known, or the token is locked. */
bool token_is_set(const struct token *t);

/*
 * Returns true if the n bytes are the token, in a time that depends only on n. Returns false if no
 * token is set. If the token is locked and the n bytes are the right token, the token is known from
 * then on.
 */
bool token_equals(struct token *t, const char *p, size_t n);

/*
 * Returns the bytes of the token, borrowed until the next change and not NUL-terminated; NULL if
 * requests need no token. If the token is locked, returns the salt and the hash instead. Clients do
 * not know these bytes, so no signature of a URL is valid.
 */
const char *token_bytes(const struct token *t, size_t *ret_bytes);

/* Wipes the token's memory and frees it. The marker stays. */
void token_free(struct token *t);

void token_hash(const char *p, size_t n, char ret[TOKEN_HASH_BYTES]);

#endif
