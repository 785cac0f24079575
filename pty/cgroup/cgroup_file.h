/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes files of cgroup2 (Documentation/admin-guide/cgroup-v2.rst), which are small
 * texts, and removes its directories. Paths are relative to an open directory.
 */
#ifndef PTY_CGROUP_CGROUP_FILE_H
#define PTY_CGROUP_CGROUP_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Enough for cgroup.events, memory.events, cpu.stat and every file of one value. */
#define CGROUP_FILE_BYTES 4096

/* Writes a value. Does not create the file: -ENOENT if it does not exist. 0 or -errno. */
int cgroup_file_write(int dir_fd, const char *path, const char *value);

/* Reads at most room - 1 bytes and adds a NUL. Returns the number of bytes, or -errno. */
ssize_t cgroup_file_read(int dir_fd, const char *path, char *text, size_t room);

/*
 * Finds `key` in a text of lines "key value". Returns true if it is there and its value is a
 * number.
 */
bool cgroup_file_key(const char *text, const char *key, uint64_t *ret);

/* Reads a file and finds a key, as cgroup_file_key. 0 or -errno; -ENODATA if the key is missing. */
int cgroup_file_read_key(int dir_fd, const char *path, const char *key, uint64_t *ret);

/* Reads a file that contains one number; "max" is UINT64_MAX. 0 or -errno. */
int cgroup_file_read_number(int dir_fd, const char *path, uint64_t *ret);

/*
 * Returns true if the cgroup is frozen or about to be: cgroup.freeze of the cgroup or of an
 * ancestor is 1, or cgroup.events says `frozen 1`. Returns false if the files can't be read.
 */
bool cgroup_file_is_frozen(int dir_fd);

/*
 * Removes a cgroup and its empty descendants, down to CGROUP_REMOVE_MAX_DEPTH. 0, also if it does
 * not exist; -EBUSY if it has processes; or another -errno. Reads directories: call it on a worker.
 */
#define CGROUP_REMOVE_MAX_DEPTH 32
int cgroup_remove(int dir_fd, const char *name);

#endif
