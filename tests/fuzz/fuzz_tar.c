/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar archives: whole against cut at a point of the input's choice, and against single bytes; and
 * an entry that was read can be written, and reads the same again. The first byte is where to cut;
 * its first bit says to put right the checksum of every block, which no mutation would hit.
 */
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tar_read.h"
#include "fs/tar_write.h"
#include "tests/fuzz/fuzz.h"

/* So many bytes of headers are written again, that a large input does not take long. */
#define REWRITTEN_MAX 64

static void check_entry(const struct tar_entry *e)
{
	CHECK(e->mode <= 07777 && e->size <= INT64_MAX && e->mtime_ns < 1000000000);
	CHECK(strlen(e->name) <= TAR_EXTENSION_MAX_BYTES);
	CHECK(strlen(e->link) <= TAR_EXTENSION_MAX_BYTES);
}

/* Writes the entry and reads it again. */
static void check_again(const struct tar_entry *e)
{
	struct evbuffer *out = evbuffer_new();
	struct tar_read t = {0};
	const char *p;
	size_t n;

	/* Names that a pax header would have to hold whole. */
	if (strlen(e->name) + strlen(e->link) > TAR_EXTENSION_MAX_BYTES / 2) {
		evbuffer_free(out);
		return;
	}
	tar_write_header(e, out);
	n = evbuffer_get_length(out);
	p = (const char *)evbuffer_pullup(out, -1);
	CHECK(n % TAR_BLOCK_BYTES == 0);
	CHECK(tar_read_next(&t, &p, &n) == TAR_READ_ENTRY && n == 0);
	CHECK(t.entry.type == e->type && t.entry.mode == e->mode && t.entry.size == e->size);
	CHECK(strcmp(t.entry.name, e->name) == 0 && strcmp(t.entry.link, e->link) == 0);
	CHECK(t.entry.mtime_s == e->mtime_s && (e->mtime_s < 0 || t.entry.mtime_ns == e->mtime_ns));
	tar_read_clear(&t);
	evbuffer_free(out);
}

static void tell_entry(struct evbuffer *told, const struct tar_entry *e)
{
	evbuffer_add(told, e->name, strlen(e->name) + 1);
	evbuffer_add(told, e->link, strlen(e->link) + 1);
	evbuffer_add_printf(told, "%c %o %llu %lld.%u %u,%u <", e->type, e->mode,
			    (unsigned long long)e->size, (long long)e->mtime_s, e->mtime_ns,
			    e->major, e->minor);
}

/* What a reader tells. Returns an evbuffer. */
static struct evbuffer *read_archive(const uint8_t *data, size_t n, size_t step, bool again)
{
	struct evbuffer *told = evbuffer_new();
	struct tar_read t = {0};
	enum tar_read_event event = TAR_READ_MORE;
	size_t bytes, left, count = 0;
	const char *at;
	char *piece;

	for (; n && event != TAR_READ_ERROR; data += bytes, n -= bytes) {
		left = bytes = step < n ? step : n;
		at = piece = malloc(bytes);
		memcpy(piece, data, bytes);
		while ((event = tar_read_next(&t, &at, &left)) != TAR_READ_MORE &&
		       event != TAR_READ_ERROR) {
			if (event == TAR_READ_ENTRY) {
				check_entry(&t.entry);
				tell_entry(told, &t.entry);
				if (again && count++ < REWRITTEN_MAX)
					check_again(&t.entry);
			} else if (event == TAR_READ_DATA) {
				CHECK(t.data_bytes > 0);
				evbuffer_add(told, t.data, t.data_bytes);
			} else {
				evbuffer_add(told, event == TAR_READ_END ? "." : ">", 1);
			}
		}
		CHECK(event == TAR_READ_ERROR || left == 0);
		free(piece);
	}
	if (tar_read_finish(&t) < 0) {
		CHECK(t.error);
		evbuffer_add(told, t.error, strlen(t.error));
	}
	tar_read_clear(&t);
	return told;
}

/* Frees b. */
static void compare(struct evbuffer *a, struct evbuffer *b)
{
	size_t n = evbuffer_get_length(a);

	CHECK(n == evbuffer_get_length(b));
	CHECK(n == 0 || memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), n) == 0);
	evbuffer_free(b);
}

/* Puts every block's checksum right. */
static void repair(uint8_t *bytes, size_t n)
{
	struct tar_header h;
	char text[8];
	size_t at;

	for (at = 0; at + sizeof(h) <= n; at += sizeof(h)) {
		memcpy(&h, bytes + at, sizeof(h));
		if (!h.name[0])
			continue;
		snprintf(text, sizeof(text), "%06o", tar_checksum(&h));
		memcpy(bytes + at + offsetof(struct tar_header, checksum), text, 7);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct evbuffer *whole;
	uint8_t *bytes;
	size_t step;

	if (n-- < 1)
		return 0;
	step = (*data & 0x7f) + 1u;
	bytes = malloc(n);
	memcpy(bytes, data + 1, n);
	if (*data & 0x80)
		repair(bytes, n);
	whole = read_archive(bytes, n, n, true);
	compare(whole, read_archive(bytes, n, step, false));
	compare(whole, read_archive(bytes, n, 1, false));
	evbuffer_free(whole);
	free(bytes);
	return 0;
}
