/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/sums.h"

#include "envd/control/control.h"
#include "envd/control/freezer.h"
#include "envd/control/log_export.h"
#include "envd/control/oom_log.h"
#include "pty/service.h"
#include "rpc/http/server.h"

Handover__Sums *sums_export(const struct control *control, struct arena *arena)
{
	Handover__Sums *out = arena_zalloc(arena, sizeof(*out));
	const struct freezer_stats *freezes = freezer_stats(control->freezer);
	struct pty_stats processes;

	handover__sums__init(out);
	pty_service_stats(control->pty, &processes);
	out->requests = server_requests(control->server);
	out->log_lines_dropped = control->log_export ? log_export_dropped(control->log_export) : 0;
	out->starts = processes.started;
	out->failed_starts = processes.failed;
	out->oom_kills = processes.oom_kills;
	out->output_bytes = processes.output_bytes;
	out->freezes = freezes->freezes;
	out->thaws = freezes->thaws;
	out->rescues = freezes->rescues;
	out->kernel_oom_kills = oom_log_total(control->oom_log);
	out->kernel_log_next = oom_log_next(control->oom_log);
	return out;
}

void sums_add(struct control *control, struct pty_service *pty, const Handover__Sums *sums)
{
	if (!sums)
		return;
	server_add_requests(control->server, sums->requests);
	if (control->log_export)
		log_export_add_dropped(control->log_export, sums->log_lines_dropped);
	pty_service_add_stats(pty, &(struct pty_stats){
					   .started = sums->starts,
					   .failed = sums->failed_starts,
					   .oom_kills = sums->oom_kills,
					   .output_bytes = sums->output_bytes,
				   });
	freezer_add_stats(control->freezer, &(struct freezer_stats){
						    .freezes = sums->freezes,
						    .thaws = sums->thaws,
						    .rescues = sums->rescues,
					    });
	if (control->oom_log)
		oom_log_continue(control->oom_log, sums->kernel_oom_kills, sums->kernel_log_next);
}
