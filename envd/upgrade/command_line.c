/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/command_line.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "envd/options.h"

/* The reference uses two dashes; this daemon reads one or two. */
#define RESUME_FLAG "--resume-handover"

struct command_line {
	struct arena *arena;
	char **argv;
	size_t n;
};

static void add(struct command_line *line, const char *text)
{
	line->argv[line->n++] = arena_strdup(line->arena, text);
	line->argv[line->n] = NULL;
}

static unsigned tcp_port(const struct listen_spec *spec)
{
	if (spec->address.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&spec->address)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)&spec->address)->sin6_port);
}

/* The reference listens on one TCP port: it gets the first -listen tcp:, or else -port. */
static unsigned reference_port(const struct options *o)
{
	unsigned i;

	for (i = 0; i < o->n_listen; i++)
		if (o->listen[i].kind == LISTEN_TCP)
			return tcp_port(&o->listen[i]);
	return o->port;
}

static void add_reference_flags(struct command_line *line, const struct options *o)
{
	char port[16];

	if (o->is_not_fc)
		add(line, "-isnotfc");
	snprintf(port, sizeof(port), "%u", reference_port(o));
	add(line, "-port");
	add(line, port);
	if (o->no_cgroups)
		add(line, "-no-cgroups");
	add(line, "-cgroup-root");
	add(line, o->cgroup_root);
	if (o->verbose)
		add(line, "-verbose");
}

char **upgrade_command_line(const struct options *options, char *const *argv, const char *program,
			    bool ours, struct arena *arena)
{
	struct command_line line = {.arena = arena};
	size_t n = 0, i, words;

	/* "--" begins the command of a container, which process 1 has started. */
	while (argv[n] && strcmp(argv[n], "--") != 0)
		n++;
	line.argv = arena_zalloc(arena, (n + 16) * sizeof(char *));
	add(&line, program);
	if (!ours)
		add_reference_flags(&line, options);
	for (i = 1; ours && i < n; i += words) {
		words = options_flag_words(argv + i);
		if (options_flag_survives_upgrade(argv[i]))
			for (size_t j = 0; j < words && i + j < n; j++)
				add(&line, argv[i + j]);
	}
	if (ours && options->state_dir) {
		add(&line, "-state-dir");
		add(&line, options->state_dir);
	}
	add(&line, RESUME_FLAG);
	return line.argv;
}
