/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hunger: uses memory until it is killed. hunger child: its child process does so. hunger kill:
 * ends by a SIGKILL whose cause is not memory. hunger busy MS: uses the processor for MS
 * milliseconds, and waits.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES (8u << 20)

static void eat(void)
{
	char *piece;

	for (;;) {
		piece = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
		if (piece != MAP_FAILED)
			memset(piece, 1, PIECE_BYTES);
	}
}

static void be_busy(long ms)
{
	clock_t until = clock() + ms * (CLOCKS_PER_SEC / 1000);

	while (clock() < until)
		;
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 2)
		eat();
	if (strcmp(argv[1], "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(argv[1], "busy") == 0)
		be_busy(atol(argv[2]));
	if (fork() == 0)
		eat();
	/* Reports the end of the child by its exit code, like a shell. */
	wait(&status);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : 0;
}
