/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets share. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* Called by libFuzzer for every input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What must hold for every input. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fatal("%s:%d: %s", __FILE__, __LINE__, #condition);                        \
	} while (0)

#endif
