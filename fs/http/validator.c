/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/validator.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "rpc/http/http_date.h"

static int64_t age_ms(const struct timespec *then, const struct timespec *now)
{
	return ((int64_t)now->tv_sec - then->tv_sec) * 1000 +
	       (now->tv_nsec - then->tv_nsec) / 1000000;
}

static uint64_t nanoseconds(const struct timespec *ts)
{
	return (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

void fs_validator_init(struct fs_validator *v, const struct stat *st, const struct timespec *now)
{
	/* A time in the future counts as recent: the clock was set back. */
	bool weak = age_ms(&st->st_mtim, now) < FS_ETAG_WEAK_MS ||
		    age_ms(&st->st_ctim, now) < FS_ETAG_WEAK_MS;
	/* cppcheck-suppress ctuuninitvar ; it is here that it is set */
	int n = snprintf(v->etag, sizeof(v->etag), "%s\"%lx-%lx-%lx-%lx-%lx\"", weak ? "W/" : "",
			 (unsigned long)st->st_dev, (unsigned long)st->st_ino,
			 (unsigned long)st->st_size, (unsigned long)nanoseconds(&st->st_mtim),
			 (unsigned long)nanoseconds(&st->st_ctim));

	snprintf(v->gzip_etag, sizeof(v->gzip_etag), "%.*s-gzip\"", n - 1, v->etag);
	v->mtime_s = st->st_mtim.tv_sec;
	v->has_mtime = st->st_mtim.tv_sec || st->st_mtim.tv_nsec;
}

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* Returns the length of the entity tag at p, with quotes and W/; 0 if there is none. */
static size_t etag_length(const char *p)
{
	const char *start = p;

	if (p[0] == 'W' && p[1] == '/')
		p += 2;
	if (*p++ != '"')
		return 0;
	while (*p && *p != '"') {
		if ((unsigned char)*p < 0x21 || *p == 0x7f)
			return 0;
		p++;
	}
	return *p ? (size_t)(p + 1 - start) : 0;
}

static bool is_weak(const char *etag)
{
	return etag[0] == 'W';
}

/* RFC 9110 section 8.8.3.2. */
static bool etag_equal(const char *a, size_t n, const char *b, bool strong)
{
	if (strong && (is_weak(a) || is_weak(b)))
		return false;
	if (is_weak(a))
		a += 2, n -= 2;
	if (is_weak(b))
		b += 2;
	return strlen(b) == n && memcmp(a, b, n) == 0;
}

/*
 * Returns true if a list of tags contains this one. "*" contains all; a malformed tag ends the
 * list.
 */
static bool list_has(const char *list, const char *etag, bool strong)
{
	size_t n;

	for (;;) {
		list = skip_blanks(list);
		if (*list == ',') {
			list++;
			continue;
		}
		if (*list == '*')
			return true;
		n = etag_length(list);
		if (!n)
			return false;
		if (etag_equal(list, n, etag, strong))
			return true;
		list += n;
	}
}

/* Returns true if the field is present and not empty. */
static bool given(const char *value)
{
	return value && *value;
}

bool fs_if_match(const char *value, const struct fs_validator *v)
{
	return !given(value) ||
	       (v && (list_has(value, v->etag, true) || list_has(value, v->gzip_etag, true)));
}

bool fs_if_none_match(const char *value, const struct fs_validator *v)
{
	return !given(value) || !v || !list_has(value, v->etag, false);
}

enum fs_verdict fs_conditions_check(const struct fs_conditions *c, const struct fs_validator *v)
{
	int64_t time;

	if (given(c->if_match)) {
		if (!list_has(c->if_match, v->etag, true) &&
		    !list_has(c->if_match, v->gzip_etag, true))
			return FS_VERDICT_FAILED;
	} else if (given(c->if_unmodified_since) && v->has_mtime &&
		   http_date_parse(c->if_unmodified_since, &time) && v->mtime_s > time) {
		return FS_VERDICT_FAILED;
	}
	if (given(c->if_none_match)) {
		if (list_has(c->if_none_match, v->etag, false))
			return FS_VERDICT_NOT_MODIFIED;
		if (list_has(c->if_none_match, v->gzip_etag, false))
			return FS_VERDICT_NOT_MODIFIED_GZIP;
	} else if (given(c->if_modified_since) && v->has_mtime &&
		   http_date_parse(c->if_modified_since, &time) && v->mtime_s <= time) {
		return FS_VERDICT_NOT_MODIFIED;
	}
	return FS_VERDICT_GO;
}

bool fs_conditions_range(const struct fs_conditions *c, const struct fs_validator *v)
{
	const char *value;
	int64_t time;
	size_t n;

	if (!given(c->if_range))
		return true;
	value = skip_blanks(c->if_range);
	n = etag_length(value);
	if (n)
		return etag_equal(value, n, v->etag, true);
	return http_date_parse(value, &time) && time == v->mtime_s;
}
