/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/http/content_type.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mem.h"
#include "fs/entry.h"

/* The maximum lengths. A longer extension has no type, and a longer type is ignored. */
#define EXTENSION_MAX_BYTES 32
#define TYPE_MAX_BYTES	    128

#define FILE_MAX_BYTES (8u * 1024 * 1024)

/* The types that Go's mime package knows without files. */
static const struct builtin_type {
	const char *extension;
	const char *type;
} builtin_types[] = {
	{".ai", "application/postscript"},
	{".apk", "application/vnd.android.package-archive"},
	{".apng", "image/apng"},
	{".avif", "image/avif"},
	{".bin", "application/octet-stream"},
	{".bmp", "image/bmp"},
	{".com", "application/octet-stream"},
	{".css", "text/css; charset=utf-8"},
	{".csv", "text/csv; charset=utf-8"},
	{".doc", "application/msword"},
	{".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{".ehtml", "text/html; charset=utf-8"},
	{".eml", "message/rfc822"},
	{".eps", "application/postscript"},
	{".exe", "application/octet-stream"},
	{".flac", "audio/flac"},
	{".gif", "image/gif"},
	{".gz", "application/gzip"},
	{".htm", "text/html; charset=utf-8"},
	{".html", "text/html; charset=utf-8"},
	{".ico", "image/vnd.microsoft.icon"},
	{".ics", "text/calendar; charset=utf-8"},
	{".jfif", "image/jpeg"},
	{".jpeg", "image/jpeg"},
	{".jpg", "image/jpeg"},
	{".js", "text/javascript; charset=utf-8"},
	{".json", "application/json"},
	{".m4a", "audio/mp4"},
	{".mjs", "text/javascript; charset=utf-8"},
	{".mp3", "audio/mpeg"},
	{".mp4", "video/mp4"},
	{".oga", "audio/ogg"},
	{".ogg", "audio/ogg"},
	{".ogv", "video/ogg"},
	{".opus", "audio/ogg"},
	{".pdf", "application/pdf"},
	{".pjp", "image/jpeg"},
	{".pjpeg", "image/jpeg"},
	{".png", "image/png"},
	{".ppt", "application/vnd.ms-powerpoint"},
	{".pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{".ps", "application/postscript"},
	{".rdf", "application/rdf+xml"},
	{".rtf", "application/rtf"},
	{".shtml", "text/html; charset=utf-8"},
	{".svg", "image/svg+xml"},
	{".text", "text/plain; charset=utf-8"},
	{".tif", "image/tiff"},
	{".tiff", "image/tiff"},
	{".txt", "text/plain; charset=utf-8"},
	{".vtt", "text/vtt; charset=utf-8"},
	{".wasm", "application/wasm"},
	{".wav", "audio/wav"},
	{".webm", "audio/webm"},
	{".webp", "image/webp"},
	{".xbl", "text/xml; charset=utf-8"},
	{".xbm", "image/x-xbitmap"},
	{".xht", "application/xhtml+xml"},
	{".xhtml", "application/xhtml+xml"},
	{".xls", "application/vnd.ms-excel"},
	{".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{".xml", "text/xml; charset=utf-8"},
	{".xsl", "text/xml; charset=utf-8"},
	{".zip", "application/zip"},
};

static const char *const system_globs[] = {
	"/usr/local/share/mime/globs2",
	"/usr/share/mime/globs2",
	NULL,
};

static const char *const system_types[] = {
	"/etc/mime.types",
	"/etc/apache2/mime.types",
	"/etc/apache/mime.types",
	"/etc/httpd/conf/mime.types",
	NULL,
};

/* The cache of results; the oldest one is replaced first. The lock protects all members. */
#define KEPT 64
static struct {
	pthread_mutex_t lock;
	const char *const *globs;
	const char *const *types;
	struct kept_type {
		char extension[EXTENSION_MAX_BYTES + 1];
		char type[TYPE_MAX_BYTES + 1]; /* "": none */
	} kept[KEPT];
	unsigned n, next;
} known = {.lock = PTHREAD_MUTEX_INITIALIZER, .globs = system_globs, .types = system_types};

void fs_type_set_files(const char *const *globs, const char *const *types)
{
	pthread_mutex_lock(&known.lock);
	known.globs = globs ? globs : system_globs;
	known.types = types ? types : system_types;
	known.n = known.next = 0;
	pthread_mutex_unlock(&known.lock);
}

/*
 * Returns the extension with its dot: the part of the last path element from its last dot on. NULL
 * if there is none.
 */
static const char *extension_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');

	if (!dot || (slash && dot < slash) || strlen(dot) > EXTENSION_MAX_BYTES)
		return NULL;
	return dot;
}

/* A piece of a line. */
struct word {
	const char *p;
	size_t n;
};

static bool word_is(struct word word, const char *s, bool nocase)
{
	return word.n == strlen(s) &&
	       (nocase ? strncasecmp(word.p, s, word.n) : memcmp(word.p, s, word.n)) == 0;
}

/* Copies a type in the form for the response. Returns false if it is not a type. */
static bool copy_type(struct word word, char out[TYPE_MAX_BYTES + 1])
{
	static const char charset[] = "; charset=utf-8";
	size_t i, slashes = 0;

	if (!word.n || word.n > TYPE_MAX_BYTES - sizeof(charset))
		return false;
	for (i = 0; i < word.n; i++) {
		char c = word.p[i];

		slashes += c == '/';
		if (!isalnum((unsigned char)c) && !strchr("!#$&-^_.+/", c))
			return false;
		out[i] = (char)tolower((unsigned char)c);
	}
	out[i] = '\0';
	if (slashes != 1 || out[0] == '/' || out[i - 1] == '/')
		return false;
	if (strncmp(out, "text/", 5) == 0)
		strcpy(out + i, charset);
	return true;
}

/* Returns the next word, up to one of the separators, and skips the separator. */
static struct word next_word(const char **p, const char *end, const char *separators)
{
	struct word word = {*p, 0};

	while (*p < end && !strchr(separators, **p))
		(*p)++;
	word.n = (size_t)(*p - word.p);
	if (*p < end)
		(*p)++;
	return word;
}

/* Matches `weight:type:*.extension[:…]`. The lines are sorted by weight; the first match counts. */
static bool globs_line(const char *p, const char *end, const char *extension, bool nocase,
		       char out[TYPE_MAX_BYTES + 1])
{
	struct word weight = next_word(&p, end, ":"), type = next_word(&p, end, ":");
	struct word glob = next_word(&p, end, ":");

	if (!weight.n || weight.p[0] == '#' || glob.n < 3 || glob.p[0] != '*')
		return false;
	glob.p++, glob.n--;
	return word_is(glob, extension, nocase) && copy_type(type, out);
}

/* Matches `type extension…`; the extensions have no dot. The last match counts. */
static bool types_line(const char *p, const char *end, const char *extension, bool nocase,
		       char out[TYPE_MAX_BYTES + 1])
{
	struct word type = next_word(&p, end, " \t\r"), word;

	if (!type.n || type.p[0] == '#')
		return false;
	while (p < end) {
		word = next_word(&p, end, " \t\r");
		if (word.n && word.p[0] == '#')
			return false;
		if (word_is(word, extension + 1, nocase))
			return copy_type(type, out);
	}
	return false;
}

typedef bool line_fn(const char *p, const char *end, const char *extension, bool nocase,
		     char out[TYPE_MAX_BYTES + 1]);

/* Searches the lines of a file's text for the first or the last one that has the extension. */
static bool search_text(const char *text, line_fn *match, bool first, const char *extension,
			bool nocase, char out[TYPE_MAX_BYTES + 1])
{
	const char *end;
	bool found = false;

	for (; *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		if (match(text, end, extension, nocase, out)) {
			found = true;
			if (first)
				break;
		}
	}
	return found;
}

static bool search_builtin(const char *extension, bool nocase, char out[TYPE_MAX_BYTES + 1])
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(builtin_types); i++)
		if ((nocase ? strcasecmp : strcmp)(builtin_types[i].extension, extension) == 0) {
			strcpy(out, builtin_types[i].type);
			return true;
		}
	return false;
}

