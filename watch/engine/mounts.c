/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/mountinfo.h"

struct mount {
	char *path;
	size_t bytes; /* of the path */
	enum watch_mount_kind kind;
};

struct watch_mounts {
	pthread_mutex_t lock;
	int fd; /* /proc/self/mountinfo; poll(2) reports changes of the table */
	bool read;
	struct mount *mounts; /* in the order of mounting */
	size_t n;
};

enum watch_mount_kind watch_mount_kind(const char *type)
{
	/* The types of fs/netmount.h, by name. */
	static const char *const network[] = {"nfs",   "nfs4", "cifs",	 "smb3",
					      "smbfs", "fuse", "fuseblk"};
	static const char *const kernel[] = {
		"proc",	   "sysfs",	"cgroup",      "cgroup2",    "debugfs",
		"tracefs", "bpf",	"devpts",      "securityfs", "configfs",
		"pstore",  "efivarfs",	"selinuxfs",   "fusectl",    "mqueue",
		"nsfs",	   "hugetlbfs", "binfmt_misc", "autofs",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(network); i++)
		if (strcmp(type, network[i]) == 0)
			return WATCH_MOUNT_NETWORK;
	if (strncmp(type, "fuse.", 5) == 0 && type[5])
		return WATCH_MOUNT_NETWORK;
	for (i = 0; i < ARRAY_LEN(kernel); i++)
		if (strcmp(type, kernel[i]) == 0)
			return WATCH_MOUNT_KERNEL;
	return WATCH_MOUNT_LOCAL;
}

struct watch_mounts *watch_mounts_new(void)
{
	struct watch_mounts *mounts = mem_zalloc(sizeof(*mounts));

	pthread_mutex_init(&mounts->lock, NULL);
	mounts->fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	return mounts;
}

static void forget(struct watch_mounts *mounts)
{
	size_t i;

	for (i = 0; i < mounts->n; i++)
		free(mounts->mounts[i].path);
	free(mounts->mounts);
	mounts->mounts = NULL;
	mounts->n = 0;
}

void watch_mounts_free(struct watch_mounts *mounts)
{
	if (!mounts)
		return;
	forget(mounts);
	fd_close(&mounts->fd);
	pthread_mutex_destroy(&mounts->lock);
	free(mounts);
}

static void add_line(struct watch_mounts *mounts, char *line)
{
	struct mountinfo mount;

	if (mountinfo_parse(line, &mount))
		mounts->mounts[mounts->n++] = (struct mount){
			.path = mem_strdup(mount.path),
			.bytes = strlen(mount.path),
			.kind = watch_mount_kind(mount.type),
		};
}

/* Returns true if the table must be read again. poll(2) reports each change once. */
static bool has_changed(struct watch_mounts *mounts)
{
	struct pollfd pfd = {.fd = mounts->fd, .events = POLLPRI};

	if (poll(&pfd, 1, 0) > 0)
		return true;
	return !mounts->read;
}

static void read_table(struct watch_mounts *mounts)
{
	char *text, *line, *rest;
	size_t lines = 1;

	forget(mounts);
	mounts->read = true;
	if (mountinfo_read(&text) < 0)
		return;
	for (line = text; (line = strchr(line, '\n')); line++)
		lines++;
	mounts->mounts = mem_alloc(lines * sizeof(*mounts->mounts));
	for (rest = text; (line = strsep(&rest, "\n")) != NULL;)
		add_line(mounts, line);
	free(text);
}

/* Returns true if `path` is `top`, or below it. */
static bool is_in(const char *path, const char *top, size_t top_bytes)
{
	return strncmp(path, top, top_bytes) == 0 &&
	       (!path[top_bytes] || path[top_bytes] == '/' || top[top_bytes - 1] == '/');
}

enum watch_mount_kind watch_mounts_of(struct watch_mounts *mounts, const char *path)
{
	enum watch_mount_kind kind = WATCH_MOUNT_LOCAL;
	const struct mount *mount;
	size_t i, longest = 0;

	pthread_mutex_lock(&mounts->lock);
	if (has_changed(mounts))
		read_table(mounts);
	/* Of several mounts at one path, the last one hides the others. */
	for (i = 0; i < mounts->n; i++) {
		mount = &mounts->mounts[i];
		if (mount->bytes < longest || !is_in(path, mount->path, mount->bytes))
			continue;
		longest = mount->bytes;
		kind = mount->kind;
	}
	pthread_mutex_unlock(&mounts->lock);
	return kind;
}

bool watch_mounts_below(struct watch_mounts *mounts, const char *path)
{
	size_t n = strlen(path), i;
	bool below = false;

	if (mounts->fd < 0)
		return false;
	pthread_mutex_lock(&mounts->lock);
	if (has_changed(mounts))
		read_table(mounts);
	for (i = 0; i < mounts->n && !below; i++)
		below = mounts->mounts[i].bytes > n && is_in(mounts->mounts[i].path, path, n);
	pthread_mutex_unlock(&mounts->lock);
	return below;
}

enum watch_mount_kind watch_mounts_at(struct watch_mounts *mounts, const char *path)
{
	enum watch_mount_kind kind = WATCH_MOUNT_NONE;
	size_t n = strlen(path), i;

	pthread_mutex_lock(&mounts->lock);
	for (i = 0; i < mounts->n; i++)
		if (mounts->mounts[i].bytes == n && memcmp(mounts->mounts[i].path, path, n) == 0)
			kind = mounts->mounts[i].kind;
	pthread_mutex_unlock(&mounts->lock);
	return kind;
}
