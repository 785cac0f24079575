/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena: memory that is given out in pieces and taken back all at once.
 *
 * Every request has one; its head, its decoded message and its paths lie in it. Pieces are
 * aligned for any type, zeroed only by arena_zalloc, never freed singly. Chunks grow from
 * ARENA_FIRST_CHUNK to ARENA_MAX_CHUNK; a larger piece gets a chunk of its own.
 *
 * Running out of memory aborts the process (see base/mem.h), so a size that a peer chose is
 * bounded before it comes here, or comes through arena_try_alloc under a limit.
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
	char *end;		    /* behind its last byte */
	size_t total_bytes;	    /* of all chunks */
	size_t limit_bytes;	    /* for arena_try_alloc; 0: none */
};

/* Frees every piece. The arena can be used again; its limit stays. */
void arena_clear(struct arena *a);

/* Moves all pieces of `from` into `a`, where they stay valid. `from` is empty afterwards. */
void arena_adopt(struct arena *a, struct arena *from);

/* n bytes, uninitialised. n may be 0. Never NULL. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));

/* n bytes, all zero. */
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));

/*
 * As arena_alloc, but NULL where the chunks of the arena would come to more than limit_bytes:
 * for memory whose size a peer chose (a message that inflates as it is decoded).
 */
void *arena_try_alloc(struct arena *a, size_t n);

/* Copies of a string, of n bytes with a NUL added, and of n bytes. */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *p, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t n);

char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));

#endif
