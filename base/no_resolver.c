/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that a static program can't resolve, and this one never tries: addresses are numeric, users
 * come from their files. libevent refers to these functions all the same; defined here, they keep
 * glibc's resolver and its loader of shared modules, a tenth of the binary, out of it.
 *
 * POSIX.1-2017, getaddrinfo(3) and getservbyname(3): failure is an answer they may give.
 */
#include <netdb.h>
#include <stddef.h>

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's names are reserved. */

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **result)
{
	return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *list)
{
}

const char *gai_strerror(int code)
{
	return "there is no resolver";
}

struct servent *getservbyname(const char *name, const char *protocol)
{
	return NULL;
}

struct protoent *getprotobynumber(int number)
{
	return NULL;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
