/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259), strictly: a lexer that hands out tokens, and a writer.
 *
 * The lexer builds no tree and allocates nothing. It checks everything a text can have wrong:
 * syntax, UTF-8, lone surrogates, nesting beyond JSON_MAX_DEPTH, something behind the value.
 * (Names that come twice are the business of who reads.) The first error sticks: from then on
 * every call says "no more", so that it is enough to ask json_finish at the end:
 *
 *	struct json_lexer in;
 *
 *	json_lexer_init(&in, body, body_bytes);
 *	if (json_open_object(&in))
 *		while (json_next_field(&in)) {
 *			if (json_name_is(&in, "destination"))
 *				json_get_string(&in, arena, &destination, NULL);
 *			else if (json_name_is(&in, "source_paths") && json_open_array(&in))
 *				while (json_next_element(&in))
 *					...
 *			else
 *				json_skip(&in);
 *		}
 *	if (json_finish(&in, &err) < 0)
 *		return 400, err.message
 *
 * Where a value begins, in.token tells what it is (JSON_NULL, JSON_STRING, …). An object or an
 * array is opened or skipped; a scalar needs nothing.
 */
#ifndef RPC_CODEC_JSON_H
#define RPC_CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* Objects in arrays in objects …; one more is an error. */
#define JSON_MAX_DEPTH 10000

enum json_token {
	JSON_BEGIN, /* before the first json_next */
	JSON_END,   /* the text is over, as it should be */
	JSON_ERROR, /* from here on always */
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_NAME, /* of a field; its value follows */
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

/* A piece of the text as it stands there: a string without its quotes, or a number. */
struct json_text {
	const char *p;
	size_t n;
	bool escaped; /* has backslashes; decoded it is shorter */
};

enum json_state {
	JSON_STATE_VALUE,
	JSON_STATE_FIRST_NAME,	/* after an opening brace */
	JSON_STATE_FIRST_VALUE, /* after an opening bracket */
	JSON_STATE_AFTER_VALUE, /* the outermost one too */
};

struct json_lexer {
	enum json_token token; /* the current one */
	struct json_text text; /* of a string or number */
	struct json_text name; /* of the field that json_next_field came to last */

