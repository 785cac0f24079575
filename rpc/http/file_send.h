/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets a worker send a part of a file through a connection: if the loop would have to wait for a
 * disk, or if the part is large enough to keep the loop from other work. If the client takes no
 * bytes, the worker gives the connection back, and the loop waits for the client.
 */
#ifndef RPC_HTTP_FILE_SEND_H
#define RPC_HTTP_FILE_SEND_H

#include <stdint.h>
#include <sys/types.h>

struct file_send;
struct loop;
struct workers;

/* Why a worker has stopped sending. */
enum file_send_end {
	FILE_SEND_TURN,	  /* all was sent, or it is the turn of others */
	FILE_SEND_FULL,	  /* the client takes nothing at present */
	FILE_SEND_FAILED, /* the connection broke, or the file is too short */
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

/* Cancels: `done` will not be called. A write that has begun may complete. Accepts NULL. */
void file_send_forget(struct file_send *f);

#endif
