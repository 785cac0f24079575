/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const struct {
	const char *name;
	unsigned http_status;
} codes[] = {
	[ERROR_OK] = {"ok", 200},
	[ERROR_CANCELED] = {"canceled", 499},
	[ERROR_UNKNOWN] = {"unknown", 500},
	[ERROR_INVALID_ARGUMENT] = {"invalid_argument", 400},
	[ERROR_DEADLINE_EXCEEDED] = {"deadline_exceeded", 504},
	[ERROR_NOT_FOUND] = {"not_found", 404},
	[ERROR_ALREADY_EXISTS] = {"already_exists", 409},
	[ERROR_PERMISSION_DENIED] = {"permission_denied", 403},
	[ERROR_RESOURCE_EXHAUSTED] = {"resource_exhausted", 429},
	[ERROR_FAILED_PRECONDITION] = {"failed_precondition", 400},
	[ERROR_ABORTED] = {"aborted", 409},
	[ERROR_OUT_OF_RANGE] = {"out_of_range", 400},
	[ERROR_UNIMPLEMENTED] = {"unimplemented", 501},
	[ERROR_INTERNAL] = {"internal", 500},
	[ERROR_UNAVAILABLE] = {"unavailable", 503},
	[ERROR_DATA_LOSS] = {"data_loss", 500},
	[ERROR_UNAUTHENTICATED] = {"unauthenticated", 401},
};

#define N_CODES (sizeof(codes) / sizeof(codes[0]))

const char *error_code_name(enum error_code code)
{
	return (size_t)code < N_CODES ? codes[code].name : "unknown";
}

unsigned error_http_status(enum error_code code)
{
	return (size_t)code < N_CODES ? codes[code].http_status : 500;
}

/* Removes an incomplete character from the end of a message that vsnprintf has truncated. */
static void message_trim(struct error *err)
{
	size_t n = strlen(err->message);

	if (n == sizeof(err->message) - 1)
		err->message[utf8_floor(err->message, n)] = '\0';
}

void error_fill(struct error *err, enum error_code code, const char *format, ...)
{
	va_list ap;

	err->code = code;
	va_start(ap, format);
	vsnprintf(err->message, sizeof(err->message), format, ap);
	va_end(ap);
	message_trim(err);
}

void error_fill_errno(struct error *err, enum error_code code, int errnum, const char *format, ...)
{
	va_list ap;
	size_t n;

	err->code = code;
	va_start(ap, format);
	vsnprintf(err->message, sizeof(err->message), format, ap);
	va_end(ap);
	n = strlen(err->message);
	snprintf(err->message + n, sizeof(err->message) - n, ": %s", error_errno_text(errnum));
	message_trim(err);
}

void error_fill_prefix(struct error *err, const char *format, ...)
{
	char old[ERROR_MESSAGE_BYTES];
	va_list ap;
	size_t n;

	memcpy(old, err->message, sizeof(old));
	va_start(ap, format);
	vsnprintf(err->message, sizeof(err->message), format, ap);
	va_end(ap);
	n = strlen(err->message);
	snprintf(err->message + n, sizeof(err->message) - n, ": %s", old);
	message_trim(err);
}

const char *error_errno_text(int errnum)
{
	static __thread char lowered[64];
	const char *text;
	size_t i;

	text = strerrordesc_np(errnum < 0 ? -errnum : errnum);
	if (!text)
		return "unknown error";
	for (i = 0; i < sizeof(lowered) - 1 && text[i]; i++)
		lowered[i] = text[i];
	lowered[i] = '\0';
	/* "No such file" but not "RFS specific error": an abbreviation keeps its capitals. */
	if (lowered[0] >= 'A' && lowered[0] <= 'Z' && lowered[1] >= 'a')
		lowered[0] += 'a' - 'A';
	return lowered;
}
