/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repairs the route to the metadata service. A guest that redirects its outgoing connections by
 * iptables(8) (a proxy, a VPN) may also redirect the connections to 169.254.169.254.
 */
#ifndef ENVD_MMDS_ROUTE_H
#define ENVD_MMDS_ROUTE_H

#include "base/loop.h"

/*
 * The maximum time that the caller waits for a repair. A repair calls iptables(8) four times, and
 * each call waits up to 5 s for the lock of iptables.
 */
#define MMDS_ROUTE_TIMEOUT_MS (25 * 1000)

struct mmds_route;

struct mmds_route *mmds_route_new(struct loop *loop);
void mmds_route_free(struct mmds_route *m);

/*
 * Inserts a RETURN rule for 169.254.169.254:80 as the first rule of the PREROUTING and OUTPUT
 * chains of the nat table. Uses the image's iptables(8); if there is none, nothing is changed.
 *
 * `done` is called once, from the loop, whether or not the repair succeeded: after
 * MMDS_ROUTE_TIMEOUT_MS at the latest, or in the next turn of the loop if an earlier repair still
 * hangs. The caller must wait for `done` before the next call.
 */
void mmds_route_repair(struct mmds_route *m, void (*done)(void *arg), void *arg);

#endif
