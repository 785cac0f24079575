/*
 * The way to the metadata service, where a redirection of the guest's own stands before it.
 */
#ifndef ENVD_MMDS_ROUTE_H
#define ENVD_MMDS_ROUTE_H

struct workers;

/*
 * Puts a RETURN rule for 169.254.169.254:80 first in the nat table's PREROUTING and OUTPUT chains,
 * once each, by the image's iptables(8) where there is one. `done` comes from the loop, whatever
 * came of it.
 */
void mmds_route_repair(struct workers *workers, void (*done)(void *arg), void *arg);

#endif
