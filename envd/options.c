/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/mem.h"
#include "envd/commands/cmd.h"
#include "envd/control/lifecycle.h"
#include "envd/upgrade/handover.h"
#include "pty/limits.h"

enum flag_kind {
	FLAG_BOOL,
	FLAG_STRING,
	FLAG_PORT,
	FLAG_LISTEN,
	FLAG_UPGRADE_OVER,
	FLAG_ON_OFF,
	FLAG_SCOPE,
	FLAG_LIMITS,
	FLAG_HALT,
	FLAG_SECONDS,
};

struct flag {
	const char *name;
	enum flag_kind kind;
	size_t offset;
	const char *value_name; /* for the usage */
	const char *text;
};

#define FLAG(name, kind, member, value_name, text)                                                 \
	{                                                                                          \
		name, kind, offsetof(struct options, member), value_name, text                     \
	}

static const struct flag flags[] = {
	FLAG("audit", FLAG_STRING, audit, "target",
	     "write a line for each start, signal, change of files, ...: a file, or unix:PATH"),
	FLAG("build", FLAG_BOOL, build, NULL, "print how this binary was built"),
	FLAG("cgroup-root", FLAG_STRING, cgroup_root, "directory",
	     "cgroup2 hierarchy (default /sys/fs/cgroup)"),
	FLAG("commit", FLAG_BOOL, commit, NULL, "print the source commit"),
	FLAG("cors", FLAG_ON_OFF, cors, "on|off",
	     "answer cross-origin requests; off refuses requests with an Origin (default on)"),
	FLAG("forward-ip", FLAG_STRING, forward_ip, "address",
	     "forward ports of loopback to this address (default 169.254.0.21, off with -isnotfc)"),
	FLAG("hook-timeout", FLAG_SECONDS, hook_timeout_s, "seconds",
	     "how long each hook may take (default 1)"),
	FLAG("hooks-dir", FLAG_STRING, hooks_dir, "directory",
	     "executables to run: in post-thaw/ after a resume, in pre-freeze/ before a freeze\n"
	     "    \t(default /etc/envd/hooks.d)"),
	FLAG("init", FLAG_BOOL, init, NULL,
	     "be process 1: mount, reap, end the machine in order; in a container, with\n"
	     "    \t-- COMMAND...: run it, forward signals, reap, exit as it does"),
	FLAG("init-exec", FLAG_STRING, pid1.exec, "command",
	     "with -init: start this, split at blanks, once envd listens"),
	FLAG("init-group", FLAG_BOOL, pid1.group, NULL,
	     "with -init --: forward signals to the process group of the command"),
	FLAG("init-halt", FLAG_HALT, pid1.halt, "how",
	     "with -init: how the machine ends, poweroff, reboot or halt (default auto:\n"
	     "    \tSIGTERM and SIGPWR power off, SIGINT reboots)"),
	FLAG("isnotfc", FLAG_BOOL, is_not_fc, NULL,
	     "run outside of Firecracker: no metadata service, no log export"),
	FLAG("keepalive", FLAG_SECONDS, keepalive_s, "seconds",
	     "how often an idle stream sends a keepalive, unless the client asks otherwise "
	     "(default 90)"),
	FLAG("keep-owner", FLAG_BOOL, keep_owner, NULL,
	     "an upload without username leaves an existing file with its owner"),
	FLAG("kill-scope", FLAG_SCOPE, kill_scope, "scope",
	     "what a KILL reaches: leader, session or tree (default session)"),
	FLAG("limits", FLAG_LIMITS, limits, "limits",
	     "of each process, as in the header X-Envd-Limits: memory=512M, nofile=4096"),
	FLAG("listen", FLAG_LISTEN, listen, "address",
	     "tcp:ADDR:PORT, vsock:PORT or unix:PATH instead of the default set; repeatable"),
	FLAG("no-cgroups", FLAG_BOOL, no_cgroups, NULL, "leave cgroups alone"),
	FLAG("no-new-privs", FLAG_BOOL, no_new_privs, NULL,
	     "no process gains privileges: sudo and other set-user-ID programs do not help"),
	FLAG("no-upgrade", FLAG_BOOL, no_upgrade, NULL, "refuse to be replaced by POST /upgrade"),
	FLAG("port", FLAG_PORT, port, "number", "TCP and vsock port (default 49983)"),
	FLAG("process-accounting", FLAG_BOOL, process_accounting, NULL,
	     "count the memory of single processes: a memory controller for each (see /metrics)"),
	FLAG("resume-handover", FLAG_BOOL, resume_handover, NULL,
	     "internal: take over from an outgoing envd"),
	FLAG("seccomp", FLAG_STRING, seccomp.profile, "profile",
	     "which system calls processes may make: none, default, or a file in Docker's format\n"
	     "    \t(default none)"),
	FLAG("seccomp-dir", FLAG_STRING, seccomp.dir, "directory",
	     "profiles NAME.json that a Start chooses by the header X-Envd-Seccomp"),
	FLAG("seccomp-optional", FLAG_BOOL, seccomp.optional, NULL,
	     "a Start may ask for no profile although there is a default"),
	FLAG("state-dir", FLAG_STRING, state_dir, "directory",
	     "record there, for a restart, that a token was set; it must be on a tmpfs, and only "
	     "root\n"
	     "    \tmay write to it (default /run/envd with -init, else none)"),
	FLAG("upgrade-over", FLAG_UPGRADE_OVER, upgrade_over, "address",
	     "accept POST /upgrade over this listener, as -listen names it, and over no other;\n"
	     "    \trepeatable (default: over every listener)"),
	FLAG("upgrade-thaw", FLAG_SECONDS, upgrade_thaw_s, "seconds",
	     "after an upgrade: how long the workload waits for an /init (default 60)"),
	FLAG("verbose", FLAG_BOOL, verbose, NULL, "write the log to stdout too, in full"),
	FLAG("version", FLAG_BOOL, version, NULL, "print the version"),
	FLAG("vsock-any", FLAG_BOOL, any_vsock_peer, NULL,
	     "accept vsock peers other than the host"),
};

