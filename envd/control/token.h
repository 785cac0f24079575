/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access token, in locked memory outside core dumps, wiped when it changes; and the marker,
 * which remembers over a restart of the daemon that a token was set.
 *
 * Without a marker a daemon that is started again after a crash knows no token, and lets everybody
 * in until the next /init. The marker is a file with a salted hash of the token, in a directory on
 * tmpfs that only root can enter. A daemon that finds one is *locked*: every request needs a token
 * with that hash. The first such request makes the token known again. A reboot clears the tmpfs.
 */
#ifndef ENVD_TOKEN_H
#define ENVD_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A longer one is refused. (Existing platforms send 64 hexadecimal digits.) */
#define TOKEN_MAX_BYTES 2048

/* The lower-case hexadecimal SHA-512 of n bytes, with a NUL. */
#define TOKEN_HASH_BYTES 129

/* Hexadecimal digits of the marker's salt. */
#define TOKEN_SALT_BYTES 32

struct token {
	char *page; /* mmap'ed, locked; NULL until the first token */
	size_t n;   /* 0: no token is known */
	bool has_marker;
	int marker_fd;					/* if has_marker: the file, open */
	bool locked;					/* a token is needed whose hash is `lock` */
	char lock[TOKEN_SALT_BYTES + TOKEN_HASH_BYTES]; /* salt, then the hash of salt and token */
};

/*
 * Opens the marker in `directory`, which is made if it is missing, and locks the token if the
 * marker tells of one. 0, or -1 with the reason if the directory is not root's alone or not on a
 * tmpfs. Call it once, before the daemon serves.
 */
int token_open_marker(struct token *t, const char *directory, struct error *err);

/*
 * Sets the n bytes (1 to TOKEN_MAX_BYTES) in place of the token before. Copies. Updates the marker.
 */
void token_set(struct token *t, const char *p, size_t n);

/* Wipes the token; no request needs one any more. Updates the marker. */
void token_clear(struct token *t);

/* Whether requests need a token: one is known, or the daemon is locked. */
bool token_is_set(const struct token *t);

/*
 * Whether the n bytes are the token, in a time that depends on n alone. False if none is set. A
 * locked daemon that is given the right token knows it from then on.
 */
bool token_equals(struct token *t, const char *p, size_t n);

/*
 * The bytes of the token, borrowed until the next change, not NUL-terminated; NULL if requests need
 * none. While the daemon is locked they are bytes that nobody knows, so no signature made with a
 * token is valid.
 */
const char *token_bytes(const struct token *t, size_t *ret_bytes);

void token_hash(const char *p, size_t n, char ret[TOKEN_HASH_BYTES]);

/* Whether two texts are the same, in a time that depends on the second's length alone. */
bool token_text_equal(const char *secret, size_t secret_bytes, const char *p, size_t n);

#endif
