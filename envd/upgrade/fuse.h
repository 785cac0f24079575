/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out whether a FUSE file system would stop the execve for good.
 *
 * The upgrade has frozen the workload, and with it the FUSE servers of the guest (sshfs, s3fs,
 * rclone). The execve ends all threads and closes all descriptors. A thread whose request a server
 * has read can't be killed (request_wait_answer, fs/fuse/dev.c), and closing an open file asks the
 * server to flush it (fuse_flush, fs/fuse/file.c). The server answers after the thaw, and the thaw
 * comes from the program that the execve never reaches.
 */
#ifndef ENVD_UPGRADE_FUSE_H
#define ENVD_UPGRADE_FUSE_H

#include <stdbool.h>

/*
 * Returns the reason why the execve would not end; NULL if it would. Call it immediately before the
 * execve. Blocks for up to FUSE_PATIENCE_MS, for requests to a server that is not frozen: a host's,
 * for virtiofs, answers soon.
 */
const char *fuse_blocks_exec(void);

#define FUSE_PATIENCE_MS 20

#endif
