/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET and HEAD /health: 204. The handler uses no worker and no lock, so it answers whenever the
 * loop runs.
 */
#ifndef ENVD_CTL_HEALTH_H
#define ENVD_CTL_HEALTH_H

struct router;

void ctl_health_register(struct router *router);

#endif
