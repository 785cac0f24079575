/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X-Envd-Memory: how much memory the kernel protects for the daemon, in bytes. `request` and `low`
 * are memory.min and memory.low of its cgroup; `floor` is the smallest memory.min from below the
 * root of the hierarchy down to that cgroup, for an ancestor without protection takes it from its
 * children (Documentation/admin-guide/cgroup-v2.rst, "memory.min").
 */
#ifndef ENVD_MEMORY_REPORT_H
#define ENVD_MEMORY_REPORT_H

#define MEMORY_REPORT_BYTES 128

/*
 * Writes the header's JSON. `root_fd` is the root of the hierarchy (-1: there are no cgroups), and
 * `proc_file` a file like /proc/self/cgroup. A value that can't be read counts as 0 and makes the
 * report partial; "max" counts as 2^63-1.
 */
void memory_report_read(int root_fd, const char *proc_file, char ret[MEMORY_REPORT_BYTES]);

#endif
