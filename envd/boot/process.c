/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/process.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/budget.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

void process_raise_descriptors(struct budget *budget)
{
	struct rlimit limit;
	size_t all;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("RLIMIT_NOFILE can't be raised: %s", error_errno_text(errno));
	getrlimit(RLIMIT_NOFILE, &limit);
	all = limit.rlim_cur > 1u << 20 ? 1u << 20 : (size_t)limit.rlim_cur;
	if (budget->limit[BUDGET_CONNECTIONS] > all / 2)
		budget->limit[BUDGET_CONNECTIONS] = all / 2;
	if (budget->limit[BUDGET_PROCESSES] > all * 7 / 16 / 4)
		budget->limit[BUDGET_PROCESSES] = all * 7 / 16 / 4;
}

void process_ignore_signals(void)
{
	static const int ignored[] = {SIGHUP,  SIGUSR2,	  SIGPIPE, SIGALRM, SIGVTALRM, SIGPROF,
				      SIGPOLL, SIGSTKFLT, SIGPWR,  SIGXCPU, SIGXFSZ};
	size_t i;
	int number;

	for (i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	for (number = SIGRTMIN; number <= SIGRTMAX; number++)
		signal(number, SIG_IGN);
}
