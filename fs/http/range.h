/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte ranges (RFC 9110 section 14): of a download (`Range`), and of an upload that is continued
 * (`Content-Range`). Pure.
 */
#ifndef FS_HTTP_RANGE_H
#define FS_HTTP_RANGE_H

#include <stddef.h>
#include <stdint.h>

/* A list of more is answered with the whole file, as RFC 9110 section 14.2 leaves the choice. */
#define FS_RANGES_MAX 128

struct fs_range {
	uint64_t start;
	uint64_t length;
};

enum fs_ranges {
	FS_RANGES_NONE,		 /* answer with the whole file */
	FS_RANGES_SOME,		 /* *ret_count of them, each inside the file, in the order asked */
	FS_RANGES_INVALID,	 /* 416 `invalid range` */
	FS_RANGES_UNSATISFIABLE, /* 416 with the file's size in Content-Range */
};

/*
 * Reads the value of `Range` (NULL: there is none) for a file of `size` bytes. The rules are those
 * that existing clients met in the reference (compatibility/details 36): a part of a list that
 * begins behind the end is left out; a list that adds up to more than the file counts as none; for
 * an empty file nothing is unsatisfiable.
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

/* The bytes of a range. */
static inline uint64_t fs_content_range_bytes(const struct fs_content_range *range)
{
	return range->last - range->first + 1;
}

/* 0, or -EINVAL where it is no such range. All numbers are at most INT64_MAX. */
int fs_content_range_parse(const char *value, struct fs_content_range *ret);

#endif
