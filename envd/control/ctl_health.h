/*
 * GET /health: whether the daemon answers. It touches nothing that could be busy.
 */
#ifndef ENVD_CTL_HEALTH_H
#define ENVD_CTL_HEALTH_H

struct router;

void ctl_health_register(struct router *router);

#endif
