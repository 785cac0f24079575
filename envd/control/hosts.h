/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/hosts: hosts(5).
 */
#ifndef ENVD_HOSTS_H
#define ENVD_HOSTS_H

#include <stddef.h>

#define HOSTS_MAX_BYTES (4u * 1024 * 1024)

/*
 * What the file is to hold so that `name` leads to `address` and, in that address family, to
 * nothing else: the name is taken out of the other lines (a line left without a name goes), and
 * added to the address's line, or to a new one. Comments and order stay. Returns owned text in
 * *ret; 0 where it differs, 1 where nothing is to be done (*ret is NULL), -EINVAL for an address
 * that is none.
 */
int hosts_rewrite(const char *text, size_t n, const char *address, const char *name, char **ret,
		  size_t *ret_bytes);

/* Does so with the file: beside it and renamed, or in place where that can't be. 0 or -errno. */
int hosts_set(const char *path, const char *address, const char *name);

#endif
