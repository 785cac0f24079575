/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/limits.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/mem.h"
#include "pty/cgroup/cgroup.h"

/* The largest number before a unit. */
#define NUMBER_MAX 999999999999999

enum value_kind {
	VALUE_BYTES,
	VALUE_NUMBER,
	VALUE_COUNT, /* from 1: a cgroup with pids.max 0 could not even have its first process */
	VALUE_WEIGHT,
	VALUE_CPUS,
	VALUE_NICE,
};

static const struct {
	const char *name;
	enum value_kind kind;
	const char *controller, *file; /* NULL: a resource limit, or nice */
	int resource;
} names[LIMIT_NAMES] = {
	[LIMIT_MEMORY] = {"memory", VALUE_BYTES, "memory", "memory.max", -1},
	[LIMIT_MEMORY_HIGH] = {"memory-high", VALUE_BYTES, "memory", "memory.high", -1},
	[LIMIT_PIDS] = {"pids", VALUE_COUNT, "pids", "pids.max", -1},
	[LIMIT_CPU] = {"cpu", VALUE_CPUS, "cpu", "cpu.max", -1},
	[LIMIT_CPU_WEIGHT] = {"cpu-weight", VALUE_WEIGHT, "cpu", "cpu.weight", -1},
	[LIMIT_IO_WEIGHT] = {"io-weight", VALUE_WEIGHT, "io", "io.weight", -1},
	[LIMIT_NOFILE] = {"nofile", VALUE_NUMBER, NULL, NULL, RLIMIT_NOFILE},
	[LIMIT_CORE] = {"core", VALUE_BYTES, NULL, NULL, RLIMIT_CORE},
	[LIMIT_FSIZE] = {"fsize", VALUE_BYTES, NULL, NULL, RLIMIT_FSIZE},
	[LIMIT_NICE] = {"nice", VALUE_NICE, NULL, NULL, -1},
};

const char *limits_name(enum limit_name name)
{
	return names[name].name;
}

int limits_resource(enum limit_name name)
{
	return names[name].resource;
}

/* Parses digits. Returns the text after them, or NULL. */
static const char *parse_digits(const char *text, uint64_t *ret)
{
	size_t n = decimal_digits(text, strlen(text), NUMBER_MAX, ret);

	return n > 0 ? text + n : NULL;
}

static int parse_bytes(const char *text, uint64_t *ret)
{
	static const char units[] = "KMG";
	const char *end = parse_digits(text, ret), *unit;
	unsigned shift;

	if (!end)
		return -1;
	if (*end == '\0')
		return 0;
	unit = strchr(units, *end);
	if (!unit || end[1] != '\0')
		return -1;
	shift = 10 * (unsigned)(unit - units + 1);
	if (*ret > (UINT64_MAX >> 1) >> shift)
		return -1;
	*ret <<= shift;
	return 0;
}

/* Parses "1.5" to hundredths of a CPU. */
static int parse_cpus(const char *text, uint64_t *ret)
{
	const char *p = parse_digits(text, ret);
	uint64_t hundredths = 0;

	if (!p || *ret > 100000)
		return -1;
	if (*p == '.') {
		if (p[1] < '0' || p[1] > '9')
			return -1;
		hundredths = (uint64_t)(p[1] - '0') * 10;
		p += 2;
		if (*p >= '0' && *p <= '9')
			hundredths += (uint64_t)(*p++ - '0');
	}
	*ret = *ret * 100 + hundredths;
	return *p == '\0' && *ret > 0 ? 0 : -1;
}

static int parse_value(const char *text, enum value_kind kind, struct limit *limit)
{
	bool negative = *text == '-';
	const char *end;
	uint64_t n;

	switch (kind) {
	case VALUE_BYTES:
		if (parse_bytes(text, &n) < 0)
			return -1;
		break;
	case VALUE_CPUS:
		if (parse_cpus(text, &n) < 0)
			return -1;
		/* cpu.max is "TIME PERIOD" in microseconds. */
		snprintf(limit->text, sizeof(limit->text), "%ju 100000", (uintmax_t)n * 1000);
		return 0;
	case VALUE_NICE:
		end = parse_digits(text + negative, &n);
		if (!end || *end || n > (negative ? 20 : 19))
			return -1;
		limit->nice = negative ? -(int)n : (int)n;
		return 0;
	default:
		end = parse_digits(text, &n);
		if (!end || *end || (kind != VALUE_NUMBER && n < 1) ||
		    (kind == VALUE_WEIGHT && n > 10000))
			return -1;
		break;
	}
	limit->number = (rlim_t)n;
	snprintf(limit->text, sizeof(limit->text), "%ju", (uintmax_t)n);
	return 0;
}

static int parse_one(char *item, const char *source, struct limits *limits, struct error *err)
{
	char *value = strchr(item, '=');
	size_t i;

	if (value)
		*value++ = '\0';
	for (i = 0; value && i < LIMIT_NAMES; i++) {
		if (strcmp(item, names[i].name) != 0)
			continue;
		if (limits->of[i].set)
			return error_set(err, ERROR_INVALID_ARGUMENT, "%s: %s is there twice",
					 source, item);
		if (parse_value(value, names[i].kind, &limits->of[i]) < 0)
			return error_set(err, ERROR_INVALID_ARGUMENT, "%s: '%s' is no value for %s",
					 source, value, item);
		limits->of[i].set = true;
		return 0;
	}
	return error_set(err, ERROR_INVALID_ARGUMENT, "%s: '%s' is not known", source, item);
}

/*
 * Removes blanks at both ends. A blank within an item makes it wrong: "memory=1 G" is not 1 byte.
 */
static char *trim(char *item)
{
	size_t n;

	item += strspn(item, " \t");
	for (n = strlen(item); n > 0 && (item[n - 1] == ' ' || item[n - 1] == '\t'); n--)
		item[n - 1] = '\0';
	return item;
}

int limits_parse(const char *text, const char *source, struct limits *ret, struct error *err)
{
	char *copy, *rest, *item;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (!text)
		return 0;
	rest = copy = mem_strdup(text);
	while (r == 0 && (item = strsep(&rest, ","))) {
		r = parse_one(trim(item), source, ret, err);
	}
	free(copy);
	return r;
}

void limits_default(struct limits *limits, const struct limits *defaults)
{
	size_t i;

	for (i = 0; i < LIMIT_NAMES; i++)
		if (!limits->of[i].set)
			limits->of[i] = defaults->of[i];
}

int limits_apply_cgroup(const struct limits *limits, const struct cgroup *cg, struct error *err)
{
	size_t i;
	int r;

	for (i = 0; i < LIMIT_NAMES; i++) {
		if (!limits->of[i].set || !names[i].file)
			continue;
		r = cg ? cgroup_limit(cg, names[i].controller, names[i].file, limits->of[i].text)
		       : -ENOENT;
		if (r == -ENOENT)
			return error_set(err, ERROR_FAILED_PRECONDITION,
					 "limit %s cannot be applied: the process has no "
					 "cgroup with the %s controller",
					 names[i].name, names[i].controller);
		if (r < 0)
			return error_set_errno(err, ERROR_FAILED_PRECONDITION, r,
					       "limit %s cannot be applied", names[i].name);
	}
	return 0;
}