static void usage(void)
{
	size_t i;

	puts("Usage: envd [flags]\n"
	     "       envd -init [flags] -- COMMAND …\n"
	     "       envd COMMAND …   (envd COMMAND --help)\n"
	     "Commands:");
	for (const struct cmd *c = cmds; c->name; c++)
		printf("  %-8s %s\n", c->name, c->summary);
	puts("Flags:");
	for (i = 0; i < ARRAY_LEN(flags); i++)
		printf("  -%s%s%s\n    \t%s\n", flags[i].name, flags[i].value_name ? " " : "",
		       flags[i].value_name ? flags[i].value_name : "", flags[i].text);
}

/* Parses a bool as Go's strconv.ParseBool. */
static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
	static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*ret = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_port(const char *text, unsigned *ret)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 0);
	if (errno || *end || value < 1 || value > 65535)
		return -EINVAL;
	*ret = (unsigned)value;
	return 0;
}

/* Parses seconds, from 1 to a day. */
static int parse_seconds(const char *text, unsigned *ret)
{
	uint64_t value;

	if (!decimal_parse_text(text, 24 * 3600, &value) || value == 0)
		return -EINVAL;
	*ret = (unsigned)value;
	return 0;
}

/* Adds an address to a list of OPTIONS_MAX_LISTEN. 0 or -EINVAL. */
static int add_address(struct listen_spec *list, unsigned *n, const char *text)
{
	struct error err;

	if (*n == OPTIONS_MAX_LISTEN || listen_parse(text, &list[*n], &err) < 0)
		return -EINVAL;
	(*n)++;
	return 0;
}

/* Stores the value of a flag. 0 or -EINVAL. */
static int store(struct options *o, const struct flag *flag, const char *text)
{
	void *at = (char *)o + flag->offset;
	struct limits limits;
	struct error err;

	switch (flag->kind) {
	case FLAG_BOOL:
		return parse_bool(text, at);
	case FLAG_STRING:
		*(const char **)at = text;
		return *text ? 0 : -EINVAL;
	case FLAG_PORT:
		return parse_port(text, at);
	case FLAG_LISTEN:
		return add_address(o->listen, &o->n_listen, text);
	case FLAG_UPGRADE_OVER:
		return add_address(o->upgrade_over, &o->n_upgrade_over, text);
	case FLAG_ON_OFF:
		*(bool *)at = strcmp(text, "on") == 0;
		return strcmp(text, "on") == 0 || strcmp(text, "off") == 0 ? 0 : -EINVAL;
	case FLAG_SCOPE:
		*(const char **)at = text;
		return strcmp(text, "leader") == 0 || strcmp(text, "session") == 0 ||
				       strcmp(text, "tree") == 0
			       ? 0
			       : -EINVAL;
	case FLAG_LIMITS:
		*(const char **)at = text;
		return limits_parse(text, "-limits", &limits, &err);
	case FLAG_HALT:
		return pid1_halt_parse(text, at);
	case FLAG_SECONDS:
		return parse_seconds(text, at);
	}
	return -EINVAL;
}

static const struct flag *find_flag(const char *name, size_t n)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(flags); i++)
		if (strlen(flags[i].name) == n && memcmp(flags[i].name, name, n) == 0)
			return &flags[i];
	return NULL;
}

/* The flag of a word like "-name" or "--name=value"; NULL if there is none. */
static const struct flag *flag_of(const char *word)
{
	word += strspn(word, "-");
	return find_flag(word, strcspn(word, "="));
}

bool options_restrict_listener(const struct options *o, const struct listen_spec *spec)
{
	unsigned i;

	for (i = 0; i < o->n_upgrade_over; i++)
		if (listen_spec_equal(&o->upgrade_over[i], spec))
			return false;
	return o->n_upgrade_over > 0;
}

