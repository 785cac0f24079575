/* SPDX-License-Identifier: Apache-2.0 */
/* envd watch: the changes in a directory of a guest, line by line. */
#include <stdbool.h>
#include <stdio.h>

#include "envd/client/call.h"
#include "envd/client/show.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "filesystem.pb-c.h"

static const struct arg arguments[] = {
	{"recursive", 'r', ARG_PLAIN | ARG_BRIEF}, {"json", 'j', ARG_PLAIN}, CLIENT_ARGS};

static const char usage[] =
	"Usage: envd watch [-r] [--json] PATH [OPTION…]\n"
	"Prints a line for each change in a directory of a guest, until a signal ends it. The "
	"first\n"
	"line, on stderr, says that the watch is in place.\n"
	"  -r, --recursive      everything below the directory too\n"
	"  --json               one filesystem.FilesystemEvent a line\n";

/* 0, or -1 with the error. */
static int print_event(const Filesystem__FilesystemEvent *event, bool json, struct error *err)
{
	static const char *const names[] = {"-", "CREATE", "WRITE", "REMOVE", "RENAME", "CHMOD"};
	unsigned type = (unsigned)event->type;

	if (json)
		return call_show_json(stdout, &event->base, err);
	printf("%-6s ", type < sizeof(names) / sizeof(names[0]) ? names[type] : "-");
	show_text(stdout, event->name);
	putchar('\n');
	return 0;
}

/* Takes one message. 0, or -1 with the error. */
static int take_message(const Filesystem__WatchDirResponse *response, bool json, struct error *err)
{
	switch (response->event_case) {
	case FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_START:
		fputs("envd watch: the watch is in place\n", stderr);
		return 0;
	case FILESYSTEM__WATCH_DIR_RESPONSE__EVENT_FILESYSTEM:
		if (print_event(response->filesystem, json, err) < 0)
			return -1;
		/* A reader that has left ends the watch, at the next event. */
		return fflush(stdout) == 0 ? 0
					   : error_set(err, ERROR_ABORTED, "stdout takes no more");
	default:
		return 0;
	}
}

/* Returns 1 after one line on stderr: nothing but a failure or a signal ends a watch. */
static int watch(const struct client *c, Filesystem__WatchDirRequest *request, bool json)
{
	struct call_stream s;
	struct error err;
	int r = call_stream_open(&s, c, "filesystem.Filesystem/WatchDir", "", &request->base,
				 &filesystem__watch_dir_response__descriptor, &err);

	while (r == 0) {
		if (call_stream_next(&s, -1, &err) != CALL_MESSAGE) {
			if (err.code == ERROR_OK)
				error_set(&err, ERROR_UNAVAILABLE,
					  "the daemon has ended the watch");
			break;
		}
		r = take_message((const Filesystem__WatchDirResponse *)s.message, json, &err);
	}
	client_complain(c, &err);
	call_stream_close(&s);
	return 1;
}

int cmd_watch(int argc, char **argv)
{
	Filesystem__WatchDirRequest request = FILESYSTEM__WATCH_DIR_REQUEST__INIT;
	struct client c;
	struct args args;
	bool json = false;
	int key = client_init(&c, "watch"), status = 0;

	args_init(&args, "watch", arguments, argv);
	args.operands = ARGS_OPERANDS;
	while (key >= 0 && (key = client_args_next(&args, &c, usage)) > 0) {
		request.recursive |= key == 'r';
		json |= key == 'j';
		if (key == ARGS_OPERAND && *request.path)
			key = client_usage_error(&c, "one directory at a time");
		else if (key == ARGS_OPERAND)
			request.path = args.value;
	}
	if (key == 0 && !*request.path)
		key = client_usage_error(&c, "no directory is named");
	if (key == 0)
		status = watch(&c, &request, json);
	return client_end(&c, key, status, 2);
}
