/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the command line in the syntax of Go's flag package, which image builders know from the
 * reference: one dash or two, `-port 1` or `-port=1`, `-verbose` or `-verbose=false`, numbers also
 * as 0x….
 */
#ifndef ENVD_OPTIONS_H
#define ENVD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "envd/boot/pid1.h"
#include "pty/seccomp/profiles.h"
#include "rpc/http/listen.h"

#define OPTIONS_DEFAULT_PORT 49983
#define OPTIONS_MAX_LISTEN   16

struct options {
	bool is_not_fc;
	unsigned port;
	const char *cgroup_root;
	bool no_cgroups;
	bool process_accounting;
	bool verbose;
	bool version, commit, build; /* print this and exit */
	bool resume_handover;
	char *const *argv; /* of the program; borrowed */
	bool no_upgrade;
	const char *state_dir; /* NULL: no state is kept across a restart */

	/* The options that the reference does not have. */
	struct listen_spec listen[OPTIONS_MAX_LISTEN]; /* from -listen, or the default set */
	unsigned n_listen;
	struct listen_spec upgrade_over[OPTIONS_MAX_LISTEN]; /* POST /upgrade; none: all */
	unsigned n_upgrade_over;
	bool default_listen; /* no -listen: TCP on all interfaces, and vsock */
	bool cors;
	bool any_vsock_peer;
	const char *forward_ip; /* NULL: the default, which depends on is_not_fc */
	bool keep_owner;
	unsigned keepalive_s; /* 0: the default */
	const char *audit;    /* NULL: no audit stream */
	const char *hooks_dir;
	unsigned hook_timeout_s;
	const char *kill_scope; /* "leader", "session", "tree" */
	const char *limits;	/* checked; NULL: none */
	struct seccomp_options seccomp;
	bool no_new_privs;
	unsigned upgrade_thaw_s;
	bool init; /* be PID 1 */
	struct pid1_options pid1;
};

enum options_result {
	OPTIONS_OK,
	OPTIONS_HELP,  /* usage was printed; exit with 0 */
	OPTIONS_WRONG, /* an error was printed to stderr; exit with 2 */
};

/*
 * Parses argv and borrows its strings. A word that is not a flag is an error. The reference ignores
 * such words, but then a mistyped command (`envd redy`) would start a daemon on all interfaces.
 */
enum options_result options_parse(struct options *o, int argc, char **argv);

/*
 * Returns true if -upgrade-over forbids POST /upgrade over a listener at this address. The flag
 * names listeners as -listen does.
 */
bool options_restrict_listener(const struct options *o, const struct listen_spec *spec);

/*
 * Returns the number of words of the flag at the beginning of argv: 2 if its value is a separate
 * word.
 */
size_t options_flag_words(char *const *argv);

/*
 * Returns true if a program that replaces this one also gets the flag. False for the flags of
 * process 1 and of the handover, and for -state-dir: upgrade_command_line adds -state-dir itself,
 * because -init sets the directory without a flag.
 */
bool options_flag_survives_upgrade(const char *flag);

#endif