size_t options_flag_words(char *const *argv)
{
	const struct flag *flag = flag_of(argv[0]);

	return flag && flag->kind != FLAG_BOOL && !strchr(argv[0], '=') && argv[1] ? 2 : 1;
}

bool options_flag_survives_upgrade(const char *word)
{
	static const char *const dropped[] = {"init",	   "init-exec",	      "init-group",
					      "init-halt", "resume-handover", "state-dir"};
	const struct flag *flag = flag_of(word);
	size_t i;

	for (i = 0; i < ARRAY_LEN(dropped); i++)
		if (flag && strcmp(flag->name, dropped[i]) == 0)
			return false;
	return flag != NULL;
}

/* One line for each mistake: the whole usage would push the mistake off the screen. */
static enum options_result wrong(const char *what, const char *name)
{
	fprintf(stderr, "envd: %s: -%s (see envd --help)\n", what, name);
	return OPTIONS_WRONG;
}

/* The distance of two words by insertions, deletions and replacements (Levenshtein), capped. */
static size_t word_distance(const char *a, const char *b)
{
	enum { MOST = 24 };
	size_t row[MOST + 1], n = strlen(b), i, j, diagonal, above;

	if (strlen(a) > MOST || n > MOST)
		return MOST;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		diagonal = row[0];
		row[0] = i;
		for (j = 1; j <= n; j++) {
			above = row[j];
			diagonal += a[i - 1] != b[j - 1];
			if (diagonal > above + 1)
				diagonal = above + 1;
			if (diagonal > row[j - 1] + 1)
				diagonal = row[j - 1] + 1;
			row[j] = diagonal;
			diagonal = above;
		}
	}
	return row[n];
}

/*
 * A word where a flag or a command is expected. It must not start a daemon: `envd redy --port 8080`
 * would otherwise listen on all interfaces.
 */
static enum options_result unknown_word(const char *word)
{
	const char *best = NULL;
	size_t distance, best_distance = 3;

	for (const struct cmd *c = cmds; c->name; c++) {
		distance = word_distance(word, c->name);
		if (distance < best_distance && distance < strlen(c->name)) {
			best = c->name;
			best_distance = distance;
		}
	}
	if (best)
		fprintf(stderr, "envd: no such command: %s; did you mean 'envd %s'?\n", word, best);
	else
		fprintf(stderr, "envd: no such command: %s (see envd --help)\n", word);
	return OPTIONS_WRONG;
}

/* "--": the rest is the command of a container. */
static enum options_result take_command(struct options *o, char **command)
{
	const char *fault = NULL;

	if (!o->init)
		fault = "-- is for the command of -init";
	else if (!command[0])
		fault = "no command after --";
	else if (o->pid1.exec)
		fault = "-init takes a command after -- or by -init-exec, not both";
	if (fault) {
		fprintf(stderr, "envd: %s (see envd --help)\n", fault);
		return OPTIONS_WRONG;
	}
	o->pid1.command = command;
	return OPTIONS_OK;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	const struct flag *flag;
	const char *name, *equals, *value;
	int i;

	*o = (struct options){
		.port = OPTIONS_DEFAULT_PORT,
		.cgroup_root = "/sys/fs/cgroup",
		.kill_scope = "session",
		.hooks_dir = LIFECYCLE_HOOKS_DIR,
		.hook_timeout_s = LIFECYCLE_HOOK_TIMEOUT_S,
		.upgrade_thaw_s = HANDOVER_THAW_S,
		.cors = true,
		.argv = argv,
	};
	for (i = 1; i < argc; i++) {
		name = argv[i];
		if (strcmp(name, "--") == 0) {
			if (take_command(o, argv + i + 1) == OPTIONS_WRONG)
				return OPTIONS_WRONG;
			break;
		}
		if (name[0] != '-' || name[1] == '\0')
			return unknown_word(name);
		name += name[1] == '-' ? 2 : 1;
		equals = strchr(name, '=');
		flag = find_flag(name, equals ? (size_t)(equals - name) : strlen(name));
		if (!flag && (strcmp(name, "h") == 0 || strcmp(name, "help") == 0)) {
			usage();
			return OPTIONS_HELP;
		}
		if (!flag)
			return wrong("no such flag", name);
		value = equals ? equals + 1 : NULL;
		if (!value && flag->kind == FLAG_BOOL)
			value = "true";
		if (!value && i + 1 < argc)
			value = argv[++i];
		if (!value)
			return wrong("flag needs a value", flag->name);
		if (store(o, flag, value) < 0)
			return wrong("bad value of flag", flag->name);
	}
	o->default_listen = o->n_listen == 0;
	if (o->default_listen) {
		listen_spec_tcp_any(o->port, &o->listen[0]);
		listen_spec_vsock(o->port, &o->listen[1]);
		o->n_listen = 2;
	}
	o->pid1.listen = o->listen;
	o->pid1.n_listen = o->n_listen;
	return OPTIONS_OK;
}
