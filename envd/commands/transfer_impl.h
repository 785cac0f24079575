/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by transfer.c and transfer_tree.c. */
#ifndef ENVD_TRANSFER_IMPL_H
#define ENVD_TRANSFER_IMPL_H

#include <stddef.h>

#include "envd/commands/transfer.h"

/* Returns the target of a request for a file, owned. `more`: further parameters, "&name=value". */
char *transfer_target(const struct client *c, const char *path, const char *more);

/* Counts n bytes and shows the progress from time to time. */
void progress_add(struct progress *p, size_t n);

#endif
