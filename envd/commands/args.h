/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the arguments of a command:
 *
 *	--name VALUE, --name=VALUE, --name   with one dash or two
 *	-n VALUE, -nVALUE, -n, -nm           options with ARG_BRIEF
 *	OPERAND, -, -- OPERAND…              where the command takes operands
 */
#ifndef ENVD_ARGS_H
#define ENVD_ARGS_H

#include <stdbool.h>
#include <stdint.h>

/* The forms of an option, as bits. */
#define ARG_VALUE 0u /* --name VALUE */
#define ARG_PLAIN 1u /* --name: has no value */
#define ARG_BRIEF 2u /* -KEY is the same option, alone or in a cluster: -it */

struct arg {
	const char *name; /* without dashes; NULL ends a table */
	char key;	  /* args_next returns it */
	unsigned form;	  /* of ARG_… */
};

enum args_operands {
	ARGS_NO_OPERANDS, /* each one is an error */
	ARGS_OPERANDS,	  /* they may stand between options */
	ARGS_COMMAND,	  /* the first one ends the options: the rest is a command line */
};

#define ARGS_OPERAND 1 /* args_next: an operand, in `value` */

struct args {
	const struct arg *table;
	const char *command; /* for error messages */
	enum args_operands operands;
	char **next;
	const char *cluster; /* the rest of a cluster of short options, or NULL */
	bool only_operands;  /* the options have ended */
	const char *name;    /* of the option that args_next returned */
	const char *value;   /* its value, or NULL if it has none; or the operand */
};

/*
 * Starts at argv[1], for a command without operands; a command that takes some sets `operands`
 * afterwards. Borrows its arguments.
 */
void args_init(struct args *a, const char *command, const struct arg *table, char **argv);

/*
 * Returns the key of the next option, or ARGS_OPERAND; 0 after the last one; -1 for an unknown
 * option, after an error message on stderr. After ARGS_OPERAND, `next` is the rest of the
 * arguments, which ends with NULL.
 */
int args_next(struct args *a);

/* Prints an error about the value of the current option to stderr. Returns -EINVAL. */
int args_refuse(const struct args *a, const char *why);

/* Parses a decimal number from min to max. 0 or -EINVAL. */
int args_number(const char *text, unsigned min, unsigned max, unsigned *ret);

/* Parses seconds, with an optional decimal fraction, to milliseconds. 0 or -EINVAL. */
int args_seconds(const char *text, uint64_t *ret_ms);

#endif
