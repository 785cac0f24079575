/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by transfer.c, transfer_tree.c and cmd_upgrade.c. */
#ifndef ENVD_TRANSFER_IMPL_H
#define ENVD_TRANSFER_IMPL_H

#include <stddef.h>

#include "envd/client/exchange.h"
#include "envd/commands/transfer.h"

/* Returns the target of a request for a file, owned. `more`: further parameters, "&name=value". */
char *transfer_target(const struct client *c, const char *path, const char *more);

/*
 * Sends the body of a request: `left` bytes of fd, or all up to its end for UINT64_MAX. 0 if they
 * were sent, or if the response came before; -1 with the error.
 */
int transfer_put_body(struct exchange *x, int fd, uint64_t left, struct progress *p,
		      struct error *err);

/* Counts n bytes and shows the progress from time to time. */
void progress_add(struct progress *p, size_t n);

#endif
