/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces glibc's resolver. The daemon never resolves names: addresses are numeric, and users come
 * from their files. libevent refers to these functions nevertheless. Defining them here keeps
 * glibc's resolver and its loader of shared modules, a tenth of the binary, out of the static
 * program.
 *
 * POSIX.1-2017, getaddrinfo(3) and getservbyname(3): the functions may fail.
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
