/* What the kernel's events do to the trees, and what is told of it: see watch/engine/source.h. */
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "base/mem.h"
#include "watch/engine/source.h"
#include "watch/entry.h"
#include "watch/glob.h"

/* ---- telling ---- */

struct watch_event *watch_tell(struct watch_node *node, enum watch_event_type type,
			       const char *name, size_t n, bool is_dir)
{
	struct watch_tree *tree = node->tree;
	struct watch_source *source = tree->source;
	struct watch_event *event;
	const char *path;
	size_t bytes;

	if (tree->silent || tree->gone)
		return NULL;
	path = watch_node_path(node, name, n, false, &bytes);
	if (!path)
		return NULL;
	if (bytes > UINT16_MAX) {
		/* Deeper than any path that could be used. */
		watch_tell_look_again(tree->top);
		return NULL;
	}
	event = bytes ? watch_event_new(type, path, bytes) : watch_event_new(type, ".", 1);
	event->is_dir = is_dir;
	if (is_dir && type == WATCH_CREATE)
		tree->told_dirs = true;
	if (tree->want_entries && type != WATCH_REMOVE && type != WATCH_RENAME)
		event->entry = watch_entry_read(watch_node_path(node, name, n, true, &bytes),
						&source->owners, &source->arena);
	watch_source_output(source, WATCH_OUTPUT_EVENT, tree, event, NULL);
	return event;
}

void watch_tell_look_again(struct watch_node *node)
{
	struct watch_event *event = watch_tell(node, WATCH_WRITE, NULL, 0, true);

	if (!event)
		return;
	event->look_again = true;
	node->tree->look_again = true;
}

void watch_tell_gone(struct watch_tree *tree, enum watch_event_type type)
{
	struct watch_node *top = tree->top;

	watch_tell(top, type, NULL, 0, true);
	tree->gone = true;
	watch_node_detach(top);
	watch_node_discard(top);
}

/* ---- the two halves of a move ---- */

/* A half is no more: its directory goes, and whoever waits for the other half is told. */
static void half_end(struct watch_source *source, struct watch_half *half)
{
	TAILQ_REMOVE(&source->halves, half, link);
	source->n_halves--;
	if (half->node)
		watch_node_discard(half->node);
	if (half->event)
		watch_source_output(source, WATCH_OUTPUT_ALONE, half->tree, half->event, NULL);
	free(half);
}

void watch_follow_expire(struct watch_source *source, uint64_t now_ms, bool all)
{
	struct watch_half *half, *next;

	for (half = TAILQ_FIRST(&source->halves); half; half = next) {
		next = TAILQ_NEXT(half, link);
		if (!half->quiet_ms)
			half->quiet_ms = now_ms;
		if (all || now_ms - half->quiet_ms >= WATCH_MOVE_WAIT_MS)
			half_end(source, half);
	}
}

void watch_follow_forget(struct watch_source *source, const struct watch_tree *tree)
{
	struct watch_half *half, *next;

	for (half = TAILQ_FIRST(&source->halves); half; half = next) {
		next = TAILQ_NEXT(half, link);
		if (half->tree != tree)
			continue;
		watch_event_unref(half->event);
		half->event = NULL;
		half_end(source, half);
	}
}

/* Keeps the first half. Takes `node`, which hangs nowhere any more, and borrows the event. */
static void half_begin(struct watch_tree *tree, uint32_t cookie, struct watch_node *node,
		       struct watch_event *event)
{
	struct watch_source *source = tree->source;
	struct watch_half *half;

	if (source->n_halves >= WATCH_MOVES_MAX)
		half_end(source, TAILQ_FIRST(&source->halves));
	half = mem_zalloc(sizeof(*half));
	half->tree = tree;
	half->cookie = cookie;
	half->node = node;
	if (event) {
		event->move = WATCH_MOVE_WAITING;
		half->event = watch_event_ref(event);
	}
	TAILQ_INSERT_TAIL(&source->halves, half, link);
	source->n_halves++;
}

/* The first half to a second one, or NULL. The caller frees it. */
static struct watch_half *half_take(struct watch_tree *tree, uint32_t cookie)
{
	struct watch_source *source = tree->source;
	struct watch_half *half;

	TAILQ_FOREACH (half, &source->halves, link) {
		if (half->cookie == cookie && half->tree == tree) {
			TAILQ_REMOVE(&source->halves, half, link);
			source->n_halves--;
			return half;
		}
	}
	return NULL;
}

/* ---- events of the names in a directory ---- */

/* Whether a name that is not among the remembered ones is not there: its event is an old one. */
static bool knows_all(const struct watch_node *node, bool is_dir)
{
	return is_dir ? !node->cut : node->complete;
}

/*
 * Whether a name may have been seen by clients although it was never told: its directory had its
 * watch for a while before the names were read, or was on its way from one name to another, and this
 * event may be of that time.
 */
