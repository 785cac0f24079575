/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/ca_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/control/replace_file.h"

char *ca_bundle_normalize(const char *pem)
{
	size_t n = strlen(pem);
	char *text;

	while (n && pem[n - 1] == '\n')
		n--;
	text = mem_alloc(n + 2);
	memcpy(text, pem, n);
	memcpy(text + n, "\n", 2);
	return text;
}

/* Removes every occurrence of `part` from the n bytes at p. Returns the remaining length. */
static size_t remove_all(char *p, size_t n, const char *part)
{
	size_t part_bytes = strlen(part);
	char *at;

	while (part_bytes && (at = memmem(p, n, part, part_bytes)) != NULL) {
		n -= part_bytes;
		memmove(at, at + part_bytes, (size_t)(p + n - at));
	}
	return n;
}

int ca_bundle_install(const char *bundle_path, const char *pem, const char *previous,
		      struct error *err)
{
	size_t n, pem_bytes = strlen(pem);
	char *bundle;
	int r;

	r = fd_read_file(AT_FDCWD, bundle_path, CA_BUNDLE_MAX_BYTES, &bundle, &n);
	if (r < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, r,
				       "failed to install CA bundle: open CA bundle: open %s",
				       bundle_path);
	if (previous)
		n = remove_all(bundle, n, previous);
	/* If an earlier daemon installed it, it stays in place. */
	if (!memmem(bundle, n, pem, pem_bytes)) {
		bundle = mem_realloc(bundle, n + pem_bytes);
		memcpy(bundle + n, pem, pem_bytes);
		n += pem_bytes;
	}
	r = replace_file(bundle_path, bundle, n, 0644);
	free(bundle);
	if (r < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, r,
				       "failed to install CA bundle: write %s", bundle_path);
	return 0;
}

/* Creates the parent directories of the path, as `mkdir -p`. */
static void make_parents(const char *path)
{
	char *copy = mem_strdup(path), *at;

	for (at = copy + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(copy, 0755);
		*at = '/';
	}
	free(copy);
}

void ca_bundle_keep(const char *kept_path, const char *pem)
{
	int r;

	make_parents(kept_path);
	r = replace_file(kept_path, pem, strlen(pem), 0644);
	if (r < 0)
		log_error("the CA bundle can't be kept in %s: %s", kept_path, error_errno_text(r));
}
