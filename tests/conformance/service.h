/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connectrpc.conformance.v1.ConformanceService on our RPC layer: it answers as each request says,
 * and tells what it saw of the request.
 */
#ifndef TESTS_CONFORMANCE_SERVICE_H
#define TESTS_CONFORMANCE_SERVICE_H

#include <stddef.h>

struct router;

/* Adds the methods. Messages over the limit are refused; 0 leaves the daemon's own limit. */
void conformance_register(struct router *router, size_t message_max_bytes);

#endif
