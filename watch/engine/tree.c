/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "watch/engine/source.h"

/* The map of watch descriptors doubles, so it has at most two chains for each node. */
#define NODE_BYTES (sizeof(struct watch_node) + 2 * sizeof(struct watch_node *))

struct watch_tree *watch_tree_new(const char *path, dev_t dev, ino_t ino)
{
	struct watch_tree *tree = mem_zalloc(sizeof(*tree));

	tree->path = mem_strdup(path);
	tree->dev = dev;
	tree->ino = ino;
	return tree;
}

void watch_tree_free(struct watch_tree *tree)
{
	if (!tree)
		return;
	free(tree->path);
	free(tree);
}

void watch_tree_set_state(struct watch_tree *tree, enum watch_tree_state state)
{
	static const char *const names[] = {
		[WATCH_TREE_STARTING] = "starting", [WATCH_TREE_SILENT] = "silent",
		[WATCH_TREE_LIVE] = "live",	    [WATCH_TREE_GONE] = "gone",
		[WATCH_TREE_REMOVED] = "removed",
	};

	if (tree->state == state)
		return;
	log_debug("watch of %s: %s -> %s", tree->path, names[tree->state], names[state]);
	tree->state = state;
}

void watch_node_set_trust(struct watch_node *node, enum watch_trust trust)
{
	static const char *const names[] = {
		[WATCH_UNREAD] = "unread",	 [WATCH_MISSED] = "missed",
		[WATCH_STALE] = "stale",	 [WATCH_CURRENT] = "current",
		[WATCH_DISCARDED] = "discarded",
	};

	if (node->trust == trust)
		return;
	log_debug("watch of %s: directory %ju (wd %d): %s -> %s", node->tree->path,
		  (uintmax_t)node->ino, node->wd, names[node->trust], names[trust]);
	node->trust = (uint8_t)trust;
}

struct watch_node *watch_node_new(struct watch_tree *tree, struct watch_node *parent,
				  uint32_t place)
{
	struct watch_memory *memory = tree->source->memory;
	struct watch_node *node;

	if (!watch_memory_take(memory, NODE_BYTES, memory->max_bytes))
		return NULL;
	node = mem_zalloc(sizeof(*node));
	node->tree = tree;
	node->wd = -1;
	node->attention = WATCH_LOOK_NONE;
	tree->n_nodes++;
	if (parent)
		watch_node_attach(node, parent, place);
	return node;
}

bool watch_node_attached(const struct watch_node *node)
{
	const struct watch_node *top = node;

	while (top->parent)
		top = top->parent;
	return top == node->tree->top;
}

void watch_node_detach(struct watch_node *node)
{
	if (node->parent)
		watch_names_set_node(&node->parent->names, node->place, NULL);
	else if (node->tree->top == node)
		node->tree->top = NULL;
	node->parent = NULL;
}

void watch_node_attach(struct watch_node *node, struct watch_node *parent, uint32_t place)
{
	node->parent = parent;
	node->place = place;
	watch_names_set_node(&parent->names, place, node);
}

/* Returns the source's path buffer with room for `bytes`. */
static char *path_room(struct watch_source *source, size_t bytes)
{
	if (bytes > source->path_capacity) {
		source->path_capacity = bytes + bytes / 2;
		free(source->path);
		source->path = mem_alloc(source->path_capacity);
	}
	return source->path;
}

const char *watch_node_path(const struct watch_node *node, const char *name, size_t n,
			    bool absolute, size_t *ret_bytes)
{
	const struct watch_node *at;
	const struct watch_names *names;
	size_t base_bytes = 0, bytes = name ? n + 1 : 0, length;
	char *path, *end;

	/* Each element counts with the slash before it. The tree's path "/" has no element. */
	if (absolute && node->tree->path[1])
		base_bytes = strlen(node->tree->path);
	for (at = node; at->parent; at = at->parent)
		bytes += watch_names_bytes(&at->parent->names, at->place) + 1;
	if (at != node->tree->top)
		return NULL;
	path = path_room(node->tree->source, base_bytes + bytes + 2);
	memcpy(path, node->tree->path, base_bytes);
	end = path + base_bytes + bytes;
	*end = '\0';
	if (name) {
		end -= n;
		memcpy(end, name, n);
		*--end = '/';
	}
	for (at = node; at->parent; at = at->parent) {
		names = &at->parent->names;
		length = watch_names_bytes(names, at->place);
		end -= length;
		memcpy(end, watch_names_text(names, at->place), length);
		*--end = '/';
	}
	if (absolute) {
		if (base_bytes + bytes == 0)
			memcpy(path, "/", ++bytes + 1);
		*ret_bytes = base_bytes + bytes;
		return path;
	}
	*ret_bytes = bytes ? bytes - 1 : 0;
	return bytes ? path + 1 : path;
}

