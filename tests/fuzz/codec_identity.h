/* SPDX-License-Identifier: Apache-2.0 */
/* A message that was decoded is the same after every way out and in again. */
#ifndef TESTS_FUZZ_CODEC_IDENTITY_H
#define TESTS_FUZZ_CODEC_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "rpc/codec/codec.h"

/* Decodes the input, and where that succeeds goes JSON → binary → JSON. */
void codec_identity(enum rpc_codec codec, const uint8_t *data, size_t n);

#endif
