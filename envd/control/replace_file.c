/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/replace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* In place, for what can't be renamed over. */
static int overwrite(const char *path, const void *data, size_t n)
{
	FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, n);
	if (r == 0 && ftruncate(fd, (off_t)n) < 0)
		r = -errno;
	return r;
}

int replace_file(const char *path, const void *data, size_t n, mode_t mode)
{
	char real[PATH_MAX], temporary[PATH_MAX + 16];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	FD_AUTO int fd = -1;
	struct stat st;
	int r;

	if (!realpath(path, real)) {
		if (errno != ENOENT || strlen(path) >= sizeof(real))
			return -errno;
		strcpy(real, path);
	}
	if (stat(real, &st) == 0) {
		mode = st.st_mode & 07777;
		uid = st.st_uid;
		gid = st.st_gid;
	}
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", real);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return errno == EROFS || errno == EACCES ? overwrite(real, data, n) : -errno;
	r = fd_write_all(fd, data, n);
	if (r == 0 && (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0))
		r = -errno;
	if (r == 0 && rename(temporary, real) < 0)
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r == -EBUSY || r == -EXDEV ? overwrite(real, data, n) : r;
}
