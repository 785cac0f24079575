/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/freeze_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "pty/cgroup/cgroup_file.h"

#define PROC_FILE_MAX_BYTES (4 * 1024 * 1024)

/*
 * Cgroups that must run for a sandbox to resume: systemd (mounting a volume asks it to start
 * rpc.statd), the journal, which receives the daemon's log, the port mapper and rpc.statd for NFS,
 * and forwarded ports.
 */
static const char *const needed[] = {
	"init.scope",
	"system.slice/systemd-journald.service",
	"system.slice/rpcbind.service",
	"system.slice/rpcbind.socket",
	"system.slice/rpc-statd.service",
	"socats",
};

/* The cgroups of the processes that the daemon started. Frozen first, in every mode. */
static const char *const workload[] = {"user", "ptys"};

/* ---- paths ---- */

void path_list_add(struct path_list *list, const char *path)
{
	if (list->n == list->room) {
		list->room = list->room ? list->room * 2 : 16;
		list->paths = mem_realloc(list->paths, list->room * sizeof(*list->paths));
	}
	list->paths[list->n++] = mem_strdup(path);
}

static bool path_list_has(const struct path_list *list, const char *path)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (strcmp(list->paths[i], path) == 0)
			return true;
	return false;
}

void path_list_clear(struct path_list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		free(list->paths[i]);
	free(list->paths);
	*list = (struct path_list){0};
}

static void add_once(struct path_list *list, const char *path)
{
	if (!path_list_has(list, path))
		path_list_add(list, path);
}

static bool is_workload(const char *path)
{
	return strcmp(path, workload[0]) == 0 || strcmp(path, workload[1]) == 0;
}

/* ENODEV: the cgroup was removed after its file was opened (kernfs_get_active, fs/kernfs). */
bool freeze_tree_has_vanished(const char *path, int r)
{
	return (r == -ENOENT || r == -ENODEV) && !is_workload(path);
}

