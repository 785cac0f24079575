/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/port_scan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_BYTES 16384

int port_scan_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int port_listener_compare(const struct port_listener *a, const struct port_listener *b)
{
	int order = compare_numbers(a->port, b->port);

	if (order == 0)
		order = compare_numbers(a->family, b->family);
	if (order == 0)
		order = memcmp(a->address, b->address, sizeof(a->address));
	return order ? order : compare_numbers(a->inode, b->inode);
}

/*
 * Returns the entry of a port, and adds it if necessary. In a full set it replaces the highest
 * port; NULL if the port is higher than that.
 */
static struct port_found *entry_of(struct port_set *set, uint16_t port)
{
	size_t low = 0, high = set->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (set->ports[middle].port < port)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < set->n && set->ports[low].port == port)
		return &set->ports[low];
	if (low == PORT_SCAN_MAX)
		return NULL;
	if (set->n == PORT_SCAN_MAX)
		set->n--;
	memmove(&set->ports[low + 1], &set->ports[low], (set->n++ - low) * sizeof(set->ports[0]));
	set->ports[low] = (struct port_found){.port = port};
	return &set->ports[low];
}

/* Adds a listener. In a full set it replaces the last one, unless it comes after that. */
static void insert_listener(struct port_set *set, const struct port_listener *listener)
{
	size_t low = 0, high = set->n_listeners, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (port_listener_compare(&set->listeners[middle], listener) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == PORT_SCAN_MAX)
		return;
	if (set->n_listeners == PORT_SCAN_MAX)
		set->n_listeners--;
	memmove(&set->listeners[low + 1], &set->listeners[low],
		(set->n_listeners++ - low) * sizeof(set->listeners[0]));
	set->listeners[low] = *listener;
}

static void add_v4(struct port_set *set, uint16_t port, struct in_addr address)
{
	struct port_found *found = entry_of(set, port);

	if (!found)
		return;
	if (!(found->families & PORT_IPV4) || address.s_addr == htonl(INADDR_LOOPBACK))
		found->v4 = address;
	found->families |= PORT_IPV4;
}

static void add_v6(struct port_set *set, uint16_t port)
{
	struct port_found *found = entry_of(set, port);

	if (found)
		found->families |= PORT_IPV6;
}

static bool is_own(const struct port_set *set, uint32_t inode)
{
	size_t i;

	for (i = 0; i < set->n_own; i++)
		if (set->own[i] == inode)
			return true;
	return false;
}

static bool is_loopback_v4(struct in_addr address)
{
	return ntohl(address.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

/* Returns true if an IPv6 listener refuses IPv4, by the attributes of its message. */
static bool is_v6_only(const char *attributes, size_t n)
{
	struct rtattr head;

	while (n >= sizeof(head)) {
		memcpy(&head, attributes, sizeof(head));
		if (head.rta_len < sizeof(head) || head.rta_len > n)
			return false;
		if (head.rta_type == INET_DIAG_SKV6ONLY && head.rta_len > sizeof(head))
			return attributes[sizeof(head)] != 0;
		if (RTA_ALIGN(head.rta_len) >= n)
			return false;
		attributes += RTA_ALIGN(head.rta_len);
		n -= RTA_ALIGN(head.rta_len);
	}
	return false;
}

static void add_listener(struct port_set *set, const struct inet_diag_msg *message)
{
	bool v6 = message->idiag_family == AF_INET6;
	struct port_listener listener;

	if (!v6 && message->idiag_family != AF_INET)
		return;
	listener = (struct port_listener){
		.inode = message->idiag_inode,
		.uid = message->idiag_uid,
		.port = ntohs(message->id.idiag_sport),
		.family = message->idiag_family,
	};
	memcpy(listener.address, message->id.idiag_src,
	       v6 ? sizeof(struct in6_addr) : sizeof(struct in_addr));
	insert_listener(set, &listener);
}

/* Adds the port of a listener if only the guest can reach its address. */
static void add_port(struct port_set *set, const struct inet_diag_msg *message,
		     const char *attributes, size_t n)
{
	uint16_t port = ntohs(message->id.idiag_sport);
	struct in6_addr v6;
	struct in_addr v4;

	memcpy(&v6, message->id.idiag_src, sizeof(v6));
	memcpy(&v4, message->id.idiag_src, sizeof(v4));
	if (message->idiag_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6))
		memcpy(&v4, &v6.s6_addr[12], sizeof(v4));
	else if (message->idiag_family == AF_INET6 &&
		 (IN6_IS_ADDR_LOOPBACK(&v6) ||
		  (IN6_IS_ADDR_UNSPECIFIED(&v6) && is_v6_only(attributes, n))))
		add_v6(set, port);
	if ((message->idiag_family == AF_INET ||
	     (message->idiag_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6))) &&
	    is_loopback_v4(v4) && v4.s_addr != set->own_v4.s_addr)
		add_v4(set, port, v4);
}

