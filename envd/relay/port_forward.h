/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port forwarding: a port that a program of the guest opens on loopback is also opened on the
 * sandbox's own address (PORT_FORWARD_ADDRESS), as long as the program listens. A relay
 * (envd/relay/relay.h) moves the bytes. The daemon's own listeners are never forwarded.
 */
#ifndef ENVD_PORT_FORWARD_H
#define ENVD_PORT_FORWARD_H

#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

/* The address to which the platform's proxy connects; -forward-ip replaces it. */
#define PORT_FORWARD_ADDRESS "169.254.0.21"

#define PORT_FORWARD_MAX_PORTS 512

/*
 * The maximum number of connections. A port gets another connection only while it has fewer
 * connections than are still free. So a server that never accepts can hold at most half of them,
 * and other ports always get some.
 */
#define PORT_FORWARD_MAX_CONNECTIONS 4096

/*
 * Keepalive probes (tcp(7)) end a connection whose client has vanished silently: the first probe is
 * sent after IDLE_S without bytes, the next ones every INTERVAL_S, COUNT in all.
 */
#define PORT_FORWARD_KEEPALIVE_IDLE_S	  60
#define PORT_FORWARD_KEEPALIVE_INTERVAL_S 15
#define PORT_FORWARD_KEEPALIVE_COUNT	  4

struct port_forward;
struct port_watch;

/*
 * Forwards to `address`, numeric IPv4 or IPv6. Reads the watch (borrowed). Returns 0 and the owned
 * object, or -1 with ERROR_INVALID_ARGUMENT if the address is not numeric.
 */
int port_forward_new(struct loop *loop, struct port_watch *watch, const char *address,
		     struct port_forward **ret, struct error *err);

/* Closes all forwarded ports and connections. Accepts NULL. */
void port_forward_free(struct port_forward *f);

#endif
