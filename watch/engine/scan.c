/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "watch/engine/glob.h"
#include "watch/engine/mounts.h"
#include "watch/engine/reach.h"
#include "watch/engine/source.h"

/* The size of one getdents64(2), and the names that one step of a sweep checks. */
#define BUFFER_BYTES 32768
#define SWEEP_NAMES  1024

enum frame_phase {
	FRAME_LIST,    /* reads the names */
	FRAME_SWEEP,   /* removes names that were not read */
	FRAME_DESCEND, /* enters directories */
};

struct watch_scan_frame {
	struct watch_node *node;
	int fd; /* -1: closed for now */
	enum frame_phase phase;
	bool relist;	  /* the directories below are read again, too */
	bool fresh;	  /* no name in it was emitted before */
	bool other;	  /* another directory than before */
	bool lacks_files; /* some of its names were not remembered */
	bool lacks_dirs;
	bool again;	  /* emit "look again" after the comparison */
	int64_t since_ns; /* emit files that changed since then */
	uint32_t at;	  /* the position of SWEEP and DESCEND in the names */
};

/* ---- frames ---- */

static void frame_push(struct watch_scan *scan, const struct watch_scan_frame *frame)
{
	if (scan->n_frames == scan->capacity) {
		scan->capacity = scan->capacity * 2 + 8;
		scan->frames = mem_realloc(scan->frames, scan->capacity * sizeof(*scan->frames));
	}
	scan->frames[scan->n_frames++] = *frame;
	if (scan->n_frames > WATCH_SCAN_OPEN_MAX)
		fd_close(&scan->frames[scan->n_frames - 1 - WATCH_SCAN_OPEN_MAX].fd);
}

static void frame_pop(struct watch_scan *scan)
{
	struct watch_scan_frame *frame = &scan->frames[scan->n_frames - 1];

	watch_node_tidy(frame->node);
	fd_close(&frame->fd);
	scan->n_frames--;
}

void watch_scan_rest(struct watch_source *source)
{
	struct watch_scan *scan = &source->scan;
	size_t i;

	for (i = scan->n_frames; i > 0; i--)
		fd_close(&scan->frames[i - 1].fd);
}

void watch_scan_abort(struct watch_source *source)
{
	struct watch_scan *scan = &source->scan;
	struct watch_tree *tree = scan->tree;

	if (!tree)
		return;
	watch_scan_rest(source);
	free(scan->frames);
	free(scan->buffer);
	memset(scan, 0, sizeof(*scan));
	if (tree->state == WATCH_TREE_STARTING)
		watch_tree_set_state(tree, WATCH_TREE_SILENT);
}

/* ---- CREATE of directories ---- */

/*
 * Emits the CREATE of a directory that a listing has found. The directory now has its watch, or
 * can't have one. This order matters because a client lists the directory as soon as it gets the
 * event.
 */
static void emit_directory(struct watch_node *parent, uint32_t place)
{
	struct watch_names *names = &parent->names;

	if (!watch_names_marked(names, place, WATCH_NAME_PENDING))
		return;
	watch_names_mark(names, place, WATCH_NAME_PENDING, false);
	watch_emit(parent, WATCH_CREATE, watch_names_text(names, place),
		   watch_names_bytes(names, place), true);
}

