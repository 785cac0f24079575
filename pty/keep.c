/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/keep.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/mem.h"

/* The outputs by the name that the headers use. */
static const struct {
	const char *name;
	bool pty;
} kinds[OUTPUT_KINDS] = {
	[OUTPUT_STDOUT] = {"stdout", false},
	[OUTPUT_STDERR] = {"stderr", false},
	[OUTPUT_PTY] = {"pty", true},
};

/* Parses "NAME=OFFSET" at *text, and advances *text. */
static int parse_offset(const char **text, bool is_pty, uint64_t from[OUTPUT_KINDS])
{
	size_t i, n;

	for (i = 0; i < OUTPUT_KINDS; i++) {
		n = strlen(kinds[i].name);
		if (kinds[i].pty != is_pty || strncmp(*text, kinds[i].name, n) != 0 ||
		    (*text)[n] != '=')
			continue;
		*text += n + 1;
		n = decimal_digits(*text, strlen(*text), INT64_MAX, &from[i]);
		*text += n;
		return n ? 0 : -1;
	}
	return -1;
}

static int parse_offsets(const char *text, bool is_pty, uint64_t from[OUTPUT_KINDS])
{
	for (;;) {
		if (parse_offset(&text, is_pty, from) < 0)
			return -1;
		text += strspn(text, " \t");
		if (*text == '\0')
			return 0;
		if (*text != ',')
			return -1;
		text++;
		text += strspn(text, " \t");
	}
}

int keep_parse_from(const struct rpc_call *call, bool is_pty, const uint64_t total[OUTPUT_KINDS],
		    struct keep_from *ret, struct error *err)
{
	const char *text = rpc_call_header(call, "x-envd-from");
	size_t i;

	memset(ret, 0, sizeof(*ret));
	ret->asked = text != NULL;
	if (!text || strcmp(text, "start") == 0)
		return 0;
	memcpy(ret->from, total, sizeof(ret->from));
	if (parse_offsets(text, is_pty, ret->from) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "X-Envd-From is start or %s of this process, not '%s'",
				 is_pty ? "pty=OFFSET" : "stdout=OFFSET, stderr=OFFSET", text);
	for (i = 0; i < OUTPUT_KINDS; i++)
		if (ret->from[i] > total[i])
			return error_set(err, ERROR_OUT_OF_RANGE,
					 "X-Envd-From: %s=%" PRIu64 " is behind the %" PRIu64
					 " bytes that were written",
					 kinds[i].name, ret->from[i], total[i]);
	return 0;
}

/* Adds a header with a number for each output: "stdout=N, stderr=N" or "pty=N". */
static void tell(struct rpc_call *call, const char *name, bool is_pty,
		 const uint64_t numbers[OUTPUT_KINDS])
{
	char text[96];
	size_t i, n = 0;

	for (i = 0; i < OUTPUT_KINDS; i++)
		if (kinds[i].pty == is_pty)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s=%" PRIu64,
					      n ? ", " : "", kinds[i].name, numbers[i]);
	rpc_header(call, name, text);
}

void keep_tell_offsets(struct rpc_call *call, bool is_pty, const struct kept *kept,
		       const uint64_t total[OUTPUT_KINDS], const struct keep_from *from)
{
	uint64_t begin[OUTPUT_KINDS], first;
	size_t i;

	for (i = 0; i < OUTPUT_KINDS; i++) {
		first = kept ? kept->first_offset[i] : total[i];
		begin[i] = first > from->from[i] ? first : from->from[i];
	}
	tell(call, "X-Envd-Offsets", is_pty, begin);
	tell(call, "X-Envd-Written", is_pty, total);
}
