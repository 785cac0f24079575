/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decodes quoted-printable (RFC 2045 section 6.7) in pieces, for parts of a form with
 * `Content-Transfer-Encoding: quoted-printable`: the reference decodes them (compatibility/details
 * 44). The rules are the reference's: LF ends a line, a '=' without two hexadecimal digits stands
 * for itself, and bytes from 0x80 on are copied. The cost is 1 KiB of code.
 */
#ifndef FS_HTTP_QUOTED_PRINTABLE_H
#define FS_HTTP_QUOTED_PRINTABLE_H

#include <stddef.h>
#include <sys/types.h>

/* A longer line is refused; the RFC allows 76 characters. */
#define QP_LINE_MAX_BYTES 4096

/* All zero is ready for use. */
struct qp {
	char line[QP_LINE_MAX_BYTES]; /* the beginning of a line whose end has not come yet */
	size_t n;
};

/*
 * Takes bytes from *p, *n, which are advanced, up to the end of a line, and decodes the line to
 * `out`. Returns the number of bytes written, -EAGAIN if the piece ends before the line, or
 * -EBADMSG.
 */
ssize_t qp_next(struct qp *qp, const char **p, size_t *n, char out[QP_LINE_MAX_BYTES]);

/* Decodes the last line, which no line end follows. */
ssize_t qp_finish(struct qp *qp, char out[QP_LINE_MAX_BYTES]);

#endif
