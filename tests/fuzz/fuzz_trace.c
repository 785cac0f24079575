/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace contexts: lines of the input are values of traceparent and tracestate. What was read is
 * read again as itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "rpc/http/http_head.h"
#include "rpc/http/trace.h"
#include "tests/fuzz/fuzz.h"

#define MAX_FIELDS 8

static void check_again(const struct log_request *first, struct arena *arena)
{
	struct http_field fields[2] = {
		{"traceparent", first->traceparent, 11, (unsigned)strlen(first->traceparent)},
		{"tracestate", first->tracestate, 10, 0},
	};
	struct http_head head = {.fields = fields, .n_fields = 1};
	struct log_request again;

	if (first->tracestate) {
		head.n_fields = 2;
		fields[1].value_bytes = (unsigned)strlen(first->tracestate);
		CHECK(fields[1].value_bytes <= TRACE_STATE_MAX_BYTES);
	}
	trace_read(&head, arena, &again);
	CHECK(again.traceparent && strcmp(again.traceparent, first->traceparent) == 0);
	CHECK(!first->tracestate == !again.tracestate);
	CHECK(!first->tracestate || strcmp(again.tracestate, first->tracestate) == 0);
}

/* The first line is the traceparent; the others are tracestate. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_field fields[MAX_FIELDS];
	struct http_head head = {.fields = fields};
	struct log_request request;
	struct arena arena = {0};
	char *text = fuzz_text(data, n), *line, *next;

	if (memchr(text, '\0', n)) {
		free(text);
		return 0;
	}
	for (line = text; line && head.n_fields < MAX_FIELDS; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		fields[head.n_fields] = (struct http_field){
			.name = head.n_fields ? "tracestate" : "traceparent",
			.value = line,
			.name_bytes = head.n_fields ? 10 : 11,
			.value_bytes = (unsigned)strlen(line),
		};
		head.n_fields++;
	}
	trace_read(&head, &arena, &request);
	if (request.traceparent)
		check_again(&request, &arena);
	else
		CHECK(!request.tracestate);
	arena_clear(&arena);
	free(text);
	return 0;
}
