/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures in the text format of OpenMetrics 1.0
 * (https://github.com/OpenObservability/OpenMetrics/blob/main/specification/OpenMetrics.md).
 */
#ifndef ENVD_OPENMETRICS_H
#define ENVD_OPENMETRICS_H

#include <stdint.h>

struct accounting;
struct control;
struct evbuffer;
struct metrics_figures;

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/*
 * Appends the figures of the machine and the daemon, and the accounting of processes (NULL: none).
 */
void openmetrics_put(struct evbuffer *out, const struct control *c, const struct metrics_figures *f,
		     const struct accounting *processes);

#endif
