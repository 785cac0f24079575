/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llhttp, the parser of Node.js, as an oracle for ours: where we take a request, it must take it
 * too and read the same things in it. (Not the other way round: it takes more.) Debian's package
 * node-llhttp has its C sources.
 */
#ifndef TESTS_FUZZ_ORACLE_H
#define TESTS_FUZZ_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What llhttp read, up to the end of the first request. */
struct oracle {
	const char *error;  /* the name of its refusal, or NULL */
	const char *reason; /* and its text */
	char *head;	    /* "METHOD target\n", then "name:value\n", names in lower case */
	char *body;	    /* its data */
	size_t head_bytes;
	size_t body_bytes;
	bool head_complete;
	bool message_complete;
	bool keep_alive;
	bool chunked;
	uint64_t content_length;
};

void oracle_run(struct oracle *o, const char *p, size_t n);
void oracle_clear(struct oracle *o);

#endif
