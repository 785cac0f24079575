/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/upgrade/elf.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#else
#error "the number of this machine in ELF files is not known here"
#endif

/* Whether `count` entries of `size` bytes from `offset` lie inside the file. */
static bool lies_inside(uint64_t offset, uint64_t count, uint64_t size, uint64_t file_bytes)
{
	return offset <= file_bytes && count * size <= file_bytes - offset;
}

/* Whether all segments and tables lie inside the file. If not, the upload was cut short. */
static bool is_complete(const char *head, size_t head_bytes, const Elf64_Ehdr *header,
			uint64_t file_bytes)
{
	Elf64_Phdr segment;
	unsigned i;

	if (!lies_inside(header->e_shoff, header->e_shnum, header->e_shentsize, file_bytes) ||
	    !lies_inside(header->e_phoff, header->e_phnum, sizeof(segment), file_bytes))
		return false;
	for (i = 0; i < header->e_phnum; i++) {
		if (!lies_inside(header->e_phoff + i * sizeof(segment), 1, sizeof(segment),
				 head_bytes))
			return true; /* not in `head`: not checked */
		memcpy(&segment, head + header->e_phoff + i * sizeof(segment), sizeof(segment));
		if (!lies_inside(segment.p_offset, segment.p_filesz, 1, file_bytes))
			return false;
	}
	return true;
}

const char *elf_check(const void *head, size_t head_bytes, uint64_t file_bytes)
{
	Elf64_Ehdr header;

	if (head_bytes < sizeof(header) || memcmp(head, ELFMAG, SELFMAG) != 0)
		return "not an ELF file";
	memcpy(&header, head, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_machine != OWN_MACHINE)
		return "a program of another architecture";
	if ((header.e_type != ET_EXEC && header.e_type != ET_DYN) ||
	    header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0)
		return "not an executable";
	if (!is_complete(head, head_bytes, &header, file_bytes))
		return "cut short";
	return NULL;
}
