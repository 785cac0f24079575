/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/cgroup/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clone.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "pty/cgroup/cgroup.h"
#include "pty/cgroup/cgroup_file.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define MIB (1024ull * 1024)

/* The part of the machine's memory that the workload can't use: an eighth, but at most this. */
#define RESERVED_MAX_BYTES (128 * MIB)

#define PROBE_NAME	  "envd-probe"
#define PROBE_STACK_BYTES (16 * 1024)

struct property {
	const char *file;
	const char *value; /* NULL: the limit of memory */
};

static const struct {
	const char *name;
	struct property properties[5];
} groups[] = {
	[CGROUP_USER] = {"user",
			 {{"cpu.weight", "50"},
			  {"io.weight", "default 10"},
			  {"memory.high", NULL},
			  {"memory.max", NULL}}},
	[CGROUP_PTYS] = {"ptys",
			 {{"cpu.weight", "200"},
			  {"io.weight", "default 50"},
			  {"memory.high", NULL},
			  {"memory.max", NULL}}},
	[CGROUP_SOCATS] = {"socats",
			   {{"cpu.weight", "150"},
			    {"io.weight", "default 50"},
			    {"memory.min", "5242880"},
			    {"memory.low", "8388608"}}},
};

const char *cgroups_group_name(enum cgroup_group group)
{
	return groups[group].name;
}

/* ---- the groups ---- */

/* Writes the memory that the group may use. Returns false if the memory's size is not known. */
static bool memory_bound(char *text, size_t room)
{
	struct sysinfo info;
	uint64_t total, reserved;

	if (sysinfo(&info) < 0)
		return false;
	total = (uint64_t)info.totalram * info.mem_unit;
	reserved = total / 8 < RESERVED_MAX_BYTES ? total / 8 : RESERVED_MAX_BYTES;
	snprintf(text, room, "%" PRIu64, total - reserved);
	return true;
}

/*
 * Writes the properties of a group. If a controller is not enabled, its file does not exist and is
 * skipped.
 */
static void set_properties(const struct cgroups *c, enum cgroup_group group)
{
	const struct property *p;
	char bound[24];
	bool bounded = memory_bound(bound, sizeof(bound));
	int r;

	if (!bounded)
		log_warn("cgroup %s: the size of the memory is not known", groups[group].name);
	for (p = groups[group].properties; p->file; p++) {
		if (!p->value && !bounded)
			continue;
		r = cgroup_file_write(c->group_fds[group], p->file, p->value ? p->value : bound);
		if (r < 0 && r != -ENOENT && r != -EACCES && r != -EPERM)
			log_warn("cgroup %s: %s can't be set: %s", groups[group].name, p->file,
				 error_errno_text(r));
	}
}

