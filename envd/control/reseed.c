/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/reseed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sha512.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/fd.h"
#include "base/mem.h"

#define HARDWARE_NUMBERS 8

#if defined(__x86_64__)
/* RDRAND, where the processor has it; else the time-stamp counter. */
static uint64_t hardware_number(void)
{
	unsigned a, b, c = 0, d;
	unsigned long long number = 0;
	unsigned char valid = 0;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_RDRND))
		__asm__ volatile("rdrand %0; setc %1" : "=r"(number), "=qm"(valid) : : "cc");
	return valid ? number : __builtin_ia32_rdtsc();
}
#else
static uint64_t hardware_number(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_nsec;
}
#endif

static void add(SHA512_CTX *sha, const void *p, size_t n)
{
	SHA512Update(sha, p, n);
}

static void digest(const char *text, const char *secret, unsigned char ret[SHA512_DIGEST_LENGTH])
{
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
	struct timespec now;
	uint64_t number;
	SHA512_CTX sha;
	size_t i;

	SHA512Init(&sha);
	add(&sha, text, strlen(text) + 1);
	add(&sha, secret, strlen(secret) + 1);
	for (i = 0; i < ARRAY_LEN(clocks); i++) {
		clock_gettime(clocks[i], &now);
		add(&sha, &now.tv_sec, sizeof(now.tv_sec));
		add(&sha, &now.tv_nsec, sizeof(now.tv_nsec));
	}
	for (i = 0; i < HARDWARE_NUMBERS; i++) {
		number = hardware_number();
		add(&sha, &number, sizeof(number));
	}
	SHA512Final(ret, &sha);
	explicit_bzero(&sha, sizeof(sha));
}

int reseed_random(const char *device, const char *text, const char *secret)
{
	FD_AUTO int fd = open(device, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	struct { /* as rand_pool_info of <linux/random.h> */
		int entropy_count, buf_size;
		unsigned char bytes[SHA512_DIGEST_LENGTH];
	} pool = {.entropy_count = 0, .buf_size = sizeof(pool.bytes)};
	int r = RESEED_DONE;

	if (fd < 0)
		return -errno;
	digest(text, secret, pool.bytes);
	if (ioctl(fd, RNDADDENTROPY, &pool) < 0)
		r = fd_write_all(fd, pool.bytes, sizeof(pool.bytes));
	explicit_bzero(&pool, sizeof(pool));
	if (r == 0 && ioctl(fd, RNDRESEEDCRNG) < 0)
		r = RESEED_MIXED;
	return r;
}
