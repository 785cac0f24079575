/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259), strictly: a lexer that returns tokens, and a writer.
 *
 * The lexer builds no tree and allocates no memory. It checks syntax, UTF-8, lone surrogates,
 * nesting beyond JSON_MAX_DEPTH, and data after the value. (Duplicate names are left to the
 * caller.) After the first error each call fails or reports the end of its object or array, so the
 * caller can check for errors once, with json_finish at the end:
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
 * At the beginning of a value, in.token is its type (JSON_NULL, JSON_STRING, …). The caller opens
 * or skips an object or an array; a scalar may be ignored.
 */
#ifndef RPC_CODEC_JSON_H
#define RPC_CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/* The maximum nesting of objects and arrays. */
#define JSON_MAX_DEPTH 10000

enum json_token {
	JSON_BEGIN, /* before the first json_next */
	JSON_END,   /* the end of a valid text */
	JSON_ERROR, /* each later call returns it again */
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

/* A part of the input, not decoded: a string without its quotes, or a number. */
struct json_text {
	const char *p;
	size_t n;
	bool escaped; /* contains backslashes: the decoded string is shorter */
};

enum json_state {
	JSON_STATE_VALUE,
	JSON_STATE_FIRST_NAME,	/* after an opening brace */
	JSON_STATE_FIRST_VALUE, /* after an opening bracket */
	JSON_STATE_AFTER_VALUE, /* also after the outermost value */
};

struct json_lexer {
	enum json_token token; /* the current one */
	struct json_text text; /* of a string or number */
	struct json_text name; /* of the current field, set by json_next_field */

	/* The fields below are private. */
	enum json_state state;
	const char *begin, *p, *end; /* p: the first byte after the token */
	const char *error;	     /* static text; NULL: none */
	size_t error_offset;
	unsigned depth;
	uint8_t in_object[(JSON_MAX_DEPTH + 7) / 8]; /* a bit for each level: object or array */
};

/* ---- reading ---- */

/* Begins a text, borrowed until json_finish. Read its value with json_next or json_open_…. */
void json_lexer_init(struct json_lexer *in, const void *p, size_t n);

/* Advances to the next token and returns it. */
enum json_token json_next(struct json_lexer *in);

/*
 * Enters the current value, which must be an object (an array); at the beginning of a text, the
 * text's value. If it has another type, sets the error and returns false.
 */
bool json_open_object(struct json_lexer *in);
bool json_open_array(struct json_lexer *in);

/* Advances to the next field: in->name, and the first token of its value. False at the end. */
bool json_next_field(struct json_lexer *in);

/* Advances to the first token of the next element. False at the end. */
bool json_next_element(struct json_lexer *in);

/* Compare the current field's name; nocase ignores the case of ASCII letters. */
bool json_name_is(const struct json_lexer *in, const char *name);
bool json_name_is_nocase(const struct json_lexer *in, const char *name);

/* Advances to the last token of the current value; does nothing if it is a scalar. */
void json_skip(struct json_lexer *in);

/*
 * Read the current value. Return 0; if it has another type, set the error and return -1. A string
 * is copied to the arena and ends in a NUL; if ret_bytes is NULL, a NUL inside is an error. An
 * integer may be written as a whole float (1e3, 2.0).
 */
int json_get_string(struct json_lexer *in, struct arena *arena, char **ret, size_t *ret_bytes);
int json_get_int64(struct json_lexer *in, int64_t *ret);

/* Sets the error of the current value to `what`, static text ("must not be empty"). Returns -1. */
int json_fail(struct json_lexer *in, const char *what);

/* Returns 0 if the whole text was read and is valid, else -1 with ERROR_INVALID_ARGUMENT. */
int json_finish(struct json_lexer *in, struct error *err);

/* Decodes a string's text to `out`, which has room for text->n bytes. Returns the length. */
size_t json_text_decode(const struct json_text *text, char *out);

/* Parse a valid JSON number. 0, -ERANGE, or -EINVAL if an integer is expected but not found. */
int json_number_int64(const char *p, size_t n, int64_t *ret);
int json_number_uint64(const char *p, size_t n, uint64_t *ret);
int json_number_double(const char *p, size_t n, double *ret);

/* Returns true if the n bytes are exactly one JSON number. */
bool json_number_valid(const char *p, size_t n);

/* ---- writing ---- */

/*
 * Builds a JSON text. The writer adds commas and colons:
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
 * The caller must close objects and arrays, and give each name a value.
 */
struct json_writer {
	char *data;	 /* owned; the text begins after the headroom */
	size_t n;	 /* bytes so far, headroom included */
	size_t capacity; /* of data */
	size_t headroom;
};

/* Begins a text after `headroom` bytes, which the caller of json_writer_take fills in. */
void json_writer_init(struct json_writer *out, size_t headroom, size_t expected_bytes);
void json_writer_clear(struct json_writer *out);

/* Returns the memory, which the caller frees (free): the headroom, then *ret_bytes of text. */
char *json_writer_take(struct json_writer *out, size_t *ret_bytes);

void json_put_object(struct json_writer *out);
void json_put_object_end(struct json_writer *out);
void json_put_array(struct json_writer *out);
void json_put_array_end(struct json_writer *out);
void json_put_name(struct json_writer *out, const char *name);
void json_put_name_bytes(struct json_writer *out, const char *p, size_t n);

/*
 * Write strings: `"`, `\\` and control characters are escaped, each byte that is not UTF-8 becomes
 * U+FFFD, and other characters are not changed (there are no escapes for HTML).
 */
void json_put_string(struct json_writer *out, const char *s);
void json_put_string_bytes(struct json_writer *out, const char *p, size_t n);
void json_put_base64(struct json_writer *out, const void *p, size_t n);

void json_put_bool(struct json_writer *out, bool value);
void json_put_null(struct json_writer *out);
void json_put_int(struct json_writer *out, int64_t value);
void json_put_uint(struct json_writer *out, uint64_t value);

/*
 * Write an integer as text with a NUL to `text`, which has room for JSON_INTEGER_BYTES. Faster than
 * printf, because a listing has several numbers in each entry.
 */
#define JSON_INTEGER_BYTES 22
void json_uint_text(uint64_t value, char *text);
void json_int_text(int64_t value, char *text);

/* Write the fewest digits that parse to the same number; NaN and infinities become strings. */
void json_put_double(struct json_writer *out, double value);
void json_put_float(struct json_writer *out, float value);

/* Writes a value that is JSON already. */
void json_put_raw(struct json_writer *out, const char *p, size_t n);

/* Appends bytes after the whole value, such as a newline or a NUL. */
void json_append(struct json_writer *out, const char *p, size_t n);

#endif
