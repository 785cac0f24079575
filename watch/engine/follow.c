/* SPDX-License-Identifier: Apache-2.0 */
/* Applies the kernel's events to the trees, and emits events: see source.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "watch/engine/glob.h"
#include "watch/engine/source.h"

/* ---- emitting ---- */

static void output_add(struct watch_tree *tree, struct watch_event *event)
{
	struct watch_source *source = tree->source;

	if (source->n_outputs == source->outputs_capacity) {
		source->outputs_capacity = source->outputs_capacity * 2 + 16;
		source->outputs = mem_realloc(source->outputs,
					      source->outputs_capacity * sizeof(*source->outputs));
	}
	source->outputs[source->n_outputs++] = (struct watch_output){tree, event};
}

struct watch_event *watch_emit(struct watch_node *node, enum watch_event_type type,
			       const char *name, size_t n, bool is_dir)
{
	struct watch_tree *tree = node->tree;
	struct watch_source *source = tree->source;
	struct watch_event *event;
	const char *path;
	size_t bytes;

	if (tree->state != WATCH_TREE_LIVE)
		return NULL;
	path = watch_node_path(node, name, n, false, &bytes);
	if (!path)
		return NULL;
	if (bytes > UINT16_MAX) {
		/* The path is longer than any path that a client can use. */
		watch_emit_look_again(tree->top);
		return NULL;
	}
	event = bytes ? watch_event_new(type, path, bytes) : watch_event_new(type, ".", 1);
	event->is_dir = is_dir;
	if (tree->want_entries && source->read_entry && type != WATCH_REMOVE &&
	    type != WATCH_RENAME)
		event->entry = source->read_entry(source->read_entry_arg,
						  watch_node_path(node, name, n, true, &bytes));
	output_add(tree, event);
	return event;
}

void watch_emit_look_again(struct watch_node *node)
{
	struct watch_event *event = watch_emit(node, WATCH_WRITE, NULL, 0, true);

	if (event)
		event->look_again = true;
}

void watch_emit_gone(struct watch_tree *tree, enum watch_event_type type)
{
	struct watch_node *top = tree->top;

	watch_emit(top, type, NULL, 0, true);
	watch_tree_set_state(tree, WATCH_TREE_GONE);
	watch_node_detach(top);
	watch_node_discard(top);
}

/* ---- moves of directories ---- */

/* Ends a pending move. Returns its node. */
static struct watch_node *move_end(struct watch_source *source, struct watch_pending_move *move)
{
	struct watch_node *node = move->node;

	TAILQ_REMOVE(&source->moves, move, link);
	source->n_moves--;
	free(move);
	return node;
}

void watch_follow_expire(struct watch_source *source, const struct watch_tree *tree,
			 uint64_t now_ms)
{
	struct watch_pending_move *move, *next;

	for (move = TAILQ_FIRST(&source->moves); move; move = next) {
		next = TAILQ_NEXT(move, link);
		if (tree && move->tree != tree)
			continue;
		if (!move->quiet_ms)
			move->quiet_ms = now_ms;
		if (!now_ms || now_ms - move->quiet_ms >= WATCH_MOVE_WAIT_MS)
			watch_node_discard(move_end(source, move));
	}
}

/* Keeps the detached node of a MOVED_FROM until its MOVED_TO. Takes ownership of the node. */
static void move_begin(uint32_t cookie, struct watch_node *node)
{
	struct watch_source *source = node->tree->source;
	struct watch_pending_move *move;

	if (source->n_moves >= WATCH_MOVES_MAX)
		watch_node_discard(move_end(source, TAILQ_FIRST(&source->moves)));
	move = mem_zalloc(sizeof(*move));
	move->tree = node->tree;
	move->cookie = cookie;
	move->node = node;
	TAILQ_INSERT_TAIL(&source->moves, move, link);
	source->n_moves++;
}

/* Ends the pending move with this cookie. Returns its node, which the caller owns, or NULL. */
static struct watch_node *move_take(struct watch_tree *tree, uint32_t cookie)
{
	struct watch_source *source = tree->source;
	struct watch_pending_move *move;

	TAILQ_FOREACH (move, &source->moves, link)
		if (move->cookie == cookie && move->tree == tree)
			return move_end(source, move);
	return NULL;
}

/* ---- events of the names in a directory ---- */

