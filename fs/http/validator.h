/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ETags, and the conditions of a request (RFC 9110 sections 8.8 and 13). Pure.
 */
#ifndef FS_HTTP_VALIDATOR_H
#define FS_HTTP_VALIDATOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* W/"…" of five numbers in hexadecimal, four dashes and "-gzip". */
#define FS_ETAG_BYTES 104

/*
 * While a file is younger than this, a change may leave its timestamps as they are (before Linux
 * 6.13 they are as coarse as the tick): its ETag is weak.
 */
#define FS_ETAG_WEAK_MS 2000

/* What is known of a representation. */
struct fs_validator {
	char etag[FS_ETAG_BYTES];
	char gzip_etag[FS_ETAG_BYTES]; /* of the same file in the gzip coding */
	int64_t mtime_s;
	bool has_mtime; /* false for exactly 1970-01-01T00:00:00Z, which means unknown */
};

void fs_validator_init(struct fs_validator *v, const struct stat *st, const struct timespec *now);

/* The fields of a request's head; NULL: not there. */
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

/* Of a GET or HEAD, in the order of RFC 9110 section 13.2.2. */
enum fs_verdict fs_conditions_check(const struct fs_conditions *c, const struct fs_validator *v);

/* Whether the Range of a request counts, by its If-Range. */
bool fs_conditions_range(const struct fs_conditions *c, const struct fs_validator *v);

/*
 * Whether an If-Match lets a write go on; `v` is NULL where there is no file. The comparison is
 * strong (RFC 9110 section 13.1.1): the weak ETag of a young file matches nothing.
 */
bool fs_if_match(const char *value, const struct fs_validator *v);

/* The same for If-None-Match: `*` is how a client asks for a file to be created only. */
bool fs_if_none_match(const char *value, const struct fs_validator *v);

#endif
