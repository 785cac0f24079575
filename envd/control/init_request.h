/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of POST /init. docs/compatibility/http.md has the table of fields; see also
 * compatibility/details 16 and 17.
 */
#ifndef ENVD_INIT_REQUEST_H
#define ENVD_INIT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"

/*
 * The maximum size of the body; a larger body is answered with 413. The CA bundle is its largest
 * member.
 */
#define INIT_BODY_MAX_BYTES (4u * 1024 * 1024)
#define INIT_MAX_VARS	    4096
#define INIT_MAX_MOUNTS	    64

struct init_var {
	const char *name;
	const char *value;
};

struct init_mount {
	const char *nfs_target; /* "host:/export" */
	const char *path;
};

/*
 * Absent fields are NULL or false. The strings lie in the arena, except the token, which points
 * into the body.
 */
struct init_request {
	bool has_timestamp;
	int64_t timestamp_ns;	/* since 1970 */
	struct log_request log; /* stream_log_request; set by the caller of init_apply */
	const char *token;	/* in the body */
	size_t token_bytes;
	bool has_vars;
	struct init_var *vars;
	size_t n_vars;
	const char *default_user;
	const char *default_workdir;
	const char *hyperloop_ip;
	const char *ca_bundle;
	const char *lifecycle_id;
	bool skips_thaw; /* thaw: "skip" */
	bool has_cpus;
	int64_t cpus; /* cpuCount; the range is not checked */
	bool has_mounts;
	struct init_mount *mounts;
	size_t n_mounts;
};

/*
 * Parses the n bytes. An empty body is an empty request. 0, or -1 with ERROR_INVALID_ARGUMENT. The
 * body must outlive the request, because the token is not copied.
 */
int init_request_parse(const char *body, size_t n, struct arena *arena, struct init_request *ret,
		       struct error *err);

#endif
