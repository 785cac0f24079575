/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ETags, and the conditions of a request (RFC 9110 sections 8.8 and 13). No I/O.
 */
#ifndef FS_HTTP_VALIDATOR_H
#define FS_HTTP_VALIDATOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* Space for W/"…" with five hexadecimal numbers, four dashes and "-gzip". */
#define FS_ETAG_BYTES 104

/*
 * A file that changed within this time has a weak ETag: another change may leave its timestamps the
 * same, because before Linux 6.13 their resolution is one tick.
 */
#define FS_ETAG_WEAK_MS 2000

/* The validators of a representation. */
struct fs_validator {
	char etag[FS_ETAG_BYTES];
	char gzip_etag[FS_ETAG_BYTES]; /* for the gzip coding of the file */
	int64_t mtime_s;
	bool has_mtime; /* false for exactly 1970-01-01T00:00:00Z, which means unknown */
};

void fs_validator_init(struct fs_validator *v, const struct stat *st, const struct timespec *now);

/* The fields of a request's head; NULL if absent. */
struct fs_conditions {
	const char *if_match;
	const char *if_none_match;
	const char *if_modified_since;
	const char *if_unmodified_since;
	const char *if_range;
};

enum fs_verdict {
	FS_VERDICT_GO,
	FS_VERDICT_NOT_MODIFIED,      /* 304 */
	FS_VERDICT_NOT_MODIFIED_GZIP, /* 304 for the gzip coding, which the client has */
	FS_VERDICT_FAILED,	      /* 412 */
};

/* Evaluates the conditions of a GET or HEAD, in the order of RFC 9110 section 13.2.2. */
enum fs_verdict fs_conditions_check(const struct fs_conditions *c, const struct fs_validator *v);

/* Evaluates If-Range. Returns true if the request's Range applies. */
bool fs_conditions_range(const struct fs_conditions *c, const struct fs_validator *v);

/*
 * Evaluates the If-Match of a write; `v` is NULL if the file does not exist. Returns true if the
 * write may proceed. The comparison is strong (RFC 9110 section 13.1.1): a weak ETag matches
 * nothing.
 */
bool fs_if_match(const char *value, const struct fs_validator *v);

/* Evaluates the If-None-Match of a write. `*`: the write must create the file. */
bool fs_if_none_match(const char *value, const struct fs_validator *v);

#endif