/* Returns the number of bytes after the header and a body of `body` bytes in a netlink message. */
static size_t attribute_bytes(size_t message, size_t body)
{
	size_t before = NLMSG_HDRLEN + NLMSG_ALIGN(body);

	return message > before ? message - before : 0;
}

int port_scan_parse(const void *p, size_t n, struct port_set *set)
{
	struct nlmsghdr head;
	struct inet_diag_msg message;
	struct nlmsgerr failure;
	const char *at = p;

	while (n >= sizeof(head)) {
		memcpy(&head, at, sizeof(head));
		if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > n)
			return -EPROTO;
		if (head.nlmsg_type == NLMSG_DONE)
			return 1;
		if (head.nlmsg_type == NLMSG_ERROR) {
			if (head.nlmsg_len < sizeof(head) + sizeof(failure))
				return -EPROTO;
			memcpy(&failure, at + sizeof(head), sizeof(failure));
			return failure.error < 0 ? failure.error : -EPROTO;
		}
		if (head.nlmsg_len >= NLMSG_HDRLEN + sizeof(message)) {
			memcpy(&message, at + NLMSG_HDRLEN, sizeof(message));
			if (!is_own(set, message.idiag_inode)) {
				add_listener(set, &message);
				add_port(set, &message,
					 at + NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(message)),
					 attribute_bytes(head.nlmsg_len, sizeof(message)));
			}
		}
		if (NLMSG_ALIGN(head.nlmsg_len) >= n)
			break;
		at += NLMSG_ALIGN(head.nlmsg_len);
		n -= NLMSG_ALIGN(head.nlmsg_len);
	}
	return 0;
}

int port_scan_request(int netlink, unsigned char family)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 request;
	} message = {
		.head =
			{
				.nlmsg_len = sizeof(message),
				.nlmsg_type = SOCK_DIAG_BY_FAMILY,
				.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			},
		.request =
			{
				.sdiag_family = family,
				.sdiag_protocol = IPPROTO_TCP,
				.idiag_states = 1u << TCP_LISTEN,
			},
	};

	return send(netlink, &message, sizeof(message), 0) < 0 ? -errno : 0;
}

int port_scan_read(int netlink, struct port_set *set)
{
	char answer[ANSWER_BYTES];
	ssize_t n = recv(netlink, answer, sizeof(answer), 0);

	return n < 0 ? -errno : port_scan_parse(answer, (size_t)n, set);
}

static int scan_family(int netlink, unsigned char family, struct port_set *set)
{
	int r = port_scan_request(netlink, family);

	while (r == 0)
		r = port_scan_read(netlink, set);
	return r < 0 ? r : 0;
}

int port_scan(int netlink, struct port_set *set)
{
	int r;

	set->n = 0;
	set->n_listeners = 0;
	r = scan_family(netlink, AF_INET, set);
	if (r < 0)
		return r;
	r = scan_family(netlink, AF_INET6, set);
	return r == -ENOENT ? 0 : r; /* a kernel without IPv6 */
}
