/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of multipart/form-data (RFC 7578, RFC 2046 section 5.1), piece by piece: bytes in, events
 * out, and the same events however the bytes are cut. No part is ever held in memory.
 *
 *	while ((event = multipart_next(m, &p, &n)) != MULTIPART_MORE)
 *		switch (event) {
 *		case MULTIPART_PART:     multipart_field tells what it is
 *		case MULTIPART_DATA:     m->data, m->data_bytes: valid until the next call
 *		case MULTIPART_PART_END:
 *		case MULTIPART_END:      the rest of the body does not matter
 *		case MULTIPART_ERROR:    m->error
 *		}
 *
 * What is taken and what is refused follows the reference (compatibility/details 42 to 45): lines
 * may end in LF alone, if the first boundary does; a preamble and an epilogue are skipped.
 */
#ifndef FS_HTTP_MULTIPART_H
#define FS_HTTP_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* RFC 2046 allows 70 characters. */
#define MULTIPART_BOUNDARY_MAX_BYTES 2048

/* The head of one part. */
#define MULTIPART_HEAD_MAX_BYTES (64 * 1024)

enum multipart_event {
	MULTIPART_MORE, /* the piece is used up */
	MULTIPART_PART,
	MULTIPART_DATA,
	MULTIPART_PART_END,
	MULTIPART_END,
	MULTIPART_ERROR, /* from here on always */
};

enum multipart_state {
	MULTIPART_PREAMBLE,	 /* at the beginning of a line before the first part */
	MULTIPART_PREAMBLE_REST, /* in such a line, which is no boundary */
	MULTIPART_HEAD,
	MULTIPART_BODY,
	MULTIPART_LINE,	    /* behind "--boundary" */
	MULTIPART_LINE_PAD, /* and blanks */
	MULTIPART_LINE_CR,  /* and a CR */
	MULTIPART_LINE_END, /* behind "--boundary-" */
	MULTIPART_FINAL,    /* behind "--boundary--" */
	MULTIPART_OVER,	    /* and that was told */
	MULTIPART_FAILED,
};

struct multipart {
	const char *data;
	size_t data_bytes;
	const char *error; /* static text */

	/* The rest is the parser's own. */
	enum multipart_state state;
	unsigned parts;
	char *head; /* lines ended by LF, folded ones joined */
	size_t head_bytes, head_capacity;
	size_t line; /* where the last line begins in it */
	/*
	 * "\r\n--boundary--". Bytes of it that were seen are not stored: they are told as data from
	 * here where what follows shows that they were no delimiter. It can't begin inside itself,
	 * since a boundary has neither CR nor LF.
	 */
	char *delimiter;
	size_t delimiter_bytes; /* without the "--" at its end */
	size_t newline;		/* where it begins: 1 where lines end in LF alone */
	size_t matched;		/* how far it was seen; `newline`: not begun */
	size_t held_from;	/* from where on what was seen is data, if it is no delimiter */
};

/* Copies the boundary, which has 1 to MULTIPART_BOUNDARY_MAX_BYTES. */
void multipart_init(struct multipart *m, const char *boundary);
void multipart_clear(struct multipart *m);

/* Takes bytes from *p, *n, which are moved on, up to the next event. */
enum multipart_event multipart_next(struct multipart *m, const char **p, size_t *n);

/*
 * The body is over: 0, or -1 with m->error where that comes too early. (In a part's head it does
 * not: the part counts as absent.)
 */
int multipart_finish(struct multipart *m);

/*
 * The value of the first field of this name (any case) in the current part's head, in the arena,
 * without blanks around it; NULL where there is none.
 */
char *multipart_field(const struct multipart *m, const char *name, struct arena *arena);

#endif
