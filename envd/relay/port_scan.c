#include "envd/relay/port_scan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_BYTES 16384

int port_scan_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

static void add(struct port_set *set, uint16_t port, unsigned family)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (set->ports[i].port == port) {
			set->ports[i].families |= family;
			return;
		}
	if (set->n < PORT_SCAN_MAX)
		set->ports[set->n++] = (struct port_found){port, family};
}

/* Takes a listener that is bound to a loopback address, and no other. */
static void add_listener(struct port_set *set, const struct inet_diag_msg *message)
{
	struct in6_addr source;

	memcpy(&source, message->id.idiag_src, sizeof(source));
	if (message->idiag_family == AF_INET && message->id.idiag_src[0] == htonl(INADDR_LOOPBACK))
		add(set, ntohs(message->id.idiag_sport), PORT_IPV4);
	else if (message->idiag_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&source))
		add(set, ntohs(message->id.idiag_sport), PORT_IPV6);
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
			add_listener(set, &message);
		}
		if (NLMSG_ALIGN(head.nlmsg_len) >= n)
			break;
		at += NLMSG_ALIGN(head.nlmsg_len);
		n -= NLMSG_ALIGN(head.nlmsg_len);
	}
	return 0;
}

/* One family's dump. */
static int scan_family(int netlink, unsigned char family, struct port_set *set)
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
	char answer[ANSWER_BYTES];
	ssize_t n;
	int r;

	if (send(netlink, &message, sizeof(message), 0) < 0)
		return -errno;
	do {
		n = recv(netlink, answer, sizeof(answer), 0);
		if (n < 0)
			return -errno;
		r = port_scan_parse(answer, (size_t)n, set);
	} while (r == 0);
	return r < 0 ? r : 0;
}

int port_scan(int netlink, struct port_set *ret)
{
	int r;

	ret->n = 0;
	r = scan_family(netlink, AF_INET, ret);
	if (r < 0)
		return r;
	r = scan_family(netlink, AF_INET6, ret);
	return r == -ENOENT ? 0 : r; /* a kernel without IPv6 */
}
