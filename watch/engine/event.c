/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/engine/event.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct watch_event *watch_event_new(enum watch_event_type type, const char *name, size_t n)
{
	struct watch_event *event = mem_alloc(sizeof(*event) + n + 1);

	*event = (struct watch_event){
		.refs = 1,
		.name_bytes = (uint16_t)n,
		.type = (uint8_t)type,
	};
	memcpy(event->name, name, n);
	event->name[n] = '\0';
	return event;
}

struct watch_event *watch_event_ref(struct watch_event *event)
{
	event->refs++;
	return event;
}

void watch_event_unref(struct watch_event *event)
{
	if (!event || --event->refs > 0)
		return;
	if (event->entry)
		event->entry->free(event->entry);
	free(event);
}

size_t watch_event_bytes(const struct watch_event *event)
{
	return sizeof(*event) + event->name_bytes + 1 + (event->entry ? event->entry->bytes : 0);
}
