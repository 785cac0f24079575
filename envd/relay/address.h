/* SPDX-License-Identifier: Apache-2.0 */
/* Parses socket addresses. Names are not resolved, because a static program has no resolver. */
#ifndef ENVD_ADDRESS_H
#define ENVD_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	struct sockaddr_storage storage;
	socklen_t bytes;
};

/* Parses an IPv4 or IPv6 address without brackets. 0 or -EINVAL. */
int address_parse_ip(const char *text, in_port_t port, struct address *ret);

/*
 * Converts the path of a unix socket. 0; -EINVAL if it is empty; -ENAMETOOLONG if unix(7) allows
 * only a shorter one.
 */
int address_parse_unix(const char *path, struct address *ret);

/* Parses a context identifier (CID, vsock(7)) in decimal. 0 or -EINVAL. */
int address_parse_vsock(const char *cid, uint32_t port, struct address *ret);

#endif
