/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles of system calls in Docker's format: what is parsed compiles to a program, or is refused
 * with a reason. The first byte chooses the machine.
 */
#include <string.h>

#include "pty/seccomp/compile.h"
#include "pty/seccomp/profile.h"
#include "tests/fuzz/fuzz.h"

static const struct seccomp_machine machines[] = {
	{.arch = "amd64", .kernel = {6, 1}},
	{.arch = "arm64", .capabilities = UINT64_MAX, .kernel = {4, 8}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct seccomp_profile profile;
	struct sock_fprog program;
	struct arena arena = {0};
	struct error err = {0};

	if (n == 0 || n > 16384)
		return 0;
	if (seccomp_profile_parse((const char *)data + 1, n - 1, &machines[data[0] % 2], &arena,
				  &profile, &err) == 0) {
		CHECK(profile.n_arches <= SECCOMP_ARCHES);
		if (seccomp_compile(&profile, &program, &err) == 0) {
			CHECK(program.len > 0);
			seccomp_program_clear(&program);
		} else {
			CHECK(*err.message);
		}
	} else {
		CHECK(err.code == ERROR_INVALID_ARGUMENT && *err.message);
	}
	arena_clear(&arena);
	return 0;
}
