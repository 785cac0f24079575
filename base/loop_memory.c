/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop_memory.h"

#include <event2/event.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

/* A single instance for the process, because libevent's allocator functions have no argument. */
static struct {
	pthread_mutex_t lock; /* workers fill evbuffers, too */
	char *begin, *end;    /* of the address space */
	char *unused;	      /* records from here on were never used */
	void *given_back;     /* list of freed records, linked by their first word */
} records = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Returns a record, or NULL if none is left. */
static void *take_record(void)
{
	void *p;

	pthread_mutex_lock(&records.lock);
	p = records.given_back;
	if (p) {
		records.given_back = *(void **)p;
	} else if (records.unused < records.end) {
		p = records.unused;
		records.unused += LOOP_RECORD_BYTES;
	}
	pthread_mutex_unlock(&records.lock);
	return p;
}

static bool is_record(const char *p)
{
	return p >= records.begin && p < records.end;
}

static void *loop_malloc(size_t bytes)
{
	void *p = bytes <= LOOP_RECORD_BYTES ? take_record() : NULL;

	return p ? p : mem_alloc(bytes);
}

static void loop_free(void *p)
{
	size_t bytes;

	if (!is_record(p)) {
		bytes = p ? malloc_usable_size(p) : 0;
		if (bytes && bytes <= LOOP_WIPED_BYTES)
			explicit_bzero(p, bytes);
		free(p);
		return;
	}
	pthread_mutex_lock(&records.lock);
	*(void **)p = records.given_back;
	records.given_back = p;
	pthread_mutex_unlock(&records.lock);
}

static void *loop_realloc(void *p, size_t bytes)
{
	void *moved;

	if (!is_record(p))
		return mem_realloc(p, bytes);
	moved = mem_alloc(bytes);
	memcpy(moved, p, bytes < LOOP_RECORD_BYTES ? bytes : LOOP_RECORD_BYTES);
	loop_free(p);
	return moved;
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/* Sanitizers check only memory of malloc, so builds with sanitizers do not use records. */
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif

void loop_memory_init(void)
{
	size_t bytes = (size_t)LOOP_RECORDS * LOOP_RECORD_BYTES;
	void *p;

	event_set_mem_functions(loop_malloc, loop_realloc, loop_free);
	if (SANITIZED || records.begin)
		return;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		 -1, 0);
	if (p == MAP_FAILED)
		return; /* without address space, malloc is used */
	records.begin = p;
	records.unused = p;
	records.end = records.begin + bytes;
}
