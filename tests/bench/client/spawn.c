/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: the same work without a daemon; and the programs that produce and read output. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_BYTES 65536u

extern char **environ;

/* Starts the command with standard input from /dev/null and, if not negative, output to `out`. */
static pid_t spawn(char **argv, int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, 1);
	r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	if (r)
		die(r, "%s", argv[0]);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* Runs a command repeatedly, `-c` at a time, and waits for each. */
int cmd_spawn(int argc, char **argv)
{
	struct samples samples = {0};
	size_t count = 0, begun = 0;
	double seconds = 0;
	unsigned at_once = 1, i;
	uint64_t began_ns, until_ns, *started_ns;
	pid_t *pids, pid;
	int c, status;

	while ((c = getopt(argc, argv, "+n:s:c:")) != -1) {
		switch (c) {
		case 'n':
			count = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seconds = strtod(optarg, NULL);
			break;
		case 'c':
			at_once = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (optind == argc || !at_once)
		return 2;
	pids = xalloc(at_once * sizeof(*pids));
	started_ns = xalloc(at_once * sizeof(*started_ns));
	began_ns = now_ns();
	until_ns = began_ns + (uint64_t)(seconds * 1e9);
	for (;;) {
		for (i = 0; i < at_once; i++) {
			if (pids[i] || (count ? begun >= count : now_ns() >= until_ns))
				continue;
			begun++;
			started_ns[i] = now_ns();
			pids[i] = spawn(argv + optind, -1);
		}
		pid = waitpid(-1, &status, 0);
		if (pid < 0)
			break;
		for (i = 0; pids[i] != pid; i++)
			;
		samples_add(&samples, now_ns() - started_ns[i]);
		pids[i] = 0;
		if (status)
			die(0, "%s failed", argv[optind]);
	}
	samples_print(&samples);
	printf(" seconds=%.6f\n", (double)(now_ns() - began_ns) / 1e9);
	return 0;
}

/* Reads a command's output from a pipe to its end, and discards it. */
int cmd_pipe(int argc, char **argv)
{
	static char block[BLOCK_BYTES];
	uint64_t began_ns = now_ns();
	size_t bytes = 0;
	int ends[2];
	ssize_t n;

	if (argc < 2)
		return 2;
	if (pipe2(ends, O_CLOEXEC) < 0)
		die(errno, "pipe");
	spawn(argv + 1, ends[1]);
	close(ends[1]);
	while ((n = read(ends[0], block, sizeof(block))) > 0)
		bytes += (size_t)n;
	wait(NULL);
	printf("seconds=%.6f bytes=%zu\n", (double)(now_ns() - began_ns) / 1e9, bytes);
	return 0;
}

/* Writes BYTES bytes to standard output. */
int cmd_produce(int argc, char **argv)
{
	static char block[BLOCK_BYTES];
	unsigned long long left = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	ssize_t n;

	memset(block, 'x', sizeof(block));
	while (left) {
		n = write(1, block, left < sizeof(block) ? (size_t)left : sizeof(block));
		if (n < 0)
			return 1;
		left -= (unsigned long long)n;
	}
	return 0;
}

/* Reads standard input to its end. */
int cmd_sink(int argc, char **argv)
{
	static char block[BLOCK_BYTES];

	while (read(0, block, sizeof(block)) > 0)
		;
	return 0;
}

/* Returns true if the daemon answers on its port. Tries once. */
static bool healthy(const struct target *t)
{
	static const char request[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char answer[1024];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = false;
	ssize_t n;

	if (fd < 0)
		die(errno, "socket");
	if (connect(fd, (const struct sockaddr *)&t->address, sizeof(t->address)) == 0) {
		send_all(fd, request, sizeof(request) - 1);
		n = recv(fd, answer, sizeof(answer), 0);
		yes = n >= 12 && memcmp(answer, "HTTP/1.1 204", 12) == 0;
	}
	close(fd);
	return yes;
}

/* Starts a daemon repeatedly. Prints the time until its first response to /health. */
int cmd_boot(int argc, char **argv)
{
	struct timespec pause = {0, 20000};
	struct samples samples = {0};
	struct target target;
	size_t count = 1;
	uint64_t began_ns;
	pid_t pid;
	int c;

	target_init(&target);
	while ((c = getopt(argc, argv, "+p:n:")) != -1) {
		switch (c) {
		case 'p':
			target_set_port(&target, optarg);
			break;
		case 'n':
			count = strtoul(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (optind == argc)
		return 2;
	while (count--) {
		began_ns = now_ns();
		pid = spawn(argv + optind, -1);
		while (!healthy(&target)) {
			if (now_ns() - began_ns > 10000000000u)
				die(0, "%s: not healthy within 10 s", argv[optind]);
			nanosleep(&pause, NULL);
		}
		samples_add(&samples, now_ns() - began_ns);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	samples_print(&samples);
	putchar('\n');
	return 0;
}
