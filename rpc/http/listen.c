/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"

#define BACKLOG 4096

/*
 * If no bytes are in flight, probes detect after two minutes that a peer has vanished with its
 * host. If bytes are in flight, the kernel gives up after its retransmissions (tcp_retries2,
 * tcp(7)), or the server after SERVER_PROGRESS_TIMEOUT_MS. TCP_USER_TIMEOUT is not set, because it
 * also ends the connection of a peer that answers every probe but does not read (tcp_probe_timer in
 * net/ipv4/tcp_timer.c).
 */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES     4

static int parse_port(const char *text, unsigned max, unsigned *ret)
{
	uint64_t value;

	if (!decimal_parse_text(text, max, &value) || value == 0)
		return -1;
	*ret = (unsigned)value;
	return 0;
}

void listen_spec_tcp_any(unsigned port, struct listen_spec *ret)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->address;

	memset(ret, 0, sizeof(*ret));
	ret->kind = LISTEN_TCP;
	in6->sin6_family = AF_INET6;
	in6->sin6_addr = in6addr_any;
	in6->sin6_port = htons((uint16_t)port);
	ret->address_bytes = sizeof(*in6);
	snprintf(ret->text, sizeof(ret->text), "tcp:*:%u", port);
}

void listen_spec_vsock(unsigned port, struct listen_spec *ret)
{
	struct sockaddr_vm *vm = (struct sockaddr_vm *)&ret->address;

	memset(ret, 0, sizeof(*ret));
	ret->kind = LISTEN_VSOCK;
	vm->svm_family = AF_VSOCK;
	vm->svm_cid = VMADDR_CID_ANY;
	vm->svm_port = port;
	ret->address_bytes = sizeof(*vm);
	snprintf(ret->text, sizeof(ret->text), "vsock:%u", port);
}

/* ADDR:PORT, where ADDR may be [IPv6], IPv4, "*" or nothing. */
static int parse_tcp(const char *text, struct listen_spec *ret)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->address;
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->address;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	size_t n;
	unsigned port;

	if (!colon || (size_t)(colon - text) >= sizeof(host) ||
	    parse_port(colon + 1, 65535, &port) < 0)
		return -1;
	n = (size_t)(colon - text);
	memcpy(host, text, n);
	host[n] = '\0';
	if (n == 0 || strcmp(host, "*") == 0) {
		listen_spec_tcp_any(port, ret);
		return 0;
	}
	if (host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
			return -1;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		ret->address_bytes = sizeof(*in6);
		return 0;
	}
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		return -1;
	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)port);
	ret->address_bytes = sizeof(*in);
	return 0;
}

static int parse_unix(const char *path, struct listen_spec *ret)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&ret->address;

	if (!*path || strlen(path) >= sizeof(un->sun_path))
		return -1;
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	ret->address_bytes = sizeof(*un);
	return 0;
}

int listen_parse(const char *text, struct listen_spec *ret, struct error *err)
{
	unsigned port;
	int r = -1;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "tcp:", 4) == 0) {
		ret->kind = LISTEN_TCP;
		r = parse_tcp(text + 4, ret);
	} else if (strncmp(text, "vsock:", 6) == 0) {
		r = parse_port(text + 6, UINT32_MAX - 1, &port);
		if (r == 0)
			listen_spec_vsock(port, ret);
	} else if (strncmp(text, "unix:", 5) == 0) {
		ret->kind = LISTEN_UNIX;
		r = parse_unix(text + 5, ret);
	}
	if (r < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "'%s' is not tcp:ADDR:PORT, vsock:PORT or unix:PATH", text);
	snprintf(ret->text, sizeof(ret->text), "%.*s", (int)sizeof(ret->text) - 1, text);
	return 0;
}

/*
 * Removes the socket file of an earlier run: a socket that refuses connections. A socket that a
 * process serves, and any other kind of file, stays.
 */
static int remove_stale(const struct listen_spec *spec, struct error *err)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&spec->address;
	FD_AUTO int fd = -1;
	struct stat st;

	if (lstat(un->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERROR_ALREADY_EXISTS, "%s exists and is no socket",
				 un->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "socket");
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 && errno == ECONNREFUSED) {
		unlink(un->sun_path);
		return 0;
	}
	return error_set(err, ERROR_ALREADY_EXISTS, "%s: the address is in use", spec->text);
}

