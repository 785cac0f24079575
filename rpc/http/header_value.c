/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/header_value.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "base/arena.h"
#include "rpc/codec/base64.h"
#include "rpc/http/http_chars.h"
#include "rpc/http/uri.h"

/* A piece of a value, borrowed. */
struct slice {
	const char *p;
	size_t n;
};

/* The slice without the white space around it. */
static struct slice trim(struct slice s)
{
	while (s.n > 0 && http_is_space(*s.p)) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && http_is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Removes the part before the next separator from *rest. Returns false if nothing is left. */
static bool split(struct slice *rest, char separator, struct slice *ret)
{
	const char *end;

	if (!rest->p)
		return false;
	end = memchr(rest->p, separator, rest->n);
	ret->p = rest->p;
	ret->n = end ? (size_t)(end - rest->p) : rest->n;
	rest->n -= ret->n;
	rest->p = NULL;
	if (end) {
		rest->p = end + 1;
		rest->n--;
	}
	*ret = trim(*ret);
	return true;
}

static bool slice_is(struct slice s, const char *word)
{
	return s.n == strlen(word) && !strncasecmp(s.p, word, s.n);
}

bool header_list_has(const char *list, const char *member)
{
	struct slice rest = {list, strlen(list)}, one;

	while (split(&rest, ',', &one))
		if (slice_is(one, member))
			return true;
	return false;
}

/* ---- codings ---- */

#define WEIGHT_ONE 1000000u
#define WEIGHT_MAX (100 * WEIGHT_ONE)

/* Parses a decimal number to millionths. A number above zero does not become 0. */
static bool parse_weight(struct slice s, unsigned *ret)
{
	unsigned value = 0, unit = 0; /* unit: of the next fractional digit; 0 before the point */
	bool digits = false, rest = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)s.p[i] - '0';

		if (s.p[i] == '.' && unit == 0 && !rest) {
			unit = WEIGHT_ONE / 10;
			rest = true;
			continue;
		}
		if (digit > 9)
			return false;
		digits = true;
		if (!rest)
			value = value < WEIGHT_MAX ? value * 10 + digit * WEIGHT_ONE : value;
		else if (unit > 0)
			value += digit * unit;
		else if (digit > 0 && value == 0)
			value = 1;
		unit /= 10;
	}
	if (digits)
		*ret = value;
	return digits;
}

/* Reads "gzip;q=0.5". */
static struct slice parse_coding(struct slice s, unsigned *ret_weight)
{
	struct slice name = {0}, param;

	*ret_weight = WEIGHT_ONE;
	split(&s, ';', &name);
	while (split(&s, ';', &param)) {
		struct slice weight = {param.p + 2, param.n - 2};

		if (param.n >= 2 && !strncasecmp(param.p, "q=", 2))
			parse_weight(weight, ret_weight);
	}
	return name;
}

bool header_identity_refused(const char *value)
{
	struct slice rest = {value, value ? strlen(value) : 0}, one;
	bool refused = false, accepted = false, others_refused = false;
	unsigned weight;

	while (split(&rest, ',', &one)) {
		struct slice name = parse_coding(one, &weight);

		if (slice_is(name, "identity")) {
			refused |= weight == 0;
			accepted |= weight > 0;
		} else if (slice_is(name, "*")) {
			others_refused |= weight == 0;
		}
	}
	return refused || (others_refused && !accepted);
}

enum header_coding header_accept_encoding(const char *value)
{
	enum header_coding best = HEADER_CODING_IDENTITY;
	unsigned best_weight = 0, weight;
	struct slice rest, one;
	bool refused;

	if (!value || !*value)
		return HEADER_CODING_IDENTITY;
	refused = header_identity_refused(value);
	rest = (struct slice){value, strlen(value)};
	while (split(&rest, ',', &one)) {
		struct slice name = parse_coding(one, &weight);
		bool gzip = slice_is(name, "gzip"), any = slice_is(name, "*");

		if (weight <= best_weight || !(gzip || any || slice_is(name, "identity")))
			continue;
		best_weight = weight;
		best = gzip || (any && refused) ? HEADER_CODING_GZIP : HEADER_CODING_IDENTITY;
	}
	return best_weight == 0 && refused ? HEADER_CODING_NONE : best;
}

