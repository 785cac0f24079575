/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/mmds_route.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/run_command.h"

#define IPTABLES_TIMEOUT_MS 6000

struct mmds_route {
	struct workers *workers; /* one thread */
	struct work work;
	bool working;		 /* on the worker */
	void (*done)(void *arg); /* NULL: no caller waits */
	void *arg;
	struct timer deadline;
};

/* -w 5: iptables waits up to 5 s for its lock, which a program of the guest may hold. */
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

/* Deletes an existing rule first, because the guest may have inserted other rules before it. */
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

static void tell(struct mmds_route *m)
{
	void (*done)(void *arg) = m->done;

	timer_cancel(&m->deadline);
	m->done = NULL;
	if (done)
		done(m->arg);
}

static void repair_done(struct work *work)
{
	struct mmds_route *m = container_of(work, struct mmds_route, work);

	m->working = false;
	tell(m);
}

static void on_deadline(void *arg)
{
	struct mmds_route *m = arg;

	log_warn("iptables hangs: the route to the metadata service may not be repaired");
	tell(m);
}

void mmds_route_repair(struct mmds_route *m, void (*done)(void *arg), void *arg)
{
	m->done = done;
	m->arg = arg;
	timer_set_ms(&m->deadline, m->working ? 0 : MMDS_ROUTE_TIMEOUT_MS);
	if (m->working)
		return;
	m->working = true;
	m->work.run = repair_run;
	m->work.done = repair_done;
	work_submit(m->workers, &m->work);
}

struct mmds_route *mmds_route_new(struct loop *loop)
{
	struct mmds_route *m = mem_zalloc(sizeof(*m));

	m->workers = workers_new(loop, "route", 1);
	timer_init(&m->deadline, loop, on_deadline, m);
	return m;
}

void mmds_route_free(struct mmds_route *m)
{
	if (!m)
		return;
	workers_free(m->workers);
	timer_cancel(&m->deadline);
	free(m);
}
