/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/rfc3339.h"

#include <errno.h>
#include <stdbool.h>

#include "base/calendar.h"

/* A position in a text. After an error, all later calls fail. */
struct cursor {
	const char *p, *end;
	bool bad;
};

static char cursor_peek(const struct cursor *c)
{
	return c->p < c->end ? *c->p : '\0';
}

static bool cursor_accept(struct cursor *c, char expected)
{
	if (cursor_peek(c) != expected)
		return false;
	c->p++;
	return true;
}

static void cursor_expect(struct cursor *c, char expected)
{
	if (!cursor_accept(c, expected))
		c->bad = true;
}

/* Parses a number of exactly n_digits digits, from min to max. */
static int cursor_number(struct cursor *c, int n_digits, int min, int max)
{
	int value = 0;

	for (int i = 0; i < n_digits; i++) {
		char digit = cursor_peek(c);

		if (digit < '0' || digit > '9') {
			c->bad = true;
			return min;
		}
		value = value * 10 + (digit - '0');
		c->p++;
	}
	if (value < min || value > max)
		c->bad = true;
	return value;
}

/* One to nine digits behind a point, as billionths. */
static int32_t cursor_fraction(struct cursor *c)
{
	int32_t value = 0;
	int n = 0;

	for (; cursor_peek(c) >= '0' && cursor_peek(c) <= '9' && n < 9; n++)
		value = value * 10 + (*c->p++ - '0');
	if (n == 0)
		c->bad = true;
	for (; n < 9; n++)
		value *= 10;
	return value;
}

int rfc3339_parse(const char *p, size_t n, int64_t *ret_seconds, int32_t *ret_nanos)
{
	struct cursor c = {.p = p, .end = p + n};
	struct calendar_date date;
	int hour, minute, second, offset = 0;
	int32_t nanos = 0;
	int64_t seconds;

	date.year = cursor_number(&c, 4, 0, 9999);
	cursor_expect(&c, '-');
	date.month = cursor_number(&c, 2, 1, 12);
	cursor_expect(&c, '-');
	date.day = cursor_number(&c, 2, 1, 31);
	cursor_expect(&c, 'T');
	hour = cursor_number(&c, 2, 0, 23);
	cursor_expect(&c, ':');
	minute = cursor_number(&c, 2, 0, 59);
	cursor_expect(&c, ':');
	second = cursor_number(&c, 2, 0, 59);
	if (cursor_accept(&c, '.'))
		nanos = cursor_fraction(&c);
	if (!cursor_accept(&c, 'Z')) {
		int sign = cursor_accept(&c, '-') ? -1 : 1;

		if (sign > 0)
			cursor_expect(&c, '+');
		offset = cursor_number(&c, 2, 0, 23) * 3600;
		cursor_expect(&c, ':');
		offset = sign * (offset + cursor_number(&c, 2, 0, 59) * 60);
	}
	if (c.bad || c.p < c.end)
		return -EINVAL;
	if (!calendar_exists(&date))
		return -EINVAL;

	seconds = calendar_days(&date) * CALENDAR_DAY_SECONDS + hour * 3600 + minute * 60 + second -
		  offset;
	if (seconds < RFC3339_MIN_SECONDS || seconds > RFC3339_MAX_SECONDS)
		return -EINVAL;
	*ret_seconds = seconds;
	*ret_nanos = nanos;
	return 0;
}

/* Writes the character `before`, and n_digits digits. */
static char *put_number(char *at, char before, int value, int n_digits)
{
	if (before)
		*at++ = before;
	for (int i = n_digits - 1; i >= 0; i--, value /= 10)
		at[i] = (char)('0' + value % 10);
	return at + n_digits;
}

int rfc3339_format(int64_t seconds, int32_t nanos, char out[RFC3339_BYTES])
{
	struct calendar_date date;
	int64_t days;
	unsigned rest;
	char *at = out;

	if (seconds < RFC3339_MIN_SECONDS || seconds > RFC3339_MAX_SECONDS || nanos < 0 ||
	    nanos > 999999999)
		return -ERANGE;

	calendar_split(seconds, &days, &rest);
	calendar_date_of(days, &date);
	at = put_number(at, '\0', (int)date.year, 4);
	at = put_number(at, '-', date.month, 2);
	at = put_number(at, '-', date.day, 2);
	at = put_number(at, 'T', (int)(rest / 3600), 2);
	at = put_number(at, ':', (int)(rest / 60 % 60), 2);
	at = put_number(at, ':', (int)(rest % 60), 2);
	if (nanos % 1000000 == 0 && nanos)
		at = put_number(at, '.', nanos / 1000000, 3);
	else if (nanos % 1000 == 0 && nanos)
		at = put_number(at, '.', nanos / 1000, 6);
	else if (nanos)
		at = put_number(at, '.', nanos, 9);
	at[0] = 'Z';
	at[1] = '\0';
	return 0;
}
