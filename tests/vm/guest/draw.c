/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For each byte of input, draws NUMBERS random numbers and prints them, one in a line. The numbers
 * are so small that the kernel changes the generator's key for each (drivers/char/random.c,
 * crng_fast_key_erasure). So two guests with the same state have common numbers, even if other
 * programs draw in between. With an argument, the program reseeds the generator first, so that the
 * kernel does not reseed it soon (crng_has_old_seed).
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
