/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conditions of `envd ready`. Each function checks once, with system calls and files of the
 * kernel, so that an image needs no ss, curl, pgrep or test.
 */
#ifndef ENVD_PROBE_H
#define ENVD_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>

#define PROBE_URL_BYTES	   2048u /* maximum length of a URL */
#define PROBE_ANSWER_BYTES 4096u /* bytes of a response that are read for its status line */

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
 * Returns true if a line of /proc/net/{tcp,udp}{,6} describes a socket in this state on this local
 * port. Returns false for the heading line.
 */
bool probe_net_line(const char *line, unsigned port, unsigned state);

/*
 * Returns true if a TCP socket listens on the port, or a UDP socket is bound to it, on any address.
 */
bool probe_port(unsigned port);

/* Returns true if the path is a regular file, or a link to one, as `test -f`. */
bool probe_file(const char *path);

/* Returns true if the name of another process (its comm, 15 bytes) contains `name`, as pgrep(1). */
bool probe_process(const char *name);

/* Returns true if a process accepts connections on the unix socket. */
bool probe_socket(const char *path);

/*
 * Sends GET and returns the status of the response, or 0 if none came within timeout_ms. The host
 * is an address, "localhost", or a name in /etc/hosts. If a name has several addresses, they are
 * tried in order until one answers with `wanted`; otherwise the last status is returned.
 */
unsigned probe_url(const struct probe_url *url, unsigned wanted, unsigned timeout_ms);

#endif
