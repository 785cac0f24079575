/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conditions of `envd ready`: is something there yet? Each is one look, made with the kernel's
 * own files and system calls, for images that have no ss, curl, pgrep or test.
 */
#ifndef ENVD_PROBE_H
#define ENVD_PROBE_H

#include <netinet/in.h>
#include <stdbool.h>

#define PROBE_URL_BYTES	   2048u /* of a URL */
#define PROBE_ANSWER_BYTES 4096u /* of an answer that are read for its status line */

/* An http:// URL, split for the one request that is made of it. */
struct probe_url {
	char host[PROBE_URL_BYTES];   /* as in the URL, with the port: for the Host header */
	char name[PROBE_URL_BYTES];   /* the host alone, without an IPv6 address's brackets */
	char target[PROBE_URL_BYTES]; /* path and query, "/" at least */
	in_port_t port;		      /* host byte order */
};

/*
 * Splits a URL. 0; -EPROTONOSUPPORT where it is not http:// (TLS is for what listens inside the
 * sandbox no condition of being ready); -EINVAL where it is malformed, has user information, or
 * a character that has no place in a request line.
 */
int probe_url_parse(const char *text, struct probe_url *ret);

/*
 * Whether a line of /proc/net/{tcp,udp}{,6} is a socket in this state on this local port. Anything
 * else, a heading included, is not.
 */
bool probe_net_line(const char *line, unsigned port, unsigned state);

/* Whether the port is listened on by TCP, or bound by UDP, on any address. */
bool probe_port(unsigned port);

/* Whether the path is a regular file or leads to one, as `test -f`. */
bool probe_file(const char *path);

/* Whether the name is in that of a process (comm, 15 bytes) other than this one, as with pgrep. */
bool probe_process(const char *name);

/* Whether somebody accepts connections on the unix socket. */
bool probe_socket(const char *path);

/*
 * Sends GET and returns the status of the answer, or 0 if none came within timeout_ms. The host is an
 * address, "localhost", or a name of /etc/hosts. A name may have several addresses: they are tried in
 * order, until one answers with `wanted`; otherwise the last status that came is returned.
 */
unsigned probe_url(const struct probe_url *url, unsigned wanted, unsigned timeout_ms);

#endif
