/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arguments of the helper commands: --name VALUE, --name=VALUE or --name, with one dash or two.
 */
#ifndef ENVD_ARGS_H
#define ENVD_ARGS_H

#include <stdbool.h>
#include <stdint.h>

struct arg {
	const char *name; /* without dashes; NULL ends a table */
	char key;	  /* what args_next returns for it */
	bool plain;	  /* takes no value */
};

struct args {
	const struct arg *table;
	const char *command; /* for what is said of errors */
	char **next;
	const char *name;  /* of the option that args_next returned */
	const char *value; /* its value, or NULL where it takes none */
};

/* Begins with argv[1]. Borrows everything. */
void args_init(struct args *a, const char *command, const struct arg *table, char **argv);

/* The key of the next option; 0 behind the last; -1 where there is none such (said on stderr). */
int args_next(struct args *a);

/* Says on stderr what is wrong with the option's value. Returns -EINVAL. */
int args_refuse(const struct args *a, const char *why);

/* A decimal number from min to max. 0 or -EINVAL. */
int args_number(const char *text, unsigned min, unsigned max, unsigned *ret);

/* Seconds, with a decimal fraction or without, as milliseconds. 0 or -EINVAL. */
int args_seconds(const char *text, uint64_t *ret_ms);

#endif
