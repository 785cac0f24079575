/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "rpc/codec/base64.h"
#include "rpc/codec/json_scan.h"

void json_writer_init(struct json_writer *out, size_t headroom, size_t expected_bytes)
{
	out->headroom = out->n = headroom;
	out->capacity = headroom + expected_bytes;
	out->data = mem_alloc(out->capacity);
}

void json_writer_clear(struct json_writer *out)
{
	free(out->data);
	memset(out, 0, sizeof(*out));
}

char *json_writer_take(struct json_writer *out, size_t *ret_bytes)
{
	char *data = out->data;

	*ret_bytes = out->n - out->headroom;
	memset(out, 0, sizeof(*out));
	return data;
}

/* Makes room for n more bytes. Returns the place for them. */
static char *writer_reserve(struct json_writer *out, size_t n)
{
	if (out->capacity - out->n < n) {
		out->capacity = out->n + n + out->capacity;
		out->data = mem_realloc(out->data, out->capacity);
	}
	return out->data + out->n;
}

static void writer_add(struct json_writer *out, const char *p, size_t n)
{
	memcpy(writer_reserve(out, n), p, n);
	out->n += n;
}

/* Begins a value or a name: a comma, unless it is the first of what holds it. */
static void writer_begin(struct json_writer *out)
{
	char last = out->n > out->headroom ? out->data[out->n - 1] : '[';

	if (last != '[' && last != '{' && last != ':')
		writer_add(out, ",", 1);
}

void json_put_object(struct json_writer *out)
{
	writer_begin(out);
	writer_add(out, "{", 1);
}

void json_put_object_end(struct json_writer *out)
{
	writer_add(out, "}", 1);
}

void json_put_array(struct json_writer *out)
{
	writer_begin(out);
	writer_add(out, "[", 1);
}

void json_put_array_end(struct json_writer *out)
{
	writer_add(out, "]", 1);
}

/* Writes the byte at p in its escaped form. */
static void writer_escape(struct json_writer *out, char c)
{
	static const char names[] = "\"\\bfnrt", meanings[] = "\"\\\b\f\n\r\t";
	const char *meaning = c ? strchr(meanings, c) : NULL;
	char escape[8];

	if (meaning)
		snprintf(escape, sizeof(escape), "\\%c", names[meaning - meanings]);
	else
		snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)c);
	writer_add(out, escape, strlen(escape));
}

/* A string with its quotes. */
static void writer_quote(struct json_writer *out, const char *p, size_t n)
{
	size_t i = 0, step;

	/* Right for all but strings with much to escape. */
	writer_reserve(out, n + 2);
	writer_add(out, "\"", 1);
	for (;;) {
		step = json_plain_bytes(p + i, n - i);
		writer_add(out, p + i, step);
		i += step;
		if (i == n)
			break;
		if ((unsigned char)p[i] < 0x80) {
			writer_escape(out, p[i++]);
			continue;
		}
		step = utf8_char(p + i, n - i);
		if (step)
			writer_add(out, p + i, step);
		else
			writer_add(out, "\xef\xbf\xbd", 3);
		i += step ? step : 1;
	}
	writer_add(out, "\"", 1);
}

void json_put_name(struct json_writer *out, const char *name)
{
	json_put_name_bytes(out, name, strlen(name));
}

void json_put_name_bytes(struct json_writer *out, const char *p, size_t n)
{
	writer_begin(out);
	writer_quote(out, p, n);
	writer_add(out, ":", 1);
}

void json_put_string(struct json_writer *out, const char *s)
{
	json_put_string_bytes(out, s, strlen(s));
}

void json_put_string_bytes(struct json_writer *out, const char *p, size_t n)
{
	writer_begin(out);
	writer_quote(out, p, n);
}

void json_put_base64(struct json_writer *out, const void *p, size_t n)
{
	char *text;

	writer_begin(out);
	text = writer_reserve(out, base64_encoded_bytes(n) + 2);
	*text = '"';
	n = base64_encode(text + 1, p, n);
	text[1 + n] = '"';
	out->n += n + 2;
}

void json_put_raw(struct json_writer *out, const char *p, size_t n)
{
	writer_begin(out);
	writer_add(out, p, n);
}

void json_append(struct json_writer *out, const char *p, size_t n)
{
	writer_add(out, p, n);
}

static void writer_word(struct json_writer *out, const char *word)
{
	json_put_raw(out, word, strlen(word));
}

void json_put_bool(struct json_writer *out, bool value)
{
	writer_word(out, value ? "true" : "false");
}

void json_put_null(struct json_writer *out)
{
	writer_word(out, "null");
}

void json_uint_text(uint64_t value, char *text)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	memcpy(text, digits + n, sizeof(digits) - n);
	text[sizeof(digits) - n] = '\0';
}

void json_int_text(int64_t value, char *text)
{
	if (value >= 0) {
		json_uint_text((uint64_t)value, text);
		return;
	}
	json_uint_text(0 - (uint64_t)value, text + 1);
	text[0] = '-';
}

void json_put_int(struct json_writer *out, int64_t value)
{
	char text[JSON_INTEGER_BYTES];

	json_int_text(value, text);
	writer_word(out, text);
}

void json_put_uint(struct json_writer *out, uint64_t value)
{
	char text[JSON_INTEGER_BYTES];

	json_uint_text(value, text);
	writer_word(out, text);
}

/*
 * A finite number from "d.ddde±x", in the form of ECMAScript, and so of every browser's JSON: with
 * an exponent below 1e-6 and from 1e21 on.
 */
static void writer_number(struct json_writer *out, const char *scientific)
{
	const char *p = scientific, *e = strchr(p, 'e');
	int exponent = (int)strtol(e + 1, NULL, 10), n = 0;
	char digits[24] = "", text[64], *t = text;

	if (*p == '-')
		*t++ = *p++;
	for (; p < e; p++)
		if (*p != '.')
			digits[n++] = *p;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	if (exponent < -6 || exponent >= 21) {
		*t++ = digits[0];
		if (n > 1)
			t += sprintf(t, ".%.*s", n - 1, digits + 1);
		t += sprintf(t, "e%+d", exponent);
	} else {
		/* From the units (or the first digit, where it stands higher) to the last digit. */
		for (int power = exponent > 0 ? exponent : 0; power > exponent - n || power >= 0;
		     power--) {
			int i = exponent - power;

			if (power == -1)
				*t++ = '.';
			*t++ = i >= 0 && i < n ? digits[i] : '0';
		}
	}
	json_put_raw(out, text, (size_t)(t - text));
}

/*
 * Writes NaN and the infinities by their names in proto3 JSON. Returns false for any other number.
 */
static bool writer_not_finite(struct json_writer *out, double value)
{
	if (isfinite(value))
		return false;
	json_put_string(out, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
	return true;
}

void json_put_double(struct json_writer *out, double value)
{
	char text[40];

	if (writer_not_finite(out, value))
		return;
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*e", digits - 1, value);
		if (strtod(text, NULL) == value)
			break;
	}
	writer_number(out, text);
}

void json_put_float(struct json_writer *out, float value)
{
	char text[40];

	if (writer_not_finite(out, (double)value))
		return;
	for (int digits = 1; digits <= 9; digits++) {
		snprintf(text, sizeof(text), "%.*e", digits - 1, (double)value);
		if (strtof(text, NULL) == value)
			break;
	}
	writer_number(out, text);
}