/* Ends a listing early: removes the marks of all names. */
static void end_listing(struct watch_node *node)
{
	uint32_t at;

	for (at = watch_names_from(&node->names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(&node->names, at)) {
		watch_names_mark(&node->names, at, WATCH_NAME_SEEN, false);
		emit_directory(node, at);
	}
}

/*
 * Emits a directory anew, because its name leads to another directory than before, or because it
 * could be opened only now. Comparing names would not suffice: a client may have listed the
 * directory while it had no watch.
 */
static void emit_anew(struct watch_node *node)
{
	struct watch_node *parent = node->parent;
	const char *name = watch_names_text(&parent->names, node->place);
	size_t n = watch_names_bytes(&parent->names, node->place);

	/* No kernel event reports that the names below are gone. */
	if (node->names.count > 0)
		watch_emit(parent, WATCH_REMOVE, name, n, true);
	watch_node_forget(node);
	watch_node_set_trust(node, WATCH_UNREAD);
	watch_emit(parent, WATCH_CREATE, name, n, true);
}

/* ---- scanning one directory ---- */

/* Handles a node whose directory could not be opened or watched. */
static void look_failed(struct watch_node *node, int error)
{
	struct watch_tree *tree = node->tree;

	if (tree->state == WATCH_TREE_STARTING && node == tree->top) {
		tree->start_error = error;
		return;
	}
	watch_node_set_trust(node, node->wd < 0 ? WATCH_MISSED : WATCH_STALE);
	switch (error) {
	case -EACCES:
	case -EPERM:
	case -EXDEV:
		/* The parent's events report a change of its mode. */
		break;
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -ESTALE:
		if (node == tree->top) {
			watch_emit_gone(tree, WATCH_REMOVE);
			break;
		}
		/*
		 * The name leads to another directory now. An event will report this if the parent
		 * is watched and is still the directory that its node stands for.
		 */
		watch_node_look(node, WATCH_LOOK_POLL);
		if (error == -ESTALE)
			watch_node_look(node->parent, WATCH_LOOK_QUIET);
		break;
	default:
		watch_node_look(node, WATCH_LOOK_POLL);
	}
}

/*
 * Stores mode and owner. `emit`: emits CHMOD if they differ from the last emitted values; if these
 * are unknown, emits it if the ctime is not older than since_ns.
 */
static void look_at_attributes(struct watch_node *node, const struct stat *st, bool emit,
			       int64_t since_ns)
{
	bool known = node->mode != 0 && since_ns != WATCH_SINCE_EVER;
	bool differ =
		node->mode != st->st_mode || node->uid != st->st_uid || node->gid != st->st_gid;

	if (emit) {
		if (known ? differ : watch_changed_since(&st->st_ctim, since_ns))
			watch_emit(node, WATCH_CHMOD, NULL, 0, true);
		else if (!known)
			return; /* the event of a change may have been lost */
	}
	node->mode = st->st_mode;
	node->uid = st->st_uid;
	node->gid = st->st_gid;
}

/*
 * The node was found in its place, so directories in it that could not be opened may be found now:
 * an ancestor was being moved.
 */
static void look_at_missed(struct watch_node *node)
{
	const struct watch_names *names = &node->names;
	struct watch_node *child;
	uint32_t at;

	if (node->tree->source->n_poll == 0)
		return;
	for (at = watch_names_from(names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(names, at)) {
		child = watch_names_node(names, at);
		if (child && child->trust == WATCH_MISSED && child->attention == WATCH_LOOK_POLL)
			watch_node_look(child, WATCH_LOOK_NOW);
	}
}

/*
 * Returns true if the comparison can miss something that a client may have seen: names that were
 * not remembered, or entries that were created and removed while there was no watch. A relisting
 * always ends with "look again".
 */
static bool may_miss(const struct watch_scan_frame *frame, const struct stat *st, bool unwatched)
{
	const struct watch_node *node = frame->node;
	bool changed = watch_changed_since(&st->st_ctim, frame->since_ns);

	if (frame->fresh || frame->relist)
		return false;
	if (frame->lacks_files || frame->lacks_dirs)
		return changed || node->trust == WATCH_STALE;
	return unwatched && changed && node->tree->recursive;
}

/* Pushes a frame that reads the node's names. */
static void begin_listing(struct watch_scan *scan, struct watch_scan_frame *frame,
			  const struct stat *st, bool unwatched)
{
	struct watch_node *node = frame->node;

	frame->lacks_files = !frame->fresh && node->names.lacks_files;
	frame->lacks_dirs = !frame->fresh && node->names.lacks_dirs;
	frame->again = may_miss(frame, st, unwatched);
	node->names.lacks_files = node->names.lacks_dirs = false;
	node->replaced_name = WATCH_REPLACED_ANY;
	watch_node_set_trust(node, WATCH_CURRENT);
	frame_push(scan, frame);
}

/*
 * Scans a node through its open directory: binds the watch, and pushes a frame if the names must be
 * read. Takes ownership of the descriptor.
 */
static void look_at(struct watch_scan *scan, struct watch_node *node, const struct watch_seen *seen,
		    bool relist, int64_t since_ns)
{
	struct watch_scan_frame frame = {.node = node, .fd = seen->fd, .relist = relist};
	struct watch_tree *tree = node->tree;
	const struct stat *st = &seen->st;
	bool unwatched = node->wd < 0;
	int64_t polled_ns;

	if (node->parent)
		emit_directory(node->parent, node->place);
	if (frame.fd < 0) {
		look_failed(node, frame.fd);
		return;
	}
	/* No watch is left: poll the directory. */
	if (seen->wd < 0)
		watch_node_look(node, WATCH_LOOK_POLL);
	frame.fresh = node->trust <= WATCH_MISSED;
	frame.other = node->dev != st->st_dev || node->ino != st->st_ino ||
		      (node->wd >= 0 && seen->wd >= 0 && node->wd != seen->wd);
	if ((frame.fresh ? node->trust == WATCH_MISSED : frame.other) && node->parent) {
		emit_anew(node);
		frame.fresh = true;
	}
	if (unwatched && !frame.fresh) {
		/* At least since the poll before the last one. */
		polled_ns = watch_mark_since_ns(&tree->polled_before);
		since_ns = polled_ns < since_ns ? polled_ns : since_ns;
	}
	if (!frame.fresh && frame.other)
		since_ns = WATCH_SINCE_EVER;
	watch_node_bind(node, seen->wd < 0 ? -1 : seen->wd);
	node->dev = st->st_dev;
	node->ino = st->st_ino;
	look_at_attributes(node, st, !frame.fresh, since_ns);
	frame.since_ns = since_ns;
	if (!frame.fresh && !frame.other && !relist && !unwatched && node->trust == WATCH_CURRENT &&
	    !node->names.lacks_dirs) {
		look_at_missed(node);
		fd_close(&frame.fd);
		return;
	}
	begin_listing(scan, &frame, st, unwatched);
}

/* ---- reading names ---- */

/* Handles a name that was emitted before: emits its changes. */
static void see_old_name(struct watch_scan_frame *frame, const char *name, size_t n, bool is_dir)
{
	struct stat st;

	/* A directory below is compared when the scan enters it. */
	if (frame->since_ns == WATCH_SINCE_NEVER || (is_dir && frame->node->tree->recursive))
		return;
	if (frame->since_ns != WATCH_SINCE_EVER &&
	    (fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ||
	     !watch_changed_since(&st.st_ctim, frame->since_ns)))
		return;
	watch_emit(frame->node, WATCH_CHMOD, name, n, is_dir);
	if (!is_dir)
		watch_emit(frame->node, WATCH_WRITE, name, n, is_dir);
}

/*
 * Emits a file that a listing found: CREATE, and WRITE if it is not empty. Clients wait for the
 * WRITE of an upload, whose own event may have come before the directory was watched.
 */
static void emit_file(const struct watch_scan_frame *frame, const char *name, size_t n)
{
	struct stat st;

	if (watch_emit(frame->node, WATCH_CREATE, name, n, false) &&
	    fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
	    S_ISREG(st.st_mode) && st.st_size > 0)
		watch_emit(frame->node, WATCH_WRITE, name, n, false);
}

/* Handles a name that is not remembered: it is new, or there was no room for it. */
static void see_new_name(struct watch_scan_frame *frame, const char *name, size_t n, bool is_dir)
{
	struct watch_node *node = frame->node;
	bool found_no_room =
		is_dir ? frame->lacks_dirs
		       : frame->lacks_files || (!frame->fresh && node->names.lacks_files);
	uint32_t place = WATCH_NAME_NONE;

	if (is_dir || !node->names.lacks_files)
		place = watch_node_add_name(node, name, n, is_dir);
	if (place != WATCH_NAME_NONE && !frame->fresh)
		watch_names_mark(&node->names, place, WATCH_NAME_SEEN, true);
	if (found_no_room)
		see_old_name(frame, name, n, is_dir);
	else if (!is_dir)
		emit_file(frame, name, n);
	else if (node->tree->recursive && place != WATCH_NAME_NONE)
		watch_names_mark(&node->names, place, WATCH_NAME_PENDING, true);
	else
		watch_emit(node, WATCH_CREATE, name, n, true);
	if (place != WATCH_NAME_NONE)
		return;
	if (is_dir)
		watch_node_look(node, WATCH_LOOK_POLL);
	else if (!frame->fresh && !frame->lacks_files)
		frame->again = true; /* the file names were dropped during the comparison */
}

static void see_name(struct watch_scan_frame *frame, const char *name, unsigned char type)
{
	struct watch_node *node = frame->node;
	size_t n = strlen(name);
	bool is_dir = type == DT_DIR;
	struct stat st;
	uint32_t place;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || n > WATCH_NAME_MAX_BYTES ||
	    watch_patterns_match(node->tree->ignored, name))
		return;
	if (type == DT_UNKNOWN) {
		if (fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
			return;
		is_dir = S_ISDIR(st.st_mode);
	}
	place = watch_names_find(&node->names, name, n);
	if (place != WATCH_NAME_NONE && watch_names_is_dir(&node->names, place) != is_dir) {
		watch_emit(node, WATCH_REMOVE, name, n, !is_dir);
		watch_node_remove_name(node, place);
		place = WATCH_NAME_NONE;
	}
	if (place == WATCH_NAME_NONE) {
		see_new_name(frame, name, n, is_dir);
	} else if (!frame->fresh) {
		watch_names_mark(&node->names, place, WATCH_NAME_SEEN, true);
		see_old_name(frame, name, n, is_dir);
	}
}

/* Ends the comparison, and continues with the directories below. */
static void frame_descend(struct watch_scan_frame *frame)
{
	frame->at = 0;
	frame->phase = FRAME_DESCEND;
	if (frame->again)
		watch_emit_look_again(frame->node);
}

/*
 * Returns true if no name follows the name with this d_off. At the end of a directory, ext4, btrfs,
 * XFS and tmpfs set the position to the maximum of 64 or of 32 bits (ext4_get_htree_eof,
 * btrfs_real_readdir, xfs_readdir, offset_readdir). This saves the second call for each directory:
 * 8 % of the time in which a watch of 20,000 directories starts.
 */
static bool is_last(int64_t d_off)
{
	return d_off == INT64_MAX || d_off == INT32_MAX;
}

/*
 * Reads one buffer of names. A buffer that is not full does not mark the end: the kernel returns
 * fewer names if a signal is pending, as during a freeze (filldir64 in fs/readdir.c).
 */
static void list_step(struct watch_scan *scan, struct watch_scan_frame *frame)
{
	const struct dirent64 *entry;
	int64_t d_off = 0;
	ssize_t n;
	size_t at;

	if (!scan->buffer)
		scan->buffer = mem_alloc(BUFFER_BYTES);
	n = getdents64(frame->fd, scan->buffer, BUFFER_BYTES);
	for (at = 0; n > 0 && at < (size_t)n; at += entry->d_reclen) {
		entry = (const struct dirent64 *)(const void *)(scan->buffer + at);
		see_name(frame, entry->d_name, entry->d_type);
		d_off = entry->d_off;
	}
	if (n > 0 && !is_last(d_off))
		return;
	if (n < 0 && errno != ENOENT) {
		/* Names that were not read may or may not exist. */
		watch_node_set_trust(frame->node, WATCH_STALE);
		watch_node_look(frame->node, WATCH_LOOK_POLL);
		end_listing(frame->node);
		frame_descend(frame);
	} else if (frame->fresh) {
		frame_descend(frame);
	} else {
		frame->at = 0;
		frame->phase = FRAME_SWEEP;
	}
}

/* Removes the names that the listing did not find. */
static void sweep_step(struct watch_scan_frame *frame)
{
	struct watch_node *node = frame->node;
	struct watch_names *names = &node->names;
	uint32_t at = watch_names_from(names, frame->at), next;
	unsigned count;

	for (count = 0; at != WATCH_NAME_NONE && count < SWEEP_NAMES; count++, at = next) {
		next = watch_names_next(names, at);
		if (watch_names_marked(names, at, WATCH_NAME_SEEN)) {
			watch_names_mark(names, at, WATCH_NAME_SEEN, false);
			continue;
		}
		watch_emit(node, WATCH_REMOVE, watch_names_text(names, at),
			   watch_names_bytes(names, at), watch_names_is_dir(names, at));
		watch_node_remove_name(node, at);
	}
	frame->at = at;
	if (at == WATCH_NAME_NONE) {
		watch_node_tidy(node);
		frame_descend(frame);
	}
}

/* ---- entering directories ---- */

/* Returns the next name of a directory to enter, or WATCH_NAME_NONE. */
static uint32_t next_directory(const struct watch_scan_frame *frame)
{
	const struct watch_names *names = &frame->node->names;
	uint32_t at;

	for (at = watch_names_from(names, frame->at); at != WATCH_NAME_NONE;
	     at = watch_names_next(names, at))
		if (watch_names_is_dir(names, at) &&
		    (!watch_names_node(names, at) || frame->relist || frame->other))
			break;
	return at;
}

/* Closes a directory that is not needed. Its watch may belong to the node of another directory. */
static void drop_seen(struct watch_source *source, struct watch_seen *seen)
{
	if (seen->fd < 0)
		return;
	fd_close(&seen->fd);
	if (seen->wd >= 0 && !watch_wdmap_find(&source->wds, seen->wd))
		inotify_unwatch(source->fd, seen->wd);
}

/* Enters one directory below. Ends the frame if there is none. */
static void descend_step(struct watch_scan *scan, struct watch_scan_frame *frame)
{
	struct watch_node *node = frame->node, *child;
	bool relist = frame->relist;
	struct watch_seen seen;
	uint32_t at = next_directory(frame);

	if (at == WATCH_NAME_NONE || !node->tree->recursive) {
		frame_pop(scan);
		return;
	}
	frame->at = watch_names_next(&node->names, at);
	watch_see_child(node, frame->fd, at, scan->mounts_below, &seen);
	child = watch_names_node(&node->names, at);
	if (!child)
		child = watch_node_new(node->tree, node, at);
	if (!child) {
		drop_seen(node->tree->source, &seen);
		emit_directory(node, at);
		node->names.lacks_dirs = true;
		watch_node_look(node, WATCH_LOOK_POLL);
		watch_emit_look_again(node);
		return;
	}
	/* This scan is the one that was scheduled for the child. */
	watch_node_looked(child);
	look_at(scan, child, &seen, relist, relist ? scan->since_ns : WATCH_SINCE_NEVER);
}

/* ---- the whole scan ---- */

/* Ends the scan. After an overflow, emits "look again" after the differences. */
static void scan_finish(struct watch_source *source)
{
	struct watch_tree *tree = source->scan.tree;

	if (source->scan.relist && tree->top)
		watch_emit_look_again(tree->top);
	source->listed_bytes = watch_source_queued_bytes(source);
	watch_scan_abort(source);
}

void watch_scan_begin(struct watch_source *source, struct watch_node *node, bool relist,
		      int64_t since_ns)
{
	struct watch_scan *scan = &source->scan;
	struct watch_seen seen;

	if (!watch_node_attached(node)) {
		watch_node_look(node, WATCH_LOOK_QUIET);
		return;
	}
	scan->tree = node->tree;
	scan->relist = relist;
	scan->since_ns = since_ns;
	scan->mounts_below =
		node->tree->recursive && watch_mounts_below(source->mounts, node->tree->path);
	watch_see_node(node, scan->mounts_below, &seen);
	look_at(scan, node, &seen, relist, since_ns);
	if (scan->n_frames == 0)
		scan_finish(source);
}

/* Opens the current directory again after a rest, or on the way up. Returns false if that fails. */
static bool frame_open(struct watch_scan *scan, struct watch_scan_frame *frame)
{
	if (frame->fd >= 0)
		return true;
	frame->fd = watch_open_node(frame->node);
	if (frame->fd >= 0)
		return true;
	/* An event will report what happened to it. */
	end_listing(frame->node);
	watch_node_set_trust(frame->node, WATCH_STALE);
	watch_node_look(frame->node, WATCH_LOOK_QUIET);
	frame_pop(scan);
	return false;
}

void watch_scan_step(struct watch_source *source)
{
	struct watch_scan *scan = &source->scan;
	struct watch_scan_frame *frame = &scan->frames[scan->n_frames - 1];

	if (frame_open(scan, frame)) {
		switch (frame->phase) {
		case FRAME_LIST:
			list_step(scan, frame);
			break;
		case FRAME_SWEEP:
			sweep_step(frame);
			break;
		case FRAME_DESCEND:
			descend_step(scan, frame);
			break;
		}
	}
	if (scan->n_frames == 0)
		scan_finish(source);
}
