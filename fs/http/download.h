/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of `GET /files` and `HEAD /files`.
 *
 *	download.c       the request, and the answer as it was planned
 *	download_plan.c  a look at the file (on a worker): what is to be answered
 *	download_body.c  bodies that a worker makes: gzip, files without a size or far away
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

/* So much of a file is read by the worker that looks at it, and leaves with the head. */
#define DOWNLOAD_SMALL_BYTES (64 * 1024)

enum download_answer {
	DOWNLOAD_FAILURE, /* `err`, as JSON */
	DOWNLOAD_NOT_MODIFIED,
	DOWNLOAD_PRECONDITION,
	DOWNLOAD_BAD_RANGE,
	DOWNLOAD_UNSATISFIABLE,
	DOWNLOAD_BYTES, /* all of the body is in `bytes` */
	DOWNLOAD_FILE,	/* the ranges (one: all of the file, or a part) are sent from the file */
	DOWNLOAD_MADE,	/* a worker makes the body */
};

struct download {
	struct work work;
	struct stream *stream; /* a reference */
	struct context *context;
	struct arena arena; /* the worker's while it looks */

	/* Of the request. */
	const char *asked; /* the path as in the query: its extension tells the type */
	char *path;	   /* resolved */
	const char *range; /* NULL: none */
	struct fs_conditions conditions;
	enum header_coding coding;
	bool identity_refused;
	bool wants_identity; /* a range or a condition is there (compatibility/details 36) */
	bool packed;	     /* of a tar archive: the archive itself is to be compressed */

	/* The file. */
	int fd;
	struct stat st;
	bool sizeless; /* st_size says nothing */
	bool far;      /* its pages come from another machine or process */
	struct fs_validator validator;

	/* The plan. */
	enum download_answer answer;
	struct error err;
	bool vary;     /* the answer depends on Accept-Encoding */
	bool not_gzip; /* of DOWNLOAD_NOT_MODIFIED: the client has the plain coding */
	bool gzip;
	const char *type;
	bool partial; /* 206 */
	struct fs_range *ranges;
	size_t n_ranges;
	char *bytes; /* owned: the body, or a sizeless file's beginning */
	size_t n_bytes;
	char *boundary; /* of multipart/byteranges */

	size_t next_range; /* to be sent */
};

/* Looks at the file and plans the answer; on a worker. */
void download_plan(struct download *d);

/* Sends a body that is made piece by piece, once the head was sent. Takes the download. */
void download_make_body(struct download *d);

/* Answers with an archive of the directory at d->path. Takes the download. On the loop. */
void download_tar(struct download *d);

void download_free(struct download *d);

/* Whether the request is HEAD, and its answer ends with its head. */
bool download_is_head(const struct download *d);

#endif
