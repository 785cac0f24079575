/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocks of tar archives: ustar and its extended headers (POSIX.1-2008, pax, "pax Interchange
 * Format"), and what GNU tar adds (its manual, "Basic Tar Format").
 */
#ifndef FS_TAR_H
#define FS_TAR_H

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK_BYTES 512

/* The types of entries. */
enum tar_type {
	TAR_FILE = '0',
	TAR_HARD_LINK = '1',
	TAR_SYMLINK = '2',
	TAR_CHAR_DEVICE = '3',
	TAR_BLOCK_DEVICE = '4',
	TAR_DIRECTORY = '5',
	TAR_FIFO = '6',
	TAR_CONTIGUOUS = '7', /* a file */
	TAR_PAX = 'x',	      /* records for the next entry */
	TAR_PAX_GLOBAL = 'g',
	TAR_GNU_NAME = 'L', /* the next entry's name; 'K': the target of its link */
	TAR_GNU_LINK = 'K',
	TAR_GNU_VOLUME = 'V',
};

/* A header. Numbers are octal text. A string ends with a NUL unless it fills its field. */
struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6]; /* "ustar"; GNU's old format: "ustar " */
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155]; /* the path is prefix, slash, name */
	char rest[12];
};

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a header is a block");

/* An entry, as it is read or to be written. */
struct tar_entry {
	char type;	   /* enum tar_type */
	const char *name;  /* a directory's name may end in a slash */
	const char *link;  /* the target of a link; else "" */
	const char *user;  /* for writing; NULL: none */
	const char *group; /* for writing; NULL: none */
	uint32_t mode;	   /* permission bits: 07777 */
	uint64_t uid, gid; /* for writing */
	uint64_t size;	   /* bytes of contents after the header */
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t major, minor; /* for devices */
};

/* Returns the number of bytes that fill up the last block of a file. */
static inline unsigned tar_padding(uint64_t size)
{
	return (unsigned)(-size % TAR_BLOCK_BYTES);
}

/* Returns a header's checksum: the sum of its bytes, with the checksum field taken as spaces. */
static inline unsigned tar_checksum(const struct tar_header *header)
{
	const unsigned char *p = (const unsigned char *)header;
	const size_t from = offsetof(struct tar_header, checksum);
	unsigned sum = 0;
	size_t i;

	for (i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += i >= from && i < from + sizeof(header->checksum) ? ' ' : p[i];
	return sum;
}

#endif
