/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An incremental parser for multipart/form-data (RFC 7578, RFC 2046 section 5.1): bytes in, events
 * out. The pieces in which the bytes come affect only how contents are split into MULTIPART_DATA
 * events. Contents of parts are not buffered.
 *
 *	while ((event = multipart_next(m, &p, &n)) != MULTIPART_MORE)
 *		switch (event) {
 *		case MULTIPART_PART:     multipart_field reads the part's head
 *		case MULTIPART_DATA:     m->data, m->data_bytes: valid until the next call
 *		case MULTIPART_PART_END:
 *		case MULTIPART_END:      the rest of the body is ignored
 *		case MULTIPART_ERROR:    m->error is the reason
 *		}
 *
 * The parser accepts and refuses the same bodies as the reference (compatibility/details 42 to 45):
 * lines may end in LF alone if the first boundary does; a preamble and an epilogue are skipped.
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
	MULTIPART_MORE, /* the input is used up */
	MULTIPART_PART,
	MULTIPART_DATA,
	MULTIPART_PART_END,
	MULTIPART_END,
	MULTIPART_ERROR, /* each later call returns it again */
};

enum multipart_state {
	MULTIPART_PREAMBLE,	 /* at the beginning of a line before the first part */
	MULTIPART_PREAMBLE_REST, /* inside a line of the preamble that is no boundary */
	MULTIPART_HEAD,
	MULTIPART_BODY,
	MULTIPART_LINE,	    /* after "--boundary" */
	MULTIPART_LINE_PAD, /* after "--boundary" and blanks */
	MULTIPART_LINE_CR,  /* after "--boundary", blanks and a CR */
	MULTIPART_LINE_END, /* after "--boundary-" */
	MULTIPART_FINAL,    /* after "--boundary--" */
	MULTIPART_OVER,	    /* MULTIPART_END was returned */
	MULTIPART_FAILED,
};

struct multipart {
	const char *data;
	size_t data_bytes;
	const char *error; /* static text */

	/* The fields below are private. */
	enum multipart_state state;
	unsigned parts;
	char *head; /* lines ended by LF, folded ones joined */
	size_t head_bytes, head_capacity;
	size_t line; /* offset of the last line in `head` */
	/*
	 * "\r\n--boundary--". The parser does not store bytes that match its beginning. If the next
	 * byte does not match, the parser returns the matched bytes as data out of this string. A
	 * delimiter can't begin inside another, because a boundary contains neither CR nor LF.
	 */
	char *delimiter;
	size_t delimiter_bytes; /* without the "--" at its end */
	size_t newline;		/* offset where a match begins: 1 if lines end in LF */
	size_t matched;		/* end of the matched bytes; `newline`: no match */
	size_t held_from;	/* first matched byte that is data after a mismatch */
};

/* Copies the boundary, which has 1 to MULTIPART_BOUNDARY_MAX_BYTES. */
void multipart_init(struct multipart *m, const char *boundary);
void multipart_clear(struct multipart *m);

/* Parses up to the next event. Advances *p and reduces *n by the bytes it has used. */
enum multipart_event multipart_next(struct multipart *m, const char **p, size_t *n);

/*
 * Reports the end of the body. Returns 0, or -1 with m->error if the body is truncated. A body that
 * ends inside a part's head is accepted, without the part.
 */
int multipart_finish(struct multipart *m);

/*
 * Returns the value of the first field of this name (in any case) in the current part's head, in
 * the arena, without blanks around it; NULL if there is no such field.
 */
char *multipart_field(const struct multipart *m, const char *name, struct arena *arena);

#endif
