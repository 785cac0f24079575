/* SPDX-License-Identifier: Apache-2.0 */
#include "base/decimal.h"

#include <string.h>

size_t decimal_digits(const char *p, size_t n, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i;

	for (i = 0; i < n && p[i] >= '0' && p[i] <= '9'; i++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(p[i] - '0'), &value) || value > max)
			return 0;
	}
	if (i > 0)
		*ret = value;
	return i;
}

bool decimal_parse(const char *p, size_t n, uint64_t max, uint64_t *ret)
{
	uint64_t value;

	if (n == 0 || decimal_digits(p, n, max, &value) != n)
		return false;
	*ret = value;
	return true;
}

bool decimal_parse_text(const char *text, uint64_t max, uint64_t *ret)
{
	return decimal_parse(text, strlen(text), max, ret);
}

bool decimal_parse_signed(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	uint64_t value;

	if (!decimal_parse_text(text + (negative || *text == '+'), (uint64_t)INT64_MAX + negative,
				&value))
		return false;
	*ret = negative ? (int64_t)-value : (int64_t)value;
	return true;
}
