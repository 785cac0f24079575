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
	size_t line; /* of the table */
	enum watch_mount_kind kind;
};

struct watch_mounts {
	pthread_mutex_t lock;
	int fd; /* /proc/self/mountinfo; poll(2) reports changes of the table */
	bool read;
	struct mount *mounts; /* sorted by path; of several at one path the topmost */
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

	if (!mountinfo_parse(line, &mount))
		return;
	mounts->mounts[mounts->n] = (struct mount){
		.path = mem_strdup(mount.path),
		.line = mounts->n,
		.kind = watch_mount_kind(mount.type),
	};
	mounts->n++;
}

/*
 * Sorts by path; mounts at the same path by their order in the table, which is the order of
 * mounting.
 */
static int mount_order(const void *a, const void *b)
{
	const struct mount *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* Keeps the last of several mounts at one path, which hides the others. */
static void drop_hidden(struct watch_mounts *mounts)
{
	size_t i, kept = 0;

	for (i = 0; i < mounts->n; i++) {
		if (kept > 0 && strcmp(mounts->mounts[kept - 1].path, mounts->mounts[i].path) == 0)
			free(mounts->mounts[--kept].path);
		mounts->mounts[kept++] = mounts->mounts[i];
	}
	mounts->n = kept;
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
	qsort(mounts->mounts, mounts->n, sizeof(*mounts->mounts), mount_order);
	drop_hidden(mounts);
}

/* Returns the index of the first mount whose path does not sort before this path. */
static size_t lower_bound(const struct watch_mounts *mounts, const char *path)
{
	size_t low = 0, high = mounts->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (strcmp(mounts->mounts[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Returns the mount at exactly this path, or NULL. */
static const struct mount *find_at(const struct watch_mounts *mounts, const char *path)
{
	size_t at = lower_bound(mounts, path);

	if (at < mounts->n && strcmp(mounts->mounts[at].path, path) == 0)
		return &mounts->mounts[at];
	return NULL;
}

enum watch_mount_kind watch_mounts_of(struct watch_mounts *mounts, const char *path)
{
	char *above = mem_strdup(path), *slash;
	const struct mount *mount = NULL;
	enum watch_mount_kind kind;

	pthread_mutex_lock(&mounts->lock);
	if (has_changed(mounts))
		read_table(mounts);
	while (!(mount = find_at(mounts, above))) {
		slash = strrchr(above, '/');
		if (!slash || !above[1])
			break;
		/* The root keeps its slash. */
		slash[slash == above] = '\0';
	}
	kind = mount ? mount->kind : WATCH_MOUNT_LOCAL;
	pthread_mutex_unlock(&mounts->lock);
	free(above);
	return kind;
}

bool watch_mounts_below(struct watch_mounts *mounts, const char *path)
{
	size_t n = strlen(path), at;
	bool below = false;
	char *prefix;

	if (mounts->fd < 0)
		return false;
	prefix = mem_alloc(n + 2);
	memcpy(prefix, path, n + 1);
	if (n == 0 || path[n - 1] != '/')
		memcpy(prefix + n++, "/", 2);
	pthread_mutex_lock(&mounts->lock);
	if (has_changed(mounts))
		read_table(mounts);
	/* "/" itself is not below "/". */
	for (at = lower_bound(mounts, prefix); at < mounts->n && !below; at++) {
		if (strncmp(mounts->mounts[at].path, prefix, n) != 0)
			break;
		below = mounts->mounts[at].path[n] != '\0';
	}
	pthread_mutex_unlock(&mounts->lock);
	free(prefix);
	return below;
}

enum watch_mount_kind watch_mounts_at(struct watch_mounts *mounts, const char *path)
{
	const struct mount *mount;
	enum watch_mount_kind kind;

	pthread_mutex_lock(&mounts->lock);
	mount = find_at(mounts, path);
	kind = mount ? mount->kind : WATCH_MOUNT_NONE;
	pthread_mutex_unlock(&mounts->lock);
	return kind;
}
