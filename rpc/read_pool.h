/*
 * The memory that large bodies are read to. It is used again while such bodies come: to have each
 * piece from the kernel, page by page, and give it back costs more than the copying. Behind the last
 * body all of it goes.
 *
 * Pieces are given back by whoever drains them, on any thread.
 */
#ifndef RPC_READ_POOL_H
#define RPC_READ_POOL_H

#include <stddef.h>

#define READ_PIECE_BYTES (256 * 1024)

struct evbuffer;

struct read_pool;

struct read_pool *read_pool_new(void);

/* What is still on its way is freed when it comes back. NULL is fine. */
void read_pool_free(struct read_pool *pool);

/*
 * A large body begins, or has ended: as many of the one as of the other. Between them up to 2 MiB
 * that nobody uses are kept, for all bodies together.
 */
void read_pool_begin(struct read_pool *pool);
void read_pool_end(struct read_pool *pool);

/*
 * Memory for READ_PIECE_BYTES. It goes back by read_pool_put, or by read_pool_move, which adds the
 * first n bytes of it to `to`: without copying them where they are many.
 */
char *read_pool_get(struct read_pool *pool);
void read_pool_put(struct read_pool *pool, char *piece);
void read_pool_move(struct read_pool *pool, char *piece, size_t n, struct evbuffer *to);

#endif
