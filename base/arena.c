/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct arena_chunk {
	struct arena_chunk *next;
	size_t bytes : 63; /* of the chunk, with this header */
	size_t is_secret : 1;
	alignas(max_align_t) char data[];
};

void arena_clear(struct arena *a)
{
	struct arena_chunk *chunk, *next;

	for (chunk = a->chunks; chunk; chunk = next) {
		next = chunk->next;
		if (chunk->is_secret)
			explicit_bzero(chunk->data, chunk->bytes - sizeof(*chunk));
		free(chunk);
	}
	a->chunks = NULL;
	a->free = a->end = NULL;
	a->total_bytes = 0;
}

void arena_mark_secret(struct arena *a)
{
	struct arena_chunk *chunk;

	for (chunk = a->chunks; chunk; chunk = chunk->next)
		chunk->is_secret = true;
}

void arena_adopt(struct arena *a, struct arena *from)
{
	struct arena_chunk **end;

	/* Append after the chunks of `a`, so that the newest chunk keeps its free bytes. */
	for (end = &a->chunks; *end; end = &(*end)->next)
		continue;
	*end = from->chunks;
	if (!a->free) {
		a->free = from->free;
		a->end = from->end;
	}
	a->total_bytes += from->total_bytes;
	from->chunks = NULL;
	from->free = from->end = NULL;
	from->total_bytes = 0;
}

/* Adds a chunk with room for n bytes. Returns false if it would exceed the limit. */
static bool arena_grow(struct arena *a, size_t n, bool limited)
{
	size_t bytes = a->chunks ? a->chunks->bytes * 2 : ARENA_FIRST_CHUNK, left;
	struct arena_chunk *chunk;

	if (bytes > ARENA_MAX_CHUNK)
		bytes = ARENA_MAX_CHUNK;
	/* Fatal: no size that a peer chooses is near it (docs/limits.md). */
	if (n > SIZE_MAX / 2)
		fatal("arena: a piece of %zu bytes", n);
	if (bytes < n + sizeof(*chunk))
		bytes = n + sizeof(*chunk);
	/* arena_alloc may have passed the limit. */
	left = a->limit_bytes > a->total_bytes ? a->limit_bytes - a->total_bytes : 0;
	if (limited && a->limit_bytes && bytes > left) {
		/* The last piece before the limit gets a chunk of just its size. */
		bytes = n + sizeof(*chunk);
		if (bytes > left)
			return false;
	}
	chunk = mem_alloc(bytes);
	chunk->next = a->chunks;
	chunk->bytes = bytes;
	chunk->is_secret = false;
	a->chunks = chunk;
	a->total_bytes += bytes;
	a->free = chunk->data;
	a->end = (char *)chunk + bytes;
	return true;
}

static void *arena_take(struct arena *a, size_t n, bool limited)
{
	const size_t align = alignof(max_align_t);
	size_t rounded = (n + align - 1) & ~(align - 1);
	void *p;

	/* Fatal: as in arena_grow. */
	if (rounded < n)
		fatal("arena: a piece of %zu bytes", n);
	if ((size_t)(a->end - a->free) < rounded && !arena_grow(a, rounded, limited))
		return NULL;
	p = a->free;
	a->free += rounded;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return arena_take(a, n ? n : 1, false);
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

void *arena_try_alloc(struct arena *a, size_t n)
{
	return arena_take(a, n ? n : 1, true);
}

char *arena_strndup(struct arena *a, const char *p, size_t n)
{
	char *copy = arena_alloc(a, n + 1);

	if (n)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

void *arena_memdup(struct arena *a, const void *p, size_t n)
{
	void *copy = arena_alloc(a, n);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *arena_vprintf(struct arena *a, const char *format, va_list ap)
{
	va_list again;
	char *text;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	/* Fatal: the formats are literals, and no argument is near INT_MAX bytes. */
	if (n < 0)
		fatal("arena: bad format '%s'", format);
	text = arena_alloc(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, format, ap);
	return text;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	text = arena_vprintf(a, format, ap);
	va_end(ap);
	return text;
}
