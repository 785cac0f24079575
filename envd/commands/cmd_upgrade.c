/* SPDX-License-Identifier: Apache-2.0 */
/* envd upgrade: sends a program to a daemon, which it replaces, and reports what was passed on. */
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/client/show.h"
#include "envd/commands/args.h"
#include "envd/commands/cmd.h"
#include "rpc/codec/json.h"
#include "rpc/http/listen.h"

#define UPGRADE_TO	     "tcp:127.0.0.1:49983"
#define UPGRADE_RETURN_MS    15000 /* for the new program to answer /init */
#define UPGRADE_RETRY_MS     5
#define UPGRADE_DIAL_MS	     5000  /* to connect */
#define UPGRADE_SILENCE_MS   30000 /* for an answer, or for room for more of the upload */
#define UPGRADE_ANSWER_BYTES 16384
#define UPGRADE_TOKEN_BYTES  4096
#define UPGRADE_PIECE_BYTES  65536

struct upgrade {
	const char *file;
	struct listen_spec to;
	char *token; /* NULL: none; owned */
	size_t token_bytes;
};

static const struct arg arguments[] = {
	{"file", 'f', ARG_VALUE}, {"to", 't', ARG_VALUE}, {"token-file", 'k', ARG_VALUE},
	{"help", 'h', ARG_PLAIN}, {NULL, 0, ARG_VALUE},
};

static const char usage[] =
	"Usage: envd upgrade FILE [--to ADDRESS] [--token-file FILE]\n"
	"Replaces a running envd by the program in FILE, under its running processes, and prints\n"
	"what was carried over. Exits with 0 if all was, 1 if the daemon refuses or something was\n"
	"lost, 2 for a wrong argument.\n"
	"  --to ADDRESS         tcp:ADDR:PORT or unix:PATH; tcp:127.0.0.1:49983 if not given\n"
	"  --token-file FILE    the access token of the daemon, if one is set\n";

static int read_token(struct upgrade *u, const char *path)
{
	int r = fd_read_file(AT_FDCWD, path, UPGRADE_TOKEN_BYTES, &u->token, &u->token_bytes);

	while (r == 0 && u->token_bytes && u->token[u->token_bytes - 1] == '\n')
		u->token[--u->token_bytes] = '\0';
	return r;
}

/* Reads the arguments. 0, 1 if --help asks for the usage, or -EINVAL after one line on stderr. */
static int parse_arguments(struct upgrade *u, int argc, char **argv)
{
	struct error err;
	struct args args;
	int key, r = 0;

	if (argc > 1 && argv[1][0] != '-') {
		u->file = argv[1];
		argv++;
	}
	if (listen_parse(UPGRADE_TO, &u->to, &err) < 0)
		return -EINVAL;
	args_init(&args, "upgrade", arguments, argv);
	while ((key = args_next(&args)) > 0) {
		if (key == 'h')
			return 1;
		if (key == 'f')
			u->file = args.value;
		else if (key == 't')
			r = listen_parse(args.value, &u->to, &err);
		else
			r = read_token(u, args.value);
		if (r < 0)
			return args_refuse(&args,
					   key == 't' ? "not an address" : error_errno_text(r));
	}
	if (key == 0 && u->file)
		return 0;
	if (key == 0)
		fputs("envd upgrade: FILE is missing (see envd upgrade --help)\n", stderr);
	return -EINVAL;
}

/*
 * A connection to the daemon, or -errno. SO_SNDTIMEO limits connect(2), which then fails with
 * EINPROGRESS or EAGAIN, and each write (socket(7)).
 */
static int dial(const struct upgrade *u)
{
	const struct timeval limit = {.tv_sec = UPGRADE_DIAL_MS / 1000};
	int fd = socket(u->to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
	    connect(fd, (const struct sockaddr *)&u->to.address, u->to.address_bytes) == 0)
		return fd;
	r = errno == EINPROGRESS || errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	return r;
}

