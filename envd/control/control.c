#include "envd/control/control.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/work.h"
#include "envd/control/ctl_health.h"
#include "envd/control/log_export.h"
#include "envd/control/mmds.h"
#include "envd/control/mounts.h"

#define RUN_DIRECTORY "/run/e2b"

/* Writes one of the files by which programs in the guest know where they are. */
static void write_run_file(const char *name, const char *value, mode_t mode)
{
	FD_AUTO int directory = -1;
	FD_AUTO int fd = -1;

	mkdir(RUN_DIRECTORY, 0755);
	directory = open(RUN_DIRECTORY, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0)
		fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			    mode);
	if (fd < 0 || fd_write_all(fd, value, strlen(value)) < 0)
		log_debug("%s/%s can't be written", RUN_DIRECTORY, name);
}

void control_init(struct control *c, struct context *context, struct server *server, bool is_not_fc)
{
	memset(c, 0, sizeof(*c));
	c->context = context;
	c->server = server;
	c->is_not_fc = is_not_fc;
	TAILQ_INIT(&c->waiting);
	c->mounts = mounts_new();
	c->control_workers = workers_new(context->loop, "control", 1);
	c->fsfreeze_workers = workers_new(context->loop, "fsfreeze", 1);
	context_env_set(context, "E2B_SANDBOX", is_not_fc ? "false" : "true", true);
	write_run_file(".E2B_SANDBOX", is_not_fc ? "false" : "true", 0444);
	if (!is_not_fc) {
		c->log_export = log_export_new(context->loop);
		c->mmds = mmds_new(context->loop, control_known, c);
		mmds_poll(c->mmds, 0);
	}
}

void control_known(void *arg, const struct mmds_answer *answer)
{
	struct control *c = arg;

	context_env_set(c->context, "E2B_SANDBOX_ID", answer->instance_id, true);
	context_env_set(c->context, "E2B_TEMPLATE_ID", answer->env_id, true);
	write_run_file(".E2B_SANDBOX_ID", answer->instance_id, 0666);
	write_run_file(".E2B_TEMPLATE_ID", answer->env_id, 0666);
	if (answer->address[0])
		log_export_set_target(c->log_export, answer->address, answer->instance_id,
				      answer->env_id);
}

void control_register(struct control *c, struct router *router)
{
	ctl_health_register(router);
	ctl_envs_register(c, router);
	ctl_init_register(c, router);
	ctl_metrics_register(c, router);
	ctl_freeze_register(c, router);
	ctl_fsfreeze_register(c, router);
	ctl_collapse_register(c, router);
}