	/* The rest is the lexer's own. */
	enum json_state state;
	const char *begin, *p, *end; /* p: of the first byte behind the token */
	const char *error;	     /* what is wrong */
	size_t error_offset;
	unsigned depth;
	uint8_t in_object[(JSON_MAX_DEPTH + 7) / 8]; /* a bit for each level: object or array */
};

/* ---- reading ---- */

/* Begins a text; json_next or json_open_… gets its value. Borrows it until json_finish. */
void json_lexer_init(struct json_lexer *in, const void *p, size_t n);

/* Goes on to the next token and returns it. */
enum json_token json_next(struct json_lexer *in);

/*
 * Makes the current value, which must be an object (array), the one to go through; at the
 * beginning of a text, its value. False: it is none, and that is the error.
 */
bool json_open_object(struct json_lexer *in);
bool json_open_array(struct json_lexer *in);

/* Goes on to the next field: in->name, and its value's first token. False: that was all. */
bool json_next_field(struct json_lexer *in);

/* Goes on to the first token of the next element. False: that was all. */
bool json_next_element(struct json_lexer *in);

/* Whether the current field has this name; nocase takes ASCII letters of either case. */
bool json_name_is(const struct json_lexer *in, const char *name);
bool json_name_is_nocase(const struct json_lexer *in, const char *name);

/* Goes to the end of the current value: nothing for a scalar, its last token for the others. */
void json_skip(struct json_lexer *in);

/*
 * The current value, which must be of that type: 0, or -1 and that is the error. A string is
 * copied to the arena with a NUL behind it; where ret_bytes is NULL it must contain none itself.
 * An integer may be written as a whole float (1e3, 2.0).
 */
int json_get_string(struct json_lexer *in, struct arena *arena, char **ret, size_t *ret_bytes);
int json_get_bool(struct json_lexer *in, bool *ret);
int json_get_int64(struct json_lexer *in, int64_t *ret);
int json_get_double(struct json_lexer *in, double *ret);

/* Makes `what` (static text: "must not be empty") the error of the current value. Returns -1. */
int json_fail(struct json_lexer *in, const char *what);

/* The whole text was read and was right: 0. Otherwise -1 and ERROR_INVALID_ARGUMENT. */
int json_finish(struct json_lexer *in, struct error *err);

/* Decodes a string's text to out, which has room for text->n bytes. Returns the length. */
size_t json_text_decode(const struct json_text *text, char *out);

/* Numbers of a text that is one by JSON's rules: 0, -ERANGE, or -EINVAL where it is not whole. */
int json_number_int64(const char *p, size_t n, int64_t *ret);
int json_number_uint64(const char *p, size_t n, uint64_t *ret);
int json_number_double(const char *p, size_t n, double *ret);

/* Whether the n bytes are a JSON number and nothing else. */
bool json_number_valid(const char *p, size_t n);

/* ---- writing ---- */

/*
 * A text as it grows. Commas and colons come by themselves:
 *
 *	struct json_writer out;
 *
 *	json_writer_init(&out, 0, 128);
 *	json_put_object(&out);
 *	json_put_name(&out, "code");
 *	json_put_uint(&out, 404);
 *	json_put_name(&out, "message");
 *	json_put_string(&out, err.message);
 *	json_put_object_end(&out);
 *	stream_reply(s, 404, "application/json", out.data, out.n);
 *	json_writer_clear(&out);
 *
 * That objects and arrays are closed, and that names have values, is up to the caller.
 */
struct json_writer {
	char *data;	 /* owned; the text begins after the headroom */
	size_t n;	 /* bytes so far, headroom included */
	size_t capacity; /* of data */
	size_t headroom;
};

/* Begins a text with so many bytes before it, which json_writer_take's caller fills in. */
void json_writer_init(struct json_writer *out, size_t headroom, size_t expected_bytes);
void json_writer_clear(struct json_writer *out);

/* Gives the memory away, owned (free): headroom first, then the text, *ret_bytes without it. */
char *json_writer_take(struct json_writer *out, size_t *ret_bytes);

void json_put_object(struct json_writer *out);
void json_put_object_end(struct json_writer *out);
void json_put_array(struct json_writer *out);
void json_put_array_end(struct json_writer *out);
void json_put_name(struct json_writer *out, const char *name);
void json_put_name_bytes(struct json_writer *out, const char *p, size_t n);

/*
 * Strings: `"`, `\\` and control characters are escaped, each byte that is not UTF-8 becomes
 * U+FFFD, all else stays as it is (no escapes for HTML's sake).
 */
void json_put_string(struct json_writer *out, const char *s);
void json_put_string_bytes(struct json_writer *out, const char *p, size_t n);
void json_put_base64(struct json_writer *out, const void *p, size_t n);

void json_put_bool(struct json_writer *out, bool value);
void json_put_null(struct json_writer *out);
void json_put_int(struct json_writer *out, int64_t value);
void json_put_uint(struct json_writer *out, uint64_t value);

/*
 * The same as text alone, with a NUL, to where there is room for JSON_INTEGER_BYTES. Far quicker
 * than
 * printf: a listing has several numbers in each of its entries.
 */
#define JSON_INTEGER_BYTES 22
void json_uint_text(uint64_t value, char *text);
void json_int_text(int64_t value, char *text);

/* The shortest digits that read back as the same number; NaN and infinities as strings. */
void json_put_double(struct json_writer *out, double value);
void json_put_float(struct json_writer *out, float value);

/* A value that is JSON already. */
void json_put_raw(struct json_writer *out, const char *p, size_t n);

/* Bytes behind the whole value: the newline that a plain endpoint's answer ends with, a NUL. */
void json_append(struct json_writer *out, const char *p, size_t n);

#endif
