/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a cgroup2 hierarchy for the freezer: finds the cgroups that the guest has frozen, freezes,
 * thaws, and reports the cgroups that a freeze did not reach. The functions read and write cgroup
 * files and keep no state. They can block: call them on a worker.
 *
 * Paths are relative to the root of the hierarchy; "" is the root itself. The walks visit `user`
 * and `ptys` but not their children, which are the cgroups of single processes
 * (pty/cgroup/cgroup.h): the kernel freezes descendants together with their ancestor.
 */
#ifndef ENVD_FREEZE_TREE_H
#define ENVD_FREEZE_TREE_H

#include <stdbool.h>
#include <stddef.h>

/* Maximum number of cgroups that a freeze visits, unless its request sets another. */
#define FREEZE_DEFAULT_CGROUPS 512
/* Maximum number of cgroups that any walk visits. */
#define FREEZE_MAX_CGROUPS 8192

/* Paths, in the order in which they were added. All zero: empty. */
struct path_list {
	char **paths;
	size_t n, room;
};

void path_list_add(struct path_list *list, const char *path); /* copies */
void path_list_clear(struct path_list *list);

/* A hierarchy, and the cgroups in it that must not be frozen. */
struct freeze_tree {
	int root_fd;
	bool located; /* the daemon's cgroup was found: it is the last path of the chain */
	struct path_list chain;	  /* the daemon's cgroup and all its ancestors */
	struct path_list descend; /* the chain, and the ancestors of cgroups that a resume needs */
};

/*
 * Finds the daemon's cgroup in the hierarchy. `proc_file` has the format of /proc/self/cgroup. If
 * the daemon lies outside the hierarchy, `located` is false. Borrows the descriptor. Returns 0, or
 * -errno if a file could not be read: then the chain is unknown, and a freeze of the hierarchy
 * could freeze the daemon.
 */
int freeze_tree_init(struct freeze_tree *tree, int root_fd, const char *proc_file);
void freeze_tree_clear(struct freeze_tree *tree);

/* Returns true if a resume needs this cgroup or one of its ancestors to run. */
bool freeze_tree_is_needed(const char *path);

/*
 * Returns true if r, the result of reading or writing a file of the cgroup, means that the cgroup
 * was removed. Returns false for `user` and `ptys`, because their absence is a failure.
 */
bool freeze_tree_has_vanished(const char *path, int r);

/*
 * Adds every cgroup that was frozen itself (cgroup.freeze is 1) to `guest`, except the daemon's. A
 * cgroup that is frozen only because an ancestor is frozen is not added. Returns the number of
 * cgroups that could not be read. *ret_truncated: the walk stopped at FREEZE_MAX_CGROUPS.
 */
unsigned freeze_tree_scan(const struct freeze_tree *tree, struct path_list *guest,
			  bool *ret_truncated);

/* The maximum number of vanished cgroups that the log names. */
#define FREEZE_SAMPLE_PATHS 8

/* Adds the path, unless the list is full. `list` may be NULL. */
void freeze_tree_sample(struct path_list *list, const char *path);

struct freeze_sweep {
	bool hierarchy;		  /* false: only user and ptys */
	unsigned max_visits;	  /* maximum number of visited cgroups */
	bool adopt;		  /* cgroups that are frozen already were frozen by the guest */
	struct path_list *guest;  /* frozen by the guest: not written to; found ones are added */
	struct path_list targets; /* cgroups that were frozen now */
	unsigned visited, allowlisted, failed;
	unsigned vanished;		  /* removed after the walk had listed them */
	struct path_list *vanished_paths; /* NULL, or gets the first FREEZE_SAMPLE_PATHS of them */
	bool truncated;
};

/* Writes 1 to cgroup.freeze of the cgroups. The kernel freezes later: see freeze_tree_is_frozen. */
void freeze_tree_sweep(const struct freeze_tree *tree, struct freeze_sweep *sweep);

/*
 * Returns 1 if all processes of the cgroup are frozen (`frozen` in cgroup.events), 0 if not, or
 * -errno.
 */
int freeze_tree_is_frozen(int root_fd, const char *path);

/* Returns 1 if the cgroup itself was frozen (cgroup.freeze is 1), 0 if not, or -errno. */
int freeze_tree_is_asked(int root_fd, const char *path);

struct freeze_thaw {
	bool discover;		       /* search the whole hierarchy for frozen cgroups */
	const struct path_list *guest; /* stay frozen */
	unsigned visited, thawed, failed, preserved;
	unsigned missing; /* how many of user and ptys do not exist */
	bool truncated;
	bool groups_failed; /* user or ptys may still be frozen */
};

void freeze_tree_thaw(const struct freeze_tree *tree, struct freeze_thaw *thaw);

/* The completeness of a freeze of the hierarchy. */
#define FREEZE_AUDIT_SAMPLE_BYTES 512
struct freeze_audit {
	unsigned visited, frozen, escaped, violations;
	bool truncated;
	/*
	 * The first paths of each kind, for the log only: the guest chooses the names, so no header
	 * may contain them.
	 */
	char escaped_sample[FREEZE_AUDIT_SAMPLE_BYTES];
	char violation_sample[FREEZE_AUDIT_SAMPLE_BYTES];
};

void freeze_tree_audit(const struct freeze_tree *tree, struct freeze_audit *ret);

#endif
