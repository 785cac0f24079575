/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/cgroup/cgroup_file.h"

/* The names are "p" and a number, so that a daemon recognises the cgroups of an earlier one. */
#define NAME_PREFIX 'p'

/* A cgroup of an earlier daemon may still exist, with a background process in it. */
#define NAME_TRIES 1000

static void schedule_removal(struct cgroups *c);

static int group_fd(const struct cgroup *cg)
{
	return cg->all->group_fds[cg->group];
}

static void became_empty(struct cgroup_watch *watch);

static struct cgroup *cgroup_alloc(struct cgroups *c, enum cgroup_group group)
{
	struct cgroup *cg = mem_zalloc(sizeof(*cg));

	cg->all = c;
	cg->group = group;
	cg->watch = (struct cgroup_watch){.id = -1, .changed = became_empty};
	return cg;
}

struct cgroup *cgroup_new(struct cgroups *c, enum cgroup_group group)
{
	return c ? cgroup_alloc(c, group) : NULL;
}

static void cgroup_free(struct cgroup *cg)
{
	cgroups_unwatch(cg->all, &cg->watch);
	free(cg);
}

/* ---- its life, on workers ---- */

static int make_directory(struct cgroup *cg)
{
	unsigned tries;

	for (tries = 0; tries < NAME_TRIES; tries++) {
		snprintf(cg->name, sizeof(cg->name), "%c%" PRIu64, NAME_PREFIX,
			 __atomic_add_fetch(&cg->all->n_named, 1, __ATOMIC_RELAXED));
		if (mkdirat(group_fd(cg), cg->name, 0755) == 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	return -errno;
}

/* 0 or -errno. */
static int open_entry(const struct cgroup *cg, const char *directory, int *ret_dir_fd,
		      int *ret_procs_fd)
{
	char path[64];

	if (cg->all->entry == CGROUP_ENTRY_CLONE) {
		*ret_dir_fd = openat(group_fd(cg), directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return *ret_dir_fd < 0 ? -errno : 0;
	}
	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	*ret_procs_fd = openat(group_fd(cg), path, O_WRONLY | O_CLOEXEC);
	return *ret_procs_fd < 0 ? -errno : 0;
}

int cgroup_enter(struct cgroup *cg, int *ret_dir_fd, int *ret_procs_fd, struct error *err)
{
	int r;

	*ret_dir_fd = *ret_procs_fd = -1;
	if (cgroup_file_is_frozen(group_fd(cg)))
		return error_set(err, ERROR_UNAVAILABLE,
				 "the target cgroup is frozen: %s/%s reads frozen", cg->all->root,
				 cgroups_group_name(cg->group));
	r = make_directory(cg);
	cg->made = r == 0;
	if (r < 0)
		log_warn("no cgroup of its own for a process in %s: %s",
			 cgroups_group_name(cg->group), error_errno_text(r));
	r = open_entry(cg, cg->made ? cg->name : ".", ret_dir_fd, ret_procs_fd);
	if (fd_is_shortage(r))
		return error_set_errno(err, ERROR_RESOURCE_EXHAUSTED, r, "entering a cgroup");
	return 0;
}

int cgroup_open_members(const struct cgroup *cg)
{
	char path[64];
	struct stat st;
	int fd;

	if (!cg->made)
		return -ENOENT;
	/* kernfs counts subdirectories as other file systems do: two links and one for each. */
	if (fstatat(group_fd(cg), cg->name, &st, 0) < 0)
		return -errno;
	if (st.st_nlink > 2)
		return -ENOTEMPTY;
	snprintf(path, sizeof(path), "%s/cgroup.procs", cg->name);
	fd = openat(group_fd(cg), path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cgroup_kill(const struct cgroup *cg)
{
	char path[64];

	if (!cg->made)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/cgroup.kill", cg->name);
	return cgroup_file_write(group_fd(cg), path, "1");
}

int cgroup_limit(const struct cgroup *cg, const char *controller, const char *file,
		 const char *value)
{
	char path[64], enable[32];
	int r;

	if (!cg->made)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/%s", cg->name, file);
	r = cgroup_file_write(group_fd(cg), path, value);
	if (r != -ENOENT)
		return r;
	/* If this fails, the file does not exist, and the write below fails. */
	snprintf(enable, sizeof(enable), "+%s", controller);
	cgroup_file_write(cg->all->root_fd, "cgroup.subtree_control", enable);
	cgroup_file_write(group_fd(cg), "cgroup.subtree_control", enable);
	return cgroup_file_write(group_fd(cg), path, value);
}

int cgroup_usage(const struct cgroup *cg, struct cgroup_usage *ret)
{
	FD_AUTO int fd = -1;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!cg->made)
		return -ENOENT;
	fd = openat(group_fd(cg), cg->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = cgroup_file_read_key(fd, "cpu.stat", "usage_usec", &ret->cpu_us);
	ret->has_memory = cgroup_file_read_number(fd, "memory.current", &ret->memory_bytes) == 0;
	cgroup_file_read_number(fd, "memory.peak", &ret->memory_peak_bytes);
	cgroup_file_read_key(fd, "memory.events", "oom_kill", &ret->oom_kills);
	cgroup_file_read_key(fd, "pids.events", "max", &ret->refused_forks);
	cgroup_file_read_key(fd, "cpu.stat", "nr_throttled", &ret->throttled_times);
	return r;
}

/* ---- its removal ---- */

static void set_state(struct cgroup *cg, enum cgroup_state state)
{
	static const char *const names[] = {
		[CGROUP_IN_USE] = "in use",
		[CGROUP_RELEASED] = "released",
		[CGROUP_REMOVING] = "removing",
		[CGROUP_LINGERING] = "lingering",
	};

	log_debug("cgroup %s: %s -> %s", cg->name, names[cg->state], names[state]);
	cg->state = state;
}

static void move_to(struct cgroup *cg, struct cgroup_list *list, enum cgroup_state state)
{
	set_state(cg, state);
	TAILQ_INSERT_TAIL(list, cg, link);
}

/* Called when a cgroup that could not be removed has become empty: schedules another try. */
static void became_empty(struct cgroup_watch *watch)
{
	struct cgroup *cg = container_of(watch, struct cgroup, watch);

	cg->changed = true;
	if (cg->state != CGROUP_LINGERING)
		return;
	TAILQ_REMOVE(&cg->all->lingering, cg, link);
	cg->all->n_lingering--;
	move_to(cg, &cg->all->released, CGROUP_RELEASED);
	schedule_removal(cg->all);
}

static void removal_run(struct work *work)
{
	struct cgroups *c = container_of(work, struct cgroups, removal);
	struct cgroup *cg;

	TAILQ_FOREACH (cg, &c->removing, link)
		cg->removed = cgroup_remove(group_fd(cg), cg->name);
}

/*
 * Decides what to do with a cgroup that could not be removed: returns true to try again. The watch
 * is added before the next try, so that the exit of the last process is always noticed. If no watch
 * is available, another try follows whenever another cgroup is removed.
 */
static bool keep(struct cgroup *cg)
{
	struct cgroups *c = cg->all;
	char path[64];

	if (cg->watch.id < 0) {
		snprintf(path, sizeof(path), "%s/%s/cgroup.events", cgroups_group_name(cg->group),
			 cg->name);
		cg->changed = cgroups_watch(c, &cg->watch, path) == 0;
	}
	if (cg->changed || cg->watch.id < 0) {
		move_to(cg, &c->released, CGROUP_RELEASED);
		return cg->changed;
	}
	move_to(cg, &c->lingering, CGROUP_LINGERING);
	c->n_lingering++;
	return false;
}

static void removal_done(struct work *work)
{
	struct cgroups *c = container_of(work, struct cgroups, removal);
	struct cgroup *cg;

	while ((cg = TAILQ_FIRST(&c->removing))) {
		TAILQ_REMOVE(&c->removing, cg, link);
		if (cg->removed == 0)
			cgroup_free(cg);
		else if (keep(cg))
			c->removal_wanted = true;
	}
	if (!c->removal_wanted)
		return;
	c->removal_wanted = false;
	schedule_removal(c);
}

static void removal_due(void *arg)
{
	struct cgroups *c = arg;
	struct cgroup *cg;

	while ((cg = TAILQ_FIRST(&c->released))) {
		TAILQ_REMOVE(&c->released, cg, link);
		cg->changed = false;
		move_to(cg, &c->removing, CGROUP_REMOVING);
	}
	work_submit(c->workers, &c->removal);
}

static void schedule_removal(struct cgroups *c)
{
	if (!TAILQ_EMPTY(&c->removing))
		c->removal_wanted = true;
	else if (!timer_pending(&c->removal_timer))
		timer_set_ms(&c->removal_timer, CGROUPS_REMOVE_DELAY_MS);
}

void cgroup_release(struct cgroup *cg)
{
	if (!cg)
		return;
	if (!cg->made) {
		cgroup_free(cg);
		return;
	}
	move_to(cg, &cg->all->released, CGROUP_RELEASED);
	schedule_removal(cg->all);
}

static bool is_name(const char *name)
{
	return name[0] == NAME_PREFIX && name[1] != '\0' && strlen(name) < CGROUP_NAME_BYTES &&
	       name[1 + strspn(name + 1, "0123456789")] == '\0';
}

static void adopt_group(struct cgroups *c, enum cgroup_group group)
{
	FD_AUTO int fd = openat(c->group_fds[group], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct cgroup *cg;

	if (!dir)
		return;
	fd_take(&fd);
	while ((entry = readdir(dir))) {
		if (!is_name(entry->d_name))
			continue;
		cg = cgroup_alloc(c, group);
		strcpy(cg->name, entry->d_name);
		cg->made = true;
		cgroup_release(cg);
	}
	closedir(dir);
}

void cgroup_adopt_stale(struct cgroups *c)
{
	adopt_group(c, CGROUP_USER);
	adopt_group(c, CGROUP_PTYS);
}

struct cgroup *cgroup_adopt(struct cgroups *c, enum cgroup_group group, const char *name)
{
	struct cgroup *cg;

	if (!c)
		return NULL;
	TAILQ_FOREACH (cg, &c->released, link) {
		if (cg->group != group || strcmp(cg->name, name) != 0)
			continue;
		TAILQ_REMOVE(&c->released, cg, link);
		set_state(cg, CGROUP_IN_USE);
		return cg;
	}
	return NULL;
}

void cgroup_removal_init(struct cgroups *c)
{
	TAILQ_INIT(&c->released);
	TAILQ_INIT(&c->removing);
	TAILQ_INIT(&c->lingering);
	timer_init(&c->removal_timer, c->loop, removal_due, c);
	c->removal.run = removal_run;
	c->removal.done = removal_done;
}

static void free_list(struct cgroup_list *list)
{
	struct cgroup *cg;

	while ((cg = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, cg, link);
		cgroup_free(cg);
	}
}

void cgroup_removal_clear(struct cgroups *c)
{
	timer_cancel(&c->removal_timer);
	free_list(&c->released);
	free_list(&c->removing);
	free_list(&c->lingering);
}
