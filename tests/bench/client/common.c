/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Noreturn void die(int errnum, const char *format, ...)
{
	va_list ap;

	fputs("bench client: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	if (errnum)
		fprintf(stderr, ": %s", strerror(errnum));
	fputc('\n', stderr);
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void *xalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	if (!p)
		die(ENOMEM, "%zu bytes", n);
	return p;
}

struct bytes read_file(const char *path)
{
	struct bytes b = {0};
	struct stat st;
	ssize_t r;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		die(errno, "%s", path);
	b.data = xalloc((size_t)st.st_size);
	while (b.n < (size_t)st.st_size) {
		r = read(fd, b.data + b.n, (size_t)st.st_size - b.n);
		if (r <= 0)
			die(r < 0 ? errno : 0, "%s: cut short", path);
		b.n += (size_t)r;
	}
	close(fd);
	return b;
}

void samples_add(struct samples *s, uint64_t ns)
{
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 1024;
		s->ns = realloc(s->ns, s->room * sizeof(*s->ns));
		if (!s->ns)
			die(ENOMEM, "samples");
	}
	s->ns[s->count++] = ns;
}

static int compare_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void samples_print(struct samples *s)
{
	double sum = 0;

	if (!s->count)
		die(0, "nothing was measured");
	qsort(s->ns, s->count, sizeof(*s->ns), compare_ns);
	for (size_t i = 0; i < s->count; i++)
		sum += (double)s->ns[i];
	printf("count=%zu p50_us=%.2f p99_us=%.2f mean_us=%.2f", s->count,
	       (double)s->ns[s->count / 2] / 1e3, (double)s->ns[s->count * 99 / 100] / 1e3,
	       sum / (double)s->count / 1e3);
}

void target_init(struct target *t)
{
	memset(t, 0, sizeof(*t));
	t->address.sin_family = AF_INET;
	t->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

void target_set_address(struct target *t, const char *text)
{
	if (inet_pton(AF_INET, text, &t->address.sin_addr) != 1)
		die(0, "%s: not an IPv4 address", text);
}

void target_set_port(struct target *t, const char *text)
{
	t->address.sin_port = htons((uint16_t)strtoul(text, NULL, 10));
}

int target_connect(const struct target *t)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die(errno, "socket");
	if (connect(fd, (const struct sockaddr *)&t->address, sizeof(t->address)) < 0)
		die(errno, "connect to port %u", ntohs(t->address.sin_port));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

void send_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	ssize_t r;

	while (n) {
		r = send(fd, p, n, MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			die(errno, "send");
		p += r;
		n -= (size_t)r;
	}
}
