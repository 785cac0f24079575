/* SPDX-License-Identifier: Apache-2.0 */
/* envd ls: the entries of directories of a guest. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "envd/client/call.h"
#include "envd/client/show.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/guest_entry.h"

#define LS_DEPTH_MAX 1000000

static const struct arg arguments[] = {{"long", 'l', ARG_PLAIN | ARG_BRIEF},
				       {"depth", 'D', ARG_VALUE},
				       {"json", 'j', ARG_PLAIN},
				       CLIENT_TIMEOUT,
				       CLIENT_ARGS};

static const char usage[] =
	"Usage: envd ls [-l] [--depth N] [--json] [PATH…] [OPTION…]\n"
	"Lists directories of a guest, and files. Without a path it is the user's home.\n"
	"  -l, --long           mode, owner, group, size, time of change (UTC)\n"
	"  --depth N            this number of levels, 1 if not given\n"
	"  --json               the answer of filesystem.Filesystem/ListDir, or "
	"/Stat\n";

struct ls {
	struct client client;
	bool details, json;
	unsigned depth;
};

static void print_details(const Filesystem__EntryInfo *e)
{
	char when[32] = "-";
	time_t seconds = e->modified_time ? (time_t)e->modified_time->seconds : 0;
	struct tm tm;

	if (e->modified_time && gmtime_r(&seconds, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	show_text(stdout, e->permissions);
	putchar(' ');
	show_text(stdout, e->owner);
	putchar(' ');
	show_text(stdout, e->group);
	printf(" %12jd %s ", (intmax_t)e->size, when);
}

/* `top`: the path of the listed directory, or NULL: the name alone is shown. */
static void print_entry(const struct ls *ls, const Filesystem__EntryInfo *e, const char *top)
{
	const char *name = e->name;
	size_t n = top ? strlen(top) : 0;

	if (ls->details)
		print_details(e);
	/* Deeper entries are shown with their way from the directory. */
	if (top && ls->depth > 1 && strncmp(e->path, top, n) == 0)
		name = e->path + n + strspn(e->path + n, "/");
	show_text(stdout, name);
	if (guest_is_directory(e))
		putchar('/');
	if (ls->details && e->opt_symlink_target_case ==
				   FILESYSTEM__ENTRY_INFO__OPT_SYMLINK_TARGET_SYMLINK_TARGET) {
		fputs(" -> ", stdout);
		show_text(stdout, e->symlink_target);
	}
	putchar('\n');
}

static int list_directory(const struct ls *ls, const char *path, const char *absolute,
			  struct arena *arena, struct error *err)
{
	Filesystem__ListDirRequest request = FILESYSTEM__LIST_DIR_REQUEST__INIT;
	const Filesystem__ListDirResponse *list;
	ProtobufCMessage *answer;

	request.path = path;
	request.depth = ls->depth;
	if (call_unary(&ls->client, "filesystem.Filesystem/ListDir", &request.base,
		       &filesystem__list_dir_response__descriptor, arena, &answer, err) < 0)
		return -1;
	if (ls->json)
		return call_show_json(stdout, answer, err);
	list = (const Filesystem__ListDirResponse *)answer;
	for (size_t i = 0; i < list->n_entries; i++)
		print_entry(ls, list->entries[i], absolute);
	return 0;
}

/* 0, or -1 after one line on stderr. */
static int list(const struct ls *ls, const char *path, bool heading)
{
	Filesystem__StatResponse alone = FILESYSTEM__STAT_RESPONSE__INIT;
	Filesystem__EntryInfo *entry;
	struct arena arena = {0};
	struct error err;
	int r = guest_stat(&ls->client, path, &arena, &entry, &err);

	if (r == 0 && guest_is_directory(entry)) {
		if (heading && !ls->json) {
			show_text(stdout, path);
			puts(":");
		}
		r = list_directory(ls, path, entry->path, &arena, &err);
	} else if (r == 0 && ls->json) {
		alone.entry = entry;
		r = call_show_json(stdout, &alone.base, &err);
	} else if (r == 0) {
		print_entry(ls, entry, NULL);
	}
	if (r < 0)
		client_complain(&ls->client, &err);
	arena_clear(&arena);
	return r;
}

/* Applies one option. 0 or -EINVAL. */
static int take_option(struct ls *ls, int key, const struct args *args)
{
	if (key == 'l')
		ls->details = true;
	else if (key == 'j')
		ls->json = true;
	else if (args_number(args->value, 1, LS_DEPTH_MAX, &ls->depth) < 0)
		return args_refuse(args, "not a number of levels");
	return 0;
}

int cmd_ls(int argc, char **argv)
{
	struct ls ls = {.depth = 1};
	struct args args;
	size_t n = 0;
	int key = client_init(&ls.client, "ls"), status = 0;

	args_init(&args, "ls", arguments, argv);
	args.operands = ARGS_OPERANDS;
	while (key >= 0 && (key = client_args_next(&args, &ls.client, usage)) > 0) {
		if (key == ARGS_OPERAND)
			argv[n++] = args.next[-1];
		else
			key = take_option(&ls, key, &args);
	}
	if (key == 0 && n == 0 && list(&ls, ".", false) < 0)
		status = 1;
	for (size_t i = 0; key == 0 && i < n; i++)
		if (list(&ls, argv[i], n > 1) < 0)
			status = 1;
	return client_end(&ls.client, key, status, 2);
}
