/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: messages that are encoded once, with their envelope, and sent to any number of calls. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "rpc/call_impl.h"
#include "rpc/codec/gzip.h"

struct rpc_frame {
	unsigned refs;
	size_t bytes;
	char *data; /* owned */
};

void rpc_envelope_write(char *at, uint8_t flags, size_t n)
{
	at[0] = (char)flags;
	at[1] = (char)(n >> 24);
	at[2] = (char)(n >> 16);
	at[3] = (char)(n >> 8);
	at[4] = (char)n;
}

unsigned rpc_call_encoding(const struct rpc_call *call)
{
	return (unsigned)call->codec | (call->gzip_out ? 2u : 0u);
}

struct rpc_frame *rpc_frame_new(unsigned encoding, const ProtobufCMessage *message)
{
	struct rpc_frame *frame = mem_alloc(sizeof(*frame));
	enum rpc_codec codec = (enum rpc_codec)(encoding & 1u);
	bool gzip = encoding & 2u;
	struct error err;
	size_t n;
	char *plain;

	frame->refs = 1;
	/*
	 * Only an invalid message of the service itself can't be encoded (a date after the year
	 * 9999).
	 */
	if (codec_encode(codec, message, gzip ? 0 : RPC_ENVELOPE_BYTES, &frame->data, &n, &err) <
	    0) {
		log_error("%s: %s", message->descriptor->name, err.message);
		frame->data = mem_alloc(RPC_ENVELOPE_BYTES);
		n = 0;
		gzip = false;
	}
	if (gzip) {
		plain = frame->data;
		gzip_compress(plain, n, RPC_ENVELOPE_BYTES, &frame->data, &n);
		free(plain);
	}
	rpc_envelope_write(frame->data, gzip ? RPC_FLAG_COMPRESSED : 0, n);
	frame->bytes = n + RPC_ENVELOPE_BYTES;
	return frame;
}

struct rpc_frame *rpc_frame_ref(struct rpc_frame *frame)
{
	frame->refs++;
	return frame;
}

void rpc_frame_unref(struct rpc_frame *frame)
{
	if (!frame || --frame->refs)
		return;
	free(frame->data);
	free(frame);
}

const char *rpc_frame_bytes(const struct rpc_frame *frame, size_t *ret_bytes)
{
	*ret_bytes = frame->bytes;
	return frame->data;
}
