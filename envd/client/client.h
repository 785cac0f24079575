/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the commands on the host: the address of the daemon, the token, the user, and the one
 * line on stderr for a failure. These functions block, because a command has nothing else to do.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "envd/relay/dial.h"

#define CLIENT_PORT	   49983
#define CLIENT_TO	   "tcp:127.0.0.1:49983"
#define CLIENT_TOKEN_BYTES 4096
#define CLIENT_CONNECT_MS  10000 /* for the connection, and for the proxy of a guest */
#define CLIENT_SILENCE_MS  60000 /* maximum silence of a transfer */
#define CLIENT_TIMEOUT_MS  60000 /* for an answer as a whole, unless --timeout is given */

struct client {
	const char *command; /* for error messages */
	const char *to;	     /* the address as it was given; borrowed */
	const char *user;    /* NULL: the default user of the daemon; borrowed */
	char *token;	     /* NULL: none; owned */
	struct dial_target target;
	uint64_t timeout_ms; /* for an answer as a whole; a stream has no limit */
	/*
	 * With `interruptible`, a wait ends with the error ERROR_CANCELED when interrupt_fd becomes
	 * readable. The code that sets interrupt_fd also reads it.
	 */
	bool interruptible;
	int interrupt_fd;
	/*
	 * While a wait goes on, on_key reads key_fd (-1: none) when that is readable. If on_key
	 * returns true, the wait ends as interrupted.
	 */
	int key_fd;
	bool (*on_key)(void *arg);
	void *key_arg;
};

/* The keys of the common options, for client_option. */
#define CLIENT_KEY_TO	 'A'
#define CLIENT_KEY_TOKEN 'K'
#define CLIENT_KEY_USER	 'u'

/*
 * Takes address and token from the environment ($ENVD_TO, $ENVD_TOKEN). 0, or -1 after one line on
 * stderr. client_clear may be called in both cases.
 */
int client_init(struct client *c, const char *command);
void client_clear(struct client *c);

/* Applies a common option. 0; -errno for a wrong value; 1 if the key is not a common one. */
int client_option(struct client *c, int key, const char *value);

/*
 * Parses tcp:ADDR[:PORT] (numeric, or "localhost"; IPv6 in brackets), unix:PATH, vsock:CID[:PORT],
 * or uds:PATH, the socket of Firecracker's proxy. 0 or -EINVAL.
 */
int client_parse_to(const char *text, struct dial_target *ret);

/* Connects. Returns a non-blocking descriptor, or -1 with the error. */
int client_dial(const struct client *c, struct error *err);

/*
 * Waits at most timeout_ms (-1: no limit) for events of a descriptor, POLLIN and so on. Returns the
 * events, 0 at the timeout, or -errno; -ECANCELED if the command was interrupted.
 */
int client_wait(const struct client *c, int fd, short events, int timeout_ms);

/* Sleeps. Returns false at once if the command is interrupted. */
bool client_pause(const struct client *c, int ms);

/* Fills in the error of an interrupted wait. Returns -1. */
int client_interrupted(struct error *err);

/* Prints "envd COMMAND: message" to stderr, without escape sequences. Returns -1. */
int client_complain(const struct client *c, const struct error *err);

#endif
