/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quoted-printable (RFC 2045 section 6.7), decoded piece by piece: what a part of a form may be
 * encoded in. As lax as the reference: LF ends a line too, a '=' that no hex digits follow stands
 * for itself, and bytes from 0x80 on are taken as they are.
 */
#ifndef FS_HTTP_QUOTED_PRINTABLE_H
#define FS_HTTP_QUOTED_PRINTABLE_H

#include <stddef.h>
#include <sys/types.h>

/* A longer line is refused; the RFC allows 76 characters. */
#define QP_LINE_MAX_BYTES 4096

/* One that is all zero bytes is ready for use. */
struct qp {
	char line[QP_LINE_MAX_BYTES]; /* without the piece that is to come */
	size_t n;
};

/*
 * Takes bytes from *p, *n (moved on) up to the end of a line, and writes what the line decodes to.
 * Returns the number of bytes written, -EAGAIN when the piece is used up first, or -EBADMSG.
 */
ssize_t qp_next(struct qp *qp, const char **p, size_t *n, char out[QP_LINE_MAX_BYTES]);

/* The same for what is left at the end of the text. */
ssize_t qp_finish(struct qp *qp, char out[QP_LINE_MAX_BYTES]);

#endif
