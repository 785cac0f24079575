/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets a worker send a part of a file through a connection. Use it if sending would block the loop
 * on a disk, or if the part is so large that other clients would wait. If the client takes no
 * bytes, the worker returns the connection, and the loop waits for the client.
 */
#ifndef RPC_HTTP_FILE_SEND_H
#define RPC_HTTP_FILE_SEND_H

#include <stdint.h>
#include <sys/types.h>

struct file_send;
struct loop;
struct workers;

/* The reason why a worker stopped sending. */
enum file_send_end {
	FILE_SEND_TURN,	  /* all was sent, or other work gets its turn */
	FILE_SEND_FULL,	  /* the client takes no bytes at present */
	FILE_SEND_FAILED, /* the connection broke, or the file is too short */
};

/*
 * Starts to send up to `length` bytes of `fd`, from `offset` on, through the non-blocking socket
 * `sock` on a worker. The worker stops if the client takes no bytes for wait_ms. `done` is called
 * on the loop with the number of bytes sent. Until then, no one else may write to the socket.
 *
 * Duplicates both descriptors. If the process has no free descriptors, it tries again later;
 * therefore the caller keeps its own descriptors open until `done` or file_send_forget.
 */
struct file_send *file_send_start(struct loop *loop, struct workers *workers, int sock, int fd,
				  off_t offset, uint64_t length, int wait_ms,
				  void (*done)(void *arg, uint64_t sent, enum file_send_end end),
				  void *arg);

/* Cancels: `done` will not be called. A write that has begun may complete. Accepts NULL. */
void file_send_forget(struct file_send *f);

#endif
