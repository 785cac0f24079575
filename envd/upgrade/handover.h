/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon finds when it has replaced another one by execve under the same pid, started with
 * -resume-handover: descriptors of the old daemon's processes, and a file that describes them
 * (docs/compatibility/upgrade.md).
 */
#ifndef ENVD_UPGRADE_HANDOVER_H
#define ENVD_UPGRADE_HANDOVER_H

#define HANDOVER_BLOB "/run/e2b/envd-handover.pb"

/*
 * Closes every inherited descriptor from `first` up. Call it before the daemon opens any: afterwards
 * an inherited pipe can't be told from one of its own.
 */
void handover_close_inherited(unsigned first);

/*
 * Removes the file of the old daemon. Returns the value of X-Envd-Handover, a static string: "failed"
 * is true if there was a file, because its processes are not taken over.
 */
const char *handover_refuse(const char *blob_path);

#endif