static int make_group(struct cgroups *c, enum cgroup_group group, struct error *err)
{
	const char *name = groups[group].name;

	if (mkdirat(c->root_fd, name, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, ERROR_INTERNAL, errno, "%s/%s can't be made", c->root,
				       name);
	c->group_fds[group] = openat(c->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->group_fds[group] < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "%s/%s", c->root, name);
	set_properties(c, group);
	return 0;
}

/*
 * Enables the memory controller for the children of a cgroup. (CPU time is counted in every
 * cgroup.)
 */
static void account(int fd, const char *name)
{
	int r = cgroup_file_write(fd, "cgroup.subtree_control", "+memory");

	if (r < 0)
		log_warn("no memory of single processes: cgroup.subtree_control of %s: %s", name,
			 error_errno_text(r));
}

/* ---- how a child gets into its cgroup ---- */

#define CHILD_CODE __attribute__((no_sanitize("address", "undefined", "thread")))

/* The child of a probe. It runs in the daemon's memory, so it makes only system calls. */
CHILD_CODE static void probe_child(void *arg)
{
	const int *procs_fd = arg;
	int failed = *procs_fd >= 0 && syscall(SYS_write, *procs_fd, "0", 1) < 0;

	for (;;)
		syscall(SYS_exit_group, failed);
}

/* Returns true if a child that is cloned into this cgroup survives. */
static bool probe(int dir_fd, int procs_fd)
{
	_Alignas(16) char stack[PROBE_STACK_BYTES];
	int pidfd = -1;
	struct clone_child child = {
		.run = probe_child,
		.arg = &procs_fd,
		.stack = stack,
		.stack_bytes = sizeof(stack),
		.cgroup_fd = procs_fd >= 0 ? -1 : dir_fd,
		.pidfd = &pidfd,
	};
	siginfo_t info = {0};
	int r;

	if (clone_vfork(&child) < 0)
		return false;
	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	fd_close(&pidfd);
	return r == 0 && info.si_code == CLD_EXITED && info.si_status == 0;
}

/*
 * Finds out how a child can be placed in a cgroup, with a new cgroup, as for processes, but not
 * below `user`, which an earlier daemon may have left frozen. On Linux 6.18 a child dies at once if
 * the cgroup it is cloned into and the one it is cloned from were not killed equally often
 * (kernel/cgroup/cgroup.c, kill_seq). So a daemon in a cgroup that was once killed can't use
 * CLONE_INTO_CGROUP. Some kernels and seccomp profiles also lack it.
 */
static enum cgroup_entry find_entry(const struct cgroups *c)
{
	enum cgroup_entry entry = CGROUP_ENTRY_NONE;
	FD_AUTO int procs_fd = -1;
	FD_AUTO int fd = -1;

	if (mkdirat(c->root_fd, PROBE_NAME, 0755) < 0 && errno != EEXIST)
		return CGROUP_ENTRY_NONE;
	fd = openat(c->root_fd, PROBE_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	procs_fd = openat(c->root_fd, PROBE_NAME "/cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && probe(fd, -1))
		entry = CGROUP_ENTRY_CLONE;
	else if (procs_fd >= 0 && probe(fd, procs_fd))
		entry = CGROUP_ENTRY_PROCS;
	unlinkat(c->root_fd, PROBE_NAME, AT_REMOVEDIR);
	return entry;
}

/* ---- OOM kills ---- */

static void look_for_oom(struct cgroup_oom *oom)
{
	uint64_t kills;

	if (cgroup_file_read_key(oom->all->group_fds[oom->group], "memory.events", "oom_kill",
				 &kills) == 0)
		oom_count_update(&oom->count, kills, clock_monotonic_ms());
}

static void memory_events_changed(struct cgroup_watch *watch)
{
	look_for_oom(container_of(watch, struct cgroup_oom, watch));
}

static void watch_oom(struct cgroups *c, enum cgroup_group group)
{
	struct cgroup_oom *oom = &c->oom[group];
	char path[64];

	oom->all = c;
	oom->group = group;
	oom->watch = (struct cgroup_watch){.id = -1, .changed = memory_events_changed};
	look_for_oom(oom);
	snprintf(path, sizeof(path), "%s/memory.events", groups[group].name);
	if (oom->count.known)
		cgroups_watch(c, &oom->watch, path);
}

bool cgroups_claim_oom(struct cgroups *c, enum cgroup_group group)
{
	struct cgroup_oom *oom = &c->oom[group];

	if (!oom->count.known)
		return false;
	look_for_oom(oom);
	return oom_count_claim(&oom->count, clock_monotonic_ms());
}

void cgroups_oom_count(struct cgroups *c, enum cgroup_group group, struct oom_count *ret)
{
	if (c->oom[group].count.known)
		look_for_oom(&c->oom[group]);
	*ret = c->oom[group].count;
}

void cgroups_continue_oom(struct cgroups *c, enum cgroup_group group, uint64_t seen,
			  uint64_t unclaimed, uint64_t age_ms)
{
	oom_count_continue(&c->oom[group].count, seen, unclaimed, age_ms, clock_monotonic_ms());
}

/* ---- all of it ---- */

static int open_root(struct cgroups *c, struct error *err)
{
	struct statfs st;

	c->root_fd = open(c->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->root_fd < 0 || fstatfs(c->root_fd, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "%s", c->root);
	if (st.f_type != CGROUP2_SUPER_MAGIC)
		return error_set(err, ERROR_INTERNAL, "%s is not cgroup2", c->root);
	return 0;
}

static int set_up(struct cgroups *c, struct error *err)
{
	enum cgroup_group group;

	if (open_root(c, err) < 0)
		return -1;
	if (c->accounting)
		account(c->root_fd, c->root);
	for (group = 0; group < CGROUP_GROUPS; group++)
		if (make_group(c, group, err) < 0)
			return -1;
	if (c->accounting) {
		account(c->group_fds[CGROUP_USER], groups[CGROUP_USER].name);
		account(c->group_fds[CGROUP_PTYS], groups[CGROUP_PTYS].name);
	}
	c->entry = find_entry(c);
	if (c->entry == CGROUP_ENTRY_NONE)
		return error_set(err, ERROR_INTERNAL, "no process can be placed below %s", c->root);
	c->has_kill = faccessat(c->group_fds[CGROUP_USER], "cgroup.kill", W_OK, 0) == 0;
	return 0;
}

static char *without_last_slashes(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	return mem_strndup(path, n);
}

struct cgroups *cgroups_new(struct loop *loop, struct workers *workers, const char *root,
			    bool accounting)
{
	struct cgroups *c = mem_zalloc(sizeof(*c));
	enum cgroup_group group;
	struct error err;

	c->loop = loop;
	c->workers = workers;
	c->root = without_last_slashes(root);
	c->root_fd = c->inotify_fd = -1;
	c->accounting = accounting;
	for (group = 0; group < CGROUP_GROUPS; group++)
		c->group_fds[group] = -1;
	cgroup_removal_init(c);
	if (set_up(c, &err) < 0) {
		log_info("no cgroups: %s", err.message);
		cgroups_free(c);
		return NULL;
	}
	watch_oom(c, CGROUP_USER);
	watch_oom(c, CGROUP_PTYS);
	cgroup_adopt_stale(c);
	log_debug("cgroups below %s, entered by %s", c->root,
		  c->entry == CGROUP_ENTRY_CLONE ? "clone" : "cgroup.procs");
	return c;
}

void cgroups_free(struct cgroups *c)
{
	enum cgroup_group group;

	if (!c)
		return;
	cgroup_removal_clear(c);
	if (c->inotify_fd >= 0)
		fd_event_del(&c->inotify_event);
	fd_close(&c->inotify_fd);
	fd_close(&c->root_fd);
	for (group = 0; group < CGROUP_GROUPS; group++)
		fd_close(&c->group_fds[group]);
	free(c->root);
	free(c);
}
