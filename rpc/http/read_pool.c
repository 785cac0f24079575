/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/read_pool.h"

#include <event2/buffer.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

/* Fewer bytes are copied. */
#define MOVED_MIN_BYTES (READ_PIECE_BYTES / 2)

/* Maximum number of unused pieces that are kept. */
#define KEPT_MAX 8

struct read_pool {
	pthread_mutex_t lock; /* protects all members */
	char *kept[KEPT_MAX];
	unsigned n_kept;
	unsigned n_used;
	unsigned n_bodies; /* large bodies in progress; memory is kept while not 0 */
	unsigned refs;
};

struct read_pool *read_pool_new(void)
{
	struct read_pool *pool = mem_zalloc(sizeof(*pool));

	pthread_mutex_init(&pool->lock, NULL);
	pool->refs = 1;
	return pool;
}

struct read_pool *read_pool_ref(struct read_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->refs++;
	pthread_mutex_unlock(&pool->lock);
	return pool;
}

static void destroy(struct read_pool *pool)
{
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void read_pool_unref(struct read_pool *pool)
{
	bool last;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->refs--;
	last = pool->refs == 0 && pool->n_used == 0;
	pthread_mutex_unlock(&pool->lock);
	if (last)
		destroy(pool);
}

void read_pool_begin(struct read_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->n_bodies++;
	pthread_mutex_unlock(&pool->lock);
}

void read_pool_end(struct read_pool *pool)
{
	char *unused[KEPT_MAX];
	unsigned n = 0;

	pthread_mutex_lock(&pool->lock);
	if (--pool->n_bodies == 0)
		while (pool->n_kept)
			unused[n++] = pool->kept[--pool->n_kept];
	pthread_mutex_unlock(&pool->lock);
	while (n)
		free(unused[--n]);
}

char *read_pool_get(struct read_pool *pool)
{
	char *piece;

	read_pool_get_some(pool, &piece, 1);
	return piece;
}

unsigned read_pool_get_some(struct read_pool *pool, char **pieces, unsigned max)
{
	unsigned count, kept, i;

	pthread_mutex_lock(&pool->lock);
	for (count = 1; count < max && pool->n_used + count < READ_PIECES_SPARE;)
		count++;
	pool->n_used += count;
	for (kept = 0; kept < count && pool->n_kept; kept++)
		pieces[kept] = pool->kept[--pool->n_kept];
	pthread_mutex_unlock(&pool->lock);
	for (i = kept; i < count; i++)
		pieces[i] = mem_alloc(READ_PIECE_BYTES);
	return count;
}

void read_pool_put(struct read_pool *pool, char *piece)
{
	char *unused = NULL;
	bool last;

	pthread_mutex_lock(&pool->lock);
	pool->n_used--;
	if (pool->n_bodies && pool->n_kept < KEPT_MAX)
		pool->kept[pool->n_kept++] = piece;
	else
		unused = piece;
	last = pool->refs == 0 && pool->n_used == 0;
	pthread_mutex_unlock(&pool->lock);
	free(unused);
	if (last)
		destroy(pool);
}

static void release_piece(const void *p, size_t n, void *arg)
{
	read_pool_put(arg, (char *)(uintptr_t)p);
}

void read_pool_move(struct read_pool *pool, char *piece, size_t n, struct evbuffer *to)
{
	if (n && evbuffer_add_reference(to, piece, n, release_piece, pool) == 0)
		return;
	read_pool_put(pool, piece);
}

void read_pool_add(struct read_pool *pool, char *piece, size_t n, struct evbuffer *to)
{
	if (n >= MOVED_MIN_BYTES) {
		read_pool_move(pool, piece, n, to);
		return;
	}
	if (n)
		evbuffer_add(to, piece, n);
	read_pool_put(pool, piece);
}
