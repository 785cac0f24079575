/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the arguments of a helper command: --name VALUE, --name=VALUE or --name, with one dash or
 * two.
 */
#ifndef ENVD_ARGS_H
#define ENVD_ARGS_H

#include <stdbool.h>
#include <stdint.h>

struct arg {
	const char *name; /* without dashes; NULL ends a table */
	char key;	  /* args_next returns it */
	bool plain;	  /* has no value */
};

struct args {
	const struct arg *table;
	const char *command; /* for error messages */
	char **next;
	const char *name;  /* of the option that args_next returned */
	const char *value; /* its value, or NULL if it has none */
};

/* Starts at argv[1]. Borrows its arguments. */
void args_init(struct args *a, const char *command, const struct arg *table, char **argv);

/*
 * Returns the key of the next option; 0 after the last one; -1 for an unknown option, after an
 * error message on stderr.
 */
int args_next(struct args *a);

/* Prints an error about the value of the current option to stderr. Returns -EINVAL. */
int args_refuse(const struct args *a, const char *why);

/* Parses a decimal number from min to max. 0 or -EINVAL. */
int args_number(const char *text, unsigned min, unsigned max, unsigned *ret);

/* Parses seconds, with an optional decimal fraction, to milliseconds. 0 or -EINVAL. */
int args_seconds(const char *text, uint64_t *ret_ms);

#endif
