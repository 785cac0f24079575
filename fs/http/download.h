/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of `GET /files` and `HEAD /files`.
 *
 *	download.c       the request, and the answer as it was planned
 *	download_plan.c  examines the file on a worker and plans the answer
 *	download_body.c  bodies that a worker makes: gzip, files without a size, network files
 *	download_tar.c   a directory as a tar archive
 */
#ifndef FS_HTTP_DOWNLOAD_H
#define FS_HTTP_DOWNLOAD_H

#include <sys/stat.h>

#include "base/arena.h"
#include "base/work.h"
#include "fs/http/range.h"
#include "fs/http/request.h"
#include "fs/http/validator.h"
#include "rpc/http/header_value.h"

struct context;
struct stream;

/* The planning worker reads this many bytes of a file; they are sent together with the head. */
#define DOWNLOAD_SMALL_BYTES (64 * 1024)

enum download_answer {
	DOWNLOAD_FAILURE, /* `err`, as JSON */
	DOWNLOAD_NOT_MODIFIED,
	DOWNLOAD_PRECONDITION,
	DOWNLOAD_BAD_RANGE,
	DOWNLOAD_UNSATISFIABLE,
	DOWNLOAD_BYTES, /* all of the body is in `bytes` */
	DOWNLOAD_FILE,	/* `ranges` are sent from the file; one may be the whole file */
	DOWNLOAD_MADE,	/* a worker makes the body */
};

struct download {
	struct work work;
	struct stream *stream; /* holds a reference */
	struct context *context;
	struct arena arena; /* belongs to the worker during download_plan */

	/* From the request. */
	const char *asked; /* the path in the query: its extension determines the type */
	char *path;	   /* resolved */
	const char *range; /* NULL: none */
	struct fs_conditions conditions;
	enum header_coding coding;
	bool identity_refused;
	bool wants_identity; /* has a range or a condition (compatibility/details 36) */
	bool packed;	     /* gzip=1: the body is the compressed tar archive */

	/* The file. */
	int fd;
	struct stat st;
	bool sizeless; /* st_size is not the size of the contents */
	bool far;      /* the file is on a network or FUSE mount */
	struct fs_validator validator;

	/* The plan. */
	enum download_answer answer;
	struct error err;
	bool vary;     /* the answer depends on Accept-Encoding */
	bool not_gzip; /* for DOWNLOAD_NOT_MODIFIED: the client has the plain coding */
	bool gzip;
	const char *type;
	bool partial; /* 206 */
	struct fs_range *ranges;
	size_t n_ranges;
	char *bytes; /* owned: the body, or a sizeless file's beginning */
	size_t n_bytes;
	char *boundary; /* for multipart/byteranges */

	size_t next_range; /* index of the next range to send */
};

/* Examines the file and plans the answer; on a worker. */
void download_plan(struct download *d);

/* Sends a body that a worker makes in pieces; the head was sent before. Takes the download. */
void download_make_body(struct download *d);

/* Answers with an archive of the directory at d->path. Takes the download. On the loop. */
void download_tar(struct download *d);

void download_free(struct download *d);

/* Returns true if the request is HEAD, so the answer has no body. */
bool download_is_head(const struct download *d);

#endif
