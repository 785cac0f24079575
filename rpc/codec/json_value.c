/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/utf8.h"

/* Field names in messages are cut here. */
#define ERROR_NAME_BYTES 64

/* Names that callers compare are shorter than this. */
#define NAME_MAX_BYTES 128

static bool open_value(struct json_lexer *in, enum json_token token, const char *what)
{
	if (in->token == JSON_BEGIN)
		json_next(in);
	if (in->token == token)
		return true;
	json_fail(in, what);
	return false;
}

bool json_open_object(struct json_lexer *in)
{
	return open_value(in, JSON_OBJECT, "an object was expected");
}

bool json_open_array(struct json_lexer *in)
{
	return open_value(in, JSON_ARRAY, "an array was expected");
}

/* Decodes the field's name. Returns the length, or -1 if it is longer than any name of a caller. */
static int name_decode(const struct json_text *name, char out[NAME_MAX_BYTES])
{
	/* An escape of six bytes makes at least one. */
	if (name->n > NAME_MAX_BYTES)
		return -1;
	return (int)json_text_decode(name, out);
}

bool json_name_is(const struct json_lexer *in, const char *name)
{
	char decoded[NAME_MAX_BYTES];
	size_t n = strlen(name);

	if (!in->name.escaped)
		return in->name.n == n && memcmp(in->name.p, name, n) == 0;
	return name_decode(&in->name, decoded) == (int)n && memcmp(decoded, name, n) == 0;
}

bool json_name_is_nocase(const struct json_lexer *in, const char *name)
{
	char decoded[NAME_MAX_BYTES];
	size_t n = strlen(name);

	return name_decode(&in->name, decoded) == (int)n && strncasecmp(decoded, name, n) == 0;
}

int json_get_string(struct json_lexer *in, struct arena *arena, char **ret, size_t *ret_bytes)
{
	char *s;
	size_t n;

	if (in->token != JSON_STRING)
		return json_fail(in, "a string was expected");
	s = arena_alloc(arena, in->text.n + 1);
	n = json_text_decode(&in->text, s);
	s[n] = '\0';
	if (ret_bytes)
		*ret_bytes = n;
	else if (memchr(s, '\0', n))
		return json_fail(in, "a NUL in a string");
	*ret = s;
	return 0;
}

/* The error of a number that does not fit what is asked for. */
static int number_fail(struct json_lexer *in, int r)
{
	return json_fail(in, r == -ERANGE ? "number out of range" : "a whole number was expected");
}

int json_get_int64(struct json_lexer *in, int64_t *ret)
{
	int r = in->token == JSON_NUMBER ? json_number_int64(in->text.p, in->text.n, ret) : -EINVAL;

	return r < 0 ? number_fail(in, r) : 0;
}

int json_finish(struct json_lexer *in, struct error *err)
{
	size_t n = in->name.p ? utf8_floor(in->name.p, in->name.n < ERROR_NAME_BYTES
							       ? in->name.n
							       : ERROR_NAME_BYTES)
			      : 0;

	while (in->token != JSON_END && in->token != JSON_ERROR)
		json_next(in);
	if (in->token == JSON_END)
		return 0;
	if (in->name.p)
		return error_set(err, ERROR_INVALID_ARGUMENT, "JSON: field \"%.*s\": %s (byte %zu)",
				 (int)n, in->name.p, in->error, in->error_offset);
	return error_set(err, ERROR_INVALID_ARGUMENT, "JSON: %s (byte %zu)", in->error,
			 in->error_offset);
}

/*
 * Computes the magnitude of an integer exactly, digit by digit. A number counts as an integer if
 * all its digits below the decimal point, after applying the exponent, are 0.
 */
static int number_magnitude(const char *p, size_t n, uint64_t *ret)
{
	const char *end = p + n, *e = p, *point;
	int64_t power = 0;
	uint64_t value = 0;

	while (e < end && *e != 'e' && *e != 'E')
		e++;
	if (e < end) {
		bool negative = e[1] == '-';

		for (const char *q = e + 1; q < end; q++)
			if (*q >= '0' && *q <= '9' && power < INT32_MAX)
				power = power * 10 + (*q - '0');
		if (negative)
			power = -power;
	}
	point = memchr(p, '.', (size_t)(e - p));
	power += (point ? point : e) - p;

	/* `power` belongs to the previous digit, and decreases by one with each digit. */
	for (; p < e; p++) {
		if (*p == '.')
			continue;
		power--;
		if (power < 0 && *p != '0')
			return -EINVAL;
		if (power >= 0 && (__builtin_mul_overflow(value, 10, &value) ||
				   __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)))
			return -ERANGE;
	}
	for (; power > 0 && value; power--)
		if (__builtin_mul_overflow(value, 10, &value))
			return -ERANGE;
	*ret = value;
	return 0;
}

int json_number_uint64(const char *p, size_t n, uint64_t *ret)
{
	bool negative = *p == '-';
	int r = number_magnitude(p + negative, n - negative, ret);

	return r < 0 ? r : negative && *ret ? -ERANGE : 0;
}

int json_number_int64(const char *p, size_t n, int64_t *ret)
{
	bool negative = *p == '-';
	uint64_t magnitude;
	int r = number_magnitude(p + negative, n - negative, &magnitude);

	if (r < 0)
		return r;
	if (magnitude > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return 0;
}

int json_number_double(const char *p, size_t n, double *ret)
{
	char small[64], *copy = n < sizeof(small) ? small : mem_alloc(n + 1);

	/* strtod needs an end, and the locale is always C. */
	memcpy(copy, p, n);
	copy[n] = '\0';
	*ret = strtod(copy, NULL);
	if (copy != small)
		free(copy);
	return isinf(*ret) ? -ERANGE : 0;
}
