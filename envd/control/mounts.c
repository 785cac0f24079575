#include "envd/control/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/control/run_command.h"

#define MOUNTINFO_MAX_BYTES (16u * 1024 * 1024)

/* Paths that are remembered; a platform that has more than this is told by a remount. */
#define MAX_REMEMBERED 256

struct mounted {
	char *path;
	char *lifecycle;
	TAILQ_ENTRY(mounted) link;
};

struct mounts {
	TAILQ_HEAD(, mounted) list;
	size_t n;
};

struct mounts *mounts_new(void)
{
	struct mounts *m = mem_zalloc(sizeof(*m));

	TAILQ_INIT(&m->list);
	return m;
}

static void forget(struct mounts *m, struct mounted *entry)
{
	TAILQ_REMOVE(&m->list, entry, link);
	m->n--;
	free(entry->path);
	free(entry->lifecycle);
	free(entry);
}

void mounts_free(struct mounts *m)
{
	if (!m)
		return;
	while (!TAILQ_EMPTY(&m->list))
		forget(m, TAILQ_FIRST(&m->list));
	free(m);
}

static struct mounted *find(const struct mounts *m, const char *path)
{
	struct mounted *entry;

	TAILQ_FOREACH (entry, &m->list, link)
		if (strcmp(entry->path, path) == 0)
			return entry;
	return NULL;
}

bool mounts_wanted(const struct mounts *m, const char *path, const char *lifecycle)
{
	const struct mounted *entry = find(m, path);

	return !entry || strcmp(entry->lifecycle, lifecycle ? lifecycle : "") != 0;
}

void mounts_each(const struct mounts *m,
		 void (*each)(void *arg, const char *path, const char *lifecycle), void *arg)
{
	const struct mounted *entry;

	TAILQ_FOREACH (entry, &m->list, link)
		each(arg, entry->path, entry->lifecycle);
}

void mounts_remember(struct mounts *m, const char *path, const char *lifecycle)
{
	struct mounted *entry = find(m, path);

	if (entry)
		forget(m, entry);
	if (m->n == MAX_REMEMBERED)
		forget(m, TAILQ_FIRST(&m->list));
	entry = mem_zalloc(sizeof(*entry));
	entry->path = mem_strdup(path);
	entry->lifecycle = mem_strdup(lifecycle ? lifecycle : "");
	TAILQ_INSERT_TAIL(&m->list, entry, link);
	m->n++;
}

/* Decodes the octal escapes of /proc/self/mountinfo (proc(5)) in place. */
static void decode_octal(char *text)
{
	char *out = text;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*out++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 +
					(text[3] - '0'));
			text += 3;
		} else {
			*out++ = *text;
		}
	}
	*out = '\0';
}

/* Whether something is mounted at just this path. It is not touched: it could hang. */
static bool is_mount_point(const char *path)
{
	char *text, *line, *rest, *field, *fields;
	size_t n;
	bool found = false;
	int i;

	if (fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, &n) < 0)
		return false;
	for (rest = text; !found && (line = strsep(&rest, "\n")) != NULL;) {
		fields = line;
		for (i = 0, field = NULL; i < 5 && fields; i++)
			field = strsep(&fields, " ");
		if (i < 5 || !field)
			continue;
		decode_octal(field);
		found = strcmp(field, path) == 0;
	}
	free(text);
	return found;
}

static int unmount_stale(const char *path, struct error *err)
{
	if (!is_mount_point(path))
		return 0;
	if (umount2(path, MNT_FORCE) == 0)
		return 0;
	log_warn("%s can't be unmounted by force (%s): lazily then", path, error_errno_text(errno));
	if (umount2(path, MNT_DETACH) < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, errno,
				       "failed to setup NFS volumes: unmount %s", path);
	return 0;
}

static int make_directories(const char *path)
{
	char *copy = mem_strdup(path), *at;

	for (at = copy + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		mkdir(copy, 0755);
		*at = '/';
	}
	at = copy;
	if (mkdir(copy, 0755) < 0 && errno != EEXIST) {
		free(at);
		return -errno;
	}
	free(at);
	return 0;
}

int mounts_mount(const char *nfs_target, const char *path, unsigned timeout_ms, struct error *err)
{
	static const char options[] = MOUNTS_OPTIONS;
	const char *argv[] = {"mount", "-v", "-t",	 "nfs", "-o",
			      options, "--", nfs_target, path,	NULL};
	struct run_result result;
	int r;

	if (path[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "failed to setup NFS volumes: \"%s\" is no absolute path", path);
	if (unmount_stale(path, err) < 0)
		return -1;
	r = make_directories(path);
	if (r < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, r,
				       "failed to setup NFS volumes: mkdir %s", path);
	r = run_command(argv, timeout_ms, &result);
	if (r == -ENOENT)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "failed to setup NFS volumes: the image has no mount program "
				 "(nfs-common is needed)");
	if (r < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, r,
				       "failed to setup NFS volumes: mount %s at %s", nfs_target,
				       path);
	if (result.status != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "failed to setup NFS volumes: mount %s at %s: exit status %d: %s",
				 nfs_target, path,
				 WIFEXITED(result.status) ? WEXITSTATUS(result.status) : -1,
				 result.output);
	return 0;
}
