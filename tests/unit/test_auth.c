/* SPDX-License-Identifier: Apache-2.0 */
/* Who may set the token, and how a token is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "envd/control/auth.h"

/* Token held or not × what was sent × what the metadata service's hash says. */
static void test_decide(void **state)
{
	static const struct {
		bool held;
		enum auth_sent sent;
		enum auth_mmds mmds;
		enum auth_verdict verdict;
	} cases[] = {
		/* No token is held. */
		{false, AUTH_SENT_NONE, AUTH_MMDS_NONE, AUTH_ALLOWED},
		{false, AUTH_SENT_NONE, AUTH_MMDS_MATCHES, AUTH_ALLOWED},
		{false, AUTH_SENT_NONE, AUTH_MMDS_DIFFERS, AUTH_RESET_REFUSED},
		{false, AUTH_SENT_OTHER, AUTH_MMDS_NONE, AUTH_ALLOWED},
		{false, AUTH_SENT_OTHER, AUTH_MMDS_MATCHES, AUTH_ALLOWED},
		{false, AUTH_SENT_OTHER, AUTH_MMDS_DIFFERS, AUTH_TOKEN_REFUSED},
		/* One is held. */
		{true, AUTH_SENT_NONE, AUTH_MMDS_NONE, AUTH_RESET_REFUSED},
		{true, AUTH_SENT_NONE, AUTH_MMDS_MATCHES, AUTH_ALLOWED},
		{true, AUTH_SENT_NONE, AUTH_MMDS_DIFFERS, AUTH_RESET_REFUSED},
		{true, AUTH_SENT_OTHER, AUTH_MMDS_NONE, AUTH_TOKEN_REFUSED},
		{true, AUTH_SENT_OTHER, AUTH_MMDS_MATCHES, AUTH_ALLOWED},
		{true, AUTH_SENT_OTHER, AUTH_MMDS_DIFFERS, AUTH_TOKEN_REFUSED},
		{true, AUTH_SENT_CURRENT, AUTH_MMDS_NONE, AUTH_ALLOWED},
		{true, AUTH_SENT_CURRENT, AUTH_MMDS_MATCHES, AUTH_ALLOWED},
		{true, AUTH_SENT_CURRENT, AUTH_MMDS_DIFFERS, AUTH_ALLOWED},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(auth_decide(cases[i].held, cases[i].sent, cases[i].mmds),
				 cases[i].verdict);
}

/* Hashes by `printf %s TOKEN | sha512sum`. */
static void test_compare_hash(void **state)
{
	static const char of_abc[] =
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
		"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
	static const char of_empty[] =
		"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
		"47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

	assert_int_equal(auth_compare_hash(NULL, "abc", 3), AUTH_MMDS_NONE);
	assert_int_equal(auth_compare_hash("", "abc", 3), AUTH_MMDS_NONE);
	assert_int_equal(auth_compare_hash(of_abc, "abc", 3), AUTH_MMDS_MATCHES);
	assert_int_equal(auth_compare_hash(of_abc, "abd", 3), AUTH_MMDS_DIFFERS);
	assert_int_equal(auth_compare_hash(of_abc, NULL, 0), AUTH_MMDS_DIFFERS);
	assert_int_equal(auth_compare_hash(of_empty, NULL, 0), AUTH_MMDS_MATCHES);
	assert_int_equal(auth_compare_hash(of_empty, "abc", 3), AUTH_MMDS_DIFFERS);
	assert_int_equal(auth_compare_hash("ddaf", "abc", 3), AUTH_MMDS_DIFFERS);
}

static void test_token(void **state)
{
	struct token t = {0};
	size_t n;

	assert_false(token_is_set(&t));
	assert_false(token_equals(&t, "", 0));
	assert_null(token_bytes(&t, &n));
	token_set(&t, "secret", 6);
	assert_true(token_equals(&t, "secret", 6));
	assert_false(token_equals(&t, "secre", 5));
	assert_false(token_equals(&t, "secrets", 7));
	assert_false(token_equals(&t, "secretsecret", 12));
	assert_false(token_equals(&t, "", 0));
	token_set(&t, "x", 1);
	assert_memory_equal(t.page, "x\0\0\0\0\0", 6); /* nothing is left of the longer one */
	token_clear(&t);
	assert_false(token_is_set(&t));
	assert_int_equal(t.page[0], 0);
	token_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decide),
		cmocka_unit_test(test_compare_hash),
		cmocka_unit_test(test_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
