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
	char text[160];	 /* for logs: "tcp:127.0.0.1:49983" */
	bool restricted; /* see stream_is_restricted; listen_parse leaves it false */
};

/*
 * Parses "tcp:ADDR:PORT" (ADDR numeric; IPv6 in brackets; empty or "*": all interfaces, both
 * families), "vsock:PORT" (any CID) or "unix:PATH". 0, or -1 with ERROR_INVALID_ARGUMENT.
 */
int listen_parse(const char *text, struct listen_spec *ret, struct error *err);

/*
 * The reference's default: TCP on all interfaces, with both address families if the kernel has
 * both.
 */
void listen_spec_tcp_any(unsigned port, struct listen_spec *ret);
void listen_spec_vsock(unsigned port, struct listen_spec *ret);

/* Resets the keepalive probes of a connection to the values that it inherited from its listener. */
void listen_set_keepalive(int fd);

/*
 * Opens a listening socket, non-blocking and close-on-exec, with the options that its connections
 * inherit (TCP_NODELAY, keepalive: tcp(7)). The file of a unix socket gets mode 0600; an existing
 * socket file that no process serves is replaced. Returns the descriptor, or -1 with
 * ERROR_ALREADY_EXISTS (the address is in use), ERROR_UNAVAILABLE (the kernel does not support the
 * family, such as vsock without its module), or another code.
 */
int listen_open(const struct listen_spec *spec, struct error *err);

/*
 * Prepares a listening stream socket that another process opened, as listen_open does. Returns 0
 * and its address in the form of a -listen flag, or -1 with ERROR_INVALID_ARGUMENT if the
 * descriptor is not such a socket. The caller keeps ownership of the descriptor.
 */
int listen_adopt(int fd, struct listen_spec *ret, struct error *err);

/*
 * Returns true if a socket at one address prevents a bind to the other. The texts may differ
 * ("tcp::80", "tcp:*:80"). "All interfaces" of IPv4 is the same address as "all interfaces" of both
 * families.
 */
bool listen_spec_equal(const struct listen_spec *a, const struct listen_spec *b);

#endif
