/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/accounting.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pty/rpc.h"

struct accounting *accounting_new(const struct pty_service *svc)
{
	struct accounting *a;
	struct proc *p;

	if (!svc->cgroups || !svc->cgroups->accounting)
		return NULL;
	a = mem_zalloc(sizeof(*a) + svc->table.n_live * sizeof(a->rows[0]));
	TAILQ_FOREACH (p, &svc->table.live, link)
		if (p->cgroup)
			a->rows[a->n++].proc = proc_ref(p);
	return a;
}

void accounting_read(struct accounting *a)
{
	size_t i;

	for (i = 0; a && i < a->n; i++)
		a->rows[i].known = cgroup_usage(a->rows[i].proc->cgroup, &a->rows[i].usage) == 0;
}

void accounting_free(struct accounting *a)
{
	size_t i;

	for (i = 0; a && i < a->n; i++)
		proc_unref(a->rows[i].proc);
	free(a);
}
