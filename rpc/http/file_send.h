/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of a file, sent through a connection by a worker: where the loop would have to wait for a
 * disk, or where there is so much that the loop would be busy with it alone. What the client does
 * not take is the loop's to wait for.
 */
#ifndef RPC_HTTP_FILE_SEND_H
#define RPC_HTTP_FILE_SEND_H

#include <stdint.h>
#include <sys/types.h>

struct file_send;
struct loop;
struct workers;

/* Why a worker sends no more. */
enum file_send_end {
	FILE_SEND_TURN,	  /* all was sent, or it is the turn of others */
	FILE_SEND_FULL,	  /* the client takes nothing at present */
	FILE_SEND_FAILED, /* the connection broke, or the file is shorter than that */
};

/*
 * Has a worker send up to `length` bytes of `fd` from `offset` on through the socket, which does
 * not block; where the client takes nothing for wait_ms, it gives up for now. Nobody else may write
 * to the socket before `done` is called on the loop, with the number of bytes that were sent.
 * Duplicates both descriptors; if there are none left, the sending begins once there are. So the
 * caller keeps them open until `done` or file_send_forget.
 */
struct file_send *file_send_start(struct loop *loop, struct workers *workers, int sock, int fd,
				  off_t offset, uint64_t length, int wait_ms,
				  void (*done)(void *arg, uint64_t sent, enum file_send_end end),
				  void *arg);

/* `done` shall not be called, and the worker send no more than it has begun. NULL is fine. */
void file_send_forget(struct file_send *f);

#endif
