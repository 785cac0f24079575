/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/relay/address.h"
#include "base/decimal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/un.h>

int address_parse_ip(const char *text, in_port_t port, struct address *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->storage;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		ret->bytes = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		ret->bytes = sizeof(*v6);
		return 0;
	}
	return -EINVAL;
}

int address_parse_unix(const char *path, struct address *ret)
{
	struct sockaddr_un *addr = (struct sockaddr_un *)&ret->storage;

	memset(ret, 0, sizeof(*ret));
	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, strlen(path));
	ret->bytes = sizeof(*addr);
	return 0;
}

int address_parse_vsock(const char *cid, uint32_t port, struct address *ret)
{
	struct sockaddr_vm *addr = (struct sockaddr_vm *)&ret->storage;
	uint64_t number;

	memset(ret, 0, sizeof(*ret));
	if (!decimal_parse_text(cid, VMADDR_CID_ANY - 1, &number))
		return -EINVAL;
	addr->svm_family = AF_VSOCK;
	addr->svm_cid = (unsigned)number;
	addr->svm_port = port;
	ret->bytes = sizeof(*addr);
	return 0;
}
