/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests/unit/test_watch_model.c: a model of what a client of a watch knows, which events build,
 * and processes that change a tree at random.
 */
#ifndef TESTS_UNIT_WATCH_MODEL_H
#define TESTS_UNIT_WATCH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct watch_output;

/* Returns the name of an enum watch_event_type: "CREATE", … */
const char *event_type_name(unsigned type);

/* One name, and what the client saw when it last looked there. */
struct picture_entry {
	char *path; /* below the watched directory */
	bool is_dir;
	bool seen; /* the look found something */
	struct stat st;
};

/* The client's picture of a directory. */
struct picture {
	const char *root;
	bool recursive;
	bool lists; /* it lists every directory that it is told of, as most programs do */
	bool blind; /* it ignores "look again": the other events alone must be enough */
	struct picture_entry *entries;
	size_t n;
	size_t capacity;
	/*
	 * What the client saw for itself may be newer than events that it gets later. Until the
	 * events that waited at its last look have come, one may name an entry that it does not
	 * know. A look sets both; the test clears them.
	 */
	bool ahead;
	bool looked;
	bool came_and_went; /* it may have seen entries that nobody remembered */
	size_t look_agains;
	size_t events;
	char error[512]; /* the first contradiction; "": none */
};

void picture_init(struct picture *p, const char *root, bool recursive);
void picture_clear(struct picture *p);

/* Looks at a directory and everything below, as a client does first, and on "look again". */
void picture_look(struct picture *p, const char *path);

/* Applies one event, and looks at what it names. Takes the output's reference. */
void picture_apply(struct picture *p, const struct watch_output *output);

/*
 * Compares names, types, sizes, times and modes with the file system. True if they are the same;
 * otherwise `error` names the first difference.
 */
bool picture_matches(struct picture *p);

/*
 * Starts a process that changes what is below `root` `n` times, at random; things are also moved
 * to and from `outside`. Without `moves_dirs` no directory is renamed inside the tree: what is in
 * one that was is not told again, so a client that never lists would not know. Returns its pid.
 */
pid_t changes_start(const char *root, const char *outside, unsigned long seed, unsigned n,
		    bool moves_dirs);

#endif