/* Sends the head of a request. 0 or -errno. */
static int send_head(const struct upgrade *u, int fd, const char *path, uint64_t body_bytes)
{
	struct evbuffer *head = evbuffer_new();
	int r = 0;

	evbuffer_add_printf(head, "POST %s HTTP/1.1\r\nHost: envd\r\nConnection: close\r\n", path);
	if (u->token)
		evbuffer_add_printf(head, "X-Access-Token: %s\r\n", u->token);
	evbuffer_add_printf(head, "Content-Length: %ju\r\n\r\n", (uintmax_t)body_bytes);
	while (evbuffer_get_length(head) && r == 0)
		if (evbuffer_write(head, fd) < 0 && errno != EINTR)
			r = -errno;
	evbuffer_free(head);
	return r;
}

/*
 * Reads to the end of the connection, with a NUL. The bytes, 0 if the connection just ended, or
 * -errno.
 */
static ssize_t read_answer(int fd, char answer[UPGRADE_ANSWER_BYTES + 1])
{
	uint64_t now = clock_monotonic_ms(), until = now + UPGRADE_SILENCE_MS;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t have = 0;
	ssize_t n;

	while (have < UPGRADE_ANSWER_BYTES) {
		now = clock_monotonic_ms();
		if (now >= until || poll(&p, 1, (int)(until - now)) == 0)
			return -ETIMEDOUT;
		n = read(fd, answer + have, UPGRADE_ANSWER_BYTES - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && have == 0)
			return -errno;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	answer[have] = '\0';
	return (ssize_t)have;
}

/* The status of an answer, or 0. */
static unsigned status_of(const char *answer)
{
	uint64_t status;

	if (strncmp(answer, "HTTP/1.1 ", 9) != 0 ||
	    !decimal_digits(answer + 9, strlen(answer + 9), 999, &status))
		return 0;
	return (unsigned)status;
}

/* Writes the peer's text up to the end of its line. */
static void print_peer_text(FILE *to, const char *text)
{
	show_bytes(to, text, strcspn(text, "\n"));
}

/* The body of an answer, as one line on stderr. */
static void print_body(const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n");

	print_peer_text(stderr, body ? body + 4 : "");
	fputc('\n', stderr);
}

/*
 * Sends the file, until the daemon answers: one that refuses answers before it has read all, and
 * then resets the connection if more comes, which would discard the answer. Returns true if all
 * bytes were sent.
 */
static bool send_file(int fd, int file, off_t bytes)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	off_t at = 0;

	while (at < bytes && poll(&p, 1, UPGRADE_SILENCE_MS) > 0 && !(p.revents & POLLIN))
		if (sendfile(fd, file, &at, UPGRADE_PIECE_BYTES) <= 0 && errno != EINTR)
			return false;
	return at >= bytes;
}

/* Opens the file. An empty body would tell the daemon to execute its own program again. */
static int open_program(const struct upgrade *u, off_t *ret_bytes)
{
	int fd = open(u->file, O_RDONLY | O_CLOEXEC);
	struct stat status;
	const char *why = NULL;

	if (fd < 0 || fstat(fd, &status) < 0)
		why = error_errno_text(errno);
	else if (!S_ISREG(status.st_mode) || status.st_size == 0)
		why = "not a program";
	else
		*ret_bytes = status.st_size;
	if (why) {
		fprintf(stderr, "envd upgrade: %s: %s\n", u->file, why);
		fd_close(&fd);
	}
	return fd;
}

/*
 * Sends the program. 0 if the connection ended without an answer: the daemon was replaced. The end
 * is a reset if the old daemon had not read all that was sent.
 */
