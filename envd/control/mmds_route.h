/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the metadata service: a guest that redirects its outgoing connections (a proxy, a VPN)
 * may redirect those to 169.254.169.254 as well.
 */
#ifndef ENVD_MMDS_ROUTE_H
#define ENVD_MMDS_ROUTE_H

#include "base/loop.h"

/*
 * How long a repair is waited for: four calls of iptables(8), each of which waits 5 s for its lock.
 */
#define MMDS_ROUTE_TIMEOUT_MS (25 * 1000)

struct mmds_route;

struct mmds_route *mmds_route_new(struct loop *loop);
void mmds_route_free(struct mmds_route *m);

/*
 * Puts a RETURN rule for 169.254.169.254:80 first in the nat table's PREROUTING and OUTPUT chains,
 * by the image's iptables(8) if it has one. `done` comes once, from the loop, whatever came of it:
 * after MMDS_ROUTE_TIMEOUT_MS at the latest, and at once if an earlier repair still hangs. One call
 * at a time.
 */
void mmds_route_repair(struct mmds_route *m, void (*done)(void *arg), void *arg);

#endif
