/* SPDX-License-Identifier: Apache-2.0 */
/* What the metadata service tells: any text is read or refused, and what is read is terminated. */
#include <stdlib.h>
#include <string.h>

#include "envd/control/mmds.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct mmds_answer answer;
	char *text = malloc(n);

	if (n)
		memcpy(text, data, n);
	if (mmds_parse(text, n, &answer) == 0) {
		CHECK(memchr(answer.instance_id, '\0', sizeof(answer.instance_id)));
		CHECK(memchr(answer.env_id, '\0', sizeof(answer.env_id)));
		CHECK(memchr(answer.address, '\0', sizeof(answer.address)));
		CHECK(memchr(answer.token_hash, '\0', sizeof(answer.token_hash)));
	}
	free(text);
	return 0;
}
