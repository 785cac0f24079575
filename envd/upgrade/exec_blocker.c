/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/exec_blocker.h"

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/mountinfo.h"

/* The ids of mounts. */
struct mounts {
	unsigned long *ids;
	size_t n, room;
};

static void add_mount(struct mounts *mounts, unsigned long id)
{
	if (mounts->n == mounts->room) {
		mounts->room = mounts->room * 2 + 8;
		mounts->ids = mem_realloc(mounts->ids, mounts->room * sizeof(*mounts->ids));
	}
	mounts->ids[mounts->n++] = id;
}

static bool has_mount(const struct mounts *mounts, unsigned long id)
{
	size_t i;

	for (i = 0; i < mounts->n; i++)
		if (mounts->ids[i] == id)
			return true;
	return false;
}

/* "fuse", "fuseblk", "fuse.sshfs": their servers are processes of the guest. */
static void find_mounts(struct mounts *mounts)
{
	struct mountinfo mount;
	char *table, *line, *rest;
	unsigned long id;

	if (mountinfo_read(&table) < 0)
		return;
	for (line = strtok_r(table, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		id = strtoul(line, NULL, 10); /* its first field */
		if (mountinfo_parse(line, &mount) && strncmp(mount.type, "fuse", 4) == 0)
			add_mount(mounts, id);
	}
	free(table);
}

/* Reads the beginning of a file of /proc. The text is empty if that fails. */
static void read_begin(int dirfd, const char *path, char *text, size_t room)
{
	FD_AUTO int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, room - 1);

	text[n > 0 ? n : 0] = '\0';
}

/* Calls `test` for each entry of the directory until it returns true. */
static bool any_entry(const char *directory, bool (*test)(int dirfd, const char *name, void *arg),
		      void *arg)
{
	DIR *dir = opendir(directory);
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' && test(dirfd(dir), entry->d_name, arg);
	if (dir)
		closedir(dir);
	return found;
}

/* Whether a thread waits in the kernel for what only the guest can end. *ret_why: the reason. */
static bool waits_for_guest(int dirfd, const char *name, void *ret_why)
{
	const char **why = ret_why;
	char path[64], text[64];

	snprintf(path, sizeof(path), "%.20s/wchan", name);
	read_begin(dirfd, path, text, sizeof(text));
	*why = NULL;
	if (strcmp(text, "request_wait_answer") == 0)
		*why = "a request waits for a FUSE server";
	if (strcmp(text, "percpu_rwsem_wait") == 0)
		*why = "a write waits for a frozen file system";
	return *why != NULL;
}

/* proc_pid_fdinfo(5): "pos:\t0\nflags:\t0100002\nmnt_id:\t28\n". */
static bool is_file_of(int dirfd, const char *name, void *arg)
{
	const struct mounts *mounts = arg;
	const char *flags, *mount;
	char text[256];

	read_begin(dirfd, name, text, sizeof(text));
	flags = strstr(text, "flags:\t");
	mount = strstr(text, "mnt_id:\t");
	if (!flags || !mount)
		return false;
	/* These are closed without a question to the server. */
	if (strtoul(flags + strlen("flags:\t"), NULL, 8) & (O_DIRECTORY | O_PATH))
		return false;
	return has_mount(mounts, strtoul(mount + strlen("mnt_id:\t"), NULL, 10));
}

static bool has_open_file(void)
{
	struct mounts mounts = {0};
	bool found;

	find_mounts(&mounts);
	found = mounts.n > 0 && any_entry("/proc/self/fdinfo", is_file_of, &mounts);
	free(mounts.ids);
	return found;
}

const char *exec_blocker(void)
{
	unsigned waited_ms;
	const char *why;

	for (waited_ms = 0; any_entry("/proc/self/task", waits_for_guest, &why); waited_ms++) {
		if (waited_ms == EXEC_BLOCKER_PATIENCE_MS)
			return why;
		usleep(1000);
	}
	return has_open_file() ? "a file of a FUSE server is open" : NULL;
}
