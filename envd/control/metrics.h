/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine uses: /proc/stat, /proc/meminfo (proc(5)), statfs of "/".
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
	uint64_t busy;	/* of them, neither idle nor waiting for I/O */
};

/* All that is told. */
struct metrics_figures {
	struct metrics_memory memory;
	struct metrics_cpu cpu;
	double cpu_percent; /* busy, since the last reading */
	uint64_t disk_total, disk_used;
	uint64_t own_memory; /* resident bytes of the daemon */
};

/* Read the texts of the two files. Fields that are not there are 0. */
void metrics_parse_memory(const char *meminfo, struct metrics_memory *ret);
void metrics_parse_cpu(const char *stat, struct metrics_cpu *ret);

/* 0 to 100: the busy share of the ticks between two readings; 0 where no time passed. */
double metrics_cpu_percent(const struct metrics_cpu *before, const struct metrics_cpu *after);

#endif
