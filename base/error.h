/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that a client will read.
 *
 * Plumbing returns 0 or a negative errno. A function whose failure a client will read returns -1
 * and fills a `struct error` in the same expression:
 *
 *	return error_set(err, ERROR_NOT_FOUND, "process with pid %u not found", pid);
 *
 * The codes are the canonical ones of gRPC and Connect, with their numbers. HTTP endpoints map
 * them to a status with error_http_status().
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

enum error_code {
	ERROR_OK = 0,
	ERROR_CANCELED = 1,
	ERROR_UNKNOWN = 2,
	ERROR_INVALID_ARGUMENT = 3,
	ERROR_DEADLINE_EXCEEDED = 4,
	ERROR_NOT_FOUND = 5,
	ERROR_ALREADY_EXISTS = 6,
	ERROR_PERMISSION_DENIED = 7,
	ERROR_RESOURCE_EXHAUSTED = 8,
	ERROR_FAILED_PRECONDITION = 9,
	ERROR_ABORTED = 10,
	ERROR_OUT_OF_RANGE = 11,
	ERROR_UNIMPLEMENTED = 12,
	ERROR_INTERNAL = 13,
	ERROR_UNAVAILABLE = 14,
	ERROR_DATA_LOSS = 15,
	ERROR_UNAUTHENTICATED = 16,
};

/* Longer messages are truncated (a path alone may have 4096 bytes). */
#define ERROR_MESSAGE_BYTES 512

struct error {
	enum error_code code;
	char message[ERROR_MESSAGE_BYTES]; /* UTF-8; not truncated inside a character */
};

/*
 * These three macros evaluate to -1, so they can be the operand of `return`. They are macros so
 * that compilers and analyzers, which see one file at a time, know the value.
 *
 * error_set(err, code, format, ...): sets code and text.
 * error_set_errno(err, code, errnum, format, ...): with ": " and the text of `errnum` (a positive
 * or negative errno) appended.
 * error_prefix(err, format, ...): inserts context before the present text.
 */
#define error_set(err, ...)	  (error_fill(err, __VA_ARGS__), error_result())
#define error_set_errno(err, ...) (error_fill_errno(err, __VA_ARGS__), error_result())
#define error_prefix(err, ...)	  (error_fill_prefix(err, __VA_ARGS__), error_result())

static inline int error_result(void)
{
	return -1;
}

void error_fill(struct error *err, enum error_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void error_fill_errno(struct error *err, enum error_code code, int errnum, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void error_fill_prefix(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The Connect name of a code ("not_found"). Borrowed, static. */
const char *error_code_name(enum error_code code);

/* Returns the HTTP status of a code in Connect (connectrpc.com/docs/protocol, "Error codes"). */
unsigned error_http_status(enum error_code code);

/*
 * Returns the text of an errno in lower case, as clients expect it: "no such file or directory".
 * Unlike strerror(3) it does not depend on the locale. Borrowed, static.
 */
const char *error_errno_text(int errnum);

#endif
