/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/codec/codec_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ten thousand years of 365.25 days, either way: what a Duration may be. */
#define DURATION_MAX_SECONDS 315576000000

enum json_form json_form_of(const ProtobufCMessageDescriptor *type)
{
	static const char package[] = "google.protobuf.";
	const char *name = type->name + sizeof(package) - 1;

	if (strncmp(type->name, package, sizeof(package) - 1) != 0)
		return JSON_FORM_FIELDS;
	if (strcmp(name, "Timestamp") == 0)
		return JSON_FORM_TIMESTAMP;
	if (strcmp(name, "Duration") == 0)
		return JSON_FORM_DURATION;
	if (strcmp(name, "Any") == 0)
		return JSON_FORM_ANY;
	if (strcmp(name, "Empty") == 0)
		return JSON_FORM_EMPTY;
	if (strlen(name) > 5 && strcmp(name + strlen(name) - 5, "Value") == 0 &&
	    type->n_fields == 1 && type->fields[0].label != PROTOBUF_C_LABEL_REPEATED)
		return JSON_FORM_WRAPPER;
	return JSON_FORM_FIELDS;
}

int duration_parse(const char *p, size_t n, int64_t *ret_seconds, int32_t *ret_nanos)
{
	bool negative = n && *p == '-';
	const char *end = p + n, *digits = p += negative;
	int64_t seconds = 0;
	int32_t nanos = 0;

	for (; p < end && *p >= '0' && *p <= '9' && seconds <= DURATION_MAX_SECONDS; p++)
		seconds = seconds * 10 + (*p - '0');
	if (p == digits || seconds > DURATION_MAX_SECONDS)
		return -EINVAL;
	if (p < end && *p == '.') {
		digits = ++p;
		for (; p < end && *p >= '0' && *p <= '9' && p - digits < 9; p++)
			nanos = nanos * 10 + (*p - '0');
		if (p == digits)
			return -EINVAL;
		for (ptrdiff_t i = p - digits; i < 9; i++)
			nanos *= 10;
	}
	if (end - p != 1 || *p != 's' || (seconds == DURATION_MAX_SECONDS && nanos))
		return -EINVAL;
	*ret_seconds = negative ? -seconds : seconds;
	*ret_nanos = negative ? -nanos : nanos;
	return 0;
}

int duration_format(int64_t seconds, int32_t nanos, char out[DURATION_BYTES])
{
	const char *sign = seconds < 0 || nanos < 0 ? "-" : "";

	if (seconds < -DURATION_MAX_SECONDS || seconds > DURATION_MAX_SECONDS ||
	    nanos < -999999999 || nanos > 999999999 || (seconds > 0 && nanos < 0) ||
	    (seconds < 0 && nanos > 0))
		return -ERANGE;
	seconds = seconds < 0 ? -seconds : seconds;
	nanos = abs(nanos);
	if (nanos == 0)
		snprintf(out, DURATION_BYTES, "%s%" PRId64 "s", sign, seconds);
	else if (nanos % 1000000 == 0)
		snprintf(out, DURATION_BYTES, "%s%" PRId64 ".%03ds", sign, seconds,
			 nanos / 1000000);
	else if (nanos % 1000 == 0)
		snprintf(out, DURATION_BYTES, "%s%" PRId64 ".%06ds", sign, seconds, nanos / 1000);
	else
		snprintf(out, DURATION_BYTES, "%s%" PRId64 ".%09ds", sign, seconds, nanos);
	return 0;
}
