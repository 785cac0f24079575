/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the endpoints below /files: the query's parameters, the check of token and signature,
 * the user, and error answers. Any thread may call fs_resolve; the rest runs on the loop.
 */
#ifndef FS_HTTP_REQUEST_H
#define FS_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/user.h"

struct fs_service;
struct stream;

/*
 * Returns the HTTP status of an error below /files. It is error_http_status(), except for:
 * ERROR_UNIMPLEMENTED is 406 (no coding that the client accepts), ERROR_FAILED_PRECONDITION 412,
 * ERROR_OUT_OF_RANGE 416, ERROR_RESOURCE_EXHAUSTED 507.
 */
unsigned fs_error_status(enum error_code code);

/* Answers with the status of err->code and its message as JSON. */
void fs_reply_error(struct stream *s, const struct error *err);

/* Answers in plain text with a newline: for invalid parameters and ranges. */
void fs_reply_text(struct stream *s, unsigned status, const char *text);

/* The request. Its strings lie in the stream's arena. */
struct fs_request {
	struct stream *stream;
	struct fs_service *svc;
	const char *path; /* from the query, decoded; NULL if absent */
	size_t path_bytes;
	const char *username;
	const char *signature;
	const char *expiration; /* decimal, as it is signed */
	int64_t expiration_s;
	bool tar;	  /* format=tar: the path is a directory, the body an archive */
	bool gzip;	  /* gzip=1: the archive is compressed */
	struct user user; /* set by fs_request_user; in the arena passed to it */
};

/*
 * Reports a change of a file to the audit stream: "file_written" or "file_removed". `path` is NULL
 * if the request names none; `error` is NULL after a success.
 */
void fs_audit_file(struct stream *s, const char *event, const char *path, const char *user,
		   const char *error);

/*
 * Names what the line of the request in the log says: "File read" or "File write", the resolved
 * path, and the user. Copies.
 */
void fs_log_file(struct stream *s, const char *message, const char *path, const char *username);

/* Parses the query. Borrows `s` and `svc`. Returns false if it has answered with 400. */
bool fs_request_init(struct fs_request *r, struct stream *s, struct fs_service *svc);

/* Checks token and signature for "read" or "write". Returns false if it has answered with 401. */
bool fs_request_authorise(struct fs_request *r, const char *operation);

/* Finds the query's user, or the default user. Returns false if it has answered with 401. */
bool fs_request_user(struct fs_request *r, struct arena *arena);

/*
 * Resolves a path of `bytes` bytes for the user; *ret is in the arena. Returns -1 and fills `err`
 * if the path can't be resolved; the message begins with `what` ("error resolving path"). A path
 * with a NUL is ERROR_INTERNAL, since that is the error of the reference (compatibility/files).
 */
int fs_resolve(const struct user *user, const char *default_dir, const char *path, size_t bytes,
	       const char *what, struct arena *arena, char **ret, struct error *err);

#endif
