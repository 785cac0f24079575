/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conditions of `envd ready`. Each function checks once, by files of the kernel and system
 * calls, so that an image needs no ss, curl, pgrep or test.
 */
#ifndef ENVD_PROBE_H
#define ENVD_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>

#define PROBE_URL_BYTES	   2048u /* longest URL */
#define PROBE_ANSWER_BYTES 4096u /* read from an answer to find its status line */

/* An http:// URL, split into the parts of a request. */
struct probe_url {
	char host[PROBE_URL_BYTES];   /* as in the URL, with the port: for the Host header */
	char name[PROBE_URL_BYTES];   /* the host alone, without an IPv6 address's brackets */
	char target[PROBE_URL_BYTES]; /* path and query, "/" at least */
	in_port_t port;		      /* host byte order */
};

/*
 * Splits a URL. 0; -EPROTONOSUPPORT if it is not http:// (there is no TLS); -EINVAL if it is
 * malformed, has user information, or has a character that a request line can't have.
 */
int probe_url_parse(const char *text, struct probe_url *ret);

/*
 * Whether a line of /proc/net/{tcp,udp}{,6} describes a socket in this state on this local port.
 * The heading line does not.
 */
bool probe_net_line(const char *line, unsigned port, unsigned state);

/* Whether a TCP socket listens on the port, or a UDP socket is bound to it, on any address. */
bool probe_port(unsigned port);

/* Whether the path is a regular file, or a link to one, as `test -f`. */
bool probe_file(const char *path);

/* Whether the name of another process (its comm, 15 bytes) contains `name`, as with pgrep. */
bool probe_process(const char *name);

/* Whether a process accepts connections on the unix socket. */
bool probe_socket(const char *path);

/*
 * Sends GET and returns the status of the answer, or 0 if none came within timeout_ms. The host is
 * an address, "localhost", or a name of /etc/hosts. A name may have several addresses: they are
 * tried in order, until one answers with `wanted`; otherwise the last status that came is returned.
 */
unsigned probe_url(const struct probe_url *url, unsigned wanted, unsigned timeout_ms);

#endif
