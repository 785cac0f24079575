/* SPDX-License-Identifier: Apache-2.0 */
/* envd upgrade: sends a program to a daemon, which it replaces, and reports what was passed on. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/client/exchange.h"
#include "envd/client/show.h"
#include "envd/commands/client_args.h"
#include "envd/commands/cmd.h"
#include "envd/commands/transfer_impl.h"
#include "rpc/codec/json.h"

#define UPGRADE_RETURN_MS 15000 /* for the new program to answer /init */
#define UPGRADE_RETRY_MS  5

static const struct arg arguments[] = {{"file", 'f', ARG_VALUE}, CLIENT_TIMEOUT, CLIENT_ARGS};

static const char usage[] =
	"Usage: envd upgrade FILE [OPTION…]\n"
	"Replaces a running envd by the program in FILE, under its running processes, and prints\n"
	"what was carried over. Exits with 0 if everything was, 1 if the daemon refuses or\n"
	"something was lost, 2 for a wrong argument.\n";

/* Opens the file. An empty body would tell the daemon to execute its own program again. */
static int open_program(const char *path, off_t *ret_bytes, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		error_set_errno(err, ERROR_ABORTED, errno, "%s", path);
	else if (!S_ISREG(status.st_mode) || status.st_size == 0)
		error_set(err, ERROR_ABORTED, "%s: not a program", path);
	else
		*ret_bytes = status.st_size;
	if (fd >= 0 && *ret_bytes == 0)
		fd_close(&fd);
	return fd;
}

/*
 * Sends the program. 0 if the connection ended without an answer: the daemon was replaced. The end
 * is a reset if the old daemon had not read all that was sent. -1 with the error; `connected` says
 * whether it is the daemon's.
 */
static int upload(const struct client *c, struct exchange *x, const char *path, bool *connected,
		  struct error *err)
{
	struct progress none = {0};
	off_t bytes = 0;
	FD_AUTO int file = open_program(path, &bytes, err);

	if (file < 0 || exchange_open(x, c, "POST", "/upgrade", "", bytes, err) < 0)
		return -1;
	*connected = true;
	if (transfer_put_body(x, file, (uint64_t)bytes, &none, err) < 0)
		return -1;
	if (exchange_head(x, err) == 0)
		return exchange_refused(x, err);
	return exchange_queued(x) == 0 && exchange_ended(x) ? 0 : -1;
}

/* Sends the /init that opens the gate and thaws the workload. 0 once its answer begins, or -1. */
static int send_init(const struct client *c, struct exchange *x, struct error *err)
{
	struct json_writer body;
	int r;

	json_writer_init(&body, 0, 128);
	json_put_object(&body);
	if (c->token) {
		json_put_name(&body, "accessToken");
		json_put_string(&body, c->token);
	}
	json_put_object_end(&body);
	r = exchange_open(x, c, "POST", "/init", "Content-Type: application/json\r\n",
			  (int64_t)body.n, err);
	exchange_put(x, body.data, body.n);
	explicit_bzero(body.data, body.n);
	json_writer_clear(&body);
	return r == 0 ? exchange_success(x, err) : -1;
}

/* Whether X-Envd-Handover says that all was carried over. */
static bool nothing_lost(const char *handover)
{
	const char *at = handover;

	while ((at = strstr(at, "_failed\":"))) {
		at += strlen("_failed\":");
		if (strspn(at, "0123456789") != 1 || *at != '0')
			return false;
	}
	return strstr(handover, "\"failed\":false");
}

/* Waits for the new program, and prints what it says. 0 and whether it lost something, or -1. */
static int report(const struct client *c, struct exchange *x, bool *lost, struct error *err)
{
	uint64_t until = clock_monotonic_ms() + UPGRADE_RETURN_MS;
	const char *version, *handover;
	int r;

	/* Until the new program listens, connections are refused, or end. */
	while ((r = send_init(c, x, err)) < 0 && (x->fd < 0 || exchange_ended(x)) &&
	       clock_monotonic_ms() < until) {
		exchange_close(x);
		client_pause(c, UPGRADE_RETRY_MS);
	}
	if (r < 0)
		return error_prefix(err, "the new program has not accepted /init (without it, the "
					 "processes go on after 60 s)");
	version = reply_field(&x->reply, "X-Envd-Version");
	handover = reply_field(&x->reply, "X-Envd-Handover");
	fputs("version ", stdout);
	show_text(stdout, version ? version : "?");
	fputs(", carried over: ", stdout);
	show_text(stdout, handover ? handover : "unknown");
	putchar('\n');
	*lost = !handover || !nothing_lost(handover);
	return 0;
}

/* The exit status. */
static int upgrade(const struct client *c, const char *path)
{
	struct exchange *x = mem_zalloc(sizeof(*x));
	bool connected = false, lost = false;
	struct error err;
	int r;

	x->fd = -1;
	r = upload(c, x, path, &connected, &err);
	exchange_close(x);
	if (r == 0)
		r = report(c, x, &lost, &err);
	else if (connected)
		error_prefix(&err, "the daemon goes on as before");
	if (r < 0)
		client_complain(c, &err);
	exchange_close(x);
	free(x);
	return r < 0 || lost ? 1 : 0;
}

int cmd_upgrade(int argc, char **argv)
{
	const char *path = "";
	struct client c;
	struct args args;
	int key = client_init(&c, "upgrade"), status = 0;

	args_init(&args, "upgrade", arguments, argv);
	args.operands = ARGS_OPERANDS;
	while (key >= 0 && (key = client_args_next(&args, &c, usage)) > 0) {
		if (*path)
			key = client_usage_error(&c, "one program at a time");
		path = args.value;
	}
	if (key == 0 && !*path)
		key = client_usage_error(&c, "FILE is missing");
	if (key == 0)
		status = upgrade(&c, path);
	return client_end(&c, key, status, 2);
}
