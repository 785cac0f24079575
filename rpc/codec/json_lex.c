/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/json.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "rpc/codec/json_scan.h"

void json_lexer_init(struct json_lexer *in, const void *p, size_t n)
{
	/* in_object is left out: its bits are set when levels are opened. */
	memset(in, 0, offsetof(struct json_lexer, in_object));
	in->token = JSON_BEGIN;
	in->state = JSON_STATE_VALUE;
	in->begin = in->p = p;
	in->end = in->begin + n;
}

/* Ends the reading with an error at the byte `at`. */
static enum json_token lex_fail(struct json_lexer *in, const char *at, const char *what)
{
	in->error = what;
	in->error_offset = (size_t)(at - in->begin);
	return in->token = JSON_ERROR;
}

static bool lex_in_object(const struct json_lexer *in)
{
	unsigned level = in->depth - 1;

	return in->in_object[level / 8] >> level % 8 & 1;
}

static enum json_token lex_open(struct json_lexer *in, enum json_token token)
{
	unsigned level = in->depth, bit = 1u << level % 8;
	uint8_t *byte = &in->in_object[level / 8];

	if (level == JSON_MAX_DEPTH)
		return lex_fail(in, in->p, "nested too deeply");
	in->depth++;
	in->p++;
	if (token == JSON_OBJECT) {
		*byte = (uint8_t)(*byte | bit);
		in->state = JSON_STATE_FIRST_NAME;
	} else {
		*byte = (uint8_t)(*byte & ~bit);
		in->state = JSON_STATE_FIRST_VALUE;
	}
	return in->token = token;
}

static enum json_token lex_close(struct json_lexer *in, enum json_token token)
{
	in->depth--;
	in->p++;
	in->state = JSON_STATE_AFTER_VALUE;
	if (token == JSON_OBJECT_END)
		in->name.p = NULL;
	return in->token = token;
}

static enum json_token lex_literal(struct json_lexer *in, const char *word, enum json_token token)
{
	size_t n = strlen(word);

	if ((size_t)(in->end - in->p) < n || memcmp(in->p, word, n) != 0)
		return lex_fail(in, in->p, "a value was expected");
	in->p += n;
	in->state = JSON_STATE_AFTER_VALUE;
	return in->token = token;
}

static size_t digits_bytes(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++;
	return i;
}

/* Returns the length of the number at p (RFC 8259 section 6), 0 if there is none. */
static size_t number_bytes(const char *p, size_t n)
{
	size_t i = n && *p == '-', digits = digits_bytes(p + i, n - i);

	if (!digits)
		return 0;
	/* No digit may follow a leading zero; the caller reports such a digit. */
	i += p[i] == '0' ? 1 : digits;
	if (i < n && p[i] == '.') {
		digits = digits_bytes(p + i + 1, n - i - 1);
		if (!digits)
			return 0;
		i += 1 + digits;
	}
	if (i < n && (p[i] == 'e' || p[i] == 'E')) {
		i++;
		if (i < n && (p[i] == '+' || p[i] == '-'))
			i++;
		digits = digits_bytes(p + i, n - i);
		if (!digits)
			return 0;
		i += digits;
	}
	return i;
}

bool json_number_valid(const char *p, size_t n)
{
	return n && number_bytes(p, n) == n;
}

static enum json_token lex_number(struct json_lexer *in)
{
	size_t n = number_bytes(in->p, (size_t)(in->end - in->p));

