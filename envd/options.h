/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, in the form of Go's flag package, which image builders know from the reference:
 * one dash or two, `-port 1` or `-port=1`, `-verbose` or `-verbose=false`, numbers also as 0x….
 */
#ifndef ENVD_OPTIONS_H
#define ENVD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "envd/boot/pid1.h"
#include "rpc/http/listen.h"

#define OPTIONS_DEFAULT_PORT 49983
#define OPTIONS_MAX_LISTEN   16
#define OPTIONS_STATE_DIR    "/run/envd" /* with -init */

struct options {
	bool is_not_fc;
	unsigned port;
	const char *cgroup_root;
	bool no_cgroups;
	bool process_accounting;
	bool verbose;
	bool version, commit, build; /* print and leave */
	bool resume_handover;
	char *const *argv; /* of the program; borrowed */
	bool no_upgrade;
	const char *state_dir; /* NULL: nothing is remembered over a restart */

	/* Ours. */
	struct listen_spec listen[OPTIONS_MAX_LISTEN]; /* those of -listen, or the default set */
	unsigned n_listen;
	bool default_listen; /* no -listen was given: TCP on all interfaces, and vsock */
	bool cors;
	bool any_vsock_peer;
	const char *forward_ip; /* NULL: by is_not_fc */
	bool keep_owner;
	unsigned keepalive_s;	/* 0: the default */
	const char *kill_scope; /* "leader", "session", "tree" */
	const char *limits;	/* checked; NULL: none */
	bool init;		/* be PID 1 */
	struct pid1_options pid1;
};

enum options_result {
	OPTIONS_OK,
	OPTIONS_HELP,  /* usage was printed; leave with 0 */
	OPTIONS_WRONG, /* one line on stderr names the mistake; leave with 2 */
};

/*
 * Reads argv and borrows its strings. A word that is no flag is an error: the reference ignores
 * such words, but then a mistyped command (`envd redy`) would start a daemon on all interfaces.
 */
enum options_result options_parse(struct options *o, int argc, char **argv);

/* How many words of argv the flag at its beginning takes: 2 if its value is a word of its own. */
size_t options_flag_words(char *const *argv);

/*
 * Whether a program that replaces this one gets the flag too: not those of process 1 and of the
 * handover.
 */
bool options_flag_survives_upgrade(const char *flag);

#endif
