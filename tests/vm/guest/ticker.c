/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ticker MS: prints 1, 2, 3, …, one number in a line, every MS milliseconds. It ends by SIGPIPE if
 * its reader closes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long ms = argc > 1 ? atol(argv[1]) : 100;
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
	long i;

	for (i = 1; dprintf(STDOUT_FILENO, "%ld\n", i) > 0; i++)
		nanosleep(&pause, NULL);
	return 1;
}
