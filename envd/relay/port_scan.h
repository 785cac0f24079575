/*
 * Which ports the guest's programs listen on for itself alone: by NETLINK_SOCK_DIAG
 * (sock_diag(7)), one dump of the listening sockets for each family; no walk through /proc, and no
 * cost in proportion to processes.
 */
#ifndef ENVD_PORT_SCAN_H
#define ENVD_PORT_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* More listeners than this are not seen. */
#define PORT_SCAN_MAX 1024

enum port_family {		  /* bits */
		   PORT_IPV4 = 1, /* 127.0.0.1 */
		   PORT_IPV6 = 2, /* ::1 */
};

struct port_found {
	uint16_t port;
	unsigned families;
};

struct port_set {
	struct port_found ports[PORT_SCAN_MAX]; /* each port once, in no order */
	size_t n;
};

/* A netlink socket for port_scan, or -errno. */
int port_scan_open(void);

/* Fills in the set. 0 or -errno. Never waits: the kernel answers a dump at once. */
int port_scan(int netlink, struct port_set *ret);

/*
 * Reads n bytes of answers into the set (exposed for its fuzz target): 1 where the dump is
 * complete, 0 where more is to come, -EPROTO, or the error that the kernel tells.
 */
int port_scan_parse(const void *p, size_t n, struct port_set *set);

#endif
