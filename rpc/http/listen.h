/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets: TCP, vsock, unix.
 */
#ifndef RPC_HTTP_LISTEN_H
#define RPC_HTTP_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

enum listen_kind {
	LISTEN_TCP,
	LISTEN_VSOCK,
	LISTEN_UNIX,
};

struct listen_spec {
	enum listen_kind kind;
	struct sockaddr_storage address;
	socklen_t address_bytes;
	char text[160]; /* as a person reads it: "tcp:127.0.0.1:49983" */
};

/*
 * Reads "tcp:ADDR:PORT" (ADDR numeric; IPv6 in brackets; empty or "*": all interfaces, both
 * families), "vsock:PORT" (any CID) or "unix:PATH". 0, or -1 with ERROR_INVALID_ARGUMENT.
 */
int listen_parse(const char *text, struct listen_spec *ret, struct error *err);

/* The reference's default: TCP on all interfaces, both families where there are two. */
void listen_spec_tcp_any(unsigned port, struct listen_spec *ret);
void listen_spec_vsock(unsigned port, struct listen_spec *ret);

/* Sets keepalive probes as listeners have them: for a connection whose probes were changed. */
void listen_set_keepalive(int fd);

/*
 * Opens the socket: non-blocking, close-on-exec, listening, with what its connections inherit
 * (TCP_NODELAY, keepalive: tcp(7)). A unix socket has mode 0600; one that is
 * there but that nobody serves is replaced. Returns the descriptor, or -1 with
 * ERROR_ALREADY_EXISTS (the address is taken), ERROR_UNAVAILABLE (no such family: vsock without
 * its module), or another code.
 */
int listen_open(const struct listen_spec *spec, struct error *err);

/*
 * Takes a listening stream socket that somebody else opened and prepares it as listen_open does.
 * Returns 0 and what the socket is, in the form of a -listen flag, or -1 with
 * ERROR_INVALID_ARGUMENT if the descriptor is anything else. The descriptor stays the caller's.
 */
int listen_adopt(int fd, struct listen_spec *ret, struct error *err);

/* Whether both name the same address. */
bool listen_spec_equal(const struct listen_spec *a, const struct listen_spec *b);

#endif