/*
 * renameat2(RENAME_EXCHANGE) causes the events of a move of the first name over the second, and of
 * a move back. According to these events the second name would be gone, but it exists. Therefore
 * the directory must be read.
 *
 * The event of the first move may be missing, because the watch was placed after it, or because it
 * was lost in an overflow. A listing follows in both cases, and it ends after the second move: the
 * kernel locks the directory until both moves are done. So if the first event after a listing is
 * older than the end of the scan, it may report the second move.
 */
static void suspect_exchange(struct watch_node *node, const struct inotify_record *r)
{
	const struct watch_source *source = node->tree->source;

	if (node->replaced_name == WATCH_REPLACED_ANY) {
		if (watch_source_applied_bytes(source) > source->listed_bytes)
			return;
	} else if (node->replaced_name != watch_name_hash(r->name, r->name_bytes)) {
		return;
	}
	watch_node_set_trust(node, WATCH_STALE);
	watch_node_look(node, WATCH_LOOK_QUIET);
}

/*
 * Handles a deleted or moved name. The event is emitted even if the name is not known: a client may
 * have listed a new directory before the daemon did.
 */
static void follow_vanish(struct watch_node *node, const struct inotify_record *r)
{
	bool is_dir = r->mask & IN_ISDIR, moved = r->mask & IN_MOVED_FROM;
	uint32_t place = watch_names_find(&node->names, r->name, r->name_bytes);
	struct watch_node *child;

	if (moved)
		suspect_exchange(node, r);
	if (place == WATCH_NAME_NONE) {
		watch_emit(node, moved ? WATCH_RENAME : WATCH_REMOVE, r->name, r->name_bytes,
			   is_dir);
		return;
	}
	if (watch_names_is_dir(&node->names, place) != is_dir) {
		/* The event for the end of the known entry was lost. */
		watch_emit(node, WATCH_REMOVE, r->name, r->name_bytes, !is_dir);
	} else {
		watch_emit(node, moved ? WATCH_RENAME : WATCH_REMOVE, r->name, r->name_bytes,
			   is_dir);
		child = watch_names_node(&node->names, place);
		if (child && moved) {
			watch_node_detach(child);
			move_begin(r->cookie, child);
		}
	}
	watch_node_remove_name(node, place);
	watch_node_tidy(node);
}

/*
 * Schedules a scan of a directory whose name has just appeared. `from` is the directory's node if
 * it was moved inside the tree; takes ownership of it.
 */
static void look_at_dir(struct watch_node *node, uint32_t place, struct watch_node *from)
{
	struct watch_node *child;

	if (place == WATCH_NAME_NONE) {
		/* There is no memory for a node, so the directory can't be watched. */
		if (from)
			watch_node_discard(from);
		watch_emit_look_again(node);
		watch_node_look(node, WATCH_LOOK_POLL);
		return;
	}
	child = watch_names_node(&node->names, place);
	if (from) {
		/* It replaced an empty directory. */
		if (child) {
			watch_node_detach(child);
			watch_node_discard(child);
		}
		watch_node_attach(from, node, place);
		child = from;
	}
	if (!child)
		child = watch_node_new(node->tree, node, place);
	if (child) {
		watch_node_look(child, WATCH_LOOK_NOW);
	} else {
		node->names.lacks_dirs = true;
		watch_emit_look_again(node);
		watch_node_look(node, WATCH_LOOK_POLL);
	}
}

/*
 * Returns true if a directory that was moved to a known name is the one that the name already
 * stands for: a listing has found it there, and has emitted it with all its entries.
 */
static bool is_listed_already(struct watch_node *node, uint32_t place,
			      const struct watch_node *from)
{
	const struct watch_node *child = watch_names_node(&node->names, place);

	return child && from && from->ino == child->ino && from->dev == child->dev;
}