static int upload(const struct upgrade *u)
{
	char answer[UPGRADE_ANSWER_BYTES + 1];
	off_t bytes = 0;
	FD_AUTO int file = open_program(u, &bytes), fd = -1;
	bool complete;
	ssize_t n;
	int r;

	if (file < 0)
		return -1;
	fd = dial(u);
	r = fd < 0 ? fd : send_head(u, fd, "/upgrade", (uint64_t)bytes);
	if (r < 0) {
		fprintf(stderr, "envd upgrade: %s: %s\n", u->to.text, error_errno_text(r));
		return -1;
	}
	complete = send_file(fd, file, bytes);
	n = read_answer(fd, answer);
	if (n == 0 || (n == -ECONNRESET && complete))
		return 0;
	fputs("envd upgrade: the daemon goes on as before: ", stderr);
	if (n < 0)
		fprintf(stderr, "%s\n", error_errno_text((int)n));
	else
		print_body(answer);
	return -1;
}

/*
 * Copies the value of a field of the answer's head. Returns false, and "" in `ret`, if the head has
 * no such field. The name is in lower case or not; field names do not depend on it (RFC 9110,
 * section 5.1).
 */
static bool field_of(const char *answer, const char *name, char *ret, size_t ret_bytes)
{
	size_t n = strlen(name), line;

	*ret = '\0';
	for (answer = strchr(answer, '\n'); answer && strcspn(++answer, "\r\n");
	     answer = strchr(answer, '\n')) {
		if (strncasecmp(answer, name, n) != 0 || answer[n] != ':')
			continue;
		answer += n + 1;
		answer += strspn(answer, " \t");
		line = strcspn(answer, "\r\n");
		snprintf(ret, ret_bytes, "%.*s", (int)line, answer);
		return true;
	}
	return false;
}

/* Sends the /init that opens the gate and thaws the workload. The status, or 0 if none came. */
static unsigned send_init(const struct upgrade *u, char answer[UPGRADE_ANSWER_BYTES + 1])
{
	struct json_writer body;
	FD_AUTO int fd = dial(u);
	unsigned status = 0;

	json_writer_init(&body, 0, 128);
	json_put_object(&body);
	if (u->token) {
		json_put_name(&body, "accessToken");
		json_put_string_bytes(&body, u->token, u->token_bytes);
	}
	json_put_object_end(&body);
	if (fd >= 0 && send_head(u, fd, "/init", body.n) == 0 &&
	    fd_write_all(fd, body.data, body.n) == 0 && read_answer(fd, answer) > 0)
		status = status_of(answer);
	explicit_bzero(body.data, body.n);
	json_writer_clear(&body);
	return status;
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

/* Waits for the new program. The exit status. */
static int report(const struct upgrade *u)
{
	uint64_t until = clock_monotonic_ms() + UPGRADE_RETURN_MS;
	char answer[UPGRADE_ANSWER_BYTES + 1], version[64], handover[512];
	unsigned status;

	while ((status = send_init(u, answer)) == 0 && clock_monotonic_ms() < until)
		poll(NULL, 0, UPGRADE_RETRY_MS);
	if (status != 204) {
		fprintf(stderr,
			"envd upgrade: the new program answers /init with %u; without an /init "
			"it thaws the processes after 60 s\n",
			status);
		return 1;
	}
	field_of(answer, "X-Envd-Version", version, sizeof(version));
	field_of(answer, "X-Envd-Handover", handover, sizeof(handover));
	fputs("version ", stdout);
	print_peer_text(stdout, *version ? version : "?");
	fputs(", carried over: ", stdout);
	print_peer_text(stdout, *handover ? handover : "unknown");
	fputc('\n', stdout);
	return nothing_lost(handover) ? 0 : 1;
}

int cmd_upgrade(int argc, char **argv)
{
	struct upgrade u = {0};
	int r = parse_arguments(&u, argc, argv);

	if (r > 0)
		fputs(usage, stdout);
	if (r == 0)
		r = upload(&u) < 0 ? 1 : report(&u);
	else
		r = r < 0 ? 2 : 0;
	if (u.token)
		explicit_bzero(u.token, u.token_bytes);
	free(u.token);
	return r;
}
