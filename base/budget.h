/*
 * The daemon's budget: one place where everything a peer can make it hold is counted.
 *
 * A request is first bounded by itself (each header names its limits); above those stands this
 * one. What does not fit is refused with resource_exhausted or 503, and nothing is lost that was
 * there before. Loop only.
 */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct mem_trim;

enum budget_kind {
	BUDGET_CONNECTIONS,
	BUDGET_STREAMS,	  /* requests in work */
	BUDGET_PROCESSES, /* live */
	BUDGET_WATCHERS,
	BUDGET_BYTES, /* request messages being gathered, responses and events waiting */
	BUDGET_KINDS,
};

struct budget {
	size_t used[BUDGET_KINDS];
	size_t limit[BUDGET_KINDS];
	size_t peak[BUDGET_KINDS];
	struct mem_trim *trim; /* is told what is given back; NULL: nobody is */
};

/* The limits that hold unless main sets others; BUDGET_CONNECTIONS follows RLIMIT_NOFILE. */
#define BUDGET_DEFAULT_CONNECTIONS 16384
#define BUDGET_DEFAULT_STREAMS	   16384
#define BUDGET_DEFAULT_PROCESSES   16384
#define BUDGET_DEFAULT_WATCHERS	   4096
#define BUDGET_DEFAULT_BYTES	   (256u * 1024 * 1024)

void budget_init(struct budget *b);

/* Takes n where they fit: true. Otherwise takes nothing. */
bool budget_take(struct budget *b, enum budget_kind kind, size_t n);
void budget_give(struct budget *b, enum budget_kind kind, size_t n);

/* "connections", … for the log and the metrics. */
const char *budget_kind_name(enum budget_kind kind);

#endif