enum header_coding header_content_encoding(const char *value)
{
	struct slice name;
	unsigned weight;

	if (!value || !*value)
		return HEADER_CODING_IDENTITY;
	name = parse_coding((struct slice){value, strlen(value)}, &weight);
	if (slice_is(name, "identity"))
		return HEADER_CODING_IDENTITY;
	return slice_is(name, "gzip") ? HEADER_CODING_GZIP : HEADER_CODING_NONE;
}

/* ---- parameters ---- */

static const char *skip_space(const char *p)
{
	while (http_is_space(*p))
		p++;
	return p;
}

/* A token of MIME (RFC 2045 section 5.1) may contain braces; a token of HTTP may not. */
static bool is_mime_token(char c)
{
	return http_is_token(c) || c == '{' || c == '}';
}

/* Parses a token at *p and advances *p. `lower`: in lower case. NULL if there is none. */
static char *take_token(struct arena *arena, const char **p, bool lower)
{
	const char *end = *p;
	char *token;

	while (is_mime_token(*end))
		end++;
	if (end == *p)
		return NULL;
	token = arena_strndup(arena, *p, (size_t)(end - *p));
	*p = end;
	for (char *c = token; lower && *c; c++)
		if (http_is_token(*c))
			*c = (char)http_token_lower[(unsigned char)*c];
	return token;
}

/*
 * Returns true if p is at a backslash that escapes the next character. Characters of tokens can't
 * be escaped, so that "C:\dir" is preserved.
 */
static bool is_escape(const char *p)
{
	return *p == '\\' && p[1] && strchr("()<>@,;:\\\"/[]?=", p[1]);
}

/* Parses a quoted string at *p and advances *p. NULL if its end is missing. */
static char *take_quoted(struct arena *arena, const char **p)
{
	const char *start = *p + 1, *end = start;
	char *out, *o;

	for (; *end && *end != '"'; end++)
		end += is_escape(end);
	if (!*end)
		return NULL;
	o = out = arena_alloc(arena, (size_t)(end - start) + 1);
	for (const char *s = start; s < end; s++) {
		s += is_escape(s);
		*o++ = *s;
	}
	*o = '\0';
	*p = end + 1;
	return out;
}

/* Parses "; name=value" at *p and advances *p. Returns false if it is malformed. */
static bool take_param(struct arena *arena, const char **p, struct header_param *ret)
{
	if (**p != ';')
		return false;
	*p = skip_space(*p + 1);
	ret->name = take_token(arena, p, true);
	*p = skip_space(*p);
	if (!ret->name || **p != '=')
		return false;
	*p = skip_space(*p + 1);
	ret->value = **p == '"' ? take_quoted(arena, p) : take_token(arena, p, false);
	return ret->value != NULL;
}

/* Returns the parameter with exactly this name, or NULL. */
static const char *param_find(const struct header_params *params, const char *name)
{
	for (unsigned i = 0; i < params->n_params; i++)
		if (!strcmp(params->params[i].name, name))
			return params->params[i].value;
	return NULL;
}

/* Parses the type at *p and advances *p. NULL if it is malformed. */
static const char *take_type(struct arena *arena, const char **p)
{
	const char *start = skip_space(*p), *end = start;
	unsigned slashes = 0;
	char *type;

	for (; http_is_token(*end) || (*end == '/' && end > start && slashes == 0); end++)
		slashes += *end == '/';
	*p = skip_space(end);
	if (end == start || end[-1] == '/' || (**p && **p != ';'))
		return NULL;
	type = arena_strndup(arena, start, (size_t)(end - start));
	for (char *c = type; *c; c++)
		if (*c != '/')
			*c = (char)http_token_lower[(unsigned char)*c];
	return type;
}

