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

/* Prints an error about an argument to stderr. Returns -1. */
static int unknown(const struct args *a, const char *text)
{
	fprintf(stderr, "envd %s: unknown argument '%s' (see envd %s --help)\n", a->command, text,
		a->command);
	return -1;
}

/* Sets the option's value: the text, or the next argument if it is NULL. Its key, or -1. */
static int take_value(struct args *a, const struct arg *arg, const char *text)
{
	a->name = arg->name;
	a->value = NULL;
	if (arg->form & ARG_PLAIN)
		return arg->key;
	a->value = text ? text : *a->next++;
	if (!a->value) {
		fprintf(stderr, "envd %s: --%s needs a value (see envd %s --help)\n", a->command,
			a->name, a->command);
		return -1;
	}
	return arg->key;
}

/* The next option of the cluster: -it, -wDIR. Returns its key or -1. */
static int next_brief(struct args *a)
{
	const struct arg *arg = a->table;
	const char *rest = a->cluster + 1;
	char brief[3] = {'-', *a->cluster, '\0'};

	while (arg->name && !((arg->form & ARG_BRIEF) && arg->key == *a->cluster))
		arg++;
	if (!arg->name)
		return unknown(a, brief);
	a->cluster = (arg->form & ARG_PLAIN) && *rest ? rest : NULL;
	return take_value(a, arg, *rest ? rest : NULL);
}

/* An operand. Returns ARGS_OPERAND, or -1 if the command takes none. */
static int take_operand(struct args *a, const char *text)
{
	if (a->operands == ARGS_NO_OPERANDS)
		return unknown(a, text);
	a->only_operands |= a->operands == ARGS_COMMAND;
	a->name = NULL;
	a->value = text;
	return ARGS_OPERAND;
}

/* True if the text after one dash begins with a short option. */
static bool is_brief(const struct args *a, const char *text)
{
	for (const struct arg *arg = a->table; arg->name; arg++)
		if ((arg->form & ARG_BRIEF) && arg->key == *text)
			return true;
	return false;
}

int args_next(struct args *a)
{
	const char *text, *name, *equals;
	const struct arg *arg;

	if (a->cluster)
		return next_brief(a);
	text = *a->next;
	if (!text)
		return 0;
	a->next++;
	if (a->operands != ARGS_NO_OPERANDS && !a->only_operands && strcmp(text, "--") == 0) {
		a->only_operands = true;
		return args_next(a);
	}
	if (a->only_operands || *text != '-' || !text[1])
		return take_operand(a, text);
	name = text + strspn(text, "-");
	equals = strchr(name, '=');
	arg = name > text + 2 ? NULL : find(a->table, name, strcspn(name, "="));
	if (!arg && name == text + 1 && is_brief(a, name)) {
		a->cluster = name;
		return next_brief(a);
	}
	if (!arg || ((arg->form & ARG_PLAIN) && equals))
		return unknown(a, text);
	return take_value(a, arg, equals ? equals + 1 : NULL);
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
