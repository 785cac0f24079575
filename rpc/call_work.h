/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work on messages that would keep the loop from other clients: inflating, decoding and compressing
 * large ones. A worker does it; the call is held meanwhile. For call.c and call_read.c.
 *
 * The workers are those of the router (router_set_workers). Without workers the loop does
 * everything.
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
 * The loop handles messages up to this size itself. Measured on one core of an AMD EPYC: decoding
 * 64 KiB of JSON takes 0.01 ms (one string) to 0.6 ms (a list or a map of short strings),
 * compressing them 0.1 to 0.7 ms, and ten times as much each for 1 MiB. To hand work to a worker
 * and back takes 0.02 to 0.1 ms.
 */
#define RPC_LOOP_BYTES (64 * 1024)

/*
 * The same for messages of a client's stream, which hold one piece of input and no lists: 1 MiB
 * decodes in 0.1 ms. With a worker for each piece, StreamInput moved 255 MiB/s instead of 475.
 */
#define RPC_LOOP_STREAM_BYTES (1024 * 1024)

/*
 * Inflates and decodes n bytes at p into the arena. The message takes at most room_bytes, inflated
 * text included. -1 with the error, as codec_decode; -2 if the text would inflate to more than
 * max_inflated_bytes and the method allows it. Any thread.
 */
int rpc_decode(const struct rpc_call *call, const void *p, size_t n, bool compressed,
	       size_t max_inflated_bytes, size_t room_bytes, struct arena *arena,
	       ProtobufCMessage **ret, struct error *err);

/* Whether a worker should decode n bytes. */
bool rpc_decode_is_large(const struct rpc_call *call, size_t n);

/*
 * Lets a worker decode the message in `in` (taken; NULL is an empty one). `charged_bytes` of the
 * stream's share are for it: they are given back at the end. `done` comes from the loop, unless the
 * call has ended: with the message in `arena`, whose memory is charged and which `done` may adopt;
 * or NULL and the error.
 */
void rpc_decode_start(struct rpc_call *call, struct evbuffer *in, size_t charged_bytes,
		      bool compressed,
		      void (*done)(struct rpc_call *call, ProtobufCMessage *message,
				   struct arena *arena, struct error *err));

/*
 * Compresses `plain` (taken), on a worker if it is large, and calls `done` with the result, from
 * inside or from the loop: `headroom` bytes to fill in, then n of gzip; `data` is owned by `done`
 * (free). If the stream has ended meanwhile, `done` does not come. For a call that has ended for
 * its service.
 */
void rpc_gzip_start(struct rpc_call *call, struct evbuffer *plain, size_t headroom,
		    void (*done)(struct rpc_call *call, char *data, size_t n));

#endif
