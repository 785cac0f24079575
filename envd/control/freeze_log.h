/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log lines of freezes and thaws, with the members by which platforms filter
 * (docs/compatibility/http.md, "Log export"). On the freezer's worker or on the loop.
 */
#ifndef ENVD_FREEZE_LOG_H
#define ENVD_FREEZE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct freeze_audit;
struct freeze_request;
struct freeze_result;
struct path_list;

/*
 * Logs what a freeze has done. `root_fd` is the root of the hierarchy, to which the paths of
 * `vanished` are relative.
 */
void freeze_log_result(const struct freeze_request *request, const struct freeze_result *result,
		       int root_fd, const struct path_list *vanished);

/* Logs what an audit found, if it found anything. */
void freeze_log_audit(const struct freeze_audit *audit);

/* What a thaw did. */
struct freeze_thaw_counts {
	unsigned visited, thawed, failed;
	bool truncated;
};

/* Logs that the watchdog has thawed. `err` is NULL if nothing stayed frozen. */
void freeze_log_rescue(const struct freeze_thaw_counts *counts, const struct error *err,
		       uint64_t watchdog_ms);

#endif
