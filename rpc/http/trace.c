/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/trace.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "rpc/http/http_head.h"

/* version "-" trace-id "-" parent-id "-" trace-flags */
#define PARENT_BYTES 55
#define TRACE_ID_AT  3
#define TRACE_ID_END 35
#define PARENT_ID_AT 36
#define PARENT_END   52
#define FLAGS_AT     53

#define MAX_MEMBERS	 32
#define MAX_KEY_BYTES	 256
#define MAX_TENANT_BYTES 241
#define MAX_SYSTEM_BYTES 14
#define MAX_VALUE_BYTES	 256

struct text {
	const char *p;
	size_t n;
};

/* ---- traceparent ---- */

/* Returns true if text[from..to) has only lower-case hexadecimal digits; *ret_zero: all are 0. */
static bool is_hex(const char *text, size_t from, size_t to, bool *ret_zero)
{
	size_t digits = strspn(text + from, "0123456789abcdef");

	*ret_zero = strspn(text + from, "0") >= to - from;
	return digits >= to - from;
}

/* Returns the traceparent as version 00, in the arena; NULL: it violates the grammar. */
static const char *parse_parent(const char *text, size_t n, struct arena *arena)
{
	bool zero, version_zero;
	char *parent;

	if (n < PARENT_BYTES || text[2] != '-' || text[TRACE_ID_END] != '-' ||
	    text[PARENT_END] != '-' || !is_hex(text, 0, 2, &version_zero) ||
	    memcmp(text, "ff", 2) == 0)
		return NULL;
	if (n > PARENT_BYTES && (version_zero || text[PARENT_BYTES] != '-'))
		return NULL;
	if (!is_hex(text, TRACE_ID_AT, TRACE_ID_END, &zero) || zero ||
	    !is_hex(text, PARENT_ID_AT, PARENT_END, &zero) || zero ||
	    !is_hex(text, FLAGS_AT, PARENT_BYTES, &zero))
		return NULL;
	parent = arena_alloc(arena, PARENT_BYTES + 1);
	memcpy(parent, text, PARENT_BYTES);
	parent[PARENT_BYTES] = '\0';
	if (!version_zero) {
		memcpy(parent, "00", 2);
		/* Version 00 knows one flag, `sampled`. */
		parent[FLAGS_AT] = '0';
		parent[FLAGS_AT + 1] = strchr("13579bdf", parent[FLAGS_AT + 1]) ? '1' : '0';
	}
	return parent;
}

/* ---- tracestate ---- */

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_key_rest(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_lower(p[i]) && !is_digit(p[i]) && !(p[i] && strchr("_-*/", p[i])))
			return false;
	return true;
}

/* key = simple-key / multi-tenant-key (section 3.3.1.3.1) */
static bool is_key(struct text key)
{
	const char *at = memchr(key.p, '@', key.n);
	size_t tenant = at ? (size_t)(at - key.p) : key.n;
	size_t system = at ? key.n - tenant - 1 : 0;

	if (tenant == 0 || !is_key_rest(key.p, tenant))
		return false;
	if (!at)
		return is_lower(key.p[0]) && key.n <= MAX_KEY_BYTES;
	return tenant <= MAX_TENANT_BYTES && system >= 1 && system <= MAX_SYSTEM_BYTES &&
	       is_lower(at[1]) && is_key_rest(at + 1, system);
}

/* value = 0*255(chr) nblk-chr (section 3.3.1.3.2) */
static bool is_value(struct text value)
{
	if (value.n == 0 || value.n > MAX_VALUE_BYTES || value.p[value.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < 0x20 || value.p[i] > 0x7e || value.p[i] == '=')
			return false;
	return true;
}

static struct text trim(struct text text)
{
	while (text.n && (text.p[0] == ' ' || text.p[0] == '\t')) {
		text.p++;
		text.n--;
	}
	while (text.n && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
		text.n--;
	return text;
}

struct state {
	char text[TRACE_STATE_MAX_BYTES + 1];
	size_t n;
	struct text keys[MAX_MEMBERS];
	size_t n_members;
};

/* Appends a member to the list. False: the list is invalid, or too long. */
static bool add_member(struct state *state, struct text member)
{
	const char *equals = memchr(member.p, '=', member.n);
	struct text key, value;

	if (!equals)
		return false;
	key = (struct text){member.p, (size_t)(equals - member.p)};
	value = (struct text){equals + 1, member.n - key.n - 1};
	if (!is_key(key) || !is_value(value) || state->n_members == MAX_MEMBERS ||
	    state->n + 1 + member.n > TRACE_STATE_MAX_BYTES)
		return false;
	for (size_t i = 0; i < state->n_members; i++)
		if (state->keys[i].n == key.n && memcmp(state->keys[i].p, key.p, key.n) == 0)
			return false;
	state->keys[state->n_members++] = key;
	if (state->n)
		state->text[state->n++] = ',';
	memcpy(state->text + state->n, member.p, member.n);
	state->n += member.n;
	return true;
}

/* Appends the members of one field. Empty members are allowed (section 3.3.1.2). */
static bool add_field(struct state *state, const struct http_field *field)
{
	const char *at = field->value, *end = at + field->value_bytes, *comma;
	struct text member;

	for (;;) {
		comma = memchr(at, ',', (size_t)(end - at));
		member = trim((struct text){at, (size_t)((comma ? comma : end) - at)});
		if (member.n && !add_member(state, member))
			return false;
		if (!comma)
			return true;
		at = comma + 1;
	}
}

/* Several fields are one list (RFC 9110 section 5.3). */
static const char *parse_state(const struct http_head *head, struct arena *arena)
{
	struct state state = {.n = 0};

	for (unsigned i = 0; i < head->n_fields; i++)
		if (strcmp(head->fields[i].name, "tracestate") == 0 &&
		    !add_field(&state, &head->fields[i]))
			return NULL;
	state.text[state.n] = '\0';
	return state.n ? arena_strdup(arena, state.text) : NULL;
}

void trace_read(const struct http_head *head, struct arena *arena, struct log_request *ret)
{
	const char *parent = http_head_get(head, "traceparent");

	ret->traceparent = NULL;
	ret->tracestate = NULL;
	if (!parent || http_head_count(head, "traceparent") > 1)
		return;
	ret->traceparent = parse_parent(parent, strlen(parent), arena);
	if (ret->traceparent)
		ret->tracestate = parse_state(head, arena);
}
