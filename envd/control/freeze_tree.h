/*
 * Walks through a cgroup2 hierarchy for the freezer: what the guest had frozen, what to freeze, what
 * to thaw, what escaped. Plain functions on directories; they read and write cgroup files and know
 * no state. For a worker.
 *
 * Paths are relative to the root of the hierarchy, and "" is the root itself. `user` and `ptys` are
 * looked at and what is below them is not: those are the cgroups of single processes (pty/cgroup/cgroup.h),
 * which stop with their parents.
 */
#ifndef ENVD_FREEZE_TREE_H
#define ENVD_FREEZE_TREE_H

#include <stdbool.h>
#include <stddef.h>

/* What a walk may visit: of a freeze by default and at most, and of every other walk. */
#define FREEZE_DEFAULT_CGROUPS 512
#define FREEZE_MAX_CGROUPS     8192

/* Paths, in the order in which they were added. Zeroed is empty. */
struct path_list {
	char **paths;
	size_t n, room;
};

void path_list_add(struct path_list *list, const char *path); /* copies */
bool path_list_has(const struct path_list *list, const char *path);
void path_list_clear(struct path_list *list);

/* Where the walks happen. Zeroed but for root_fd, it protects nothing but the root. */
struct freeze_tree {
	int root_fd;
	struct path_list chain;	  /* from the root down to the cgroup of the daemon */
	struct path_list descend; /* that, and what is above a cgroup that a resume needs */
};

/*
 * Finds the daemon in the hierarchy, by a file like /proc/self/cgroup; it may lie outside of it.
 * Borrows the descriptor.
 */
void freeze_tree_init(struct freeze_tree *tree, int root_fd, const char *proc_file);
void freeze_tree_clear(struct freeze_tree *tree);

/* Whether a resume needs this cgroup, or one that it is in. */
bool freeze_tree_is_needed(const char *path);

/*
 * Adds every cgroup that is frozen itself, and is not ours, to `guest`. Returns how many could not
 * be read; *truncated tells that there was more than may be visited.
 */
unsigned freeze_tree_scan(const struct freeze_tree *tree, struct path_list *guest,
			  bool *ret_truncated);

struct freeze_sweep {
	bool hierarchy;		  /* or user and ptys alone */
	unsigned max_visits;	  /* FREEZE_DEFAULT_CGROUPS, … */
	bool adopt;		  /* what is found frozen was the guest's doing */
	struct path_list *guest;  /* which is left as it is; adopted ones are added */
	struct path_list targets; /* what was frozen */
	unsigned visited, allowlisted, failed;
	bool truncated;
};

/* Asks the kernel to freeze. It tells when it has: freeze_tree_is_frozen. */
void freeze_tree_sweep(const struct freeze_tree *tree, struct freeze_sweep *sweep);

/* 1 where all of it has stopped (cgroup.events), 0 where not, or -errno. */
int freeze_tree_is_frozen(int root_fd, const char *path);

/* 1 where it was frozen itself (cgroup.freeze), and not only by what it is in; 0, or -errno. */
int freeze_tree_is_asked(int root_fd, const char *path);

struct freeze_thaw {
	bool discover;		       /* look for frozen ones in the whole hierarchy */
	const struct path_list *guest; /* which are left as they are */
	unsigned visited, thawed, failed, preserved;
	bool truncated;
	bool groups_failed; /* user or ptys may still be frozen */
};

void freeze_tree_thaw(const struct freeze_tree *tree, struct freeze_thaw *thaw);

/* What a freeze of the hierarchy has left as it should be, and what not. */
#define FREEZE_AUDIT_SAMPLE_BYTES 512
struct freeze_audit {
	unsigned visited, frozen, escaped, violations;
	bool truncated;
	/* The first of each, for the log alone: the names are the guest's. */
	char escaped_sample[FREEZE_AUDIT_SAMPLE_BYTES];
	char violation_sample[FREEZE_AUDIT_SAMPLE_BYTES];
};

void freeze_tree_audit(const struct freeze_tree *tree, struct freeze_audit *ret);

#endif
