/*
 * Reaching the directories of a tree: by the path that the tree remembers or through an open parent,
 * and seeing at once which they are and having them watched. On a worker.
 *
 * What is reached need not be what is remembered. Something above may have been moved, and the events
 * that say so may be still to come.
 */
#ifndef WATCH_ENGINE_REACH_H
#define WATCH_ENGINE_REACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct watch_node;
struct watch_tree;

/* A directory that was opened, and is watched. */
struct watch_seen {
	int fd; /* the caller's to close. -errno: not opened, and the rest says nothing */
	int wd; /* -errno: it can't be watched */
	struct stat st;
};

/* Whether the directory is the one that the node stands for. */
bool watch_node_is(const struct watch_node *node, const struct stat *st);

/*
 * Opens the node's directory by its path, without touching its watch: a descriptor, -ESTALE where
 * another one is there by now, or -errno.
 */
int watch_open_node(struct watch_node *node);

/* Opens the directory `name` of `dirfd`, not following a link; or takes an open one (or -errno). */
void watch_see(int inotify_fd, int dirfd, const char *name, struct watch_seen *ret);
void watch_see_open(int inotify_fd, int fd, struct watch_seen *ret);

/*
 * The directory by the name at `place` of an open parent. With `mounts_below` -EXDEV for the top of a
 * file system that is not gone into.
 */
void watch_see_child(struct watch_node *parent, int dirfd, uint32_t place, bool mounts_below,
		     struct watch_seen *ret);

/*
 * The node's directory as a name of its parent's, after making sure that it is the parent (-ESTALE):
 * only so does every later change of what the name leads to come as an event.
 */
void watch_see_below(struct watch_node *node, bool mounts_below, struct watch_seen *ret);

/* The watched directory itself, -ESTALE where it is not the one that was asked for. */
void watch_see_top(struct watch_tree *tree, struct watch_seen *ret);

#endif
