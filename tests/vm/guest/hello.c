/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that can be an init: prints how long the kernel has been up, and waits. What the time
 * to envd's first answer is measured against.
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
