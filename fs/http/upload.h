/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of `POST /files`: what its files share.
 *
 *	upload.c       the request, and the answer; the body's coding
 *	upload_raw.c   a body that is the file
 *	upload_form.c  a form with files in it
 *	upload_tar.c   a tar archive that is unpacked
 */
#ifndef FS_HTTP_UPLOAD_H
#define FS_HTTP_UPLOAD_H

#include "fs/http/request.h"
#include "fs/http/sink.h"
#include "fs/http/target.h"

struct gunzip;
struct header_params;

/* Files of one form, and what they take in the answer: more is 400. */
#define UPLOAD_MAX_FILES	10000
#define UPLOAD_ANSWER_MAX_BYTES (4u * 1024 * 1024)

struct upload;

/* What a kind of body does; on a worker. -1: upload->err says why. */
struct upload_kind {
	/* Before the first byte. */
	int (*begin)(struct upload *u);
	/* Bytes of the decoded body. */
	int (*bytes)(struct upload *u, const char *p, size_t n);
	/* The same as pieces that may be written as they are; may be NULL. */
	int (*buffer)(struct upload *u, struct evbuffer *data);
	/* The body is complete. */
	int (*end)(struct upload *u);
	/* Frees and undoes; also after a err, and where `begin` was never called. */
	void (*clear)(struct upload *u);
};

/* A file that was written, for the answer. */
struct upload_file {
	const char *path;
	bool is_dir;
	struct fs_metadata metadata;
};

struct upload {
	struct fs_sink sink; /* first */
	struct arena arena;  /* the worker's, once the sink has begun */
	struct error err;
	const struct upload_kind *kind;
	bool begun;

	/* Of the request. */
	const char *path; /* of the query; NULL: none */
	size_t path_bytes;
	struct user user;
	const char *default_dir;
	struct fs_target_options options;

	struct gunzip *gunzip; /* NULL: the body is plain */
	char *inflated;	       /* a buffer for it */

	/* What there is to answer. */
	struct upload_file *files;
	size_t n_files, files_capacity;
	size_t answer_bytes;

	/* Of the kind: a target, and state of its own. */
	struct fs_target target;
	void *state;
};

extern const struct upload_kind upload_raw;
extern const struct upload_kind upload_form;
extern const struct upload_kind upload_tar;

/*
 * Makes ready for a form; NULL, or why its Content-Type (500) does not do. On the loop.
 */
const char *upload_form_prepare(struct upload *u, struct header_params *params);

/* Resolves a path that the client gave, or says why not. */
int upload_resolve(struct upload *u, const char *path, size_t bytes, char **ret);

/*
 * Adds a file, or a directory that was filled, to the answer; a file with its metadata as the file
 * system has it.
 */
int upload_add_file(struct upload *u, const char *path);
int upload_add_dir(struct upload *u, const char *path);

#endif
