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
#include "watch/engine/mounts.h"
#include "watch/engine/reach.h"
#include "watch/engine/source.h"
#include "watch/glob.h"

/* One getdents64(2), and the names that one step of a sweep looks at. */
#define BUFFER_BYTES 32768
#define SWEEP_NAMES  1024

enum frame_phase {
	FRAME_LIST,    /* reads the names */
	FRAME_SWEEP,   /* names that were not read are gone */
	FRAME_DESCEND, /* goes into directories */
};

struct watch_scan_frame {
	struct watch_node *node;
	int fd; /* -1: given back for now */
	enum frame_phase phase;
	bool relist;	  /* and so are the directories below */
	bool fresh;	  /* nothing of it was ever told */
	bool other;	  /* another directory than before */
	bool forgotten;	  /* the names of its files were not remembered */
	bool cut;	  /* nor those of all its directories */
	bool again;	  /* "look again" is to be said, behind what the comparison says */
	bool dir_changed; /* since since_ns: names came or went */
	int64_t since_ns; /* files that changed since then are told */
	uint32_t at;	  /* where SWEEP and DESCEND are in the names */
};

/* ---- frames ---- */

static struct watch_scan_frame *top_frame(struct watch_scan *scan)
{
	return &scan->frames[scan->n_frames - 1];
}

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

/* ---- telling of directories ---- */

/*
 * Tells of a directory that a listing found. Its own watch is in place by now, or will not be:
 * clients look there as soon as they hear of it, and what changes behind their back must be seen.
 */
static void tell_directory(struct watch_node *parent, uint32_t place)
{
	struct watch_names *names = &parent->names;

	if (!watch_names_untold(names, place))
		return;
	watch_names_set_untold(names, place, false);
	watch_tell(parent, WATCH_CREATE, watch_names_text(names, place),
		   watch_names_bytes(names, place), true);
}

