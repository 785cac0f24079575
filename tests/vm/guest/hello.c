/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trivial init: prints the uptime of the kernel, and waits. The time until envd's first response
 * is compared with it.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	dprintf(STDOUT_FILENO, "hello: up %lld.%06ld\n", (long long)ts.tv_sec, ts.tv_nsec / 1000);
	for (;;)
		pause();
}
