/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client without a socket: it talks to the HTTP engine of a server, and closes its side at the
 * end of what it has to say.
 */
#ifndef TESTS_FUZZ_WIRE_CLIENT_H
#define TESTS_FUZZ_WIRE_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct loop;
struct server;

/*
 * Sends the input whole, byte by byte, and in pieces of random sizes while it reads slowly. The
 * answers must be the same. `idle` is called after each, and checks that nothing is left of it.
 */
void wire_client_talk(struct loop *loop, struct server *server, const uint8_t *data, size_t n,
		      void (*idle)(void));

#endif
