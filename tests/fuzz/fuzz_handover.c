/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that a daemon leaves for the one that replaces it: any bytes are decoded or refused,
 * what is decoded has an understood schema, and every string ends. ELF headers of a program that is
 * to replace the daemon, too: no byte behind the input is read.
 */
#include <stdlib.h>
#include <string.h>

#include "envd/upgrade/elf.h"
#include "envd/upgrade/handover.h"
#include "tests/fuzz/fuzz.h"

static void check_state(const Handover__HandoverState *state)
{
	size_t bytes = strlen(state->from_ver), i;

	CHECK(state->schema <= HANDOVER_SCHEMA);
	for (i = 0; i < state->n_processes; i++)
		bytes += strlen(state->processes[i]->tag) + strlen(state->processes[i]->cg_type);
	for (i = 0; i < state->n_watchers; i++)
		bytes += strlen(state->watchers[i]->id) + strlen(state->watchers[i]->path);
	for (i = 0; i < state->n_guest_frozen_cgroups; i++)
		bytes += strlen(state->guest_frozen_cgroups[i]);
	CHECK(bytes < SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena = {0};
	Handover__HandoverState *state;
	struct error err;
	char *copy = malloc(n ? n : 1);

	memcpy(copy, data, n);
	if (handover_decode(copy, n, &arena, &state, &err) == 0)
		check_state(state);
	else
		CHECK(err.message[0]);
	arena_clear(&arena);
	elf_check(copy, n, n);
	elf_check(copy, n, n * 2);
	free(copy);
	return 0;
}
