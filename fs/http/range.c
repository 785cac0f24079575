/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/range.h"
#include "base/decimal.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* A piece of the field's value. */
struct text {
	const char *p;
	size_t n;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct text trim(struct text t)
{
	while (t.n && is_blank(t.p[0]))
		t.p++, t.n--;
	while (t.n && is_blank(t.p[t.n - 1]))
		t.n--;
	return t;
}

/* Parses a decimal number up to INT64_MAX. Accepts a plus sign if `sign`, as the reference does. */
static bool parse_number(struct text t, bool sign, uint64_t *ret)
{
	if (sign && t.n && t.p[0] == '+')
		t.p++, t.n--;
	return decimal_parse(t.p, t.n, INT64_MAX, ret);
}

/* Parses `first-last`, `first-` or `-suffix`. */
static enum fs_ranges parse_one(struct text spec, uint64_t size, struct fs_range *ret)
{
	const char *dash = memchr(spec.p, '-', spec.n);
	struct text first, last;
	uint64_t number;

	if (!dash)
		return FS_RANGES_INVALID;
	first = trim((struct text){spec.p, (size_t)(dash - spec.p)});
	last = trim((struct text){dash + 1, (size_t)(spec.p + spec.n - dash - 1)});
	if (!first.n) {
		if (!parse_number(last, true, &number))
			return FS_RANGES_INVALID;
		/* Also for an empty file, because a Content-Range can't describe zero bytes. */
		if (number == 0 || size == 0)
			return FS_RANGES_UNSATISFIABLE;
		if (number > size)
			number = size;
		*ret = (struct fs_range){size - number, number};
		return FS_RANGES_SOME;
	}
	if (!parse_number(first, true, &ret->start))
		return FS_RANGES_INVALID;
	/* If the range begins after the end of the file, the text after the dash is not checked. */
	if (ret->start >= size)
		return FS_RANGES_UNSATISFIABLE;
	if (!last.n) {
		ret->length = size - ret->start;
		return FS_RANGES_SOME;
	}
	if (!parse_number(last, true, &number) || number < ret->start)
		return FS_RANGES_INVALID;
	if (number >= size)
		number = size - 1;
	ret->length = number - ret->start + 1;
	return FS_RANGES_SOME;
}

enum fs_ranges fs_ranges_parse(const char *value, uint64_t size,
			       struct fs_range ranges[FS_RANGES_MAX], size_t *ret_count)
{
	struct fs_range range;
	bool unsatisfiable = false;
	uint64_t sum = 0;
	size_t count = 0;
	struct text spec;

	*ret_count = 0;
	if (!value || !*value)
		return FS_RANGES_NONE;
	if (strncmp(value, "bytes=", 6) != 0)
		return FS_RANGES_INVALID;
	for (value += 6; *value; value += *value == ',') {
		spec.p = value;
		spec.n = strcspn(value, ",");
		value += spec.n;
		spec = trim(spec);
		if (!spec.n)
			continue;
		switch (parse_one(spec, size, &range)) {
		case FS_RANGES_SOME:
			/* Each length is at most size, so that the sum can't overflow before it is
			 * found too large. */
			if (sum <= size)
				sum += range.length;
			if (count < FS_RANGES_MAX)
				ranges[count] = range;
			count++;
			break;
		case FS_RANGES_UNSATISFIABLE:
			unsatisfiable = true;
			break;
		default:
			return FS_RANGES_INVALID;
		}
	}
	if (!count)
		return unsatisfiable && size ? FS_RANGES_UNSATISFIABLE : FS_RANGES_NONE;
	if (sum > size || count > FS_RANGES_MAX)
		return FS_RANGES_NONE;
	*ret_count = count;
	return FS_RANGES_SOME;
}

int fs_content_range_parse(const char *value, struct fs_content_range *ret)
{
	const char *dash, *slash;
	struct text first, last, total;

	if (strncasecmp(value, "bytes ", 6) != 0)
		return -EINVAL;
	value += 6;
	dash = strchr(value, '-');
	slash = strchr(value, '/');
	if (!dash || !slash || dash > slash)
		return -EINVAL;
	first = (struct text){value, (size_t)(dash - value)};
	last = (struct text){dash + 1, (size_t)(slash - dash - 1)};
	total = (struct text){slash + 1, strlen(slash + 1)};
	if (!parse_number(first, false, &ret->first) || !parse_number(last, false, &ret->last))
		return -EINVAL;
	ret->total = FS_TOTAL_UNKNOWN;
	if (strcmp(total.p, "*") != 0 && !parse_number(total, false, &ret->total))
		return -EINVAL;
	if (ret->last < ret->first || ret->last >= ret->total || ret->last == INT64_MAX)
		return -EINVAL;
	return 0;
}
