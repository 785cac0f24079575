/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects input in an evbuffer without wasting memory on small pieces.
 *
 * evbuffer_add_buffer moves whole chains. A chain is at least 1 KiB, so a client that sends its
 * body in chunks of one byte costs 1 KiB for each byte. buffer_gather copies pieces that are small.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>

struct evbuffer;

/* Shorter pieces are copied to the end of `to`; longer pieces are moved. */
#define BUFFER_COPY_MAX_BYTES 4096

/* Appends all bytes of `from` to `to`. `from` is empty afterwards. */
void buffer_gather(struct evbuffer *to, struct evbuffer *from);

#endif
