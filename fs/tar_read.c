/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/tar_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/mem.h"

/* Drops the values that extended headers gave for the entry that has ended. */
static void forget_extensions(struct tar_read *t)
{
	free(t->name);
	free(t->link);
	t->name = t->link = NULL;
	t->has_size = t->has_mtime = false;
}

void tar_read_clear(struct tar_read *t)
{
	forget_extensions(t);
	free(t->extension);
	t->extension = NULL;
}

static enum tar_read_event fail(struct tar_read *t, const char *error)
{
	t->state = TAR_STATE_FAILED;
	t->error = error;
	return TAR_READ_ERROR;
}

/* ---- numbers ---- */

/*
 * Parses a number in a header: octal text with blanks around it or, if the first bit is set, a
 * big-endian binary number (GNU). Returns false if it is no number, negative or too large.
 */
static bool parse_number(const char *field, size_t n, uint64_t *ret)
{
	const unsigned char *p = (const unsigned char *)field, *end = p + n;
	uint64_t value = 0;

	if (*p & 0x80) {
		value = *p++ & 0x7f;
		for (; p < end; p++) {
			if (value > (uint64_t)INT64_MAX >> 8)
				return false;
			value = value << 8 | *p;
		}
		*ret = value;
		return true;
	}
	while (p < end && *p == ' ')
		p++;
	for (; p < end && *p >= '0' && *p <= '7'; p++) {
		if (value > (uint64_t)INT64_MAX >> 3)
			return false;
		value = value << 3 | (unsigned)(*p - '0');
	}
	*ret = value;
	return p == end || *p == ' ' || *p == '\0';
}

/* Parses a time of a pax record: seconds, with an optional sign and fraction. */
static bool parse_time(const char *p, const char *end, int64_t *ret_s, uint32_t *ret_ns)
{
	bool negative = p < end && *p == '-';
	const char *dot = memchr(p, '.', (size_t)(end - p));
	uint64_t seconds, ns = 0;
	unsigned digits;

	if (!decimal_parse(p + negative, (size_t)((dot ? dot : end) - p) - negative, INT64_MAX,
			   &seconds))
		return false;
	for (digits = 0; dot && ++dot < end;) {
		if (*dot < '0' || *dot > '9')
			return false;
		if (digits++ < 9)
			ns = ns * 10 + (uint64_t)(*dot - '0');
	}
	for (; digits < 9; digits++)
		ns *= 10;
	*ret_s = negative ? -(int64_t)seconds : (int64_t)seconds;
	*ret_ns = (uint32_t)ns;
	if (negative && ns) {
		*ret_s -= 1;
		*ret_ns = 1000000000 - *ret_ns;
	}
	return true;
}

/* ---- extensions ---- */

static bool is_key(const char *key, size_t n, const char *wanted)
{
	return strlen(wanted) == n && memcmp(key, wanted, n) == 0;
}

/* Stores a name, or NULL if it is empty. Returns false if the name contains a NUL. */
static bool keep_name(char **name, const char *p, size_t n)
{
	if (memchr(p, '\0', n))
		return false;
	free(*name);
	*name = n ? mem_strndup(p, n) : NULL;
	return true;
}

/* Evaluates one record of a pax header. Returns NULL, or the reason why it is invalid. */
static const char *take_record(struct tar_read *t, const char *key, size_t key_bytes,
			       const char *value, const char *end)
{
	size_t n = (size_t)(end - value);

	if (is_key(key, key_bytes, "path"))
		return keep_name(&t->name, value, n) ? NULL : "a NUL in a name";
	if (is_key(key, key_bytes, "linkpath"))
		return keep_name(&t->link, value, n) ? NULL : "a NUL in a link";
	if (is_key(key, key_bytes, "size")) {
		t->has_size = decimal_parse(value, (size_t)(end - value), INT64_MAX, &t->size);
		return t->has_size ? NULL : "a size that is no number";
	}
	if (is_key(key, key_bytes, "mtime")) {
		t->has_mtime = parse_time(value, end, &t->mtime_s, &t->mtime_ns);
		return t->has_mtime ? NULL : "a time that is no number";
	}
	if (key_bytes > 11 && memcmp(key, "GNU.sparse.", 11) == 0)
		return "sparse files are not supported";
	return NULL;
}