/* A listing ends before its time: no name is left marked or untold by it. */
static void end_listing(struct watch_node *node)
{
	uint32_t at;

	for (at = watch_names_from(&node->names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(&node->names, at)) {
		watch_names_mark(&node->names, at, false);
		tell_directory(node, at);
	}
}

/* ---- looking at one directory ---- */

/*
 * Another directory is there than the node's, or it is the first time that one could be looked at
 * which was told before: it is told like a new one. Comparing the names would not do, as it may have
 * been there, and looked at, while it had no watch.
 */
static void tell_replaced(struct watch_node *node)
{
	struct watch_node *parent = node->parent;
	const char *name = watch_names_text(&parent->names, node->place);
	size_t n = watch_names_bytes(&parent->names, node->place);

	/* What was below is gone, which no event has said. */
	if (node->names.count > 0)
		watch_tell(parent, WATCH_REMOVE, name, n, true);
	watch_node_forget(node);
	node->listed = false;
	watch_tell(parent, WATCH_CREATE, name, n, true);
}

/* The node can't be looked at. What that means depends on why. */
static void look_failed(struct watch_node *node, int error)
{
	struct watch_tree *tree = node->tree;

	if (tree->starting && node == tree->top) {
		tree->start_error = error;
		return;
	}
	node->unseen |= node->wd < 0;
	switch (error) {
	case -EACCES:
	case -EPERM:
	case -EXDEV:
		/* Not to be watched, as it is. A change of its mode is told by its parent. */
		if (node->replaced)
			tell_replaced(node);
		node->replaced = false;
		break;
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -ESTALE:
		if (node == tree->top) {
			watch_tell_gone(tree, WATCH_REMOVE);
			break;
		}
		/*
		 * Something else is there by now, and an event is on its way that says so, if its
		 * parent is watched and is what we take it for.
		 */
		node->stale = true;
		watch_node_look(node, WATCH_LOOK_POLL);
		if (error == -ESTALE)
			watch_node_look(node->parent, WATCH_LOOK_QUIET);
		break;
	default:
		node->stale = true;
		watch_node_look(node, WATCH_LOOK_POLL);
	}
}

/*
 * Remembers the attributes, and tells where they are not those that were told last. Where that is
 * not known, it stays so until they are told: the event of a change may still be lost.
 */
static void look_at_attributes(struct watch_node *node, const struct stat *st, bool tell,
			       int64_t since_ns)
{
	bool differ =
		node->mode != st->st_mode || node->uid != st->st_uid || node->gid != st->st_gid;

	if (!tell) {
		node->attr_known = true;
	} else if (node->attr_known && since_ns != WATCH_SINCE_EVER
			   ? differ
			   : watch_changed_since(&st->st_ctim, since_ns)) {
		watch_tell(node, WATCH_CHMOD, NULL, 0, true);
		node->attr_known = true;
	}
	node->mode = st->st_mode;
	node->uid = st->st_uid;
	node->gid = st->st_gid;
}

/*
 * What has changed in a node's directory since then may not have been told: for one without a watch,
 * all since the round before the last at least. Such a one is read whatever it is looked at for.
 */
static int64_t untold_since(struct watch_node *node, int64_t since_ns)
{
	int64_t polled_ns;

	if (node->wd >= 0 || !node->listed)
		return since_ns;
	node->stale = true;
	if (node->unseen)
		return WATCH_SINCE_EVER;
	polled_ns = watch_mark_since_ns(&node->tree->polled_before);
	return polled_ns < since_ns ? polled_ns : since_ns;
}

/*
 * Whether to tell clients to look again, behind what the comparison of a frame says. `unwatched`: it
 * had no watch so far; `misread`: events of names may have been.
 */
static bool must_look_again(const struct watch_scan_frame *frame, bool unwatched, bool misread)
{
	const struct watch_node *node = frame->node;
	const struct watch_tree *tree = node->tree;

	/* What is not remembered can't be compared. */
	if ((frame->forgotten || frame->cut) && (frame->dir_changed || misread))
		return true;
	/*
	 * Nor can what a client saw when it looked for itself, because it was told of a directory: what
	 * came and went among the lost events or without a watch.
	 */
	if ((frame->relist || unwatched) && !frame->fresh && tree->recursive && tree->told_dirs &&
	    frame->dir_changed)
		return true;
	/* Or because it was told to look again: what was there between two moves. */
	if (frame->relist && node == tree->top && tree->look_again)
		return true;
	/* Where there is no watch, it looks before anything can be told. */
	return frame->fresh && node->wd < 0;
}

/*
 * The node is where it was looked for. Directories in it for which that did not hold, when they were
 * to be looked at, may be found now.
 */
static void look_at_unseen(struct watch_node *node)
{
	const struct watch_names *names = &node->names;
	struct watch_node *child;
	uint32_t at;

	if (node->tree->source->n_poll == 0)
		return;
	for (at = watch_names_from(names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(names, at)) {
		child = watch_names_node(names, at);
		if (child && child->unseen && child->attention == WATCH_LOOK_POLL)
			watch_node_look(child, WATCH_LOOK_NOW);
	}
}

/*
 * Looks at a node through its directory, whose descriptor it takes: has it watched, and goes on to
 * read its names where they are not known.
 */
static void look_at(struct watch_scan *scan, struct watch_node *node, const struct watch_seen *seen,
		    bool relist, int64_t since_ns)
{
	struct watch_scan_frame frame = {.node = node, .fd = seen->fd, .relist = relist};
	const struct watch_tree *tree = node->tree;
	const struct stat *st = &seen->st;
	int wd = seen->wd;
	bool unwatched = node->wd < 0;
	/* Events of names may have been misread: those of names that are not remembered, too. */
	bool misread = node->stale && !unwatched && !relist;

	if (node->parent)
		tell_directory(node->parent, node->place);
	if (frame.fd < 0) {
		look_failed(node, frame.fd);
		return;
	}
	/* Where no watch is left, it is looked at from time to time. */
	if (wd == -ENOSPC && !(tree->starting && node == tree->top)) {
		watch_node_look(node, WATCH_LOOK_POLL);
	} else if (wd < 0) {
		fd_close(&frame.fd);
		look_failed(node, wd);
		return;
	}
	since_ns = untold_since(node, since_ns);
	frame.other = !watch_node_is(node, st) || (node->wd >= 0 && wd >= 0 && node->wd != wd);
	if ((node->listed ? frame.other : node->unseen) && node->parent)
		tell_replaced(node);
	node->unseen = node->replaced = false;
	frame.fresh = !node->listed;
	node->unsure |= frame.fresh && !tree->silent;
	watch_node_bind(node, wd < 0 ? -1 : wd);
	node->dev = st->st_dev;
	node->ino = st->st_ino;
	if (!frame.fresh && frame.other)
		since_ns = WATCH_SINCE_EVER;
	/* One that was told, yet not there when it was looked at, may have been missed by all. */
	look_at_attributes(node, st, !frame.fresh || node->stale, since_ns);
	if (!frame.fresh && !frame.other && !relist && !node->stale) {
		look_at_unseen(node);
		fd_close(&frame.fd);
		return;
	}
	frame.since_ns = since_ns;
	frame.dir_changed = watch_changed_since(&st->st_ctim, since_ns);
	frame.forgotten = !frame.fresh && !node->complete;
	frame.cut = !frame.fresh && node->cut;
	node->listed = true;
	node->complete = true;
	node->cut = false;
	node->stale = false;
	frame.again = must_look_again(&frame, unwatched, misread);
	frame_push(scan, &frame);
}

/* ---- reading names ---- */

/* A name that was told already: tells whether what it stands for has changed since. */
static void see_old_name(struct watch_scan_frame *frame, const char *name, size_t n, bool is_dir)
{
	struct stat st;

	/* A directory below tells of itself where it is looked at. */
	if (frame->since_ns == WATCH_SINCE_NEVER || (is_dir && frame->node->tree->recursive))
		return;
	if (frame->since_ns != WATCH_SINCE_EVER &&
	    (fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ||
	     !watch_changed_since(&st.st_ctim, frame->since_ns)))
		return;
	watch_tell(frame->node, WATCH_CHMOD, name, n, is_dir);
	if (!is_dir)
		watch_tell(frame->node, WATCH_WRITE, name, n, is_dir);
}

/* A name that is not among the remembered ones, be it that it is new or that it found no room. */
static void see_new_name(struct watch_scan_frame *frame, const char *name, size_t n, bool is_dir)
{
	struct watch_node *node = frame->node;
	bool unknown = is_dir ? frame->cut : frame->forgotten || (!frame->fresh && !node->complete);
	uint32_t place = WATCH_NAME_NONE;

	if (is_dir || node->complete)
		place = watch_node_add_name(node, name, n, is_dir);
	if (place != WATCH_NAME_NONE && !frame->fresh)
		watch_names_mark(&node->names, place, true);
	if (!unknown && is_dir && node->tree->recursive && place != WATCH_NAME_NONE)
		watch_names_set_untold(&node->names, place, true);
	else if (!unknown)
		watch_tell(node, WATCH_CREATE, name, n, is_dir);
	else if (!frame->again)
		see_old_name(frame, name, n, is_dir);
	if (place != WATCH_NAME_NONE)
		return;
	if (is_dir) {
		node->cut = true;
		watch_node_look(node, WATCH_LOOK_POLL);
	} else if (!frame->fresh && !frame->forgotten) {
		/* What was remembered of the files has just been given up, half compared. */
		frame->again = true;
	}
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
		watch_tell(node, WATCH_REMOVE, name, n, !is_dir);
		watch_node_remove_name(node, place);
		place = WATCH_NAME_NONE;
	}
	if (place == WATCH_NAME_NONE) {
		see_new_name(frame, name, n, is_dir);
	} else if (!frame->fresh) {
		watch_names_mark(&node->names, place, true);
		see_old_name(frame, name, n, is_dir);
	}
}

/* The comparison is over: goes on to the directories below. */
static void frame_descend(struct watch_scan_frame *frame)
{
	frame->at = 0;
	frame->phase = FRAME_DESCEND;
	if (frame->again)
		watch_tell_look_again(frame->node);
}

/*
 * Reads one buffer of names. A short one is not the last: the kernel breaks off where a signal waits,
 * which a freeze or a stop counts as (filldir64 in fs/readdir.c). Only an empty one is the end.
 */
static void list_step(struct watch_scan *scan, struct watch_scan_frame *frame)
{
	const struct dirent64 *entry;
	ssize_t n;
	size_t at;

	if (!scan->buffer)
		scan->buffer = mem_alloc(BUFFER_BYTES);
	n = getdents64(frame->fd, scan->buffer, BUFFER_BYTES);
	if (n > 0) {
		for (at = 0; at < (size_t)n; at += entry->d_reclen) {
			entry = (const struct dirent64 *)(const void *)(scan->buffer + at);
			see_name(frame, entry->d_name, entry->d_type);
		}
		return;
	}
	if (n < 0 && errno != ENOENT) {
		/* What was not read may be there or not. */
		frame->node->complete = false;
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

/* Names that the listing did not have are gone. */
static void sweep_step(struct watch_scan_frame *frame)
{
	struct watch_node *node = frame->node;
	struct watch_names *names = &node->names;
	uint32_t at = watch_names_from(names, frame->at), next;
	unsigned count;

	for (count = 0; at != WATCH_NAME_NONE && count < SWEEP_NAMES; count++, at = next) {
		next = watch_names_next(names, at);
		if (watch_names_marked(names, at)) {
			watch_names_mark(names, at, false);
			continue;
		}
		watch_tell(node, WATCH_REMOVE, watch_names_text(names, at),
			   watch_names_bytes(names, at), watch_names_is_dir(names, at));
		watch_node_remove_name(node, at);
	}
	frame->at = at;
	if (at == WATCH_NAME_NONE) {
		watch_node_tidy(node);
		frame_descend(frame);
	}
}

/* The next name from `at` on that is a directory to be gone into, or WATCH_NAME_NONE. */
static uint32_t next_directory(const struct watch_scan_frame *frame, uint32_t at)
{
	const struct watch_names *names = &frame->node->names;

	for (at = watch_names_from(names, at); at != WATCH_NAME_NONE;
	     at = watch_names_next(names, at))
		if (watch_names_is_dir(names, at) &&
		    (!watch_names_node(names, at) || frame->relist || frame->other))
			break;
	return at;
}

/* What was seen is not used. Its watch may be that of a directory's that is known. */
static void drop_seen(struct watch_source *source, struct watch_seen *seen)
{
	if (seen->fd < 0)
		return;
	fd_close(&seen->fd);
	if (seen->wd >= 0 && !watch_wdmap_find(&source->wds, seen->wd))
		inotify_unwatch(source->fd, seen->wd);
}

static void scan_end(struct watch_scan *scan)
{
	struct watch_tree *tree = scan->tree;

	while (scan->n_frames > 0) {
		fd_close(&top_frame(scan)->fd);
		scan->n_frames--;
	}
	if (!tree->silent)
		tree->source->unsure_until_bytes = watch_source_queued_bytes(tree->source);
	free(scan->frames);
	free(scan->buffer);
	memset(scan, 0, sizeof(*scan));
	tree->starting = false;
}

static void frame_pop(struct watch_scan *scan)
{
	struct watch_scan_frame *frame = top_frame(scan);

	watch_node_tidy(frame->node);
	fd_close(&frame->fd);
	scan->n_frames--;
}

/* Goes into one directory below that is to be looked at; the frame is done where there is none. */
static void descend_step(struct watch_scan *scan, struct watch_scan_frame *frame)
{
	struct watch_node *node = frame->node, *child;
	struct watch_seen seen;
	bool relist = frame->relist;
	uint32_t at = next_directory(frame, frame->at);

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
		tell_directory(node, at);
		node->cut = true;
		watch_node_look(node, WATCH_LOOK_POLL);
		watch_tell_look_again(node);
		return;
	}
	/* It is looked at now, whatever it was waiting for. */
	watch_node_looked(child);
	look_at(scan, child, &seen, relist, relist ? scan->since_ns : WATCH_SINCE_NEVER);
}

/* ---- the look as a whole ---- */

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
	scan->since_ns = since_ns;
	scan->mounts_below =
		node->tree->recursive && watch_mounts_below(source->mounts, node->tree->path);
	if (node->parent)
		watch_see_below(node, scan->mounts_below, &seen);
	else
		watch_see_top(node->tree, &seen);
	look_at(scan, node, &seen, relist, since_ns);
	if (scan->n_frames == 0)
		scan_end(scan);
}

/* Opens the current directory again after a rest, or on the way up. False where it is gone. */
static bool frame_open(struct watch_scan *scan, struct watch_scan_frame *frame)
{
	if (frame->fd >= 0)
		return true;
	frame->fd = watch_open_node(frame->node);
	if (frame->fd >= 0)
		return true;
	/* An event will say what has become of it. */
	end_listing(frame->node);
	frame->node->stale = true;
	watch_node_look(frame->node, WATCH_LOOK_QUIET);
	frame_pop(scan);
	return false;
}

bool watch_scan_step(struct watch_source *source)
{
	struct watch_scan *scan = &source->scan;
	struct watch_scan_frame *frame = top_frame(scan);

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
	if (scan->n_frames > 0)
		return true;
	scan_end(scan);
	return false;
}

void watch_scan_abort(struct watch_source *source)
{
	if (source->scan.tree)
		scan_end(&source->scan);
}

void watch_scan_rest(struct watch_source *source)
{
	struct watch_scan *scan = &source->scan;
	size_t i;

	for (i = scan->n_frames; i > 0; i--)
		fd_close(&scan->frames[i - 1].fd);
}
