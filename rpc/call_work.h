/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inflates, decodes and compresses large messages on a worker, because this work would delay other
 * clients of the loop. The call is held meanwhile. For call.c and call_read.c.
 *
 * The workers are the router's (router_set_workers). Without workers, the loop does the work.
 */
#ifndef RPC_CALL_WORK_H
#define RPC_CALL_WORK_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

struct evbuffer;
struct rpc_call;

/*
 * The loop processes messages up to this size itself. Measured on one core of an AMD EPYC: decoding
 * 64 KiB of JSON takes 0.01 ms (one string) to 0.6 ms (a list or a map of short strings),
 * compressing them 0.1 to 0.7 ms, and ten times as long for 1 MiB. Passing work to a worker and
 * back takes 0.02 to 0.1 ms.
 */
#define RPC_LOOP_BYTES (64 * 1024)

/*
 * The same limit for messages of a client stream, which contain one piece of input and no lists: 1
 * MiB decodes in 0.1 ms. With a worker for each piece, StreamInput moved 255 MiB/s instead of 475.
 */
#define RPC_LOOP_STREAM_BYTES (1024 * 1024)

/*
 * Inflates and decodes n bytes at p into the arena. The message uses at most room_bytes, including
 * inflated text. Returns 0; -1 with the error, as codec_decode; or -2 if the text would inflate to
 * more than max_inflated_bytes and the method allows larger messages. Any thread.
 */
int rpc_decode(const struct rpc_call *call, const void *p, size_t n, bool compressed,
	       size_t max_inflated_bytes, size_t room_bytes, struct arena *arena,
	       ProtobufCMessage **ret, struct error *err);

/* Returns true if a worker should decode the n bytes. */
bool rpc_decode_is_large(const struct rpc_call *call, size_t n);

/*
 * Decodes the message in `in` on a worker. Takes ownership of `in`; NULL is an empty message.
 * `charged_bytes` of the stream's share belong to `in` and are given back at the end.
 *
 * Unless the call has ended, `done` is called from the loop, with the message, or with NULL and the
 * error. The message lies in `arena`, whose memory is charged and which `done` may adopt.
 */
void rpc_decode_start(struct rpc_call *call, struct evbuffer *in, size_t charged_bytes,
		      bool compressed,
		      void (*done)(struct rpc_call *call, ProtobufCMessage *message,
				   struct arena *arena, struct error *err));

/*
 * Compresses `plain`, on a worker if it is large. Takes ownership of `plain`. Calls `done` with the
 * result, before this function returns or from the loop: `headroom` bytes for the caller to fill
 * in, then n bytes of gzip data. `done` owns `data` (free). If the stream has ended in the
 * meantime, `done` is not called. For calls that have ended for their service.
 */
void rpc_gzip_start(struct rpc_call *call, struct evbuffer *plain, size_t headroom,
		    void (*done)(struct rpc_call *call, char *data, size_t n));

#endif
