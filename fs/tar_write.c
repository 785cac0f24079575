/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/tar_write.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"

static const char zeros[2 * TAR_BLOCK_BYTES];

/* The records of a pax header that is being built. */
struct pax {
	struct arena arena;
	struct evbuffer *text;
};

/* Adds the record "LENGTH KEY=VALUE\n". LENGTH includes its own digits. */
static void put_record(struct pax *pax, const char *key, const char *value)
{
	size_t bytes = strlen(key) + strlen(value) + 3, digits = 1, limit = 10;

	if (!pax->text)
		pax->text = evbuffer_new();
	while (bytes + digits >= limit) {
		digits++;
		limit *= 10;
	}
	evbuffer_add_printf(pax->text, "%zu %s=%s\n", bytes + digits, key, value);
}

/* Writes a number to its field as octal text; to a record if it does not fit. */
static void put_number(struct pax *pax, char *field, size_t n, uint64_t value, const char *key)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%0*" PRIo64, (int)n - 1, value);

	if ((size_t)length < n) {
		memcpy(field, text, n);
		return;
	}
	memset(field, '0', n - 1);
	put_record(pax, key, arena_printf(&pax->arena, "%" PRIu64, value));
}

/* Writes a name to its field; to a record if it does not fit. */
static void put_name(struct pax *pax, char *field, size_t n, const char *name, const char *key)
{
	size_t length = strlen(name);

	memcpy(field, name, length < n ? length : n);
	if (length > n)
		put_record(pax, key, name);
}

/*
 * Writes the time of the last change. A fraction, or a time before 1970, needs a pax record; a time
 * before 1970 loses its fraction.
 */
static void put_mtime(struct pax *pax, struct tar_header *h, const struct tar_entry *e)
{
	bool before = e->mtime_s < 0;

	put_number(pax, h->mtime, sizeof(h->mtime), before ? 0 : (uint64_t)e->mtime_s, "mtime");
	if (before)
		put_record(pax, "mtime", arena_printf(&pax->arena, "%" PRId64, e->mtime_s));
	else if (e->mtime_ns)
		put_record(pax, "mtime",
			   arena_printf(&pax->arena, "%" PRId64 ".%09u", e->mtime_s, e->mtime_ns));
}

static void put_checksum(struct tar_header *h)
{
	char text[8];

	/* The field is six digits, a NUL and a blank. */
	snprintf(text, sizeof(text), "%06o", tar_checksum(h));
	memcpy(h->checksum, text, 7);
	h->checksum[7] = ' ';
}

static void put_magic(struct tar_header *h)
{
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
}

/* Adds the records, in an entry of their own. */
static void write_pax(const struct pax *pax, const struct tar_entry *e, struct evbuffer *out)
{
	static const char name[] = "PaxHeaders/";
	size_t bytes = evbuffer_get_length(pax->text);
	struct tar_header h = {.type = TAR_PAX};
	const char *base = strrchr(e->name, '/');
	struct pax none = {0};

	base = base && base[1] ? base + 1 : e->name;
	memcpy(h.name, name, sizeof(name) - 1);
	strncpy(h.name + sizeof(name) - 1, base, sizeof(h.name) - sizeof(name));
	put_number(&none, h.mode, sizeof(h.mode), 0644, "");
	put_number(&none, h.uid, sizeof(h.uid), 0, "");
	put_number(&none, h.gid, sizeof(h.gid), 0, "");
	put_number(&none, h.size, sizeof(h.size), bytes, "");
	put_number(&none, h.mtime, sizeof(h.mtime), 0, "");
	put_magic(&h);
	put_checksum(&h);
	evbuffer_add(out, &h, sizeof(h));
	evbuffer_add_buffer(out, pax->text);
	tar_write_padding(bytes, out);
}

void tar_write_header(const struct tar_entry *e, struct evbuffer *out)
{
	struct tar_header h = {.type = e->type};
	struct pax pax = {0};

	put_name(&pax, h.name, sizeof(h.name), e->name, "path");
	put_name(&pax, h.link, sizeof(h.link), e->link, "linkpath");
	put_number(&pax, h.mode, sizeof(h.mode), e->mode, "");
	put_number(&pax, h.uid, sizeof(h.uid), e->uid, "uid");
	put_number(&pax, h.gid, sizeof(h.gid), e->gid, "gid");
	put_number(&pax, h.size, sizeof(h.size), e->size, "size");
	put_mtime(&pax, &h, e);
	put_magic(&h);
	if (e->user && strlen(e->user) < sizeof(h.user))
		memcpy(h.user, e->user, strlen(e->user));
	if (e->group && strlen(e->group) < sizeof(h.group))
		memcpy(h.group, e->group, strlen(e->group));
	put_number(&pax, h.major, sizeof(h.major), e->major, "SCHILY.devmajor");
	put_number(&pax, h.minor, sizeof(h.minor), e->minor, "SCHILY.devminor");
	put_checksum(&h);
	if (pax.text) {
		write_pax(&pax, e, out);
		evbuffer_free(pax.text);
	}
	arena_clear(&pax.arena);
	evbuffer_add(out, &h, sizeof(h));
}

void tar_write_padding(uint64_t size, struct evbuffer *out)
{
	evbuffer_add(out, zeros, tar_padding(size));
}

void tar_write_end(struct evbuffer *out)
{
	evbuffer_add(out, zeros, sizeof(zeros));
}
