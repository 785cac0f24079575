/* What runs in a guest while the daemon is measured: trees of processes, listening ports. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pid_t fork_or_die(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die(errno, "fork");
	return pid;
}

/*
 * COUNT sleeping processes that are hard to find one by one: children, double forks whose parent
 * has gone, and leaders of sessions of their own, in turn. Says "ready" when all of them stand.
 */
int cmd_tree(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	char byte;
	int ends[2];

	if (pipe(ends) < 0)
		die(errno, "pipe");
	signal(SIGCHLD, SIG_IGN); /* the parents that have gone leave nothing */
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

/* COUNT listening sockets on 127.0.0.1, from PORT on; ends with its standard input. */
int cmd_listen(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	unsigned long count, port;

	if (argc != 3)
		return 2;
	count = strtoul(argv[1], NULL, 10);
	port = strtoul(argv[2], NULL, 10);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned long i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		address.sin_port = htons((uint16_t)(port + i));
		if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    listen(fd, 16) < 0)
			die(errno, "port %lu", port + i);
	}
	puts("count=1");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
