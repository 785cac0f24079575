/*
 * What the endpoints below /files have in common: the parameters of the query, who may ask, in
 * whose name, and the answers to what is wrong. On the loop, but for struct fs_failure.
 */
#ifndef FS_HTTP_REQUEST_H
#define FS_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/user.h"

struct fs_service;
struct stream;

/* An answer that is none of the good ones. Filled in on a worker as well. */
#define FS_FAILURE_MESSAGE_BYTES 1024
struct fs_failure {
	unsigned status; /* 0: none */
	char message[FS_FAILURE_MESSAGE_BYTES];
};

/* Sets status and text. Returns -1, always. */
int fs_fail(struct fs_failure *failure, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with ": " and the text of errnum (of either sign) appended. */
int fs_fail_errno(struct fs_failure *failure, unsigned status, int errnum, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* 507 where errnum says that space, inodes or quota are used up, else 500. */
unsigned fs_failure_status(int errnum);

void fs_reply_failure(struct stream *s, const struct fs_failure *failure);

/* An answer in plain text, with a newline: how parameters and ranges are refused. */
void fs_reply_text(struct stream *s, unsigned status, const char *text);

/* The request. Its strings lie in the stream's arena. */
struct fs_request {
	struct stream *stream;
	struct fs_service *svc;
	const char *path; /* as in the query, decoded; NULL where there is none */
	size_t path_bytes;
	const char *username;
	const char *signature;
	const char *expiration; /* decimal, as it is signed */
	int64_t expiration_s;
	bool tar;	  /* format=tar: the path is a directory, the body an archive */
	bool gzip;	  /* gzip=1: of such an archive, which is compressed */
	struct user user; /* fs_request_user; in the arena given there */
};

/* Reads the query. False: answered with 400. Borrows. */
bool fs_request_init(struct fs_request *r, struct stream *s, struct fs_service *svc);

/* Checks token and signature for "read" or "write". False: answered with 401. */
bool fs_request_authorise(struct fs_request *r, const char *operation);

/* Finds the user that the query names, or the default one. False: answered with 401. */
bool fs_request_user(struct fs_request *r, struct arena *arena);

/*
 * Resolves a path of `bytes` for the user, in the arena. -1: `failure` says why, its text beginning
 * with `what` ("error resolving path"). A NUL in it is 500, as for any path no file can have.
 */
int fs_resolve(const struct user *user, const char *default_dir, const char *path, size_t bytes,
	       const char *what, struct arena *arena, char **ret, struct fs_failure *failure);

#endif