static void set_option(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

void listen_set_keepalive(int fd)
{
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* Sets the options. Accepted sockets inherit all of them except SO_REUSEADDR. */
static void set_tcp_options(int fd)
{
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	listen_set_keepalive(fd);
}

int listen_open(const struct listen_spec *spec, struct error *err)
{
	const struct sockaddr *address = (const struct sockaddr *)&spec->address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&spec->address;
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = in6->sin6_port};
	socklen_t address_bytes = spec->address_bytes;
	int fd, both = 0, r;

	if (spec->kind == LISTEN_UNIX && remove_stale(spec, err) < 0)
		return -1;
	fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && errno == EAFNOSUPPORT && address->sa_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
		/* The kernel has no IPv6: use all IPv4 interfaces. */
		address = (const struct sockaddr *)&any4;
		address_bytes = sizeof(any4);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return error_set_errno(err,
				       errno == EAFNOSUPPORT ? ERROR_UNAVAILABLE : ERROR_INTERNAL,
				       errno, "%s", spec->text);
	if (spec->kind == LISTEN_TCP)
		set_tcp_options(fd);
	if (address->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both));
	/*
	 * The mode of the file decides who may connect (unix(7)). umask(2) would affect all
	 * threads.
	 */
	if (spec->kind == LISTEN_UNIX)
		fchmod(fd, 0600);
	r = bind(fd, address, address_bytes);
	if (r == 0)
		r = listen(fd, BACKLOG);
	if (r < 0) {
		r = errno;
		close(fd);
		if (r == EADDRINUSE)
			return error_set(err, ERROR_ALREADY_EXISTS, "%s: the address is in use",
					 spec->text);
		return error_set_errno(
			err, r == EADDRNOTAVAIL || r == ENODEV ? ERROR_UNAVAILABLE : ERROR_INTERNAL,
			r, "%s", spec->text);
	}
	return fd;
}

/* Writes the text of an address from getsockname(2). 0, or -1 for an unsupported family. */
static int describe(struct listen_spec *spec)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&spec->address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&spec->address;
	const struct sockaddr_vm *vm = (const struct sockaddr_vm *)&spec->address;
	const struct sockaddr_un *un = (const struct sockaddr_un *)&spec->address;
	char host[INET6_ADDRSTRLEN];

	switch (spec->address.ss_family) {
	case AF_INET6:
		spec->kind = LISTEN_TCP;
		if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
			snprintf(spec->text, sizeof(spec->text), "tcp:*:%u", ntohs(in6->sin6_port));
		else
			snprintf(spec->text, sizeof(spec->text), "tcp:[%s]:%u",
				 inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)),
				 ntohs(in6->sin6_port));
		return 0;
	case AF_INET:
		spec->kind = LISTEN_TCP;
		snprintf(spec->text, sizeof(spec->text), "tcp:%s:%u",
			 inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)),
			 ntohs(in->sin_port));
		return 0;
	case AF_VSOCK:
		spec->kind = LISTEN_VSOCK;
		snprintf(spec->text, sizeof(spec->text), "vsock:%u", vm->svm_port);
		return 0;
	case AF_UNIX:
		spec->kind = LISTEN_UNIX;
		snprintf(spec->text, sizeof(spec->text), "unix:%.*s", (int)sizeof(un->sun_path),
			 un->sun_path);
		return 0;
	}
	return -1;
}

int listen_adopt(int fd, struct listen_spec *ret, struct error *err)
{
	int type = 0, listening = 0;
	socklen_t n = sizeof(int), m = sizeof(int);

	memset(ret, 0, sizeof(*ret));
	ret->address_bytes = sizeof(ret->address);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &m) < 0 || !listening ||
	    getsockname(fd, (struct sockaddr *)&ret->address, &ret->address_bytes) < 0 ||
	    describe(ret) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "descriptor %d is not a listening stream socket", fd);
	if (ret->kind == LISTEN_TCP)
		set_tcp_options(fd);
	fd_set_nonblock(fd);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

/* The port of a TCP address in network order; whether it is of all interfaces. */
static in_port_t tcp_port(const struct listen_spec *spec, bool *ret_any)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&spec->address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&spec->address;

	if (spec->address.ss_family == AF_INET) {
		*ret_any = in->sin_addr.s_addr == htonl(INADDR_ANY);
		return in->sin_port;
	}
	*ret_any = IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
	return in6->sin6_port;
}

static bool tcp_equal(const struct listen_spec *a, const struct listen_spec *b)
{
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->address;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&b->address;
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)&a->address;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *)&b->address;
	bool a_any, b_any;

	if (tcp_port(a, &a_any) != tcp_port(b, &b_any) || a_any != b_any)
		return false;
	if (a_any)
		return true;
	if (a->address.ss_family != b->address.ss_family)
		return false;
	return a->address.ss_family == AF_INET ? a4->sin_addr.s_addr == b4->sin_addr.s_addr
					       : IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr);
}

bool listen_spec_equal(const struct listen_spec *a, const struct listen_spec *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == LISTEN_TCP)
		return tcp_equal(a, b);
	if (a->kind == LISTEN_UNIX)
		return strcmp(((const struct sockaddr_un *)&a->address)->sun_path,
			      ((const struct sockaddr_un *)&b->address)->sun_path) == 0;
	return ((const struct sockaddr_vm *)&a->address)->svm_port ==
	       ((const struct sockaddr_vm *)&b->address)->svm_port;
}
