/* SPDX-License-Identifier: Apache-2.0 */
/* Dumps of listening sockets: each port at most once, within the bound, whatever the bytes are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "envd/relay/port_scan.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct port_set set;
	static uint8_t seen[UINT16_MAX + 1];
	void *dump = malloc(n);
	int r;

	if (n)
		memcpy(dump, data, n);
	set.n = 0;
	set.n_listeners = 0;
	set.own[0] = 1;
	set.n_own = 1;
	r = port_scan_parse(dump, n, &set);
	CHECK(r <= 1);
	CHECK(set.n <= PORT_SCAN_MAX && set.n_listeners <= PORT_SCAN_MAX);
	for (size_t i = 0; i < set.n; i++) {
		CHECK(set.ports[i].families & (PORT_IPV4 | PORT_IPV6));
		CHECK(!seen[set.ports[i].port]++);
		CHECK(i == 0 || set.ports[i - 1].port < set.ports[i].port);
	}
	for (size_t i = 0; i < set.n; i++)
		seen[set.ports[i].port] = 0;
	free(dump);
	return 0;
}