int header_params_parse(struct arena *arena, const char *value, struct header_params *ret)
{
	ret->n_params = 0;
	ret->type = take_type(arena, &value);
	if (!ret->type)
		return -EINVAL;
	for (value = skip_space(value); *value; value = skip_space(value)) {
		struct header_param param;
		const char *before;

		if (*value == ';' && !*skip_space(value + 1))
			break;
		if (ret->n_params == HEADER_MAX_PARAMS || !take_param(arena, &value, &param)) {
			ret->n_params = 0;
			return -EINVAL;
		}
		before = param_find(ret, param.name);
		if (before && strcmp(before, param.value)) {
			ret->type = NULL;
			ret->n_params = 0;
			return -EINVAL;
		}
		if (!before)
			ret->params[ret->n_params++] = param;
	}
	return 0;
}

/* Decodes `utf-8'language'text` of RFC 2231 section 4. NULL if it is malformed. */
static const char *decode_extended(struct arena *arena, const char *value, size_t *ret_bytes)
{
	struct slice rest = {value, strlen(value)}, charset, language;

	if (!split(&rest, '\'', &charset) || !split(&rest, '\'', &language) || !rest.p)
		return NULL;
	if (!slice_is(charset, "utf-8") && !slice_is(charset, "us-ascii"))
		return NULL;
	return uri_path_decode(arena, rest.p, ret_bytes);
}

/* Joins `name*0`, `name*1*`, … (RFC 2231 section 3). NULL if there is no `name*0`. */
static const char *join_pieces(struct arena *arena, const struct header_params *params,
			       const char *name, size_t *ret_bytes)
{
	size_t room = 1, n = 0;
	char *out;
	unsigned piece;

	for (unsigned i = 0; i < params->n_params; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): take_param sets it */
		room += strlen(params->params[i].value);
	out = arena_alloc(arena, room);
	for (piece = 0; piece < params->n_params; piece++) {
		const char *value = param_find(params, arena_printf(arena, "%s*%u", name, piece));
		size_t value_bytes;

		if (value) {
			value_bytes = strlen(value);
		} else {
			value = param_find(params, arena_printf(arena, "%s*%u*", name, piece));
			if (!value)
				break;
			value = piece == 0 ? decode_extended(arena, value, &value_bytes)
					   : uri_path_decode(arena, value, &value_bytes);
			if (!value)
				continue;
		}
		memcpy(out + n, value, value_bytes);
		n += value_bytes;
	}
	out[n] = '\0';
	*ret_bytes = n;
	return piece > 0 ? out : NULL;
}

const char *header_param_get(struct arena *arena, const struct header_params *params,
			     const char *name, size_t *ret_bytes)
{
	const char *extended = param_find(params, arena_printf(arena, "%s*", name));
	const char *value = extended ? decode_extended(arena, extended, ret_bytes)
				     : join_pieces(arena, params, name, ret_bytes);

	if (value)
		return value;
	value = param_find(params, name);
	if (value)
		*ret_bytes = strlen(value);
	return value;
}

/* ---- credentials ---- */

const char *header_basic_user(struct arena *arena, const char *authorization)
{
	const char *encoded, *colon;
	char *decoded;
	ssize_t n;

	if (!authorization || strncasecmp(authorization, "Basic ", 6))
		return NULL;
	encoded = authorization + 6;
	/* base64_decode would also accept URL-safe or unpadded text. */
	if (strlen(encoded) % 4 || strpbrk(encoded, "-_"))
		return NULL;
	decoded = arena_alloc(arena, base64_decoded_max_bytes(strlen(encoded)) + 1);
	n = base64_decode(decoded, encoded, strlen(encoded));
	if (n < 0)
		return NULL;
	colon = memchr(decoded, ':', (size_t)n);
	if (!colon)
		return NULL;
	decoded[colon - decoded] = '\0';
	return strlen(decoded) == (size_t)(colon - decoded) ? decoded : "";
}
