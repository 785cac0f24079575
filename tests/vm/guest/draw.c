/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws random numbers for each byte that it reads, a line each. A number is small enough that the
 * kernel changes the generator's key with each (drivers/char/random.c, crng_fast_key_erasure), so
 * two guests with one state have common numbers, whatever else draws in between. With an argument
 * it reseeds first, so that the kernel does not do so soon (crng_has_old_seed).
 */
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#define NUMBERS 64

static int draw(void)
{
	unsigned char number[32];

	if (getrandom(number, sizeof(number), 0) != sizeof(number))
		return -1;
	for (size_t i = 0; i < sizeof(number); i++)
		printf("%02x", number[i]);
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	char byte;

	if (argc > 1 && ioctl(open(argv[1], O_WRONLY), RNDRESEEDCRNG) < 0)
		return 1;
	while (read(0, &byte, 1) == 1) {
		for (int i = 0; i < NUMBERS; i++)
			if (draw() < 0)
				return 1;
		fflush(stdout);
	}
	return 0;
}
