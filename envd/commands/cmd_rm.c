/* SPDX-License-Identifier: Apache-2.0 */
/* envd rm: removes files of a guest. */
#include <stdbool.h>
#include <stddef.h>

#include "envd/client/call.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/guest_entry.h"

static const struct arg arguments[] = {{"recursive", 'r', ARG_PLAIN | ARG_BRIEF},
				       {"force", 'f', ARG_PLAIN | ARG_BRIEF},
				       CLIENT_TIMEOUT,
				       CLIENT_ARGS};

static const char usage[] =
	"Usage: envd rm [-r] [-f] PATH… [OPTION…]\n"
	"Removes files of a guest. A symbolic link is removed, not its target.\n"
	"  -r, --recursive      directories too, with everything in them\n"
	"  -f, --force          a path that does not exist is no error\n";

struct rm {
	struct client client;
	bool recursive, force;
};

/* The call itself removes directories as well, and absent files, without a word. */
static int check(const struct rm *rm, const char *path, struct arena *arena, struct error *err)
{
	Filesystem__EntryInfo *entry;

	if (guest_stat(&rm->client, path, arena, &entry, err) < 0)
		return rm->force && err->code == ERROR_NOT_FOUND ? 1 : -1;
	if (!rm->recursive && guest_is_directory(entry) &&
	    entry->opt_symlink_target_case == FILESYSTEM__ENTRY_INFO__OPT_SYMLINK_TARGET__NOT_SET)
		return error_set(err, ERROR_FAILED_PRECONDITION,
				 "%s: a directory; -r removes it with everything in it", path);
	return 0;
}

/* 0, or -1 after one line on stderr. */
static int remove_path(const struct rm *rm, const char *path)
{
	Filesystem__RemoveRequest request = FILESYSTEM__REMOVE_REQUEST__INIT;
	ProtobufCMessage *answer;
	struct arena arena = {0};
	struct error err;
	int r = check(rm, path, &arena, &err);

	request.path = path;
	if (r == 0)
		r = call_unary(&rm->client, "filesystem.Filesystem/Remove", &request.base,
			       &filesystem__remove_response__descriptor, &arena, &answer, &err);
	if (r < 0)
		client_complain(&rm->client, &err);
	arena_clear(&arena);
	return r < 0 ? -1 : 0;
}

int cmd_rm(int argc, char **argv)
{
	struct rm rm = {0};
	struct args args;
	size_t n = 0;
	int key = client_init(&rm.client, "rm"), status = 0;

	args_init(&args, "rm", arguments, argv);
	args.operands = ARGS_OPERANDS;
	while (key >= 0 && (key = client_args_next(&args, &rm.client, usage)) > 0) {
		if (key == ARGS_OPERAND)
			argv[n++] = args.next[-1];
		rm.recursive |= key == 'r';
		rm.force |= key == 'f';
	}
	if (key == 0 && n == 0)
		key = client_usage_error(&rm.client, "no file is named");
	for (size_t i = 0; key == 0 && i < n; i++)
		if (remove_path(&rm, argv[i]) < 0)
			status = 1;
	return client_end(&rm.client, key, status, 2);
}
