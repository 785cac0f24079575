/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of a host's vsock proxy: the length of a line, more to come, or refused; never unsure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "envd/relay/dial.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int whole, part, decided = 0;
	char *reply;

	if (n > DIAL_REPLY_BYTES)
		n = DIAL_REPLY_BYTES;
	reply = calloc(1, n);
	if (n)
		memcpy(reply, data, n);
	whole = dial_reply_parse(reply, n);
	CHECK(whole == 0 || whole == -EPROTO || (whole >= 5 && reply[whole - 1] == '\n'));
	for (size_t i = 0; i <= n && !decided; i++) {
		part = dial_reply_parse(reply, i);
		decided = part;
	}
	CHECK(decided == whole);
	free(reply);
	return 0;
}
