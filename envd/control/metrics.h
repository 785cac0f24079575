/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's CPU, memory and disk usage, from /proc/stat, /proc/meminfo (proc(5)) and statfs(2)
 * of "/".
 */
#ifndef ENVD_METRICS_H
#define ENVD_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct metrics_memory {
	uint64_t total_bytes;
	uint64_t available_bytes;
	uint64_t cache_bytes; /* page cache and reclaimable slab */
};

struct metrics_cpu {
	unsigned count;
	uint64_t total; /* ticks of all CPUs together */
	uint64_t busy;	/* ticks that were neither idle nor waiting for I/O */
};

/* The figures of GET /metrics. */
struct metrics_figures {
	struct metrics_memory memory;
	struct metrics_cpu cpu;
	double cpu_percent; /* busy share since the previous reading */
	uint64_t disk_total, disk_used;
	uint64_t own_memory; /* resident bytes of the daemon */
};

/* Parse the texts of the two files. A missing field is 0. */
void metrics_parse_memory(const char *meminfo, struct metrics_memory *ret);
void metrics_parse_cpu(const char *stat, struct metrics_cpu *ret);

/* Returns the busy share of the ticks between two readings, 0 to 100. 0 if no tick passed. */
double metrics_cpu_percent(const struct metrics_cpu *before, const struct metrics_cpu *after);

#endif
