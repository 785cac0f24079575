/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's body, read by a worker from the connection itself. For large bodies: where one thread
 * reads a piece and uses it, nobody is woken for each of them, and a read takes all that has come.
 *
 *	stream_lend(s, &loan)      on the loop, which reads nothing of this connection from now on
 *	body_loan_read(&loan, …)   on a worker, any number of times
 *	stream_return(s, &loan)    on the loop
 *
 * To wait for a client, and to gather what comes little by little, is the loop's: there the worker
 * gives the loan back.
 */
#ifndef RPC_HTTP_BODY_LOAN_H
#define RPC_HTTP_BODY_LOAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct evbuffer;
struct read_pool;

/* A body of which less is to come is not lent. */
#define BODY_LOAN_MIN_BYTES (256 * 1024)

/* One read takes up to so many pieces of the pool. */
#define BODY_LOAN_PIECES 4

struct body_loan {
	int fd; /* a duplicate: the connection may be closed meanwhile. -1: nothing is lent */
	uint64_t left;		/* what may be read; behind it the next request begins */
	uint64_t taken;		/* what was read */
	struct read_pool *pool; /* a reference */
};

/*
 * Adds what has come to `to`, as much as a read takes; where there is nothing, waits up to wait_ms
 * for it. The count; 0 where nothing came, or nothing ever will: the loop is told when it reads.
 */
size_t body_loan_read(struct body_loan *loan, struct evbuffer *to, int wait_ms);

#endif
