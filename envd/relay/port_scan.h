/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the TCP listeners of the guest, and among them the ports that only the guest can reach:
 * ports on a loopback address, or on "::" for IPv6 only, which an IPv4 client can't reach.
 *
 * The kernel lists the listening sockets by NETLINK_SOCK_DIAG (sock_diag(7)), one dump for each
 * address family. The cost depends on the number of listeners, not of processes.
 */
#ifndef ENVD_PORT_SCAN_H
#define ENVD_PORT_SCAN_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A scan keeps the first listeners in the order of port_listener_compare, and ignores the rest. The
 * kernel's order changes from scan to scan: a cut in the kernel's order would report listeners that
 * come and go although nothing has changed.
 */
#define PORT_SCAN_MAX 1024

/* The maximum number of sockets that a scan excludes. */
#define PORT_SCAN_MAX_OWN 32

enum port_family {
	PORT_IPV4 = 1, /* an address of 127.0.0.0/8, also as ::ffff:127.x.y.z */
	PORT_IPV6 = 2, /* ::1, or :: with IPV6_V6ONLY */
};

struct port_found {
	uint16_t port;
	unsigned families; /* bits of enum port_family */
	struct in_addr v4; /* if PORT_IPV4: the address to dial; 127.0.0.1 if it is among them */
};

/* A listening socket. Every byte has a value, so that two can be compared by memcmp. */
struct port_listener {
	uint8_t address[16]; /* AF_INET: the first 4, and zeros */
	uint32_t inode;
	uint32_t uid; /* of the process that created the socket */
	uint16_t port;
	uint16_t family; /* AF_INET or AF_INET6 */
};

struct port_set {
	struct port_found ports[PORT_SCAN_MAX]; /* each port once, sorted */
	size_t n;
	struct port_listener listeners[PORT_SCAN_MAX]; /* on any address, sorted */
	size_t n_listeners;
	/*
	 * The daemon's own listeners, by the inode that fstat(2) returns for the socket; the scan
	 * excludes them. A daemon that is bound to loopback on purpose must not become reachable by
	 * its own port forwarding. Kept from scan to scan.
	 */
	uint32_t own[PORT_SCAN_MAX_OWN];
	size_t n_own;
	struct in_addr own_v4; /* listeners on this address belong to the forwarder; 0: none */
};

/* The order of listeners: by port, family, address and inode. As memcmp. */
int port_listener_compare(const struct port_listener *a, const struct port_listener *b);

/* Opens a netlink socket for port_scan. Returns the descriptor, or -errno. */
int port_scan_open(void);

/*
 * Fills in the ports of the set. 0 or -errno. Takes as long as the guest has listeners (50 ms with
 * 18,000): call it on a worker.
 */
int port_scan(int netlink, struct port_set *set);

/*
 * The same in steps, for the loop. For AF_INET and then AF_INET6: port_scan_request asks for the
 * dump, and port_scan_read reads one answer whenever the socket is readable. It returns as
 * port_scan_parse, or -errno; -ENOENT for AF_INET6 means that the kernel has no IPv6. After another
 * error, close the socket: the rest of the answer would be read as the beginning of the next.
 */
int port_scan_request(int netlink, unsigned char family);
int port_scan_read(int netlink, struct port_set *set);

/*
 * Adds the n bytes of one answer to the set. Public for its fuzz target. Returns 1 when the dump is
 * complete, 0 when more answers follow, -EPROTO, or the error that the kernel reports.
 */
int port_scan_parse(const void *p, size_t n, struct port_set *set);

#endif
