/*
 * Port forwarding: what a program of the guest's serves on loopback is reachable on the sandbox's
 * own address too, on the same port, for as long as the program listens. The bytes go through
 * relays (envd/relay/relay.h).
 */
#ifndef ENVD_PORT_FORWARD_H
#define ENVD_PORT_FORWARD_H

#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"

/* Looked for so often; more often while a process is young, for that is when a port opens. */
#define PORT_FORWARD_POLL_MS	   1000
#define PORT_FORWARD_POLL_YOUNG_MS 100
#define PORT_FORWARD_YOUNG_MS	   5000

/* Where the platform's edge looks for it, unless -forward-ip says otherwise. */
#define PORT_FORWARD_ADDRESS "169.254.0.21"

#define PORT_FORWARD_MAX_PORTS	     512
#define PORT_FORWARD_MAX_CONNECTIONS 4096

struct port_forward;

/*
 * Begins. `young_since_ms` is where the time of the last process start is found
 * (clock_monotonic_ms, 0 for none). -1 for an address that is none, or where the kernel can't tell
 * listeners.
 */
int port_forward_new(struct loop *loop, const char *address, const uint64_t *young_since_ms,
		     struct port_forward **ret, struct error *err);
void port_forward_free(struct port_forward *f);

size_t port_forward_ports(const struct port_forward *f);
size_t port_forward_connections(const struct port_forward *f);

#endif
