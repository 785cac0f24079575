/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of buffers for reading large bodies. Buffers are reused while a large body is being read,
 * because page faults for new memory cost more than copying the data. After the last body the pool
 * frees all buffers.
 *
 * The thread that drains a piece returns it to the pool; this may be any thread.
 */
#ifndef RPC_HTTP_READ_POOL_H
#define RPC_HTTP_READ_POOL_H

#include <stddef.h>

#define READ_PIECE_BYTES (256 * 1024)

struct evbuffer;

struct read_pool;

/* A pool with one reference. */
struct read_pool *read_pool_new(void);

/*
 * References: the server's, and one of each worker that reads a body. Any thread. The pool is freed
 * when the last reference and the last piece have come back. NULL is fine.
 */
struct read_pool *read_pool_ref(struct read_pool *pool);
void read_pool_unref(struct read_pool *pool);

/*
 * Call begin when a large body begins, and end when it has ended. In between, the pool keeps up to
 * 2 MiB of unused pieces, for all bodies together.
 */
void read_pool_begin(struct read_pool *pool);
void read_pool_end(struct read_pool *pool);

/*
 * Memory for READ_PIECE_BYTES. It goes back by read_pool_put; or with its first n bytes added to
 * `to`: as they lie there (read_pool_move), or copied where they are few (read_pool_add), so that a
 * buffer that gathers does not hold far more memory than bytes.
 */
char *read_pool_get(struct read_pool *pool);
void read_pool_put(struct read_pool *pool, char *piece);
void read_pool_move(struct read_pool *pool, char *piece, size_t n, struct evbuffer *to);
void read_pool_add(struct read_pool *pool, char *piece, size_t n, struct evbuffer *to);

/*
 * Up to `max` pieces at once. One there always is; more only as long as READ_PIECES_SPARE or fewer
 * are in use with them.
 */
#define READ_PIECES_SPARE 8
unsigned read_pool_get_some(struct read_pool *pool, char **pieces, unsigned max);

#endif