static bool is_unsure(const struct watch_node *node)
{
	const struct watch_source *source = node->tree->source;

	return node->unsure &&
	       (node->stale || watch_source_applied_bytes(source) < source->unsure_until_bytes);
}

/*
 * Two names that change places (RENAME_EXCHANGE) have the events of a move over the second and a
 * move back, after which the second would be gone. It is not; only the directory can tell which of
 * the two it was.
 */
static void suspect_exchange(struct watch_node *node, const struct inotify_record *r)
{
	if (node->replaced_name != watch_name_hash(r->name, r->name_bytes))
		return;
	node->stale = true;
	watch_node_look(node, WATCH_LOOK_QUIET);
}

/* A name is gone: deleted, or moved away. */
static void follow_vanish(struct watch_node *node, const struct inotify_record *r)
{
	bool is_dir = r->mask & IN_ISDIR, moved = r->mask & IN_MOVED_FROM;
	uint32_t place = watch_names_find(&node->names, r->name, r->name_bytes);
	struct watch_tree *tree = node->tree;
	struct watch_node *child = NULL;
	struct watch_event *event;

	if (moved)
		suspect_exchange(node, r);
	if (place == WATCH_NAME_NONE && knows_all(node, is_dir) && !is_unsure(node))
		return;
	if (place != WATCH_NAME_NONE && watch_names_is_dir(&node->names, place) != is_dir) {
		/* What had this name before went by an event that was lost. */
		watch_tell(node, WATCH_REMOVE, r->name, r->name_bytes, !is_dir);
		watch_node_remove_name(node, place);
		watch_node_tidy(node);
		return;
	}
	event = watch_tell(node, moved ? WATCH_RENAME : WATCH_REMOVE, r->name, r->name_bytes,
			   is_dir);
	if (place != WATCH_NAME_NONE) {
		child = watch_names_node(&node->names, place);
		if (child && moved)
			watch_node_detach(child);
		watch_node_remove_name(node, place);
		watch_node_tidy(node);
	}
	if (moved && (child || tree->want_moves))
		half_begin(tree, r->cookie, child, event);
}

/* A directory found no room: it can't be watched, and is looked for from time to time. */
static void no_room(struct watch_node *node)
{
	node->cut = true;
	watch_tell_look_again(node);
	watch_node_look(node, WATCH_LOOK_POLL);
}

/* Has the directory of a name that just appeared looked at. */
static void look_at_dir(struct watch_node *node, uint32_t place, struct watch_node *moved)
{
	struct watch_node *child = watch_names_node(&node->names, place);

	if (moved) {
		/* It replaced one that is empty, by all that was not lost. */
		if (child) {
			watch_node_detach(child);
			watch_node_discard(child);
		}
		watch_node_attach(moved, node, place);
		child = moved;
	}
	if (!child)
		child = watch_node_new(node->tree, node, place);
	if (child) {
		watch_node_look(child, WATCH_LOOK_NOW);
	} else {
		no_room(node);
	}
}

/* Frees the first half of a move whose second half has been dealt with. */
static void half_finish(struct watch_tree *tree, struct watch_half *half, bool kept_node)
{
	if (half->event)
		watch_source_output(tree->source, WATCH_OUTPUT_ALONE, tree, half->event, NULL);
	if (half->node && !kept_node)
		watch_node_discard(half->node);
	free(half);
}

/* Tells that a name is there, and where it came from. */
static void tell_appeared(struct watch_node *node, const struct inotify_record *r,
			  struct watch_half *half)
{
	struct watch_source *source = node->tree->source;
	struct watch_event *event =
		watch_tell(node, WATCH_CREATE, r->name, r->name_bytes, r->mask & IN_ISDIR);

	if (!event || !half || !half->event)
		return;
	event->move = WATCH_MOVE_SECOND;
	source->outputs[source->n_outputs - 1].first = half->event;
	half->event = NULL;
}

/*
 * A directory was moved to a name that a directory was known by. Either a listing has found the
 * moved one there already, and told of it with all it holds: then nothing is to be told. Or it
 * replaced one, which was empty. Which of the two a look will show, if the node of the moved
 * directory does not. True where nothing else is to be done.
 */
static bool follow_replace(struct watch_node *node, uint32_t place, const struct watch_node *from)
{
	struct watch_node *child = watch_names_node(&node->names, place);

	if (!child)
		return false;
	if (!from) {
		child->replaced = true;
		watch_node_look(child, WATCH_LOOK_NOW);
		return true;
	}
	return from->ino == child->ino && from->dev == child->dev;
}

/* A directory that is watched with its tree appeared. True where the half's node was taken. */
static bool follow_appeared_dir(struct watch_node *node, uint32_t place, struct watch_node *from)
{
	if (place == WATCH_NAME_NONE) {
		no_room(node);
		return false;
	}
	look_at_dir(node, place, from);
	return true;
}

