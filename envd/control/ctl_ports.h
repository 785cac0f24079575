/* SPDX-License-Identifier: Apache-2.0 */
/* GET /ports: the TCP listeners of the guest, and a stream of their changes. */
#ifndef ENVD_CTL_PORTS_H
#define ENVD_CTL_PORTS_H

struct context;
struct port_watch;
struct ports;
struct router;

/* Registers the endpoint. Borrows the context and the router. */
struct ports *ports_new(struct context *context, struct router *router);

/* Frees what ports_new created. Precondition: no request is left. Accepts NULL. */
void ports_free(struct ports *ports);

/*
 * Sets the watch (borrowed). Without a watch the endpoint answers 501, because the kernel has no
 * sock_diag.
 */
void ports_set_watch(struct ports *ports, struct port_watch *watch);

#endif
