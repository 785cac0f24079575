/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <event2/buffer.h>

void buffer_gather(struct evbuffer *to, struct evbuffer *from)
{
	size_t n = evbuffer_get_length(from);

	if (n == 0)
		return;
	if (n < BUFFER_COPY_MAX_BYTES) {
		evbuffer_add(to, evbuffer_pullup(from, -1), n);
		evbuffer_drain(from, n);
	} else {
		evbuffer_add_buffer(to, from);
	}
}
