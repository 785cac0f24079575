/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/options.h"

#include <string.h>

static int refuse(struct error *err, const char *item, const char *why)
{
	return error_set(err, ERROR_INVALID_ARGUMENT, "X-Envd-Watch: '%s': %s", item, why);
}

static int add_pattern(struct watch_patterns *patterns, char *text, const char *item,
		       struct error *err)
{
	size_t i, bytes = strlen(text);

	for (i = 0; i < patterns->n; i++)
		bytes += strlen(patterns->text[i]);
	if (!*text || strlen(text) > WATCH_PATTERN_MAX_BYTES)
		return refuse(err, item, "a pattern has 1 to 256 bytes");
	if (patterns->n == WATCH_PATTERNS_MAX)
		return refuse(err, item, "there are more than 64 patterns");
	if (bytes > WATCH_PATTERNS_MAX_BYTES)
		return refuse(err, item, "the patterns have more than 1024 bytes together");
	patterns->text[patterns->n++] = text;
	return 0;
}

/* One item, without spaces around it. */
static int parse_item(char *item, struct arena *arena, struct watch_options *ret, struct error *err)
{
	char *value = strchr(item, '=');
	size_t key_bytes = value ? (size_t)(value - item) : strlen(item);

	if (value)
		value = arena_strdup(arena, value + 1);
	if (key_bytes == 6 && memcmp(item, "ignore", 6) == 0 && value) {
		if (strchr(value, '/'))
			return refuse(err, item, "a name has no slash");
		return add_pattern(&ret->ignored, value, item, err);
	}
	if (key_bytes == 4 && memcmp(item, "only", 4) == 0 && value)
		return add_pattern(&ret->only, value, item, err);
	return refuse(err, item, "not known");
}

int watch_options_parse(const char *text, struct arena *arena, struct watch_options *ret,
			struct error *err)
{
	char *item, *next, *end;

	memset(ret, 0, sizeof(*ret));
	for (item = text ? arena_strdup(arena, text) : NULL; item; item = next) {
		next = strchr(item, ',');
		if (next)
			*next++ = '\0';
		item += strspn(item, " \t");
		for (end = item + strlen(item); end > item && (end[-1] == ' ' || end[-1] == '\t');)
			*--end = '\0';
		if (*item && parse_item(item, arena, ret, err) < 0)
			return -1;
	}
	return 0;
}
