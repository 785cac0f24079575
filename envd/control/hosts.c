/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/hosts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fd.h"
#include "base/mem.h"
#include "envd/control/replace_file.h"

/* Returns the family of a numeric address; 0 if the text is not one. */
static int family_of(const char *text)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, text, &address) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, text, &address) == 1 ? AF_INET6 : 0;
}

/* Moves *at to the next word before `end`. Returns the word's length; 0 if there is none. */
static size_t next_word(const char **at, const char *end)
{
	const char *p = *at;
	size_t n = 0;

	while (p < end && isspace((unsigned char)*p))
		p++;
	while (p + n < end && !isspace((unsigned char)p[n]))
		n++;
	*at = p;
	return n;
}

struct rewrite {
	const char *address, *name;
	int family;
	struct evbuffer *out;
	bool present; /* a line of the address has the name */
	bool changed;
};

static bool same_word(const char *p, size_t n, const char *word)
{
	return n == strlen(word) && strncasecmp(p, word, n) == 0;
}

/*
 * Writes one line of the file, with or without the name. `comment` is the end of the line's words.
 */
static void rewrite_line(struct rewrite *w, const char *line, const char *comment, const char *end)
{
	const char *at = line, *first;
	char address[64];
	size_t n = next_word(&at, comment), kept = 0, removed = 0;
	bool ours, other;

	first = at + n;
	if (n == 0 || n >= sizeof(address)) {
		evbuffer_add(w->out, line, (size_t)(end - line));
		return;
	}
	memcpy(address, at, n);
	address[n] = '\0';
	ours = strcasecmp(address, w->address) == 0;
	other = !ours && family_of(address) == w->family;
	for (at = first; (n = next_word(&at, comment)) > 0; at += n) {
		if (same_word(at, n, w->name))
			removed++;
		else
			kept++;
	}
	if (removed == 0 && ours && !w->present) {
		/* Adds the name to the first line of the address. */
		while (comment > line && isspace((unsigned char)comment[-1]))
			comment--;
		evbuffer_add(w->out, line, (size_t)(comment - line));
		evbuffer_add_printf(w->out, " %s", w->name);
		evbuffer_add(w->out, comment, (size_t)(end - comment));
		w->present = w->changed = true;
		return;
	}
	w->present |= ours && removed > 0;
	if (removed == 0 || !other) {
		evbuffer_add(w->out, line, (size_t)(end - line));
		return;
	}
	w->changed = true;
	if (kept == 0 && (comment == end || *comment != '#'))
		return;
	if (kept) {
		evbuffer_add(w->out, line, (size_t)(first - line));
		for (at = first; (n = next_word(&at, comment)) > 0; at += n)
			if (!same_word(at, n, w->name)) {
				evbuffer_add(w->out, " ", 1);
				evbuffer_add(w->out, at, n);
			}
		if (comment < end && *comment == '#')
			evbuffer_add(w->out, " ", 1);
	}
	evbuffer_add(w->out, comment, (size_t)(end - comment));
}

int hosts_rewrite(const char *text, size_t n, const char *address, const char *name, char **ret,
		  size_t *ret_bytes)
{
	struct rewrite w = {.address = address, .name = name, .family = family_of(address)};
	const char *line = text, *end, *comment;

	*ret = NULL;
	if (!w.family)
		return -EINVAL;
	w.out = evbuffer_new();
	while (line < text + n) {
		end = memchr(line, '\n', (size_t)(text + n - line));
		if (!end)
			end = text + n;
		comment = memchr(line, '#', (size_t)(end - line));
		if (!comment)
			comment = end;
		if (end < text + n)
			end++; /* the newline belongs to the line */
		rewrite_line(&w, line, comment, end);
		line = end;
	}
	if (!w.present) {
		if (n && text[n - 1] != '\n')
			evbuffer_add(w.out, "\n", 1);
		evbuffer_add_printf(w.out, "%s %s\n", address, name);
		w.changed = true;
	}
	if (w.changed) {
		*ret_bytes = evbuffer_get_length(w.out);
		*ret = mem_alloc(*ret_bytes + 1);
		evbuffer_remove(w.out, *ret, *ret_bytes);
		(*ret)[*ret_bytes] = '\0';
	}
	evbuffer_free(w.out);
	return w.changed ? 0 : 1;
}

int hosts_set(const char *path, const char *address, const char *name)
{
	char *text = NULL, *changed = NULL;
	size_t n = 0, changed_bytes;
	int r;

	r = fd_read_file(AT_FDCWD, path, HOSTS_MAX_BYTES, &text, &n);
	if (r < 0 && r != -ENOENT)
		return r;
	r = hosts_rewrite(text ? text : "", n, address, name, &changed, &changed_bytes);
	if (r == 0)
		r = replace_file(path, changed, changed_bytes, 0644);
	free(text);
	free(changed);
	return r < 0 ? r : 0;
}
