/* SPDX-License-Identifier: Apache-2.0 */
/* Reason phrases of HTTP status codes: RFC 9110 section 15, RFC 6585, and Connect's 499. */
#ifndef RPC_HTTP_HTTP_STATUS_H
#define RPC_HTTP_HTTP_STATUS_H

/* Returns "Not Found", …; "Unknown" for other codes. Borrowed, static. */
const char *http_status_reason(unsigned status);

#endif
