/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena: allocates pieces of memory and frees all of them at once.
 *
 * Each request has an arena for its head, its decoded message and its paths. Pieces are aligned
 * for any type; arena_zalloc alone zeroes them; a single piece can't be freed. Chunks grow from
 * ARENA_FIRST_CHUNK to ARENA_MAX_CHUNK; a larger piece gets a chunk of its own.
 *
 * A lack of memory aborts the process (see base/mem.h). Therefore the caller bounds a size that a
 * peer chooses, or calls arena_try_alloc, which has a limit.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#define ARENA_FIRST_CHUNK 1024u
#define ARENA_MAX_CHUNK	  65536u

struct arena_chunk;

/* An arena that is all zero bytes is ready for use. */
struct arena {
	struct arena_chunk *chunks; /* newest first */
	char *free;		    /* first free byte of the newest chunk */
	char *end;		    /* after the last byte of that chunk */
	size_t total_bytes;	    /* sum over all chunks */
	size_t limit_bytes;	    /* for arena_try_alloc; 0: none */
};

/* Frees every piece. The arena can be used again; its limit stays. */
void arena_clear(struct arena *a);

/*
 * Marks the chunks that the arena has now: arena_clear will wipe them, including pieces that are
 * allocated in them later. Call it if a piece may contain a token.
 */
void arena_mark_secret(struct arena *a);

/* Moves all pieces of `from` into `a`, where they stay valid. `from` is empty afterwards. */
void arena_adopt(struct arena *a, struct arena *from);

/* Allocates n uninitialised bytes. n may be 0. Never NULL. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));

/* Allocates n bytes, all zero. Never NULL. */
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));

/*
 * As arena_alloc, but returns NULL if the arena's chunks would exceed limit_bytes. For memory whose
 * size a peer chooses (a message that grows when it is decoded).
 */
void *arena_try_alloc(struct arena *a, size_t n);

/* Return copies: of a string; of n bytes, with a NUL after them; of n bytes as they are. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *p, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t n);

char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));

#endif