bool freeze_tree_is_needed(const char *path)
{
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(needed); i++) {
		n = strlen(needed[i]);
		if (strncmp(path, needed[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
			return true;
	}
	return false;
}

/* "a/b/c" adds "", "a", "a/b", and with `whole` also "a/b/c". */
static void add_ancestors(struct path_list *list, const char *path, bool whole)
{
	const char *slash = path;
	char *part;

	add_once(list, "");
	while ((slash = strchr(slash, '/')) != NULL) {
		part = mem_strndup(path, (size_t)(slash - path));
		add_once(list, part);
		free(part);
		slash++;
	}
	if (whole && *path)
		add_once(list, path);
}

/* ---- files ---- */

/* Returns the path of a cgroup's file. Owned. */
static char *file_of(const char *path, const char *file)
{
	size_t n = strlen(path), room = n + strlen(file) + 2;
	char *result = mem_alloc(room);

	snprintf(result, room, "%s%s%s", path, n ? "/" : "", file);
	return result;
}

static int write_freeze(int root_fd, const char *path, const char *value)
{
	char *file = file_of(path, "cgroup.freeze");
	int r = cgroup_file_write(root_fd, file, value);

	free(file);
	return r;
}

int freeze_tree_is_asked(int root_fd, const char *path)
{
	char *file = file_of(path, "cgroup.freeze");
	uint64_t value = 0;
	int r = cgroup_file_read_number(root_fd, file, &value);

	free(file);
	return r < 0 ? r : value == 1;
}

int freeze_tree_is_frozen(int root_fd, const char *path)
{
	char *file = file_of(path, "cgroup.events");
	uint64_t value = 0;
	int r = cgroup_file_read_key(root_fd, file, "frozen", &value);

	free(file);
	if (r == -ENODATA)
		return 0;
	return r < 0 ? r : value == 1;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds the children of the cgroup, sorted by name. 0 or -errno. */
static int add_children(int root_fd, const char *path, struct path_list *list)
{
	FD_AUTO int fd = openat(root_fd, *path ? path : ".",
				O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	const struct dirent *entry;
	size_t first = list->n;
	char *child;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	fd_take(&fd);
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || path_is_dots(entry->d_name))
			continue;
		child = file_of(path, entry->d_name);
		path_list_add(list, child);
		free(child);
	}
	closedir(dir);
	if (list->n > first)
		qsort(list->paths + first, list->n - first, sizeof(*list->paths), by_text);
	return 0;
}

/* ---- the daemon's cgroup ---- */

/* Returns 1 if this process is a member of the cgroup, 0 if not, or -errno. */
static int is_here(int root_fd, const char *path)
{
	char *file = file_of(path, "cgroup.procs"), *text, *line;
	char own[24];
	size_t n = (size_t)snprintf(own, sizeof(own), "%d\n", (int)getpid());
	bool found = false;
	int r = fd_read_file(root_fd, file, PROC_FILE_MAX_BYTES, &text, NULL);

	free(file);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (line = text; line && !found; line = strchr(line, '\n')) {
		line += *line == '\n';
		found = strncmp(line, own, n) == 0;
	}
	free(text);
	return found;
}

/*
 * Finds the daemon's cgroup by the line "0::/path" (cgroups(7)). The path is relative to the root
 * of the mount or of the cgroup namespace, while root_fd may be a directory below. Therefore each
 * suffix of the path is tried, the longest one first. 0 or -errno.
 */
static int locate(struct freeze_tree *tree, const char *proc_file)
{
	char *text, *at, *end;
	int r = fd_read_file(AT_FDCWD, proc_file, PROC_FILE_MAX_BYTES, &text, NULL);

	if (r < 0)
		return r;
	at = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	at = at ? strchr(at, '/') : NULL;
	if (at) {
		end = strchr(at, '\n');
		if (end)
			*end = '\0';
	}
	while (r == 0 && at) {
		r = is_here(tree->root_fd, ++at);
		if (r == 1)
			add_ancestors(&tree->chain, at, true);
		at = strchr(at, '/');
	}
	tree->located = r == 1;
	free(text);
	return r < 0 ? r : 0;
}

int freeze_tree_init(struct freeze_tree *tree, int root_fd, const char *proc_file)
{
	size_t i;
	int r;

	*tree = (struct freeze_tree){.root_fd = root_fd};
	r = locate(tree, proc_file);
	add_once(&tree->chain, "");
	for (i = 0; i < tree->chain.n; i++)
		path_list_add(&tree->descend, tree->chain.paths[i]);
	for (i = 0; i < ARRAY_LEN(needed); i++)
		add_ancestors(&tree->descend, needed[i], false);
	return r;
}

void freeze_tree_clear(struct freeze_tree *tree)
{
	path_list_clear(&tree->chain);
	path_list_clear(&tree->descend);
}

/* ---- a walk through all cgroups, from the root ---- */

struct walk {
	struct path_list queue;
	size_t at;
	bool truncated;
	unsigned failed; /* directories that could not be read */
};

/* Returns the next cgroup and queues its children; NULL at the end, or at FREEZE_MAX_CGROUPS. */
static const char *walk_next(struct walk *w, int root_fd)
{
	const char *path;
	int r;

	if (w->at == w->queue.n)
		return NULL;
	if (w->at == FREEZE_MAX_CGROUPS) {
		w->truncated = true;
		return NULL;
	}
	path = w->queue.paths[w->at++];
	/* ENOENT: the cgroup was removed in the meantime. */
	r = is_workload(path) ? 0 : add_children(root_fd, path, &w->queue);
	if (r < 0 && r != -ENOENT)
		w->failed++;
	return path;
}

static void walk_begin(struct walk *w)
{
	*w = (struct walk){0};
	path_list_add(&w->queue, "");
}

static void walk_end(struct walk *w)
{
	path_list_clear(&w->queue);
}

unsigned freeze_tree_scan(const struct freeze_tree *tree, struct path_list *guest,
			  bool *ret_truncated)
{
	unsigned failed = 0;
	const char *path;
	struct walk w;
	int r;

	walk_begin(&w);
	while ((path = walk_next(&w, tree->root_fd))) {
		if (path_list_has(&tree->descend, path) || freeze_tree_is_needed(path))
			continue;
		r = freeze_tree_is_asked(tree->root_fd, path);
		if (r == 1)
			path_list_add(guest, path);
		else if (r < 0 && !freeze_tree_has_vanished(path, r))
			failed++;
	}
	*ret_truncated = w.truncated;
	failed += w.failed;
	walk_end(&w);
	return failed;
}

/* ---- freezing ---- */

void freeze_tree_sample(struct path_list *list, const char *path)
{
	if (list && list->n < FREEZE_SAMPLE_PATHS)
		path_list_add(list, path);
}

static void count_vanished(struct freeze_sweep *sweep, const char *path)
{
	sweep->vanished++;
	freeze_tree_sample(sweep->vanished_paths, path);
}

static void freeze(const struct freeze_tree *tree, struct freeze_sweep *sweep, const char *path)
{
	int r = write_freeze(tree->root_fd, path, "1");

	if (r == 0)
		path_list_add(&sweep->targets, path);
	else if (freeze_tree_has_vanished(path, r))
		count_vanished(sweep, path);
	else
		sweep->failed++;
}

static void sweep_child(const struct freeze_tree *tree, struct freeze_sweep *sweep,
			const char *path)
{
	int r;

	if (is_workload(path) || path_list_has(&tree->descend, path))
		return;
	if (freeze_tree_is_needed(path)) {
		sweep->allowlisted++;
		return;
	}
	/* Frozen by the guest before. If the daemon froze it too, the daemon would also thaw it. */
	if (path_list_has(sweep->guest, path))
		return;
	/* The guest may have frozen it since the scan. */
	r = sweep->adopt ? freeze_tree_is_asked(tree->root_fd, path) : 0;
	if (r == 1) {
		path_list_add(sweep->guest, path);
		return;
	}
	if (freeze_tree_has_vanished(path, r)) {
		count_vanished(sweep, path);
		return;
	}
	freeze(tree, sweep, path);
}

/*
 * Freezes user and ptys before the walk, for two reasons: the limit of visits can't exclude them,
 * however many cgroups sort before them; and a later daemon finds out from them that a freeze is in
 * effect.
 */
void freeze_tree_sweep(const struct freeze_tree *tree, struct freeze_sweep *sweep)
{
	struct path_list children = {0};
	size_t i, j;
	int r;

	for (i = 0; i < ARRAY_LEN(workload); i++)
		freeze(tree, sweep, workload[i]);
	for (i = 0; sweep->hierarchy && i < tree->descend.n && !sweep->truncated; i++) {
		r = add_children(tree->root_fd, tree->descend.paths[i], &children);
		if (r < 0 && r != -ENOENT)
			sweep->failed++;
		for (j = 0; j < children.n; j++) {
			if (sweep->visited == sweep->max_visits) {
				sweep->truncated = true;
				break;
			}
			sweep->visited++;
			sweep_child(tree, sweep, children.paths[j]);
		}
		path_list_clear(&children);
	}
}

/* ---- thawing ---- */

static void thaw_found(const struct freeze_tree *tree, struct freeze_thaw *thaw, const char *path)
{
	int r;

	if (is_workload(path) || path_list_has(&tree->chain, path))
		return;
	r = freeze_tree_is_asked(tree->root_fd, path);
	if (r == 1 && path_list_has(thaw->guest, path)) {
		thaw->preserved++;
		return;
	}
	if (r == 1) {
		r = write_freeze(tree->root_fd, path, "0");
		if (r == 0)
			thaw->thawed++;
	}
	/* A removed cgroup counts as thawed. */
	if (r < 0 && !freeze_tree_has_vanished(path, r))
		thaw->failed++;
}

/*
 * Searches for frozen cgroups instead of remembering them: another daemon, of another version or
 * mode, may have frozen them, and a cgroup that stays frozen hangs the sandbox.
 */
void freeze_tree_thaw(const struct freeze_tree *tree, struct freeze_thaw *thaw)
{
	const char *path;
	struct walk w;
	size_t i;
	int r;

	for (i = 0; i < ARRAY_LEN(workload); i++) {
		r = write_freeze(tree->root_fd, workload[i], "0");
		if (r == 0)
			continue;
		if (r == -ENOENT || r == -ENODEV) {
			thaw->missing++;
			continue;
		}
		thaw->failed++;
		thaw->groups_failed = true;
	}
	if (!thaw->discover)
		return;
	walk_begin(&w);
	while ((path = walk_next(&w, tree->root_fd))) {
		thaw->visited++;
		thaw_found(tree, thaw, path);
	}
	thaw->truncated = w.truncated;
	thaw->failed += w.failed;
	walk_end(&w);
}

/* ---- the audit ---- */

static void add_sample(char *sample, const char *path)
{
	size_t n = strlen(sample);

	if (n + 1 + strlen(path) < FREEZE_AUDIT_SAMPLE_BYTES)
		snprintf(sample + n, FREEZE_AUDIT_SAMPLE_BYTES - n, "%s%s", n ? " " : "", path);
}

/*
 * Checks cgroup.events, not cgroup.freeze, because a freeze is written only to the root of a
 * subtree.
 */
void freeze_tree_audit(const struct freeze_tree *tree, struct freeze_audit *ret)
{
	const char *path;
	bool protected;
	struct walk w;
	int r;

	*ret = (struct freeze_audit){0};
	walk_begin(&w);
	while ((path = walk_next(&w, tree->root_fd))) {
		ret->visited++;
		r = *path ? freeze_tree_is_frozen(tree->root_fd, path) : -ENOENT;
		if (r < 0)
			continue;
		protected = path_list_has(&tree->descend, path) || freeze_tree_is_needed(path);
		if (r == 1 && protected) {
			ret->violations++;
			add_sample(ret->violation_sample, path);
		} else if (r == 1) {
			ret->frozen++;
		} else if (!protected) {
			ret->escaped++;
			add_sample(ret->escaped_sample, path);
		}
	}
	ret->truncated = w.truncated;
	walk_end(&w);
}
