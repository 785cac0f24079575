/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/manager.h"

#include <limits.h>
#include <stdlib.h>

#include "base/decimal.h"

unsigned long manager_take_number(const char *name)
{
	const char *text = getenv(name);
	uint64_t value = 0;

	if (text)
		decimal_parse_text(text, ULONG_MAX, &value);
	unsetenv(name);
	return value;
}
