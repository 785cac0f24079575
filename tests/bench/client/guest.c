/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs of a guest while the daemon is measured: process trees, listening ports. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK_BYTES (256u * 1024)

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die(errno, "fork");
	return pid;
}

/*
 * Starts COUNT sleeping processes that are hard to find one by one: in turn a child, a grandchild
 * whose parent has ended, and a session leader. Prints "ready" when all of them run.
 */
int cmd_tree(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	char byte;
	int ends[2];

	if (pipe(ends) < 0)
		die(errno, "pipe");
	signal(SIGCHLD, SIG_IGN); /* parents that end leave no zombie */
	for (unsigned long i = 1; i < count; i++) {
		if (fork_or_die())
			continue;
		if (i % 3 == 1 && fork_or_die())
			_exit(0);
		if (i % 3 == 2)
			setsid();
		if (write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	for (unsigned long i = 1; i < count; i++)
		if (read(ends[0], &byte, 1) != 1)
			die(errno, "read");
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

/* Returns a socket that listens on 127.0.0.1. */
static int listen_on(unsigned long port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		die(errno, "port %lu", port);
	return fd;
}

/* Prints that the sockets listen, and waits for the end of standard input. */
static int hold_until_eof(void)
{
	puts("count=1");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

/* Opens COUNT listening sockets on 127.0.0.1 from PORT on, until standard input ends. */
int cmd_listen(int argc, char **argv)
{
	unsigned long count, port;

	if (argc != 3)
		return 2;
	count = strtoul(argv[1], NULL, 10);
	port = strtoul(argv[2], NULL, 10);
	for (unsigned long i = 0; i < count; i++)
		listen_on(port + i);
	return hold_until_eof();
}

/* Answers one request with this number of bytes. */
static void serve_one(int fd, unsigned long long bytes)
{
	static char block[BLOCK_BYTES];
	int n = snprintf(block, sizeof(block), "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
			 bytes);

	if (recv(fd, block + n, sizeof(block) - (size_t)n, 0) <= 0)
		return;
	send_all(fd, block, (size_t)n);
	for (; bytes >= sizeof(block); bytes -= sizeof(block))
		send_all(fd, block, sizeof(block));
	send_all(fd, block, bytes);
}

/* A server on 127.0.0.1:PORT that answers each connection's request with BYTES bytes. */
int cmd_serve(int argc, char **argv)
{
	unsigned long long bytes;
	int listener, fd;

	if (argc != 3)
		return 2;
	listener = listen_on(strtoul(argv[1], NULL, 10));
	bytes = strtoull(argv[2], NULL, 10);
	if (fork_or_die())
		return hold_until_eof();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		serve_one(fd, bytes);
		close(fd);
	}
	die(errno, "accept");
}
