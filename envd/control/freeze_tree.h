/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks through a cgroup2 hierarchy for the freezer: finds the cgroups that the guest has frozen,
 * freezes, thaws, and reports the cgroups that a freeze did not reach. Plain functions on
 * directories: they read and write cgroup files and keep no state. They can block: call them on a
 * worker.
 *
 * Paths are relative to the root of the hierarchy; "" is the root itself. The walks visit `user`
 * and `ptys` but not their children: those are the cgroups of single processes
 * (pty/cgroup/cgroup.h), which stop with their parents.
 */
#ifndef ENVD_FREEZE_TREE_H
#define ENVD_FREEZE_TREE_H

#include <stdbool.h>
#include <stddef.h>

/* How many cgroups a freeze may visit unless its request says otherwise. */
#define FREEZE_DEFAULT_CGROUPS 512
/* How many cgroups any walk may visit. */
#define FREEZE_MAX_CGROUPS 8192

/* Paths, in the order in which they were added. All zero: empty. */
struct path_list {
	char **paths;
	size_t n, room;
};

void path_list_add(struct path_list *list, const char *path); /* copies */
bool path_list_has(const struct path_list *list, const char *path);
void path_list_clear(struct path_list *list);

/* A hierarchy, and the cgroups in it that must not be frozen. */
struct freeze_tree {
	int root_fd;
	bool located; /* the daemon's cgroup was found: it is the last path of the chain */
	struct path_list chain;	  /* the daemon's cgroup and all its ancestors */
	struct path_list descend; /* the chain, and the ancestors of cgroups that a resume needs */
};

/*
 * Finds the daemon in the hierarchy, by a file like /proc/self/cgroup; it may lie outside of it.
 * Borrows the descriptor.
 */
void freeze_tree_init(struct freeze_tree *tree, int root_fd, const char *proc_file);
void freeze_tree_clear(struct freeze_tree *tree);

/* Whether a resume needs this cgroup or one of its ancestors. */
bool freeze_tree_is_needed(const char *path);

/*
 * Whether the result r of reading or writing a cgroup's file means that the cgroup was removed. Not
 * for `user` and `ptys`: one of those that is missing is a failure.
 */
bool freeze_tree_has_vanished(const char *path, int r);

/*
 * Adds every frozen cgroup except those of the daemon to `guest`: only the ones that were frozen
 * themselves, not those that stopped with an ancestor. Returns how many could not be read;
 * *ret_truncated: there are more cgroups than the walk may visit.
 */
unsigned freeze_tree_scan(const struct freeze_tree *tree, struct path_list *guest,
			  bool *ret_truncated);

struct freeze_sweep {
	bool hierarchy;		  /* false: only user and ptys */
	unsigned max_visits;	  /* how many cgroups it may visit */
	bool adopt;		  /* a cgroup that is frozen already was frozen by the guest */
	struct path_list *guest;  /* are not written to; adopted ones are added */
	struct path_list targets; /* took the freeze */
	unsigned visited, allowlisted, failed;
	unsigned vanished; /* were removed after the walk had listed them */
	bool truncated;
};

/* Asks the kernel to freeze. freeze_tree_is_frozen tells when a cgroup has stopped. */
void freeze_tree_sweep(const struct freeze_tree *tree, struct freeze_sweep *sweep);

/* 1 if all of the cgroup has stopped (`frozen` in cgroup.events), 0 if not, or -errno. */
int freeze_tree_is_frozen(int root_fd, const char *path);

/* 1 if the cgroup itself was frozen (cgroup.freeze), not only an ancestor; 0, or -errno. */
int freeze_tree_is_asked(int root_fd, const char *path);

struct freeze_thaw {
	bool discover;		       /* look for frozen cgroups in the whole hierarchy */
	const struct path_list *guest; /* stay frozen */
	unsigned visited, thawed, failed, preserved;
	unsigned missing; /* of user and ptys: those that do not exist */
	bool truncated;
	bool groups_failed; /* user or ptys may still be frozen */
};

void freeze_tree_thaw(const struct freeze_tree *tree, struct freeze_thaw *thaw);

/* How complete a freeze of the hierarchy was. */
#define FREEZE_AUDIT_SAMPLE_BYTES 512
struct freeze_audit {
	unsigned visited, frozen, escaped, violations;
	bool truncated;
	/*
	 * The first few of each, for the log: the names are the guest's, so no header shows them.
	 */
	char escaped_sample[FREEZE_AUDIT_SAMPLE_BYTES];
	char violation_sample[FREEZE_AUDIT_SAMPLE_BYTES];
};

void freeze_tree_audit(const struct freeze_tree *tree, struct freeze_audit *ret);

#endif