void watch_node_looked(struct watch_node *node)
{
	struct watch_source *source = node->tree->source;

	if (node->attention == WATCH_LOOK_NONE)
		return;
	TAILQ_REMOVE(&source->look[node->attention], node, link);
	if (node->attention == WATCH_LOOK_POLL)
		source->n_poll--;
	node->attention = WATCH_LOOK_NONE;
}

void watch_node_look(struct watch_node *node, enum watch_attention when)
{
	struct watch_source *source = node->tree->source;

	if (node->attention <= when || node->trust == WATCH_DISCARDED)
		return;
	watch_node_looked(node);
	node->attention = (uint8_t)when;
	TAILQ_INSERT_TAIL(&source->look[when], node, link);
	if (when == WATCH_LOOK_POLL)
		source->n_poll++;
}

void watch_node_bind(struct watch_node *node, int wd)
{
	struct watch_source *source = node->tree->source;
	int old = node->wd;

	if (old == wd)
		return;
	if (old >= 0) {
		if (source->next_same == node)
			source->next_same = watch_wdmap_next(node);
		if (watch_wdmap_remove(&source->wds, node))
			inotify_unwatch(source->fd, old);
	}
	if (wd >= 0)
		watch_wdmap_add(&source->wds, wd, node);
}

/*
 * Drops the names of all files. If only some were remembered, a listing would emit false changes.
 */
static void forget_files(struct watch_node *node)
{
	uint32_t at;

	for (at = watch_names_from(&node->names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(&node->names, at))
		if (!watch_names_is_dir(&node->names, at))
			watch_names_remove(&node->names, at);
}

uint32_t watch_node_add_name(struct watch_node *node, const char *name, size_t n, bool is_dir)
{
	struct watch_memory *memory = node->tree->source->memory;
	size_t limit = is_dir ? memory->max_bytes : memory->names_max_bytes;
	uint32_t place = watch_names_add(&node->names, memory, limit, name, n, is_dir);

	if (place != WATCH_NAME_NONE)
		return place;
	if (is_dir) {
		node->names.lacks_dirs = true;
	} else {
		node->names.lacks_files = true;
		forget_files(node);
	}
	return place;
}

void watch_node_remove_name(struct watch_node *node, uint32_t place)
{
	struct watch_node *child = watch_names_node(&node->names, place);

	if (child) {
		watch_node_detach(child);
		watch_node_discard(child);
	}
	watch_names_remove(&node->names, place);
}

void watch_node_forget(struct watch_node *node)
{
	uint32_t at, next;

	for (at = watch_names_from(&node->names, 0); at != WATCH_NAME_NONE; at = next) {
		next = watch_names_next(&node->names, at);
		watch_node_remove_name(node, at);
	}
	watch_names_clear(&node->names, node->tree->source->memory);
}

void watch_node_tidy(struct watch_node *node)
{
	struct watch_node *child;
	uint32_t at;

	if (!watch_names_wasteful(&node->names))
		return;
	watch_names_compact(&node->names, node->tree->source->memory);
	for (at = watch_names_from(&node->names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(&node->names, at)) {
		child = watch_names_node(&node->names, at);
		if (child)
			child->place = at;
	}
}

void watch_node_discard(struct watch_node *node)
{
	watch_node_looked(node);
	watch_node_set_trust(node, WATCH_DISCARDED);
	TAILQ_INSERT_TAIL(&node->tree->source->discarded, node, link);
}

/* Frees one discarded node; its children are discarded in turn. */
static void collect_node(struct watch_source *source, struct watch_node *node)
{
	struct watch_tree *tree = node->tree;
	struct watch_node *child;
	uint32_t at;

	for (at = watch_names_from(&node->names, 0); at != WATCH_NAME_NONE;
	     at = watch_names_next(&node->names, at)) {
		child = watch_names_node(&node->names, at);
		if (child) {
			child->parent = NULL;
			watch_node_discard(child);
		}
	}
	watch_node_bind(node, -1);
	watch_names_clear(&node->names, source->memory);
	watch_memory_give(source->memory, NODE_BYTES);
	free(node);
	if (--tree->n_nodes == 0 && tree->state == WATCH_TREE_REMOVED)
		watch_tree_free(tree);
}

bool watch_tree_collect(struct watch_source *source, size_t max)
{
	struct watch_node *node;

	while ((node = TAILQ_FIRST(&source->discarded))) {
		if (max-- == 0)
			return true;
		TAILQ_REMOVE(&source->discarded, node, link);
		collect_node(source, node);
	}
	return false;
}
