/*
 * Allocation that does not fail, and the end of the process where an invariant is broken.
 *
 * The daemon bounds every size that a peer chooses before it allocates, so running out of memory
 * is no case to handle: it aborts, and the supervisor starts the daemon anew.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *old, size_t n);
void *mem_dup(const void *p, size_t n);
char *mem_strdup(const char *s);
char *mem_strndup(const char *p, size_t n);

/* Logs and aborts. For broken invariants alone. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)			(sizeof(a) / sizeof((a)[0]))

#endif