/* A name is there: made, linked, or moved to here. */
static void follow_appear(struct watch_node *node, const struct inotify_record *r)
{
	bool is_dir = r->mask & IN_ISDIR, moved = r->mask & IN_MOVED_TO, known, kept = false;
	struct watch_tree *tree = node->tree;
	struct watch_half *half = moved ? half_take(tree, r->cookie) : NULL;
	uint32_t place = watch_names_find(&node->names, r->name, r->name_bytes);

	if (moved && (place != WATCH_NAME_NONE || !node->complete))
		node->replaced_name = watch_name_hash(r->name, r->name_bytes);
	if (place != WATCH_NAME_NONE && watch_names_is_dir(&node->names, place) != is_dir) {
		watch_node_remove_name(node, place);
		place = WATCH_NAME_NONE;
	}
	known = place != WATCH_NAME_NONE;
	if (!known || !moved || !is_dir || !tree->recursive ||
	    !follow_replace(node, place, half ? half->node : NULL)) {
		if (!known && (is_dir || node->complete))
			place = watch_node_add_name(node, r->name, r->name_bytes, is_dir);
		/* A listing may have told of it; but what was moved here may have replaced another. */
		if (!known || moved)
			tell_appeared(node, r, half);
		if (is_dir && tree->recursive)
			kept = follow_appeared_dir(node, place, half ? half->node : NULL);
	}
	if (half)
		half_finish(tree, half, kept);
}

/* A file was written to, or attributes changed. */
static void follow_change(struct watch_node *node, const struct inotify_record *r)
{
	bool is_dir = r->mask & IN_ISDIR;
	uint32_t place = watch_names_find(&node->names, r->name, r->name_bytes);
	struct watch_node *child;

	if (place == WATCH_NAME_NONE && knows_all(node, is_dir))
		return;
	watch_tell(node, r->mask & IN_MODIFY ? WATCH_WRITE : WATCH_CHMOD, r->name, r->name_bytes,
		   is_dir);
	child = place == WATCH_NAME_NONE ? NULL : watch_names_node(&node->names, place);
	if (!child)
		return;
	child->attr_known = false;
	/* It may have become readable. */
	if (child->wd < 0)
		watch_node_look(child, WATCH_LOOK_NOW);
}

/* ---- events of a directory itself ---- */

static void follow_self(struct watch_node *node, const struct inotify_record *r)
{
	struct watch_tree *tree = node->tree;

	if (node != tree->top) {
		/* The rest comes from its parent, or with IN_IGNORED. */
		if (r->mask & IN_ATTRIB)
			node->attr_known = false;
		return;
	}
	if (r->mask & (IN_DELETE_SELF | IN_UNMOUNT)) {
		watch_tell_gone(tree, WATCH_REMOVE);
	} else if (r->mask & IN_MOVE_SELF) {
		watch_tell_gone(tree, WATCH_RENAME);
	} else if (r->mask & IN_ATTRIB) {
		node->attr_known = false;
		watch_tell(node, WATCH_CHMOD, NULL, 0, true);
	}
}

static void follow_node(struct watch_node *node, const struct inotify_record *r)
{
	const struct watch_tree *tree = node->tree;

	if (tree->gone || node->garbage)
		return;
	if (r->mask & IN_IGNORED) {
		/* The directory is gone or unmounted. By the next quiet its name is, or leads elsewhere. */
		watch_node_bind(node, -1);
		node->ino = 0;
		watch_node_look(node, WATCH_LOOK_QUIET);
	} else if (r->name_bytes == 0) {
		follow_self(node, r);
	} else if (watch_patterns_match(tree->ignored, r->name)) {
		return;
	} else if (!watch_node_attached(node)) {
		/* It is between the two halves of a move: its names are read when it is back. */
		node->stale = node->unsure = true;
		watch_node_look(node, WATCH_LOOK_QUIET);
	} else if (r->mask & (IN_CREATE | IN_MOVED_TO)) {
		follow_appear(node, r);
	} else if (r->mask & (IN_DELETE | IN_MOVED_FROM)) {
		follow_vanish(node, r);
		node->replaced_name = 0;
	} else if (r->mask & (IN_MODIFY | IN_ATTRIB)) {
		follow_change(node, r);
	}
}

void watch_follow(struct watch_source *source, const struct inotify_record *record)
{
	struct watch_node *node;

	if (record->mask & IN_Q_OVERFLOW) {
		/* Second halves may be among what was lost; directories are found again anyway. */
		watch_follow_expire(source, clock_monotonic_ms(), true);
		return;
	}
	for (node = watch_wdmap_find(&source->wds, record->wd); node; node = source->next_same) {
		source->next_same = node->same_wd;
		follow_node(node, record);
	}
	source->next_same = NULL;
}