	if (!n)
		return lex_fail(in, in->p, "bad number");
	in->text = (struct json_text){.p = in->p, .n = n};
	in->p += n;
	in->state = JSON_STATE_AFTER_VALUE;
	return in->token = JSON_NUMBER;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' ^ 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Parses four hex digits at p, within n bytes; -1 if they are missing. */
static int hex4(const char *p, size_t n)
{
	int value = 0;

	if (n < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

/*
 * Decodes the escape at p, which begins with a backslash, to *ret. Returns its length; 0 if it is
 * invalid, such as a surrogate without its other half (RFC 8259 section 8.2).
 */
static size_t escape_read(const char *p, size_t n, uint32_t *ret)
{
	static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	const char *name;
	int high, low;

	if (n < 2)
		return 0;
	if (p[1] != 'u') {
		name = p[1] ? strchr(names, p[1]) : NULL;
		if (!name)
			return 0;
		*ret = (unsigned char)meanings[name - names];
		return 2;
	}
	high = hex4(p + 2, n - 2);
	if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
		return 0;
	*ret = (uint32_t)high;
	if (high < 0xd800 || high > 0xdfff)
		return 6;
	if (n < 8 || p[6] != '\\' || p[7] != 'u')
		return 0;
	low = hex4(p + 8, n - 8);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*ret = 0x10000 + ((uint32_t)(high - 0xd800) << 10 | (uint32_t)(low - 0xdc00));
	return 12;
}

/* Parses the string at p; the caller decides if it is a name or a value. */
static enum json_token lex_string(struct json_lexer *in)
{
	const char *p = in->p + 1;
	bool escaped = false;
	uint32_t character;
	size_t step;

	for (;;) {
		p += json_plain_bytes(p, (size_t)(in->end - p));
		if (p == in->end)
			return lex_fail(in, p, "unexpected end");
		if (*p == '"')
			break;
		if (*p == '\\') {
			step = escape_read(p, (size_t)(in->end - p), &character);
			if (!step)
				return lex_fail(in, p, "bad escape");
			escaped = true;
		} else if ((unsigned char)*p >= 0x80) {
			step = utf8_char(p, (size_t)(in->end - p));
			if (!step)
				return lex_fail(in, p, "invalid UTF-8");
		} else {
			return lex_fail(in, p, "control character in a string");
		}
		p += step;
	}
	in->text.p = in->p + 1;
	in->text.n = (size_t)(p - in->text.p);
	in->text.escaped = escaped;
	in->p = p + 1;
	in->state = JSON_STATE_AFTER_VALUE;
	return in->token = JSON_STRING;
}

static void skip_space(struct json_lexer *in)
{
	while (in->p < in->end &&
	       (*in->p == ' ' || *in->p == '\n' || *in->p == '\r' || *in->p == '\t'))
		in->p++;
}

static enum json_token lex_value(struct json_lexer *in)
{
	switch (*in->p) {
	case '{':
		return lex_open(in, JSON_OBJECT);
	case '[':
		return lex_open(in, JSON_ARRAY);
	case '"':
		return lex_string(in);
	case 't':
		return lex_literal(in, "true", JSON_TRUE);
	case 'f':
		return lex_literal(in, "false", JSON_FALSE);
	case 'n':
		return lex_literal(in, "null", JSON_NULL);
	case '-':
	case '0' ... '9':
		return lex_number(in);
	default:
		return lex_fail(in, in->p, "a value was expected");
	}
}

/* A field's name and the colon behind it. */
static enum json_token lex_name(struct json_lexer *in)
{
	if (*in->p != '"')
		return lex_fail(in, in->p, "a name was expected");
	if (lex_string(in) == JSON_ERROR)
		return JSON_ERROR;
	skip_space(in);
	if (in->p == in->end || *in->p != ':')
		return lex_fail(in, in->p, "a colon was expected");
	in->p++;
	in->state = JSON_STATE_VALUE;
	return in->token = JSON_NAME;
}

/*
 * Parses what follows a value: a comma and the next field or element, or the end of the container.
 */
static enum json_token lex_after_value(struct json_lexer *in)
{
	bool object;

	if (in->depth == 0)
		return lex_fail(in, in->p, "something follows the value");
	object = lex_in_object(in);
	if (*in->p == (object ? '}' : ']'))
		return lex_close(in, object ? JSON_OBJECT_END : JSON_ARRAY_END);
	if (*in->p != ',')
		return lex_fail(in, in->p,
				object ? "a comma or } was expected" : "a comma or ] was expected");
	in->p++;
	skip_space(in);
	if (in->p == in->end)
		return lex_fail(in, in->p, "unexpected end");
	return object ? lex_name(in) : lex_value(in);
}

enum json_token json_next(struct json_lexer *in)
{
	if (in->token == JSON_ERROR)
		return JSON_ERROR;
	skip_space(in);
	if (in->p == in->end) {
		if (in->state == JSON_STATE_AFTER_VALUE && in->depth == 0)
			return in->token = JSON_END;
		return lex_fail(in, in->p, "unexpected end");
	}
	switch (in->state) {
	case JSON_STATE_FIRST_NAME:
		if (*in->p == '}')
			return lex_close(in, JSON_OBJECT_END);
		return lex_name(in);
	case JSON_STATE_FIRST_VALUE:
		if (*in->p == ']')
			return lex_close(in, JSON_ARRAY_END);
		return lex_value(in);
	case JSON_STATE_VALUE:
		return lex_value(in);
	case JSON_STATE_AFTER_VALUE:
		break;
	}
	return lex_after_value(in);
}

void json_skip(struct json_lexer *in)
{
	unsigned depth = in->depth;

	if (in->token == JSON_OBJECT || in->token == JSON_ARRAY)
		while (in->depth >= depth && json_next(in) != JSON_ERROR)
			;
}

bool json_next_field(struct json_lexer *in)
{
	switch (json_next(in)) {
	case JSON_NAME:
		in->name = in->text;
		return json_next(in) != JSON_ERROR;
	case JSON_OBJECT_END:
	case JSON_ERROR:
		return false;
	default:
		/* Fatal: the caller's fault; within an object the lexer yields names. */
		fatal("json: a field was asked for in no object");
	}
}

bool json_next_element(struct json_lexer *in)
{
	enum json_token token = json_next(in);

	return token != JSON_ARRAY_END && token != JSON_ERROR;
}

int json_fail(struct json_lexer *in, const char *what)
{
	if (in->token != JSON_ERROR)
		lex_fail(in, in->p, what);
	return -1;
}

/* The next character of a string's text, decoded to out (at most 4 bytes); its length there. */
static size_t text_character(const char **p, const char *end, char *out)
{
	uint32_t c = 0;

	if (**p != '\\') {
		*out = *(*p)++;
		return 1;
	}
	*p += escape_read(*p, (size_t)(end - *p), &c);
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

size_t json_text_decode(const struct json_text *text, char *out)
{
	const char *p = text->p, *end = p + text->n, *next;
	char *begin = out;

	while (p < end) {
		next = text->escaped ? memchr(p, '\\', (size_t)(end - p)) : NULL;
		if (!next)
			next = end;
		memcpy(out, p, (size_t)(next - p));
		out += next - p;
		p = next;
		if (p < end)
			out += text_character(&p, end, out);
	}
	return (size_t)(out - begin);
}
