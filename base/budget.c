#include "base/budget.h"

#include <string.h>

#include "base/mem.h"
#include "base/mem_trim.h"

void budget_init(struct budget *b)
{
	memset(b, 0, sizeof(*b));
	b->limit[BUDGET_CONNECTIONS] = BUDGET_DEFAULT_CONNECTIONS;
	b->limit[BUDGET_STREAMS] = BUDGET_DEFAULT_STREAMS;
	b->limit[BUDGET_PROCESSES] = BUDGET_DEFAULT_PROCESSES;
	b->limit[BUDGET_WATCHERS] = BUDGET_DEFAULT_WATCHERS;
	b->limit[BUDGET_BYTES] = BUDGET_DEFAULT_BYTES;
}

bool budget_take(struct budget *b, enum budget_kind kind, size_t n)
{
	if (n > b->limit[kind] || b->used[kind] > b->limit[kind] - n)
		return false;
	b->used[kind] += n;
	if (b->used[kind] > b->peak[kind])
		b->peak[kind] = b->used[kind];
	return true;
}

void budget_give(struct budget *b, enum budget_kind kind, size_t n)
{
	if (n > b->used[kind])
		fatal("budget: %zu %s given back, %zu taken", n, budget_kind_name(kind),
		      b->used[kind]);
	b->used[kind] -= n;
	mem_trim_released(b->trim);
}

const char *budget_kind_name(enum budget_kind kind)
{
	static const char *const names[BUDGET_KINDS] = {
		[BUDGET_CONNECTIONS] = "connections",
		[BUDGET_STREAMS] = "streams",
		[BUDGET_PROCESSES] = "processes",
		[BUDGET_WATCHERS] = "watchers",
		[BUDGET_BYTES] = "bytes",
	};

	return kind < BUDGET_KINDS ? names[kind] : "unknown";
}
