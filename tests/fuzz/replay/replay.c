/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay FILE...: a fuzz target without libFuzzer: runs over stored inputs. For compilers that have
 * no libFuzzer, such as the gcc of `make fuzz-report`.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX_BYTES ((size_t)64 << 20)

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *data;
		size_t n;

		if (fd_read_file(AT_FDCWD, argv[i], INPUT_MAX_BYTES, &data, &n) < 0) {
			fprintf(stderr, "%s can't be read\n", argv[i]);
			return 1;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)data, n);
		free(data);
	}
	return 0;
}
