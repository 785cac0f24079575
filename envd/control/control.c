/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/control.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/work.h"
#include "envd/control/cpus.h"
#include "envd/control/ctl_health.h"
#include "envd/control/ctl_ports.h"
#include "envd/control/lifecycle.h"
#include "envd/control/log_export.h"
#include "envd/control/mmds.h"
#include "envd/control/mmds_route.h"
#include "envd/control/oom_log.h"
#include "envd/control/run_files.h"
#include "envd/control/volumes.h"

static void mmds_known(void *arg, const struct mmds_answer *answer);

void control_init(struct control *c, struct context *context, struct server *server, bool is_not_fc)
{
	struct loop *loop = context->loop;

	memset(c, 0, sizeof(*c));
	c->context = context;
	c->server = server;
	c->is_not_fc = is_not_fc;
	c->started_ms = clock_monotonic_ms();
	TAILQ_INIT(&c->waiting);
	c->volumes = volumes_new(loop);
	c->collapse_workers = workers_new(loop, "collapse", 1);
	c->fsfreeze_workers = workers_new(loop, "fsfreeze", 1);
	c->system_workers = workers_new(loop, "system", 1);
	c->run_files = run_files_new(c->system_workers);
	c->resume = lifecycle_new(loop);
	memory_report_read(-1, "", c->memory_report);
	context_env_set(context, "E2B_SANDBOX", is_not_fc ? "false" : "true", true);
	run_files_set(c->run_files, ".E2B_SANDBOX", is_not_fc ? "false" : "true", 0444);
	if (!is_not_fc) {
		c->log_export = log_export_new(loop);
		c->cpus = cpus_new(loop, c->run_files, CPUS_DIRECTORY, "/proc/self/exe");
		c->oom_log = oom_log_new(loop, OOM_LOG_PATH);
		c->mmds_route = mmds_route_new(loop);
		c->mmds = mmds_new(loop, mmds_known, c);
		mmds_poll(c->mmds, 0);
	}
}

void control_clear(struct control *c)
{
	mmds_free(c->mmds);
	mmds_route_free(c->mmds_route);
	oom_log_free(c->oom_log);
	cpus_free(c->cpus);
	log_export_free(c->log_export);
	workers_free(c->system_workers);
	workers_free(c->fsfreeze_workers);
	workers_free(c->collapse_workers);
	ports_free(c->ports);
	lifecycle_free(c->resume);
	run_files_free(c->run_files);
	volumes_free(c->volumes);
	free(c->lifecycle);
	free(c->ca_bundle);
}

void control_set_cgroups(struct control *c, int root_fd)
{
	c->has_cgroups = root_fd >= 0;
	memory_report_read(root_fd, "/proc/self/cgroup", c->memory_report);
}

/*
 * Stores the names of the sandbox and the address of the log collector from the metadata service.
 */
static void mmds_known(void *arg, const struct mmds_answer *answer)
{
	struct control *c = arg;

	context_env_set(c->context, "E2B_SANDBOX_ID", answer->instance_id, true);
	context_env_set(c->context, "E2B_TEMPLATE_ID", answer->env_id, true);
	run_files_set(c->run_files, ".E2B_SANDBOX_ID", answer->instance_id, 0666);
	run_files_set(c->run_files, ".E2B_TEMPLATE_ID", answer->env_id, 0666);
	if (answer->address[0])
		log_export_set_target(c->log_export, answer->address, answer->instance_id,
				      answer->env_id);
}

void control_register(struct control *c, struct router *router)
{
	ctl_health_register(router);
	ctl_info_register(c, router);
	ctl_envs_register(c, router);
	ctl_init_register(c, router);
	ctl_metrics_register(c, router);
	ctl_freeze_register(c, router);
	ctl_fsfreeze_register(c, router);
	ctl_collapse_register(c, router);
	c->ports = ports_new(c->context, router);
}
