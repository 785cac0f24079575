/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out whether a file system of the guest would stop the execve for good: one of FUSE, or one
 * that the guest has frozen.
 *
 * The upgrade has frozen the workload, and with it the FUSE servers of the guest (sshfs, s3fs,
 * rclone). The execve ends all threads and closes all descriptors. A thread whose request a server
 * has read can't be killed (request_wait_answer, fs/fuse/dev.c), and closing an open file asks the
 * server to flush it (fuse_flush, fs/fuse/file.c). The server answers after the thaw, and the thaw
 * comes from the program that the execve never reaches.
 *
 * The same holds for a thread that writes to a file system that a process of the guest has frozen
 * (fsfreeze(8)): the thread can't be killed (percpu_rwsem_wait, kernel/locking/percpu-rwsem.c), and
 * the process that would thaw the file system has stopped.
 */
#ifndef ENVD_UPGRADE_EXEC_BLOCKER_H
#define ENVD_UPGRADE_EXEC_BLOCKER_H

#include <stdbool.h>

/*
 * Returns the reason why the execve would not end; NULL if it would. Call it immediately before the
 * execve. Blocks for up to EXEC_BLOCKER_PATIENCE_MS, for requests to a server that is not frozen: a
 * host's, for virtiofs, answers soon.
 */
const char *exec_blocker(void);

#define EXEC_BLOCKER_PATIENCE_MS 20

#endif