/* Go's built-in types come after globs2, and before mime.types. */
static void search(const char *extension, char out[TYPE_MAX_BYTES + 1])
{
	const char *const *file;
	char *globs = NULL, *types[8] = {0};
	bool found = false;
	size_t i, n = 0;

	for (file = known.globs; *file && !globs; file++)
		fd_read_file(AT_FDCWD, *file, FILE_MAX_BYTES, &globs, NULL);
	if (!globs)
		for (file = known.types; *file && n < ARRAY_LEN(types); file++)
			n += fd_read_file(AT_FDCWD, *file, FILE_MAX_BYTES, &types[n], NULL) == 0;
	for (int nocase = 0; nocase < 2 && !found; nocase++) {
		for (i = n; i > 0 && !found; i--)
			found = search_text(types[i - 1], types_line, false, extension, nocase,
					    out);
		found = found || search_builtin(extension, nocase, out) ||
			(globs && search_text(globs, globs_line, true, extension, nocase, out));
	}
	if (!found)
		out[0] = '\0';
	free(globs);
	for (i = 0; i < n; i++)
		free(types[i]);
}

/* Returns the cache slot of an extension, or NULL. Caller holds the lock. */
static struct kept_type *find_kept(const char *extension)
{
	unsigned i;

	for (i = 0; i < known.n; i++)
		if (strcmp(known.kept[i].extension, extension) == 0)
			return &known.kept[i];
	return NULL;
}

const char *fs_type_by_extension(const char *path, struct arena *arena)
{
	const char *extension = extension_of(path), *type = NULL;
	struct kept_type *kept;

	if (!extension)
		return NULL;
	pthread_mutex_lock(&known.lock);
	kept = find_kept(extension);
	if (!kept) {
		kept = &known.kept[known.next];
		known.next = (known.next + 1) % KEPT;
		if (known.n < KEPT)
			known.n++;
		strcpy(kept->extension, extension);
		search(extension, kept->type);
	}
	if (kept->type[0])
		type = arena_strdup(arena, kept->type);
	pthread_mutex_unlock(&known.lock);
	return type;
}
