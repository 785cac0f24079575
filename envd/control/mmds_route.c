#include "envd/control/mmds_route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/run_command.h"

#define IPTABLES_TIMEOUT_MS 6000

struct repair {
	struct work work;
	void (*done)(void *arg);
	void *arg;
};

/* iptables waits for its own lock for up to five seconds: a program of the guest's may have it. */
static int iptables(const char *operation, const char *chain, const char *position,
		    struct run_result *result)
{
	const char *argv[20] = {"iptables", "-w", "5", "-t", "nat", operation, chain};
	const char *const rule[] = {"-d", "169.254.169.254", "-p", "tcp", "--dport", "80",
				    "-j", "RETURN",	     NULL};
	size_t n = 7;

	if (position)
		argv[n++] = position;
	memcpy(argv + n, rule, sizeof(rule));
	return run_command(argv, IPTABLES_TIMEOUT_MS, result);
}

/* A rule that is there already is taken out first: others may have been put before it. */
static void repair_run(struct work *work)
{
	static const char *const chains[] = {"PREROUTING", "OUTPUT"};
	struct run_result result;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(chains); i++) {
		r = iptables("-D", chains[i], NULL, &result);
		if (r == -ENOENT)
			return;
		r = iptables("-I", chains[i], "1", &result);
		if (r < 0 || result.status)
			log_warn("iptables: the metadata service's route can't be repaired: %s",
				 r < 0 ? error_errno_text(r) : result.output);
	}
}

static void repair_done(struct work *work)
{
	struct repair *repair = container_of(work, struct repair, work);

	repair->done(repair->arg);
	free(repair);
}

void mmds_route_repair(struct workers *workers, void (*done)(void *arg), void *arg)
{
	struct repair *repair = mem_zalloc(sizeof(*repair));

	repair->work.run = repair_run;
	repair->work.done = repair_done;
	repair->done = done;
	repair->arg = arg;
	work_submit(workers, &repair->work);
}
