/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X-Envd-Memory: the memory that the kernel protects for the daemon, in bytes. `request` and `low`
 * are memory.min and memory.low of the daemon's cgroup. `floor` is the smallest memory.min of the
 * cgroups on the path from below the root to the daemon's cgroup: an ancestor with less protection
 * limits its children (Documentation/admin-guide/cgroup-v2.rst, "memory.min").
 */
#ifndef ENVD_MEMORY_REPORT_H
#define ENVD_MEMORY_REPORT_H

#define MEMORY_REPORT_BYTES 128

/*
 * Writes the header's JSON. `root_fd` is the root of the hierarchy (-1: there are no cgroups);
 * `proc_file` has the format of /proc/self/cgroup. A value that can't be read counts as 0 and sets
 * `partial`; "max" counts as 2^63-1.
 */
void memory_report_read(int root_fd, const char *proc_file, char ret[MEMORY_REPORT_BYTES]);

#endif
