/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that does not fail, and fatal(), which ends the process.
 *
 * The daemon bounds and charges (base/budget.h) every size that a peer chooses before it allocates.
 * If malloc fails nevertheless, mem_alloc frees a reserve of MEM_RESERVE_BYTES and tries again.
 * From then on mem_is_short returns true, and the server refuses new requests until the reserve is
 * allocated again. If the reserve does not suffice, the process aborts, and its supervisor restarts
 * it.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* The reserve is never written to, so it uses no memory, but it counts towards the commit limit. */
#define MEM_RESERVE_BYTES (2u * 1024 * 1024)

void *mem_alloc(size_t n) __attribute__((returns_nonnull));
void *mem_zalloc(size_t n) __attribute__((returns_nonnull));
void *mem_realloc(void *old, size_t n) __attribute__((returns_nonnull));
void *mem_dup(const void *p, size_t n) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((returns_nonnull));
char *mem_strndup(const char *p, size_t n) __attribute__((returns_nonnull));

/*
 * Returns true if the n bytes at p are the secret. The time depends on n alone, so it tells a
 * guesser nothing about the secret, not even its length.
 */
bool mem_equal_constant_time(const void *secret, size_t secret_bytes, const void *p, size_t n);

/* Allocates the reserve. Without this call there is none. */
void mem_reserve_init(void);

/* Tries to allocate a used reserve again. Returns true if that fails. */
bool mem_is_short(void);

/*
 * Writes the text to stderr and aborts. For broken invariants and for failures at the start; not
 * for a condition that a peer, the guest or a shortage in the kernel can cause. Each call has a
 * comment "Fatal: …", which says why none of these can cause the condition (scripts/fatal-check).
 */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)			(sizeof(a) / sizeof((a)[0]))

#endif