/* Evaluates a pax header: records "LENGTH KEY=VALUE\n". Returns NULL, or why it is invalid. */
static const char *take_pax(struct tar_read *t)
{
	const char *p = t->extension, *end = p + t->extension_bytes, *key, *value, *wrong;
	uint64_t n;

	while (p < end) {
		key = memchr(p, ' ', (size_t)(end - p));
		if (!key || !decimal_parse(p, (size_t)(key - p), INT64_MAX, &n) ||
		    n > (uint64_t)(end - p) || n < (uint64_t)(key - p) + 3 || p[n - 1] != '\n')
			return "a pax record of a wrong length";
		key++;
		value = memchr(key, '=', (size_t)(p + n - 1 - key));
		if (!value)
			return "a pax record without a value";
		wrong = take_record(t, key, (size_t)(value - key), value + 1, p + n - 1);
		if (wrong)
			return wrong;
		p += n;
	}
	return NULL;
}

/* Evaluates a complete extended header. Returns NULL, or the reason why it is invalid. */
static const char *take_extension(struct tar_read *t)
{
	char **name = t->extension_type == TAR_GNU_NAME ? &t->name : &t->link;
	const char *wrong = NULL;

	if (t->extension_type == TAR_PAX)
		wrong = take_pax(t);
	else if (!keep_name(name, t->extension, strnlen(t->extension, t->extension_bytes)))
		wrong = "a NUL in a name";
	free(t->extension);
	t->extension = NULL;
	return wrong;
}

/* ---- headers ---- */

static bool is_zero(const struct tar_header *header)
{
	const char *p = (const char *)header;

	return p[0] == '\0' && memcmp(p, p + 1, TAR_BLOCK_BYTES - 1) == 0;
}

