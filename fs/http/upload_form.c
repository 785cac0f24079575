/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upload as multipart/form-data. Each part named "file" is written to the path of the query, or
 * to the path in its file name; other parts are skipped (compatibility/details 42 to 45).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fs/entry.h"
#include "fs/http/multipart.h"
#include "fs/http/quoted_printable.h"
#include "fs/http/upload.h"
#include "rpc/http/header_value.h"

struct form {
	struct multipart parser;
	bool writing;  /* the current part is a file */
	struct qp *qp; /* NULL: the part is not encoded */
};

const char *upload_form_prepare(struct upload *u, struct header_params *params)
{
	const char *boundary;
	struct form *form;
	size_t n;

	if (strcmp(params->type, "multipart/form-data") != 0 &&
	    strcmp(params->type, "multipart/mixed") != 0)
		return "request Content-Type isn't multipart/form-data";
	boundary = header_param_get(&u->arena, params, "boundary", &n);
	if (!boundary)
		return "no multipart boundary param in Content-Type";
	if (n == 0 || n > MULTIPART_BOUNDARY_MAX_BYTES || strlen(boundary) != n ||
	    strpbrk(boundary, "\r\n"))
		return "the multipart boundary can't be used";
	form = u->state = mem_zalloc(sizeof(*form));
	multipart_init(&form->parser, boundary);
	return NULL;
}

static int form_begin(struct upload *u)
{
	return 0;
}

/* Refuses a second file with the same path. The first file stays. */
static int check_twice(struct upload *u, const char *path)
{
	size_t i;

	for (i = 0; i < u->n_files; i++)
		if (strcmp(u->files[i].path, path) == 0)
			return error_set(
				&u->err, ERROR_INVALID_ARGUMENT,
				"you cannot upload multiple files to the same path '%s' in "
				"one upload request, only the first specified file was "
				"uploaded",
				fs_text(path, &u->arena));
	return 0;
}

/* Begins a part. If it is a file, opens the target. */
static int begin_part(struct upload *u, struct form *form)
{
	const char *disposition, *encoding, *name;
	struct header_params params;
	struct arena arena = {0};
	size_t bytes = 0;
	char *path = NULL;
	int r;

	form->writing = false;
	disposition = multipart_field(&form->parser, "content-disposition", &arena);
	r = disposition ? header_params_parse(&arena, disposition, &params) : -EINVAL;
	name = r == 0 && strcmp(params.type, "form-data") == 0
		       ? header_param_get(&arena, &params, "name", &bytes)
		       : NULL;
	r = 0;
	if (name && strcmp(name, "file") == 0 && bytes == 4) {
		name = u->path;
		bytes = u->path_bytes;
		if (!name)
			name = header_param_get(&arena, &params, "filename", &bytes);
		if (!name)
			r = error_set(&u->err, ERROR_INVALID_ARGUMENT,
				      "error getting multipart custom part file name: filename not "
				      "found in Content-Disposition header");
		else
			r = upload_resolve(u, name, bytes, &path);
		if (r == 0 && path)
			r = check_twice(u, path);
		if (r == 0)
			r = fs_target_open(&u->target, path, &u->options, &u->err);
		form->writing = r == 0;
	}
	encoding = multipart_field(&form->parser, "content-transfer-encoding", &arena);
	if (form->writing && encoding && strcasecmp(encoding, "quoted-printable") == 0)
		form->qp = mem_zalloc(sizeof(*form->qp));
	arena_clear(&arena);
	return r;
}

/* Decodes quoted-printable, and writes the result. */
static int write_encoded(struct upload *u, struct qp *qp, const char *p, size_t n)
{
	char *out = mem_alloc(QP_LINE_MAX_BYTES);
	ssize_t got;
	int r = 0;

	while (r == 0) {
		got = qp_next(qp, &p, &n, out);
		if (got == -EAGAIN)
			break;
		if (got < 0)
			r = error_set(&u->err, ERROR_INTERNAL,
				      "error writing file: quotedprintable");
		else
			r = fs_target_write(&u->target, out, (size_t)got, &u->err);
	}
	free(out);
	return r;
}

static int write_part(struct upload *u, struct form *form)
{
	if (!form->writing)
		return 0;
	if (form->qp)
		return write_encoded(u, form->qp, form->parser.data, form->parser.data_bytes);
	return fs_target_write(&u->target, form->parser.data, form->parser.data_bytes, &u->err);
}

/* Decodes and writes the last line of a part, which has no newline. */
static int finish_encoded(struct upload *u, struct form *form)
{
	char *out = mem_alloc(QP_LINE_MAX_BYTES);
	ssize_t got = qp_finish(form->qp, out);
	int r;

	if (got < 0)
		r = error_set(&u->err, ERROR_INTERNAL, "error writing file: quotedprintable");
	else
		r = fs_target_write(&u->target, out, (size_t)got, &u->err);
	free(out);
	free(form->qp);
	form->qp = NULL;
	return r;
}

static int end_part(struct upload *u, struct form *form)
{
	if (!form->writing)
		return 0;
	form->writing = false;
	if (form->qp && finish_encoded(u, form) < 0)
		return -1;
	if (fs_target_finish(&u->target, &u->err) < 0)
		return -1;
	fs_target_close(&u->target);
	return upload_add_file(u, u->target.path);
}

static int form_bytes(struct upload *u, const char *p, size_t n)
{
	struct form *form = u->state;
	int r = 0;

	while (r == 0) {
		switch (multipart_next(&form->parser, &p, &n)) {
		case MULTIPART_MORE:
		case MULTIPART_END:
			return 0;
		case MULTIPART_PART:
			r = begin_part(u, form);
			break;
		case MULTIPART_DATA:
			r = write_part(u, form);
			break;
		case MULTIPART_PART_END:
			r = end_part(u, form);
			break;
		case MULTIPART_ERROR:
			r = error_set(&u->err, ERROR_INTERNAL, "error reading form: multipart: %s",
				      form->parser.error);
			break;
		}
	}
	return r;
}

static int form_end(struct upload *u)
{
	struct form *form = u->state;

	if (multipart_finish(&form->parser) == 0)
		return 0;
	return error_set(&u->err, ERROR_INTERNAL, "%s: %s",
			 form->writing ? "error writing file" : "error reading form",
			 form->parser.error);
}

static void form_clear(struct upload *u)
{
	struct form *form = u->state;

	fs_target_close(&u->target);
	if (!form)
		return;
	multipart_clear(&form->parser);
	free(form->qp);
	free(form);
	u->state = NULL;
}

const struct upload_kind upload_form = {
	.begin = form_begin,
	.bytes = form_bytes,
	.end = form_end,
	.clear = form_clear,
};
