/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of the outgoing side: writes the state, places the descriptors, and replaces the
 * program. It runs on the loop in one piece, so that nothing changes between the state and the
 * execve; the workload is frozen and the file was opened before by a worker.
 */
#ifndef ENVD_UPGRADE_IMAGE_H
#define ENVD_UPGRADE_IMAGE_H

#include "base/arena.h"
#include "base/error.h"
#include "envd/upgrade/upgrade.h"

struct image {
	const char *path; /* of the program, for execve */
	char **argv;	  /* NULL-terminated */
	bool ours;	  /* understands our own flags, fields and listening sockets */
	int blob_fd;	  /* HANDOVER_BLOB, open and empty; borrowed */
};

/*
 * Replaces the program. Returns only if that fails: -1 with the reason. Then everything is as
 * before, except that the file behind blob_fd may have content.
 */
int image_execute(const struct upgrade_parts *parts, const struct image *image, struct error *err);

#endif
