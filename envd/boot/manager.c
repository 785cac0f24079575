/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/boot/manager.h"

#include <stdlib.h>

unsigned long manager_take_number(const char *name)
{
	const char *text = getenv(name);
	char *end = NULL;
	unsigned long value = text ? strtoul(text, &end, 10) : 0;

	if (!end || *end)
		value = 0;
	unsetenv(name);
	return value;
}
