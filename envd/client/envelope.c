/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/client/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_BYTES 4096u

void envelope_clear(struct envelope *e)
{
	free(e->data);
	*e = (struct envelope){0};
}

void envelope_head(unsigned char head[ENVELOPE_HEAD_BYTES], unsigned flags, size_t n)
{
	head[0] = (unsigned char)flags;
	for (int i = 1; i < ENVELOPE_HEAD_BYTES; i++)
		head[i] = (unsigned char)(n >> 8 * (ENVELOPE_HEAD_BYTES - 1 - i));
}

static enum envelope_event fail(struct envelope *e, const char *why)
{
	e->error = why;
	return ENVELOPE_ERROR;
}

/* Collects bytes of the head. Returns false while it is incomplete. */
static bool take_head(struct envelope *e, const char **p, size_t *n)
{
	while (*n && e->head_bytes < ENVELOPE_HEAD_BYTES) {
		e->head[e->head_bytes++] = (unsigned char)*(*p)++;
		--*n;
	}
	if (e->head_bytes < ENVELOPE_HEAD_BYTES)
		return false;
	e->flags = e->head[0];
	e->bytes = 0;
	for (int i = 1; i < ENVELOPE_HEAD_BYTES; i++)
		e->bytes = e->bytes << 8 | e->head[i];
	return true;
}

/* Makes room for n bytes more than there are. */
static void reserve(struct envelope *e, size_t n)
{
	size_t capacity = e->capacity ? e->capacity : FIRST_BYTES;

	while (capacity < e->have + n)
		capacity *= 2;
	if (capacity > e->capacity)
		e->data = mem_realloc(e->data, capacity);
	e->capacity = capacity;
}

enum envelope_event envelope_next(struct envelope *e, const char **p, size_t *n)
{
	size_t part;

	if (e->error)
		return ENVELOPE_ERROR;
	if (e->complete) {
		e->complete = false;
		e->head_bytes = e->have = 0;
	}
	if (!take_head(e, p, n))
		return ENVELOPE_MORE;
	if (e->flags & ~ENVELOPE_END)
		return fail(e, "a message with flags that were not asked for");
	if (e->bytes > ENVELOPE_MAX_BYTES)
		return fail(e, "a message that is too large");
	part = e->bytes - e->have < *n ? e->bytes - e->have : *n;
	reserve(e, part);
	memcpy(e->data + e->have, *p, part);
	e->have += part;
	*p += part;
	*n -= part;
	e->complete = e->have == e->bytes;
	return e->complete ? ENVELOPE_MESSAGE : ENVELOPE_MORE;
}

bool envelope_is_whole(const struct envelope *e)
{
	return e->complete || e->head_bytes == 0;
}
