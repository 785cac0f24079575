/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of what a client of a watch knows, built from events alone, and a tree that processes
 * change at random: for tests/unit/test_watch_model.c.
 */
#ifndef TESTS_UNIT_WATCH_MODEL_H
#define TESTS_UNIT_WATCH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct watch_output;

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
	 * What the client saw for itself may be newer than the events that it gets: until those
	 * that waited then have come, one may tell of what is no more. Both are set by a look, and
	 * cleared by whoever knows what waits.
	 */
	bool ahead;
	bool looked;
	bool came_and_went; /* the client may have seen what nobody remembered */
	size_t look_agains;
	size_t events;
	char error[512]; /* the first thing that could not be; "": none */
};

void picture_init(struct picture *p, const char *root, bool recursive);
void picture_clear(struct picture *p);

/* Looks at the directory and everything below: what a client does first, and on "look again". */
void picture_look(struct picture *p, const char *path);

/* Applies one event, and looks at what it names. Takes the output's reference. */
void picture_apply(struct picture *p, const struct watch_output *output);

/*
 * Compares with the file system: names, types, sizes, times and modes. True where they are the
 * same; otherwise `error` says what differs first.
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
