/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses byte ranges (RFC 9110 section 14): `Range` of a download, and `Content-Range` of an upload
 * that continues an earlier one. No I/O.
 */
#ifndef FS_HTTP_RANGE_H
#define FS_HTTP_RANGE_H

#include <stddef.h>
#include <stdint.h>

/* A longer list is answered with the whole file, which RFC 9110 section 14.2 allows. */
#define FS_RANGES_MAX 128

struct fs_range {
	uint64_t start;
	uint64_t length;
};

enum fs_ranges {
	FS_RANGES_NONE,		 /* answer with the whole file */
	FS_RANGES_SOME,		 /* *ret_count ranges inside the file, in the given order */
	FS_RANGES_INVALID,	 /* 416 `invalid range` */
	FS_RANGES_UNSATISFIABLE, /* 416 with the file's size in Content-Range */
};

/*
 * Parses the value of `Range` (NULL: no such field) for a file of `size` bytes. The rules are the
 * reference's (compatibility/details 36): a range that begins after the end of the file is left
 * out; a list whose lengths add up to more than the file is ignored; for an empty file no range is
 * unsatisfiable.
 */
enum fs_ranges fs_ranges_parse(const char *value, uint64_t size,
			       struct fs_range ranges[FS_RANGES_MAX], size_t *ret_count);

/* `Content-Range: bytes first-last/total` of an upload. */
struct fs_content_range {
	uint64_t first;
	uint64_t last;	/* at least `first`, below `total` */
	uint64_t total; /* FS_TOTAL_UNKNOWN for '*' */
};

#define FS_TOTAL_UNKNOWN UINT64_MAX

/* Returns the length of a range in bytes. */
static inline uint64_t fs_content_range_bytes(const struct fs_content_range *range)
{
	return range->last - range->first + 1;
}

/* Parses `Content-Range`. 0, or -EINVAL if it is invalid. All numbers are at most INT64_MAX. */
int fs_content_range_parse(const char *value, struct fs_content_range *ret);

#endif
