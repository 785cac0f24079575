/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET and HEAD /health: 204 whenever the loop turns. The handler uses no worker and no lock.
 */
#ifndef ENVD_CTL_HEALTH_H
#define ENVD_CTL_HEALTH_H

struct router;

void ctl_health_register(struct router *router);

#endif
