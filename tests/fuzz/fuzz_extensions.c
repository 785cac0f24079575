/* SPDX-License-Identifier: Apache-2.0 */
/* The values of X-Envd-Limits and X-Envd-Watch. The input is read as one, and then as the other. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "pty/limits.h"
#include "tests/fuzz/fuzz.h"
#include "watch/options.h"

static void check_limits(const char *text)
{
	struct limits limits;
	struct error err = {0};
	bool any = false;
	int i;

	if (limits_parse(text, "test", &limits, &err) < 0) {
		CHECK(err.code == ERROR_INVALID_ARGUMENT && *err.message);
		return;
	}
	for (i = 0; i < LIMIT_NAMES; i++) {
		any = any || limits.of[i].set;
		CHECK(memchr(limits.of[i].text, '\0', sizeof(limits.of[i].text)));
		CHECK(!limits.of[i].set || i == LIMIT_NICE || *limits.of[i].text);
		CHECK(limits.of[i].nice >= -20 && limits.of[i].nice <= 19);
	}
	CHECK(any);
}

static void check_patterns(const struct watch_patterns *patterns, bool may_have_slash)
{
	size_t i, bytes = 0;

	CHECK(patterns->n <= WATCH_PATTERNS_MAX);
	for (i = 0; i < patterns->n; i++) {
		CHECK(*patterns->text[i] && strlen(patterns->text[i]) <= WATCH_PATTERN_MAX_BYTES);
		CHECK(may_have_slash || !strchr(patterns->text[i], '/'));
		bytes += strlen(patterns->text[i]);
	}
	CHECK(bytes <= WATCH_PATTERNS_MAX_BYTES);
}

static void check_watch(const char *text)
{
	struct watch_options options;
	struct arena arena = {0};
	struct error err = {0};

	if (watch_options_parse(text, &arena, &options, &err) == 0) {
		check_patterns(&options.ignored, false);
		check_patterns(&options.only, true);
	} else {
		CHECK(err.code == ERROR_INVALID_ARGUMENT && *err.message);
	}
	arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = fuzz_text(data, n);

	check_limits(text);
	check_watch(text);
	free(text);
	return 0;
}
