/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/body_loan.h"

#include <poll.h>
#include <sys/uio.h>

#include "rpc/http/read_pool.h"

/*
 * Reads once, into as many pieces as the pool provides. Returns as readv(2) on a non-blocking
 * socket.
 */
static ssize_t read_pieces(struct body_loan *loan, struct evbuffer *to)
{
	char *pieces[BODY_LOAN_PIECES];
	struct iovec iov[BODY_LOAN_PIECES];
	uint64_t most = (loan->left + READ_PIECE_BYTES - 1) / READ_PIECE_BYTES, left = loan->left;
	unsigned count, i;
	ssize_t n;

	count = read_pool_get_some(loan->pool, pieces,
				   most < BODY_LOAN_PIECES ? (unsigned)most : BODY_LOAN_PIECES);
	for (i = 0; i < count; i++) {
		iov[i].iov_base = pieces[i];
		iov[i].iov_len = left < READ_PIECE_BYTES ? (size_t)left : READ_PIECE_BYTES;
		left -= iov[i].iov_len;
	}
	n = readv(loan->fd, iov, (int)count);
	left = n > 0 ? (uint64_t)n : 0;
	for (i = 0; i < count; i++) {
		size_t bytes = left < READ_PIECE_BYTES ? (size_t)left : READ_PIECE_BYTES;

		read_pool_move(loan->pool, pieces[i], bytes, to);
		left -= bytes;
	}
	return n;
}

size_t body_loan_read(struct body_loan *loan, struct evbuffer *to, int wait_ms)
{
	struct pollfd pollfd = {.fd = loan->fd, .events = POLLIN};
	ssize_t n;

	if (!loan->left)
		return 0;
	n = read_pieces(loan, to);
	if (n < 0 && poll(&pollfd, 1, wait_ms) > 0)
		n = read_pieces(loan, to);
	if (n <= 0)
		return 0;
	loan->left -= (uint64_t)n;
	loan->taken += (uint64_t)n;
	return (size_t)n;
}
