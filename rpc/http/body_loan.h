/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets a worker read a request's body from the connection itself. For large bodies: the thread that
 * reads a piece also uses it, so no thread is woken for each piece.
 *
 *	stream_lend(s, &loan)      on the loop, which reads nothing of this connection from now on
 *	body_loan_read(&loan, …)   on a worker, any number of times
 *	stream_return(s, &loan)    on the loop
 *
 * If the client is slow, the worker returns the loan: the loop waits for clients and gathers small
 * pieces.
 */
#ifndef RPC_HTTP_BODY_LOAN_H
#define RPC_HTTP_BODY_LOAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct evbuffer;
struct read_pool;

/* A body is not lent if fewer bytes are still to come. */
#define BODY_LOAN_MIN_BYTES (256 * 1024)

/* The maximum number of the pool's pieces that one read fills. */
#define BODY_LOAN_PIECES 4

struct body_loan {
	int fd; /* a duplicate: the connection may be closed meanwhile. -1: nothing is lent */
	uint64_t left;		/* what may be read; behind it the next request begins */
	uint64_t taken;		/* what was read */
	struct read_pool *pool; /* a reference */
};

/*
 * Reads once and adds the bytes to `to`; waits up to wait_ms for the first byte. Returns the number
 * of bytes; 0 if no byte came, or at EOF or an error, which the loop then finds when it reads.
 */
size_t body_loan_read(struct body_loan *loan, struct evbuffer *to, int wait_ms);

#endif