/* Handles a name that was created, linked, or moved here. */
static void follow_appear(struct watch_node *node, const struct inotify_record *r)
{
	bool is_dir = r->mask & IN_ISDIR, moved = r->mask & IN_MOVED_TO;
	struct watch_tree *tree = node->tree;
	struct watch_node *from = moved ? move_take(tree, r->cookie) : NULL;
	uint32_t place = watch_names_find(&node->names, r->name, r->name_bytes);
	bool known = place != WATCH_NAME_NONE;

	node->replaced_name = moved && (known || node->names.lacks_files)
				      ? watch_name_hash(r->name, r->name_bytes)
				      : WATCH_REPLACED_NONE;
	if (known && moved && is_dir && is_listed_already(node, place, from)) {
		watch_node_discard(from);
		return;
	}
	if (known && (moved || watch_names_is_dir(&node->names, place) != is_dir)) {
		/* The moved entry replaced the known entry. */
		watch_node_remove_name(node, place);
		known = false;
	}
	if (!known && (is_dir || !node->names.lacks_files))
		place = watch_node_add_name(node, r->name, r->name_bytes, is_dir);
	if (!known)
		watch_emit(node, WATCH_CREATE, r->name, r->name_bytes, is_dir);
	if (is_dir && tree->recursive)
		look_at_dir(node, place, from);
}

/* Handles a write, or a change of attributes. */
static void follow_change(struct watch_node *node, const struct inotify_record *r)
{
	bool is_dir = r->mask & IN_ISDIR;
	uint32_t place = watch_names_find(&node->names, r->name, r->name_bytes);
	struct watch_node *child;

	/* The name is already gone. */
	if (place == WATCH_NAME_NONE &&
	    !(is_dir ? node->names.lacks_dirs : node->names.lacks_files))
		return;
	watch_emit(node, r->mask & IN_MODIFY ? WATCH_WRITE : WATCH_CHMOD, r->name, r->name_bytes,
		   is_dir);
	child = place == WATCH_NAME_NONE ? NULL : watch_names_node(&node->names, place);
	if (!child)
		return;
	child->mode = 0;
	/* The directory may have become readable. */
	if (child->wd < 0)
		watch_node_look(child, WATCH_LOOK_NOW);
}

/* ---- events of a directory itself ---- */

static void follow_self(struct watch_node *node, const struct inotify_record *r)
{
	struct watch_tree *tree = node->tree;

	if (r->mask & IN_ATTRIB)
		node->mode = 0;
	/* For other directories, the parent's events report the same. */
	if (node != tree->top)
		return;
	if (r->mask & (IN_DELETE_SELF | IN_UNMOUNT))
		watch_emit_gone(tree, WATCH_REMOVE);
	else if (r->mask & IN_MOVE_SELF)
		watch_emit_gone(tree, WATCH_RENAME);
	else if (r->mask & IN_ATTRIB)
		watch_emit(node, WATCH_CHMOD, NULL, 0, true);
}

static void follow_node(struct watch_node *node, const struct inotify_record *r)
{
	const struct watch_tree *tree = node->tree;

	if (tree->state == WATCH_TREE_GONE || node->trust == WATCH_DISCARDED)
		return;
	if (r->mask & IN_IGNORED) {
		/*
		 * The directory is gone, or unmounted. When the queue is empty, its name is gone or
		 * leads to another directory.
		 */
		watch_node_bind(node, -1);
		node->ino = 0;
		watch_node_look(node, WATCH_LOOK_QUIET);
	} else if (r->name_bytes == 0) {
		follow_self(node, r);
	} else if (watch_patterns_match(tree->ignored, r->name)) {
		return;
	} else if (!watch_node_attached(node)) {
		/*
		 * The directory is between MOVED_FROM and MOVED_TO. It is read when it has a name
		 * again.
		 */
		watch_node_set_trust(node, WATCH_STALE);
		watch_node_look(node, WATCH_LOOK_QUIET);
	} else if (r->mask & (IN_CREATE | IN_MOVED_TO)) {
		follow_appear(node, r);
	} else if (r->mask & (IN_DELETE | IN_MOVED_FROM)) {
		follow_vanish(node, r);
		node->replaced_name = WATCH_REPLACED_NONE;
	} else if (r->mask & (IN_MODIFY | IN_ATTRIB)) {
		follow_change(node, r);
	}
}

void watch_follow(struct watch_source *source, const struct inotify_record *record)
{
	struct watch_node *node;

	if (record->mask & IN_Q_OVERFLOW) {
		/* MOVED_TO events may be lost; the scan will find the directories again. */
		watch_follow_expire(source, NULL, 0);
		return;
	}
	for (node = watch_wdmap_find(&source->wds, record->wd); node; node = source->next_same) {
		source->next_same = watch_wdmap_next(node);
		follow_node(node, record);
	}
	source->next_same = NULL;
}
