/*
 * The access token: in locked memory, outside core dumps, wiped when it changes.
 */
#ifndef ENVD_TOKEN_H
#define ENVD_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

/* A longer one is refused. (Existing platforms send 64 hexadecimal digits.) */
#define TOKEN_MAX_BYTES 2048

struct token {
	char *page; /* mmap'ed, locked; NULL until the first token */
	size_t n;   /* 0: no token is set */
};

/* Sets the n bytes (1 to TOKEN_MAX_BYTES), in the place of what was there. Copies. */
void token_set(struct token *t, const char *p, size_t n);

/* Wipes it. */
void token_clear(struct token *t);

bool token_is_set(const struct token *t);

/* Compares in a time that depends on the candidate's length alone. False where none is set. */
bool token_equals(const struct token *t, const char *p, size_t n);

/* The bytes, borrowed until the next change; NULL where none is set. Not NUL-terminated. */
const char *token_bytes(const struct token *t, size_t *ret_bytes);

/* The lower-case hexadecimal SHA-512 of n bytes, with a NUL: how the metadata service has tokens. */
#define TOKEN_HASH_BYTES 129
void token_hash(const char *p, size_t n, char ret[TOKEN_HASH_BYTES]);

/* Whether two texts are the same, in a time that depends on the second's length alone. */
bool token_text_equal(const char *secret, size_t secret_bytes, const char *p, size_t n);

#endif
