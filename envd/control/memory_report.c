/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/memory_report.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "envd/control/freeze_tree.h"
#include "pty/cgroup/cgroup_file.h"

/* Reads a number from a file of the cgroup. If this fails, returns 0 and sets *partial. */
static uint64_t read_bytes(int root_fd, const char *path, const char *file, bool *partial)
{
	char name[4096];
	uint64_t value = 0;

	if (snprintf(name, sizeof(name), "%s/%s", path, file) >= (int)sizeof(name) ||
	    cgroup_file_read_number(root_fd, name, &value) < 0) {
		*partial = true;
		return 0;
	}
	return value > INT64_MAX ? INT64_MAX : value;
}

void memory_report_read(int root_fd, const char *proc_file, char ret[MEMORY_REPORT_BYTES])
{
	uint64_t request = 0, low = 0, floor = 0, min;
	struct freeze_tree tree;
	bool partial = true;
	const char *own;
	size_t i;

	if (root_fd >= 0) {
		freeze_tree_init(&tree, root_fd, proc_file);
		partial = !tree.located;
		own = tree.located ? tree.chain.paths[tree.chain.n - 1] : "";
		if (*own) {
			request = read_bytes(root_fd, own, "memory.min", &partial);
			low = read_bytes(root_fd, own, "memory.low", &partial);
			floor = request;
		}
		for (i = 0; *own && i < tree.chain.n; i++) {
			if (!*tree.chain.paths[i])
				continue;
			min = read_bytes(root_fd, tree.chain.paths[i], "memory.min", &partial);
			if (min < floor)
				floor = min;
		}
		freeze_tree_clear(&tree);
	}
	snprintf(ret, MEMORY_REPORT_BYTES,
		 "{\"request\":%" PRIu64 ",\"low\":%" PRIu64 ",\"floor\":%" PRIu64
		 ",\"partial\":%s}",
		 request, low, floor, partial ? "true" : "false");
}
