/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/http/http_head.h"

#include <string.h>

/* Returns true if the field has this name. */
static bool field_is(const struct http_field *field, const char *name, size_t name_bytes)
{
	return field->name_bytes == name_bytes && !memcmp(field->name, name, name_bytes);
}

const char *http_head_get(const struct http_head *head, const char *name)
{
	size_t n = strlen(name);

	for (unsigned i = 0; i < head->n_fields; i++)
		if (field_is(&head->fields[i], name, n))
			return head->fields[i].value;
	return NULL;
}

unsigned http_head_count(const struct http_head *head, const char *name)
{
	size_t n = strlen(name);
	unsigned count = 0;

	for (unsigned i = 0; i < head->n_fields; i++)
		count += field_is(&head->fields[i], name, n);
	return count;
}
