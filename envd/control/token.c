#include "envd/control/token.h"

#include <sha2.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/mem.h"

#define PAGE_BYTES 4096

/* The page: locked, so that it is never in swap, and left out of core dumps (madvise(2)). */
static char *page_new(void)
{
	char *page =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		fatal("no page for the access token");
	if (mlock(page, PAGE_BYTES) < 0)
		log_debug("the access token's memory can't be locked");
	madvise(page, PAGE_BYTES, MADV_DONTDUMP);
	return page;
}

void token_set(struct token *t, const char *p, size_t n)
{
	if (n == 0 || n > TOKEN_MAX_BYTES)
		fatal("a token of %zu bytes", n);
	if (!t->page)
		t->page = page_new();
	token_clear(t);
	memcpy(t->page, p, n);
	t->n = n;
}

void token_clear(struct token *t)
{
	if (t->page)
		explicit_bzero(t->page, PAGE_BYTES);
	t->n = 0;
}

bool token_is_set(const struct token *t)
{
	return t->n > 0;
}

bool token_text_equal(const char *secret, size_t secret_bytes, const char *p, size_t n)
{
	unsigned char different = secret_bytes != n;
	size_t i;

	for (i = 0; i < n; i++)
		different |= (unsigned char)p[i] ^
			     (unsigned char)(secret_bytes ? secret[i % secret_bytes] : 0);
	return !different;
}

bool token_equals(const struct token *t, const char *p, size_t n)
{
	return t->n && token_text_equal(t->page, t->n, p, n);
}

const char *token_bytes(const struct token *t, size_t *ret_bytes)
{
	*ret_bytes = t->n;
	return t->n ? t->page : NULL;
}

void token_hash(const char *p, size_t n, char ret[TOKEN_HASH_BYTES])
{
	SHA2_CTX context;

	SHA512Init(&context);
	SHA512Update(&context, (const uint8_t *)p, n);
	SHA512End(&context, ret);
	explicit_bzero(&context, sizeof(context));
}
