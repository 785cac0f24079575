/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of hosts: once rewritten there is nothing left to do, and no comment is lost. The first
 * byte chooses the address.
 */
#include <stdlib.h>
#include <string.h>

#include "envd/control/hosts.h"
#include "tests/fuzz/fuzz.h"

static const char *const addresses[] = {"127.0.0.1", "10.11.12.13", "::1", "fd00::7"};

static size_t count(const char *text, size_t n, char c)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += text[i] == c;
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *address;
	char *text, *first, *second;
	size_t first_bytes, second_bytes;

	if (n == 0 || n > 65536)
		return 0;
	address = addresses[data[0] % 4];
	text = malloc(--n);
	if (n)
		memcpy(text, data + 1, n);
	if (hosts_rewrite(text, n, address, "events.e2b.local", &first, &first_bytes) == 0) {
		CHECK(count(first, first_bytes, '#') == count(text, n, '#'));
		CHECK(hosts_rewrite(first, first_bytes, address, "events.e2b.local", &second,
				    &second_bytes) == 1);
	}
	free(first);
	free(text);
	return 0;
}