/* The checksum of some old writers, which added the bytes as signed values. */
static unsigned signed_checksum(const struct tar_header *header)
{
	const signed char *p = (const signed char *)header;
	const size_t from = offsetof(struct tar_header, checksum);
	int sum = 0;
	size_t i;

	for (i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += i >= from && i < from + sizeof(header->checksum) ? ' ' : p[i];
	return (unsigned)sum;
}

static bool checksum_is_right(const struct tar_header *header)
{
	uint64_t sum;

	return parse_number(header->checksum, sizeof(header->checksum), &sum) &&
	       (sum == tar_checksum(header) || sum == signed_checksum(header));
}

/* Returns a header's name. ustar has a prefix; GNU's old format uses that field otherwise. */
static const char *join_name(struct tar_read *t)
{
	const struct tar_header *h = &t->header;
	size_t prefix = 0, name = strnlen(h->name, sizeof(h->name));

	if (memcmp(h->magic, "ustar", 6) == 0)
		prefix = strnlen(h->prefix, sizeof(h->prefix));
	memcpy(t->short_name, h->prefix, prefix);
	if (prefix)
		t->short_name[prefix++] = '/';
	memcpy(t->short_name + prefix, h->name, name);
	t->short_name[prefix + name] = '\0';
	return t->short_name;
}

static const char *copy_link(struct tar_read *t)
{
	size_t n = strnlen(t->header.link, sizeof(t->header.link));

	memcpy(t->short_link, t->header.link, n);
	t->short_link[n] = '\0';
	return t->short_link;
}

static bool has_contents(char type)
{
	return type == TAR_FILE || type == TAR_PAX || type == TAR_PAX_GLOBAL ||
	       type == TAR_GNU_NAME || type == TAR_GNU_LINK || type == TAR_GNU_VOLUME;
}

/* Returns the type of an entry, with older spellings replaced by the present ones. */
static char normal_type(const char *name, char type)
{
	size_t n = strlen(name);

	if (type != '\0' && type != TAR_CONTIGUOUS && type != TAR_FILE)
		return type;
	/* Before ustar a directory was a file whose name ends with a slash. */
	return n && name[n - 1] == '/' ? TAR_DIRECTORY : TAR_FILE;
}

/* Fills t->entry. Returns NULL, or the reason why the header is invalid. */
static const char *fill_entry(struct tar_read *t)
{
	const struct tar_header *h = &t->header;
	struct tar_entry *e = &t->entry;
	uint64_t mode, mtime = 0, major = 0, minor = 0;

	memset(e, 0, sizeof(*e));
	e->name = t->name ? t->name : join_name(t);
	e->link = t->link ? t->link : copy_link(t);
	e->type = normal_type(e->name, h->type);
	if (!parse_number(h->mode, sizeof(h->mode), &mode))
		return "a mode that is no number";
	e->mode = (uint32_t)mode & 07777;
	if (!parse_number(h->size, sizeof(h->size), &e->size))
		return "a size that is no number";
	if (t->has_size)
		e->size = t->size;
	if (!has_contents(e->type))
		e->size = 0;
	/* An invalid time (a negative one, before 1970) is taken as 0: the archive is accepted. */
	if (t->has_mtime) {
		e->mtime_s = t->mtime_s;
		e->mtime_ns = t->mtime_ns;
	} else if (parse_number(h->mtime, sizeof(h->mtime), &mtime)) {
		e->mtime_s = (int64_t)mtime;
	}
	if (e->type == TAR_CHAR_DEVICE || e->type == TAR_BLOCK_DEVICE) {
		if (!parse_number(h->major, sizeof(h->major), &major) ||
		    !parse_number(h->minor, sizeof(h->minor), &minor) || major > UINT32_MAX ||
		    minor > UINT32_MAX)
			return "a device that is no number";
		e->major = (uint32_t)major;
		e->minor = (uint32_t)minor;
	}
	return NULL;
}

/* Begins the contents of an extended header, or of a header that is ignored. */
static enum tar_read_event begin_extension(struct tar_read *t, char type)
{
	uint64_t size;

	if (!parse_number(t->header.size, sizeof(t->header.size), &size))
		return fail(t, "a size that is no number");
	t->padding = tar_padding(size);
	t->left = size;
	t->state = TAR_STATE_SKIP;
	if (type == TAR_PAX_GLOBAL || type == TAR_GNU_VOLUME)
		return TAR_READ_MORE;
	if (size > TAR_EXTENSION_MAX_BYTES)
		return fail(t, "an extended header that is too long");
	t->state = TAR_STATE_EXTENSION;
	t->extension_type = type;
	t->extension = mem_alloc(size + 1);
	t->extension_bytes = 0;
	return TAR_READ_MORE;
}

/* Evaluates a complete header. Returns TAR_READ_MORE if there is no event. */
static enum tar_read_event take_header(struct tar_read *t)
{
	const char *wrong;

	t->header_bytes = 0;
	if (is_zero(&t->header)) {
		t->state = TAR_STATE_OVER;
		return TAR_READ_END;
	}
	if (!checksum_is_right(&t->header))
		return fail(t, "a header whose checksum is wrong");
	switch (t->header.type) {
	case TAR_PAX:
	case TAR_PAX_GLOBAL:
	case TAR_GNU_NAME:
	case TAR_GNU_LINK:
	case TAR_GNU_VOLUME:
		return begin_extension(t, t->header.type);
	}
	wrong = fill_entry(t);
	if (wrong)
		return fail(t, wrong);
	t->left = t->entry.size;
	t->padding = tar_padding(t->entry.size);
	t->state = TAR_STATE_DATA;
	return TAR_READ_ENTRY;
}

/* ---- the input ---- */

/* Takes up to `left` bytes from the input. Returns their number. */
static size_t take_left(struct tar_read *t, const char **p, size_t *n)
{
	size_t bytes = *n < t->left ? *n : (size_t)t->left;

	t->left -= bytes;
	*p += bytes;
	*n -= bytes;
	return bytes;
}

static void take_padding(struct tar_read *t, const char **p, size_t *n)
{
	size_t bytes = *n < t->padding ? *n : t->padding;

	*p += bytes;
	*n -= bytes;
	t->padding -= (unsigned)bytes;
	if (t->padding == 0)
		t->state = TAR_STATE_HEADER;
}

/* Gathers a header. Returns TAR_READ_MORE if it is incomplete or there is no event. */
static enum tar_read_event gather_header(struct tar_read *t, const char **p, size_t *n)
{
	size_t bytes = TAR_BLOCK_BYTES - t->header_bytes;

	if (bytes > *n)
		bytes = *n;
	memcpy((char *)&t->header + t->header_bytes, *p, bytes);
	*p += bytes;
	*n -= bytes;
	t->header_bytes += bytes;
	return t->header_bytes == TAR_BLOCK_BYTES ? take_header(t) : TAR_READ_MORE;
}

/* Gathers the contents of an extended header. */
static enum tar_read_event gather_extension(struct tar_read *t, const char **p, size_t *n)
{
	const char *from = *p, *wrong;
	size_t bytes = take_left(t, p, n);

	memcpy(t->extension + t->extension_bytes, from, bytes);
	t->extension_bytes += bytes;
	if (t->left)
		return TAR_READ_MORE;
	wrong = take_extension(t);
	if (wrong)
		return fail(t, wrong);
	t->state = TAR_STATE_PADDING;
	return TAR_READ_MORE;
}

/* The contents of an entry, then its end. */
static enum tar_read_event take_data(struct tar_read *t, const char **p, size_t *n)
{
	if (t->left == 0) {
		t->state = TAR_STATE_ENTRY_ENDED;
		return TAR_READ_ENTRY_END;
	}
	t->data = *p;
	t->data_bytes = take_left(t, p, n);
	return t->data_bytes ? TAR_READ_DATA : TAR_READ_MORE;
}

/* Makes one step in the current state. Returns TAR_READ_MORE if there is no event yet. */
static enum tar_read_event step(struct tar_read *t, const char **p, size_t *n)
{
	switch (t->state) {
	case TAR_STATE_HEADER:
		return gather_header(t, p, n);
	case TAR_STATE_EXTENSION:
		return gather_extension(t, p, n);
	case TAR_STATE_SKIP:
		take_left(t, p, n);
		if (t->left == 0)
			t->state = TAR_STATE_PADDING;
		return TAR_READ_MORE;
	case TAR_STATE_DATA:
		return take_data(t, p, n);
	case TAR_STATE_ENTRY_ENDED:
		forget_extensions(t);
		t->state = TAR_STATE_PADDING;
		return TAR_READ_MORE;
	case TAR_STATE_PADDING:
		take_padding(t, p, n);
		return TAR_READ_MORE;
	case TAR_STATE_OVER:
		*p += *n;
		*n = 0;
		return TAR_READ_MORE;
	case TAR_STATE_FAILED:
		break;
	}
	return TAR_READ_ERROR;
}

enum tar_read_event tar_read_next(struct tar_read *t, const char **p, size_t *n)
{
	enum tar_read_event event;

	do {
		event = step(t, p, n);
	} while (event == TAR_READ_MORE && *n);
	return event;
}

int tar_read_finish(struct tar_read *t)
{
	if (t->state == TAR_STATE_OVER || (t->state == TAR_STATE_HEADER && !t->header_bytes))
		return 0;
	/* The last file's padding may be missing. */
	if (t->state == TAR_STATE_ENTRY_ENDED)
		return 0;
	if (t->state == TAR_STATE_PADDING && !t->name && !t->link && !t->has_size)
		return 0;
	if (t->state != TAR_STATE_FAILED)
		t->error = "the archive is cut short";
	return -1;
}
