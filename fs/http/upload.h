/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the source files of `POST /files`:
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

/* Limits for one form: its files, and their bytes in the answer. Exceeding them is 400. */
#define UPLOAD_MAX_FILES	10000
#define UPLOAD_ANSWER_MAX_BYTES (4u * 1024 * 1024)

struct upload;

/* The operations of a kind of body; on a worker. They return 0, or -1 with upload->err. */
struct upload_kind {
	/* Called before the first byte. */
	int (*begin)(struct upload *u);
	/* Takes bytes of the decoded body. */
	int (*bytes)(struct upload *u, const char *p, size_t n);
	/* Takes and drains a buffer of the body, without a copy; may be NULL. */
	int (*buffer)(struct upload *u, struct evbuffer *data);
	/* The body is complete. */
	int (*end)(struct upload *u);
	/* Frees, and undoes an incomplete upload. May be called without `begin`. */
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
	struct arena arena;  /* belongs to the worker after fs_sink_start */
	struct error err;
	const struct upload_kind *kind;
	bool begun;

	/* From the request. */
	const char *path; /* from the query; NULL if absent */
	size_t path_bytes;
	struct user user;
	const char *default_dir;
	struct fs_target_options options;

	struct gunzip *gunzip; /* NULL: the body is plain */
	char *inflated;	       /* a buffer for it */

	/* For the answer. */
	struct upload_file *files;
	size_t n_files, files_capacity;
	size_t answer_bytes;

	/* For the kind: a target, and the kind's own state. */
	struct fs_target target;
	void *state;
};

extern const struct upload_kind upload_raw;
extern const struct upload_kind upload_form;
extern const struct upload_kind upload_tar;

/*
 * Prepares for a form. Returns NULL, or the reason why the Content-Type is invalid (500). On the
 * loop.
 */
const char *upload_form_prepare(struct upload *u, struct header_params *params);

/* Resolves a path from the client. 0, or -1 with u->err. */
int upload_resolve(struct upload *u, const char *path, size_t bytes, char **ret);

/*
 * Add a file, or a directory that a tar archive was unpacked to, to the answer. upload_add_file
 * reads the file's metadata from the file system.
 */
int upload_add_file(struct upload *u, const char *path);
int upload_add_dir(struct upload *u, const char *path);

#endif
