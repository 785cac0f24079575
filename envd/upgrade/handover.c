/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/handover.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

/* Without close_range (Linux before 5.9): the reference numbers what it hands over from 200 up. */
#define LAST_TRIED_FD 65536

void handover_close_inherited(unsigned first)
{
	int fd;

	if (syscall(SYS_close_range, first, ~0u, 0u) == 0)
		return;
	for (fd = (int)first; fd < LAST_TRIED_FD; fd++)
		close(fd);
}

#define REPORT(failed)                                                                             \
	"{\"failed\":" failed                                                                      \
	",\"procs\":0,\"procs_failed\":0,\"retained\":0,\"retained_failed\":0"                     \
	",\"watchers\":0,\"watchers_failed\":0}"

const char *handover_refuse(const char *blob_path)
{
	if (unlink(blob_path) == 0) {
		log_error(
			"handover: the processes of the daemon before this one are not taken over");
		return REPORT("true");
	}
	if (errno != ENOENT)
		log_error("handover: %s: %s", blob_path, error_errno_text(errno));
	return errno == ENOENT ? REPORT("false") : REPORT("true");
}
