/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/volumes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/mountinfo.h"
#include "base/work.h"
#include "envd/control/init_request.h"
#include "envd/control/run_command.h"

/*
 * Maximum number of remembered paths. The oldest one is forgotten first; if it is requested again,
 * it is mounted again.
 */
#define MAX_REMEMBERED 256

/* Maximum number of threads. If this many mounts hang, later mounts time out in the queue. */
#define MAX_WORKERS 64

#define FAILED "failed to setup NFS volumes: "

struct mounted {
	char *path;
	char *lifecycle;
	TAILQ_ENTRY(mounted) link;
};

/* The mount of one volume on a worker. If it hangs, it outlives its group. */
struct mount_job {
	struct work work;
	struct volumes *volumes;
	struct mount_group *group; /* NULL: no request waits for it any more */
	char *nfs_target, *path, *lifecycle;
	uint64_t deadline_ms;
	struct error err;
	bool failed;
	TAILQ_ENTRY(mount_job) link;
};

/* The volumes of one request. */
struct mount_group {
	struct volumes *volumes;
	unsigned pending;
	bool failed;
	struct error err; /* the first one */
	struct timer deadline;
	struct defer ended; /* calls `done` if there was nothing to mount */
	void (*done)(void *arg, const struct error *err);
	void *arg;
};

struct volumes {
	struct loop *loop;
	struct workers *workers;
	TAILQ_HEAD(, mounted) list;
	size_t n;
	TAILQ_HEAD(, mount_job) jobs;
};

/* ---- what is mounted ---- */

struct volumes *volumes_new(struct loop *loop)
{
	struct volumes *v = mem_zalloc(sizeof(*v));

	v->loop = loop;
	v->workers = workers_new(loop, "volumes", MAX_WORKERS);
	TAILQ_INIT(&v->list);
	TAILQ_INIT(&v->jobs);
	return v;
}

static void forget(struct volumes *v, struct mounted *entry)
{
	TAILQ_REMOVE(&v->list, entry, link);
	v->n--;
	free(entry->path);
	free(entry->lifecycle);
	free(entry);
}

static void job_free(struct mount_job *job)
{
	TAILQ_REMOVE(&job->volumes->jobs, job, link);
	free(job->nfs_target);
	free(job->path);
	free(job->lifecycle);
	free(job);
}

void volumes_free(struct volumes *v)
{
	if (!v)
		return;
	workers_free(v->workers);
	while (!TAILQ_EMPTY(&v->jobs))
		job_free(TAILQ_FIRST(&v->jobs));
	while (!TAILQ_EMPTY(&v->list))
		forget(v, TAILQ_FIRST(&v->list));
	free(v);
}

static struct mounted *find(const struct volumes *v, const char *path)
{
	struct mounted *entry;

	TAILQ_FOREACH (entry, &v->list, link)
		if (strcmp(entry->path, path) == 0)
			return entry;
	return NULL;
}

bool volumes_wanted(const struct volumes *v, const char *path, const char *lifecycle)
{
	const struct mounted *entry = find(v, path);

	return !entry || strcmp(entry->lifecycle, lifecycle ? lifecycle : "") != 0;
}

void volumes_each(const struct volumes *v,
		  void (*each)(void *arg, const char *path, const char *lifecycle), void *arg)
{
	const struct mounted *entry;

	TAILQ_FOREACH (entry, &v->list, link)
		each(arg, entry->path, entry->lifecycle);
}

void volumes_remember(struct volumes *v, const char *path, const char *lifecycle)
{
	struct mounted *entry = find(v, path);

	if (entry)
		forget(v, entry);
	if (v->n == MAX_REMEMBERED)
		forget(v, TAILQ_FIRST(&v->list));
	entry = mem_zalloc(sizeof(*entry));
	entry->path = mem_strdup(path);
	entry->lifecycle = mem_strdup(lifecycle ? lifecycle : "");
	TAILQ_INSERT_TAIL(&v->list, entry, link);
	v->n++;
}

/* ---- one volume, on its worker ---- */

/* Unmounts the file system that an earlier lifecycle mounted at the path. */
static int unmount_stale(const char *path, struct error *err)
{
	if (!mountinfo_has(path))
		return 0;
	if (umount2(path, MNT_FORCE) == 0)
		return 0;
	log_warn("%s can't be unmounted by force (%s), it is detached instead", path,
		 error_errno_text(errno));
	if (umount2(path, MNT_DETACH) < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, errno, FAILED "unmount %s",
				       path);
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

/* Mounts the volume. 0, or -1 with the error text for the response of /init. */
static int mount_volume(const char *nfs_target, const char *path, unsigned timeout_ms,
			struct error *err)
{
	static const char options[] = VOLUMES_OPTIONS;
	const char *argv[] = {"mount", "-v", "-t",	 "nfs", "-o",
			      options, "--", nfs_target, path,	NULL};
	struct run_result result;
	int r;

	if (path[0] != '/')
		return error_set(err, ERROR_INVALID_ARGUMENT, FAILED "\"%s\" is no absolute path",
				 path);
	if (unmount_stale(path, err) < 0)
		return -1;
	r = make_directories(path);
	if (r < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, r, FAILED "mkdir %s", path);
	r = run_command(argv, timeout_ms, &result);
	if (r == -ENOENT)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 FAILED "the image has no mount program "
					"(nfs-common is needed)");
	if (r < 0)
		return error_set_errno(err, ERROR_INVALID_ARGUMENT, r, FAILED "mount %s at %s",
				       nfs_target, path);
	if (result.status != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 FAILED "mount %s at %s: exit status %d: %s", nfs_target, path,
				 WIFEXITED(result.status) ? WEXITSTATUS(result.status) : -1,
				 result.output);
	return 0;
}

