/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of inotify's. What the decoder takes must be what a plain reading of inotify(7) finds,
 * and the records must add up to the buffer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "watch/engine/inotify.h"

/* The four numbers of a record, and the length of what follows them. */
static uint32_t number(const uint8_t *p, unsigned i)
{
	uint32_t n;

	memcpy(&n, p + i * sizeof(n), sizeof(n));
	return n;
}

static void check_record(const uint8_t *p, size_t n, ssize_t got,
			 const struct inotify_record *record)
{
	size_t length = n < 16 ? 0 : number(p, 3);
	bool whole = n >= 16 && length <= n - 16;

	CHECK((got == -EBADMSG) == (!whole || (length && !memchr(p + 16, 0, length))));
	if (got < 0)
		return;
	CHECK((size_t)got == 16 + length);
	CHECK(record->wd == (int)number(p, 0));
	CHECK(record->mask == number(p, 1));
	CHECK(record->cookie == number(p, 2));
	CHECK(strlen(record->name) == record->name_bytes);
	CHECK(length ? record->name == (const char *)p + 16 : !record->name[0]);
	CHECK(record->name_bytes < length || !length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	/* A copy of just this size, so that a byte too far is seen. */
	uint8_t *copy = malloc(n ? n : 1);
	struct inotify_record record;
	size_t at = 0;
	ssize_t got;

	memcpy(copy, data, n);
	CHECK(inotify_decode((const char *)copy, 0, &record) == 0);
	while (at < n) {
		got = inotify_decode((const char *)copy + at, n - at, &record);
		check_record(copy + at, n - at, got, &record);
		if (got < 0)
			break;
		at += (size_t)got;
	}
	CHECK(at <= n);
	free(copy);
	return 0;
}
