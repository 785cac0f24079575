/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories of cgroup2 (Documentation/admin-guide/cgroup-v2.rst). The files are small
 * texts that are read and written as a whole. Paths are relative to an open directory.
 */
#ifndef PTY_CGROUP_CGROUP_FILE_H
#define PTY_CGROUP_CGROUP_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Enough for cgroup.events, memory.events, cpu.stat and every file of one value. */
#define CGROUP_FILE_BYTES 4096

/* Does not create a file: -ENOENT if the property does not exist. 0 or -errno. */
int cgroup_file_write(int dir_fd, const char *path, const char *value);

/* Reads at most room - 1 bytes and adds a NUL. The count, or -errno. */
ssize_t cgroup_file_read(int dir_fd, const char *path, char *text, size_t room);

/* The value of `key` in a text of lines "key value": true where it is there and a number. */
bool cgroup_file_key(const char *text, const char *key, uint64_t *ret);

/* Reads a file of keys and looks one up. 0, -errno, or -ENODATA where it has no such key. */
int cgroup_file_read_key(int dir_fd, const char *path, const char *key, uint64_t *ret);

/* Reads a file that holds one number; "max" is UINT64_MAX. 0 or -errno. */
int cgroup_file_read_number(int dir_fd, const char *path, uint64_t *ret);

/*
 * Whether the cgroup is frozen or about to be: it, or one above it, has 1 in cgroup.freeze, or its
 * cgroup.events says so. False if that cannot be read.
 */
bool cgroup_file_is_frozen(int dir_fd);

/*
 * Removes a cgroup and the empty ones below it, down to CGROUP_REMOVE_MAX_DEPTH. 0, also if it did
 * not exist; -EBUSY if a process is in it; or another -errno. Reads directories: for a worker.
 */
#define CGROUP_REMOVE_MAX_DEPTH 32
int cgroup_remove(int dir_fd, const char *name);

#endif
