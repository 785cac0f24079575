/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that this machine can execute a file. The daemon checks a file before it replaces itself
 * by it, because a successful execve can't be undone.
 */
#ifndef ENVD_UPGRADE_ELF_H
#define ENVD_UPGRADE_ELF_H

#include <stddef.h>
#include <stdint.h>

/* How many bytes elf_check needs: the header and the program headers of any usual program. */
#define ELF_HEAD_BYTES 4096

/*
 * `head` is the beginning of a file of `file_bytes`. Returns NULL if the file is a complete ELF
 * executable of this machine's class and architecture, else the reason as a static text. elf(5).
 */
const char *elf_check(const void *head, size_t head_bytes, uint64_t file_bytes);

#endif
