/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs for parsers of outside bytes, laid right before a page that can't be read: a parser that
 * looks one byte too far crashes, in every variant of the build.
 */
#ifndef TESTS_UNIT_GUARD_H
#define TESTS_UNIT_GUARD_H

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

struct guard {
	char *map;
	size_t map_bytes;
};

/* Copies n bytes to before the guard page and returns them; guard_clear takes them away. */
static inline char *guard_put(struct guard *g, const void *bytes, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t room = (n + page - 1) / page * page;
	char *copy;

	g->map_bytes = room + page;
	g->map = mmap(NULL, g->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (g->map == MAP_FAILED || mprotect(g->map + room, page, PROT_NONE))
		fatal("guard page");
	copy = g->map + room - n;
	if (n > 0)
		memcpy(copy, bytes, n);
	return copy;
}

static inline void guard_clear(struct guard *g)
{
	munmap(g->map, g->map_bytes);
	g->map = NULL;
}

#endif
