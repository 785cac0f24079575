/* SPDX-License-Identifier: Apache-2.0 */
/* JSON texts: what the lexer takes is written anew, and the new text has the same tokens. */
#include <stdlib.h>
#include <string.h>

#include "rpc/codec/json.h"
#include "tests/fuzz/fuzz.h"

/* Writes the current token. */
static void put_token(struct json_writer *out, struct json_lexer *in)
{
	char *decoded;
	size_t n;

	switch (in->token) {
	case JSON_OBJECT:
		json_put_object(out);
		break;
	case JSON_OBJECT_END:
		json_put_object_end(out);
		break;
	case JSON_ARRAY:
		json_put_array(out);
		break;
	case JSON_ARRAY_END:
		json_put_array_end(out);
		break;
	case JSON_NAME:
	case JSON_STRING:
		decoded = mem_alloc(in->text.n);
		n = json_text_decode(&in->text, decoded);
		CHECK(n <= in->text.n);
		if (in->token == JSON_NAME)
			json_put_name_bytes(out, decoded, n);
		else
			json_put_string_bytes(out, decoded, n);
		free(decoded);
		break;
	case JSON_NUMBER:
		CHECK(json_number_valid(in->text.p, in->text.n));
		json_put_raw(out, in->text.p, in->text.n);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		json_put_bool(out, in->token == JSON_TRUE);
		break;
	case JSON_NULL:
		json_put_null(out);
		break;
	default:
		CHECK(false);
	}
}

/* A whole number reads back as itself, and is what strtod makes of it. */
static void check_number(const struct json_text *text)
{
	struct json_writer out;
	int64_t value, again;
	double real, same;

	if (json_number_int64(text->p, text->n, &value) == 0) {
		json_writer_init(&out, 0, 0);
		json_put_int(&out, value);
		CHECK(json_number_int64(out.data, out.n, &again) == 0 && again == value);
		json_writer_clear(&out);
		CHECK(json_number_double(text->p, text->n, &real) == 0);
		CHECK(real == (double)value);
	}
	if (json_number_double(text->p, text->n, &real) == 0) {
		json_writer_init(&out, 0, 0);
		json_put_double(&out, real);
		CHECK(json_number_valid(out.data, out.n));
		CHECK(json_number_double(out.data, out.n, &same) == 0 && same == real);
		json_writer_clear(&out);
	}
}

/* The text's value in our own form, or false where it is no text. */
static bool rewrite(const char *p, size_t n, struct json_writer *out)
{
	struct json_lexer in;
	struct error err;

	json_writer_init(out, 0, 16);
	json_lexer_init(&in, p, n);
	while (json_next(&in) != JSON_END && in.token != JSON_ERROR) {
		if (in.token == JSON_NUMBER)
			check_number(&in.text);
		put_token(out, &in);
	}
	return json_finish(&in, &err) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct json_writer once, twice;
	struct json_lexer in;
	struct error err;
	bool valid = rewrite((const char *)data, n, &once);

	/* Passing over the value comes to the same judgement as reading it. */
	json_lexer_init(&in, data, n);
	json_next(&in);
	json_skip(&in);
	CHECK((json_finish(&in, &err) == 0) == valid);
	if (valid) {
		CHECK(rewrite(once.data, once.n, &twice));
		CHECK(once.n == twice.n && memcmp(once.data, twice.data, once.n) == 0);
		json_writer_clear(&twice);
	}
	json_writer_clear(&once);
	return 0;
}
