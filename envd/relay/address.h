/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket addresses from text, all numeric: a static program has no resolver.
 */
#ifndef ENVD_ADDRESS_H
#define ENVD_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
	struct sockaddr_storage storage;
	socklen_t bytes;
};

/* An IPv4 or IPv6 address without brackets. 0 or -EINVAL. */
int address_parse_ip(const char *text, in_port_t port, struct address *ret);

/* A path. 0, -EINVAL where it is empty, -ENAMETOOLONG where no socket can have it. */
int address_parse_unix(const char *path, struct address *ret);

/* A context identifier (vsock(7)), for the port. 0 or -EINVAL. */
int address_parse_vsock(const char *cid, uint32_t port, struct address *ret);

#endif
