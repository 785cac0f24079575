/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

void fatal(const char *format, ...)
{
	char text[512];
	va_list ap;
	int n;

	n = snprintf(text, sizeof(text), "envd: fatal: ");
	va_start(ap, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "%s\n", text);
	abort();
}

/* NULL: there is no reserve, or it was used. */
static _Atomic(void *) reserve;
static _Atomic bool reserve_used;

/*
 * By mmap(2), not malloc(3): munmap(2) returns the pages to the system at once, and the allocators
 * of sanitizers end the process when memory is short.
 */
static void *reserve_map(void)
{
	void *p = mmap(NULL, MEM_RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void mem_reserve_init(void)
{
	reserve = reserve_map();
}

/* Frees the reserve. Returns false if none is left. Several threads may call it at once. */
static bool reserve_release(void)
{
	void *p = atomic_exchange(&reserve, NULL);

	if (!p)
		return false;
	munmap(p, MEM_RESERVE_BYTES);
	reserve_used = true;
	log_error("out of memory: the reserve of %u bytes is used", MEM_RESERVE_BYTES);
	return true;
}

bool mem_is_short(void)
{
	void *p;

	if (!reserve_used)
		return false;
	p = reserve_map();
	if (!p)
		return true;
	reserve = p;
	reserve_used = false;
	log_info("memory is back: the reserve is full again");
	return false;
}

/* Fatal: out of memory, reserve included (base/mem.h). */
_Noreturn static void out_of_memory(size_t n)
{
	fatal("out of memory (%zu bytes)", n);
}

void *mem_alloc(size_t n)
{
	void *p;

	do {
		p = malloc(n ? n : 1);
	} while (!p && reserve_release());
	if (!p)
		out_of_memory(n);
	return p;
}

void *mem_zalloc(size_t n)
{
	void *p;

	do {
		p = calloc(1, n ? n : 1);
	} while (!p && reserve_release());
	if (!p)
		out_of_memory(n);
	return p;
}

void *mem_realloc(void *old, size_t n)
{
	void *p;

	do {
		p = realloc(old, n ? n : 1);
	} while (!p && reserve_release());
	if (!p)
		out_of_memory(n);
	return p;
}

void *mem_dup(const void *p, size_t n)
{
	void *copy = mem_alloc(n);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *mem_strndup(const char *p, size_t n)
{
	char *copy = mem_alloc(n + 1);

	if (n)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

bool mem_equal_constant_time(const void *secret, size_t secret_bytes, const void *p, size_t n)
{
	const volatile unsigned char *wanted = secret, *given = p;
	unsigned char different = secret_bytes != n;
	size_t i;

	for (i = 0; i < n; i++)
		different |= given[i] ^ (secret_bytes ? wanted[i % secret_bytes] : 0);
	return !different;
}
