/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/args.h"
#include "base/decimal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECONDS_MAX 1000000000u

void args_init(struct args *a, const char *command, const struct arg *table, char **argv)
{
	*a = (struct args){.table = table, .command = command, .next = argv + 1};
}

/* The table's entry for n bytes of a name, or NULL. */
static const struct arg *find(const struct arg *table, const char *name, size_t n)
{
	for (; table->name; table++)
		if (strlen(table->name) == n && memcmp(table->name, name, n) == 0)
			return table;
	return NULL;
}

int args_next(struct args *a)
{
	const char *text = *a->next, *equals;
	const struct arg *arg;

	if (!text)
		return 0;
	a->next++;
	a->name = text + strspn(text, "-");
	equals = strchr(a->name, '=');
	arg = a->name == text || a->name > text + 2
		      ? NULL
		      : find(a->table, a->name, strcspn(a->name, "="));
	if (!arg || (arg->plain && equals)) {
		fprintf(stderr, "envd %s: unknown argument '%s' (see envd %s --help)\n", a->command,
			text, a->command);
		return -1;
	}
	a->name = arg->name;
	a->value = NULL;
	if (arg->plain)
		return arg->key;
	a->value = equals ? equals + 1 : *a->next++;
	if (!a->value) {
		fprintf(stderr, "envd %s: --%s needs a value (see envd %s --help)\n", a->command,
			a->name, a->command);
		return -1;
	}
	return arg->key;
}

int args_refuse(const struct args *a, const char *why)
{
	fprintf(stderr, "envd %s: --%s %s: %s (see envd %s --help)\n", a->command, a->name,
		a->value, why, a->command);
	return -EINVAL;
}

int args_number(const char *text, unsigned min, unsigned max, unsigned *ret)
{
	uint64_t value;

	if (!decimal_parse_text(text, max, &value) || value < min)
		return -EINVAL;
	*ret = (unsigned)value;
	return 0;
}

int args_seconds(const char *text, uint64_t *ret_ms)
{
	uint64_t seconds = 0, ms = 0, unit = 100;

	if (*text != '.') {
		size_t n = decimal_digits(text, strlen(text), SECONDS_MAX, &seconds);

		if (n == 0)
			return -EINVAL;
		text += n;
	}
	if (*text == '.') {
		text++;
		if (*text < '0' || *text > '9')
			return -EINVAL;
		/* Digits beyond the millisecond are read and count for nothing. */
		for (; *text >= '0' && *text <= '9'; text++, unit /= 10)
			ms += (uint64_t)(*text - '0') * unit;
	}
	if (*text)
		return -EINVAL;
	*ret_ms = seconds * 1000 + ms;
	return 0;
}
