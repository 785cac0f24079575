/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/metrics.h"

#include <stdlib.h>
#include <string.h>

/* Returns the value of a line "Name:   123 kB" in bytes; 0 if there is no such line. */
static uint64_t memory_field(const char *meminfo, const char *name)
{
	size_t n = strlen(name);
	const char *line = meminfo;

	while (line && *line) {
		if (strncmp(line, name, n) == 0 && line[n] == ':')
			return strtoull(line + n + 1, NULL, 10) * 1024;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return 0;
}

void metrics_parse_memory(const char *meminfo, struct metrics_memory *ret)
{
	ret->total_bytes = memory_field(meminfo, "MemTotal");
	ret->available_bytes = memory_field(meminfo, "MemAvailable");
	ret->cache_bytes = memory_field(meminfo, "Cached") + memory_field(meminfo, "SReclaimable");
	if (ret->available_bytes > ret->total_bytes)
		ret->available_bytes = ret->total_bytes;
}

void metrics_parse_cpu(const char *stat, struct metrics_cpu *ret)
{
	/* user nice system idle iowait irq softirq steal; guest time is inside user's. */
	unsigned long long ticks[8] = {0};
	const char *line = stat;
	char *at = (char *)(uintptr_t)stat + 3;
	int i;

	memset(ret, 0, sizeof(*ret));
	if (strncmp(stat, "cpu ", 4) != 0)
		return;
	for (i = 0; i < 8; i++) {
		ticks[i] = strtoull(at, &at, 10);
		ret->total += ticks[i];
		if (i != 3 && i != 4)
			ret->busy += ticks[i];
	}
	while ((line = strstr(line, "\ncpu")) != NULL) {
		line += 4;
		ret->count += *line >= '0' && *line <= '9';
	}
}

double metrics_cpu_percent(const struct metrics_cpu *before, const struct metrics_cpu *after)
{
	double percent;

	if (after->total <= before->total || after->busy < before->busy)
		return 0;
	percent = 100.0 * (double)(after->busy - before->busy) /
		  (double)(after->total - before->total);
	return percent > 100 ? 100 : percent;
}
