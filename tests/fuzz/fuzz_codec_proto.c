/* SPDX-License-Identifier: Apache-2.0 */
/* The binary format to a message with every kind of field, and back. */
#include "tests/fuzz/codec_identity.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	codec_identity(RPC_CODEC_PROTO, data, n);
	return 0;
}
