/* SPDX-License-Identifier: Apache-2.0 */
/* Edits /etc/hosts (hosts(5)): maps a name to one address. */
#ifndef ENVD_HOSTS_H
#define ENVD_HOSTS_H

#include <stddef.h>

#define HOSTS_MAX_BYTES (4u * 1024 * 1024)

/*
 * Computes the new text of the file in which `name` maps to `address` and to no other address of
 * the same family. Removes the name from lines of other addresses, and removes a line that has no
 * name left; adds the name to the first line of the address, or appends a new line. Comments and
 * the order of lines are kept.
 *
 * Returns 0 and the owned text in *ret if the text changes; 1 and NULL if it does not; -EINVAL if
 * `address` is not a numeric address.
 */
int hosts_rewrite(const char *text, size_t n, const char *address, const char *name, char **ret,
		  size_t *ret_bytes);

/* Applies hosts_rewrite to the file, by replace_file. 0 or -errno. Blocks: call it on a worker. */
int hosts_set(const char *path, const char *address, const char *name);

#endif
