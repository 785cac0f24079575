/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/freeze_log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "envd/control/freeze_tree.h"
#include "envd/control/freezer.h"
#include "rpc/codec/json.h"

/* Returns the absolute paths as a JSON array, to be freed. */
static char *absolute_paths(int root_fd, const struct path_list *list)
{
	char root[PATH_MAX] = "", link[32], path[2 * PATH_MAX];
	struct json_writer out;
	size_t i;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", root_fd);
	if (readlink(link, root, sizeof(root) - 1) < 0)
		root[0] = '\0';
	json_writer_init(&out, 0, 256);
	json_put_array(&out);
	for (i = 0; i < list->n; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, list->paths[i]);
		json_put_string(&out, path);
	}
	json_put_array_end(&out);
	json_append(&out, "", 1);
	return out.data;
}

static void log_vanished(struct log_request request, const struct freeze_result *r, int root_fd,
			 const struct path_list *vanished)
{
	char *paths;

	if (!r->vanished || !log_has_sink())
		return;
	paths = absolute_paths(root_fd, vanished);
	log_event(&(struct log_line){.level = LOG_LEVEL_DEBUG,
				     .request = request,
				     LOG_FIELDS(LOG_NUMBER("vanished", r->vanished),
						LOG_NUMBER("requested", r->requested),
						LOG_NUMBER("frozen", r->frozen),
						LOG_JSON("vanished_paths", paths))},
		  "%u cgroups were removed during the freeze", r->vanished);
	free(paths);
}

static void log_not_frozen(struct log_request request, const struct freeze_result *r)
{
	log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
				     .request = request,
				     LOG_FIELDS(LOG_NUMBER("requested", r->requested),
						LOG_NUMBER("frozen", r->frozen),
						LOG_NUMBER("not_frozen", r->not_frozen),
						LOG_NUMBER("failed", r->failed),
						LOG_NUMBER("vanished", r->vanished),
						LOG_NUMBER("wait_duration", r->wait_ms))},
		  "%u of %u cgroups were not frozen after %u ms", r->not_frozen, r->requested,
		  r->wait_ms);
}

void freeze_log_result(const struct freeze_request *request, const struct freeze_result *r,
		       int root_fd, const struct path_list *vanished)
{
	const struct log_request id = {.operation = request->operation};

	log_info("frozen (%s): %u cgroups requested, %u frozen, %u not frozen, %u failed, "
		 "%u vanished, %u frozen by the guest",
		 r->hierarchy ? "hierarchy" : "legacy", r->requested, r->frozen, r->not_frozen,
		 r->failed, r->vanished, r->pre_frozen);
	if (r->failed)
		log_event(&(struct log_line){.level = LOG_LEVEL_ERROR,
					     .request = id,
					     LOG_FIELDS(LOG_TEXT("error", "not frozen"),
							LOG_NUMBER("failed", r->failed))},
			  "%u cgroups could not be frozen", r->failed);
	if (request->max_wait_ms > 0 && r->not_frozen)
		log_not_frozen(id, r);
	log_vanished(id, r, root_fd, vanished);
	if (r->scan_failed)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     .request = id,
					     LOG_FIELDS(LOG_NUMBER("scan_failed", r->scan_failed),
							LOG_NUMBER("pre_frozen", r->pre_frozen))},
			  "%u cgroups could not be read before the freeze: a thaw will thaw them",
			  r->scan_failed);
	if (r->truncated)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     .request = id,
					     LOG_FIELDS(LOG_NUMBER("visited", r->visited),
							LOG_NUMBER("requested", r->requested))},
			  "there are more cgroups than the freeze may visit (%u)", r->visited);
}

void freeze_log_audit(const struct freeze_audit *a)
{
	if (a->violations)
		log_event(&(struct log_line){.level = LOG_LEVEL_ERROR,
					     LOG_FIELDS(LOG_NUMBER("violations", a->violations),
							LOG_NUMBER("frozen", a->frozen),
							LOG_NUMBER("visited", a->visited),
							LOG_TEXT("paths", a->violation_sample))},
			  "%u cgroups that a resume needs were frozen: %s", a->violations,
			  a->violation_sample);
	if (a->escaped)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     LOG_FIELDS(LOG_NUMBER("escaped", a->escaped),
							LOG_NUMBER("frozen", a->frozen),
							LOG_TEXT("paths", a->escaped_sample))},
			  "%u cgroups were not frozen (created later, or not visited): %s",
			  a->escaped, a->escaped_sample);
	if (a->truncated)
		log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
					     LOG_FIELDS(LOG_NUMBER("visited", a->visited))},
			  "the audit of the freeze stopped after %u cgroups, its limit",
			  a->visited);
}

void freeze_log_rescue(const struct freeze_thaw_counts *counts, const struct error *err,
		       uint64_t watchdog_ms)
{
	log_event(&(struct log_line){.level = LOG_LEVEL_WARN,
				     LOG_FIELDS(LOG_NUMBER("thawed", counts->thawed),
						LOG_NUMBER("visited", counts->visited),
						LOG_NUMBER("failed", counts->failed),
						LOG_BOOL("truncated", counts->truncated),
						LOG_TEXT("error", err ? err->message : NULL))},
		  "frozen for %ju s without a thaw: thawed", (uintmax_t)watchdog_ms / 1000);
}
