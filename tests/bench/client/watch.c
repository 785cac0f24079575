/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES (1024 * 1024)
#define QUIET_MS   3000

struct watch {
	int fd;
	int copy; /* file for a copy of the response; -1: none */
	size_t count;
	const char *directory;
	char *buffer; /* READ_BYTES, and room for a text that is split between two reads */
};

/* Opens the stream in the request file and waits for its `start`. */
static void watch_open(struct watch *w, int argc, char **argv)
{
	struct reply *reply = xalloc(sizeof(*reply));
	struct target target;
	struct bytes request;
	int c;

	target_init(&target);
	w->count = 1;
	w->copy = -1;
	while ((c = getopt(argc, argv, "+p:n:o:")) != -1) {
		switch (c) {
		case 'p':
			target_set_port(&target, optarg);
			break;
		case 'n':
			w->count = strtoul(optarg, NULL, 10);
			break;
		case 'o':
			w->copy = open(optarg, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
			if (w->copy < 0)
				die(errno, "%s", optarg);
			break;
		default:
			exit(2);
		}
	}
	if (argc - optind != 2)
		exit(2);
	request = read_file(argv[optind]);
	w->directory = argv[optind + 1];
	w->buffer = xalloc(READ_BYTES + 64);
	w->fd = target_connect(&target);
	send_all(w->fd, request.data, request.n);
	reply_reset(reply);
	while (!strstr(reply->head, "HTTP/1.1 200") ||
	       !memmem(reply->head, reply->kept, "\"start\"", 7))
		if (reply_read(reply, w->fd))
			die(0, "no watch: %.600s", reply->head);
	free(reply);
}

/* Measures the time from write() on one file to the event at the client. */
int cmd_watch(int argc, char **argv)
{
	struct samples samples = {0};
	char path[4096];
	struct watch w;
	uint64_t began_ns;
	ssize_t n;
	int file;

	watch_open(&w, argc, argv);
	snprintf(path, sizeof(path), "%s/latency", w.directory);
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		die(errno, "%s", path);
	for (size_t i = 0; i < w.count; i++) {
		began_ns = now_ns();
		if (write(file, "x", 1) != 1)
			die(errno, "%s", path);
		do {
			n = recv(w.fd, w.buffer, READ_BYTES, 0);
			if (n <= 0)
				die(n ? errno : 0, "the stream ended");
		} while (!memmem(w.buffer, (size_t)n, "EVENT_TYPE_WRITE", 16));
		samples_add(&samples, now_ns() - began_ns);
	}
	samples_print(&samples);
	putchar('\n');
	return 0;
}

/* Makes `count` empty files as fast as it can. */
static void make_files(const char *directory, size_t count)
{
	char name[32];
	int fd;

	if (chdir(directory) < 0)
		die(errno, "%s", directory);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0)
			die(errno, "%s", name);
		close(fd);
	}
}

int cmd_files(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	make_files(argv[2], strtoul(argv[1], NULL, 10));
	return 0;
}

/* Counts `text` in the n bytes. Sets *tail to the bytes after the last occurrence. */
static size_t occurrences(const char *p, size_t n, const char *text, const char **tail)
{
	size_t count = 0, length = strlen(text);
	const char *end = p + n, *hit;

	*tail = p;
	while ((hit = memmem(*tail, (size_t)(end - *tail), text, length))) {
		count++;
		*tail = hit + length;
	}
	return count;
}

/*
 * A child process creates many files in the watched directory. Prints the number of CREATE events,
 * the time since the first file, and whether the stream was still open at the end, that is, after
 * QUIET_MS without an event. -o writes the response to a file.
 */
int cmd_burst(int argc, char **argv)
{
	static const char text[] = "EVENT_TYPE_CREATE";
	size_t events = 0, kept = 0;
	struct pollfd pfd = {.events = POLLIN};
	uint64_t began_ns, last_ns;
	const char *tail;
	struct watch w;
	bool open = true;
	ssize_t n;
	pid_t pid;

	watch_open(&w, argc, argv);
	pfd.fd = w.fd;
	last_ns = began_ns = now_ns();
	pid = fork();
	if (pid < 0)
		die(errno, "fork");
	if (pid == 0) {
		make_files(w.directory, w.count);
		_exit(0);
	}
	while (events < w.count && poll(&pfd, 1, QUIET_MS) > 0) {
		n = recv(w.fd, w.buffer + kept, READ_BYTES, 0);
		if (n <= 0) {
			open = false;
			break;
		}
		if (w.copy >= 0 && write(w.copy, w.buffer + kept, (size_t)n) != n)
			die(errno, "copy");
		events += occurrences(w.buffer, kept + (size_t)n, text, &tail);
		last_ns = now_ns();
		/* A text that is split is kept for the next read. */
		kept = (size_t)(w.buffer + kept + n - tail);
		if (kept > sizeof(text) - 2) {
			tail += kept - (sizeof(text) - 2);
			kept = sizeof(text) - 2;
		}
		memmove(w.buffer, tail, kept);
	}
	waitpid(pid, NULL, 0);
	printf("events=%zu seconds=%.6f open=%d\n", events, (double)(last_ns - began_ns) / 1e9,
	       open);
	return 0;
}