static void job_run(struct work *work)
{
	struct mount_job *job = container_of(work, struct mount_job, work);
	uint64_t now = clock_monotonic_ms();

	job->failed = mount_volume(job->nfs_target, job->path,
				   now < job->deadline_ms ? (unsigned)(job->deadline_ms - now) : 0,
				   &job->err) < 0;
}

/* ---- the volumes of a request ---- */

static void group_end(struct mount_group *group)
{
	timer_cancel(&group->deadline);
	defer_cancel(&group->ended);
	group->done(group->arg, group->failed ? &group->err : NULL);
	free(group);
}

static void on_ended(void *arg)
{
	group_end(arg);
}

static void group_fail(struct mount_group *group, const struct error *err)
{
	if (!group->failed)
		group->err = *err;
	group->failed = true;
}

static void job_done(struct work *work)
{
	struct mount_job *job = container_of(work, struct mount_job, work);
	struct mount_group *group = job->group;

	if (!job->failed)
		volumes_remember(job->volumes, job->path, job->lifecycle);
	else if (group)
		group_fail(group, &job->err);
	else
		log_warn("a mount failed after its request had timed out: %s", job->err.message);
	job_free(job);
	if (group && --group->pending == 0)
		group_end(group);
}

/*
 * Ends the group. Jobs that no worker has begun are dropped; the others continue without a group.
 */
static void on_deadline(void *arg)
{
	struct mount_group *group = arg;
	struct volumes *v = group->volumes;
	struct mount_job *job, *next;
	struct error err;

	for (job = TAILQ_FIRST(&v->jobs); job; job = next) {
		next = TAILQ_NEXT(job, link);
		if (job->group != group)
			continue;
		error_set(&err, ERROR_INVALID_ARGUMENT,
			  FAILED "mount %s at %s: timed out after %d ms", job->nfs_target,
			  job->path, VOLUMES_TIMEOUT_MS);
		log_error("%s", err.message);
		group_fail(group, &err);
		job->group = NULL;
		if (work_cancel(v->workers, &job->work))
			job_free(job);
	}
	group_end(group);
}

/* Returns true if an earlier mount at the path is still in progress. */
static bool is_under_way(const struct volumes *v, const char *path)
{
	const struct mount_job *job;

	TAILQ_FOREACH (job, &v->jobs, link)
		if (strcmp(job->path, path) == 0)
			return true;
	return false;
}

static void job_start(struct mount_group *group, const struct init_mount *mount,
		      const char *lifecycle)
{
	struct volumes *v = group->volumes;
	struct mount_job *job;
	struct error err;

	if (is_under_way(v, mount->path)) {
		error_set(&err, ERROR_INVALID_ARGUMENT,
			  FAILED "mount %s at %s: an earlier mount there has not ended",
			  mount->nfs_target, mount->path);
		group_fail(group, &err);
		return;
	}
	job = mem_zalloc(sizeof(*job));
	job->volumes = v;
	job->group = group;
	job->nfs_target = mem_strdup(mount->nfs_target);
	job->path = mem_strdup(mount->path);
	job->lifecycle = mem_strdup(lifecycle ? lifecycle : "");
	job->deadline_ms = clock_monotonic_ms() + VOLUMES_TIMEOUT_MS;
	job->work.run = job_run;
	job->work.done = job_done;
	TAILQ_INSERT_TAIL(&v->jobs, job, link);
	group->pending++;
	work_submit(v->workers, &job->work);
}

void volumes_mount(struct volumes *v, const struct init_mount *mounts, size_t n,
		   const char *lifecycle, void (*done)(void *arg, const struct error *err),
		   void *arg)
{
	struct mount_group *group = mem_zalloc(sizeof(*group));
	size_t i;

	group->volumes = v;
	group->done = done;
	group->arg = arg;
	timer_init(&group->deadline, v->loop, on_deadline, group);
	defer_init(&group->ended, v->loop, on_ended, group);
	for (i = 0; i < n; i++)
		if (volumes_wanted(v, mounts[i].path, lifecycle))
			job_start(group, &mounts[i], lifecycle);
	if (group->pending)
		timer_set_ms(&group->deadline, VOLUMES_TIMEOUT_MS);
	else
		defer_schedule(&group->ended);
}
