/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of /files: ranges, conditions, and names written into Content-Disposition. */
#include <stdlib.h>
#include <string.h>

#include "fs/http/disposition.h"
#include "fs/http/range.h"
#include "fs/http/validator.h"
#include "rpc/http/header_value.h"
#include "tests/fuzz/fuzz.h"

static void check_ranges(const char *text, uint64_t size)
{
	struct fs_range ranges[FS_RANGES_MAX];
	uint64_t sum = 0;
	size_t count, i;

	if (fs_ranges_parse(text, size, ranges, &count) != FS_RANGES_SOME) {
		CHECK(count == 0);
		return;
	}
	CHECK(count > 0 && count <= FS_RANGES_MAX);
	for (i = 0; i < count; i++) {
		CHECK(ranges[i].start <= size && ranges[i].length <= size - ranges[i].start);
		sum += ranges[i].length;
	}
	CHECK(sum <= size);
}

static void check_content_range(const char *text)
{
	struct fs_content_range range;

	if (fs_content_range_parse(text, &range) == 0)
		CHECK(range.first <= range.last && range.last < range.total &&
		      range.last < INT64_MAX);
}

/* What is written into a field can be read again, and is the same name. */
static void check_disposition(const char *name)
{
	struct arena arena = {0};
	char *text = fs_disposition_format(name, &arena), *p;
	struct header_params params;
	const char *again;
	size_t n;

	for (p = text; *p; p++)
		CHECK((*p >= ' ' && *p < 0x7f) || *p == '\t');
	CHECK(header_params_parse(&arena, text, &params) == 0);
	again = header_param_get(&arena, &params, "filename", &n);
	CHECK(again && strcmp(again, name) == 0);
	arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fs_validator v = {
		.etag = "\"1-2\"", .gzip_etag = "W/\"1-2-gzip\"", .has_mtime = true};
	struct fs_conditions c = {0};
	char *text = fuzz_text(data, n);

	check_ranges(text, 0);
	check_ranges(text, 1000);
	check_ranges(text, INT64_MAX);
	check_content_range(text);
	check_disposition(text);
	c.if_match = c.if_none_match = c.if_modified_since = c.if_unmodified_since = c.if_range =
		text;
	fs_conditions_check(&c, &v);
	c.if_match = NULL;
	fs_conditions_check(&c, &v);
	c.if_none_match = NULL;
	fs_conditions_check(&c, &v);
	fs_conditions_range(&c, &v);
	free(text);
	return 0;
}
