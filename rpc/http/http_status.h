/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP's status codes in words: RFC 9110 section 15, RFC 6585, and Connect's 499.
 */
#ifndef RPC_HTTP_HTTP_STATUS_H
#define RPC_HTTP_HTTP_STATUS_H

/* "Not Found". "Unknown" for a status without a name here. Borrowed, static. */
const char *http_status_reason(unsigned status);

#endif
