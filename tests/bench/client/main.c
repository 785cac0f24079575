/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage;
} commands[] = {
	{"load", cmd_load,
	 "-p PORT [-c CONNECTIONS] [-n COUNT | -s SECONDS] [-i MS] [-e TEXT] FILE..."},
	{"fetch", cmd_fetch, "-p PORT [-c CONNECTIONS] [-m MIN_BYTES] [-k] FILE"},
	{"push", cmd_push,
	 "-p PORT [-c CONNECTIONS] [-b FILE] [-r TIMES] [-t FILE] [-e TEXT] FILE..."},
	{"hold", cmd_hold, "-p PORT -c CONNECTIONS [-e TEXT] FILE"},
	{"boot", cmd_boot, "-p PORT [-n COUNT] COMMAND..."},
	{"spawn", cmd_spawn, "[-n COUNT | -s SECONDS] [-c AT_ONCE] COMMAND..."},
	{"pipe", cmd_pipe, "COMMAND..."},
	{"produce", cmd_produce, "BYTES"},
	{"sink", cmd_sink, ""},
	{"watch", cmd_watch, "-p PORT [-n COUNT] REQUEST_FILE DIRECTORY"},
	{"burst", cmd_burst, "-p PORT [-n COUNT] [-o FILE] REQUEST_FILE DIRECTORY"},
	{"files", cmd_files, "COUNT DIRECTORY"},
	{"tree", cmd_tree, "COUNT"},
	{"listen", cmd_listen, "COUNT PORT"},
	{"serve", cmd_serve, "PORT BYTES"},
};

int main(int argc, char **argv)
{
	size_t n = sizeof(commands) / sizeof(commands[0]);

	for (size_t i = 0; argc > 1 && i < n; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "client %s %s\n", commands[i].name, commands[i].usage);
	return 2;
}
