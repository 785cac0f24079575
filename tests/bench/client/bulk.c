/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* One transfer of many bytes, on a connection of its own. */
struct transfer {
	int fd;
	struct bytes pieces[3]; /* head, repeated part (from body_fd), tail */
	int body_fd;
	size_t times; /* remaining repetitions of the second piece */
	unsigned piece;
	size_t offset; /* in the current piece */
	bool sent;
	struct reply reply;
};

struct bulk {
	struct target target;
	unsigned connections;
	size_t times;
	size_t min_bytes;
	bool reads;
	const char *body, *tail, *text;
};

/* Advances to the next piece that is not empty. */
static void transfer_next_piece(struct transfer *t)
{
	t->offset = 0;
	if (t->piece == 1 && t->times > 1) {
		t->times--;
		return;
	}
	do
		t->piece++;
	while (t->piece < 3 && !t->pieces[t->piece].n);
	t->sent = t->piece == 3;
}

/*
 * Sends once. The repeated part is sent without a copy, so that the client is faster than the
 * daemon.
 */
static ssize_t transfer_send(const struct transfer *t, const struct bytes *b)
{
	off_t offset = (off_t)t->offset;

	if (t->piece == 1)
		return sendfile(t->fd, t->body_fd, &offset, b->n - t->offset);
	return send(t->fd, b->data + t->offset, b->n - t->offset, MSG_NOSIGNAL);
}

/* Sends as much as the socket takes. */
static void transfer_writable(struct transfer *t)
{
	const struct bytes *b;
	ssize_t n;

	while (!t->sent) {
		b = &t->pieces[t->piece];
		n = transfer_send(t, b);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die(errno, "send (answer so far: %.600s)", t->reply.head);
		t->offset += (size_t)n;
		if (t->offset == b->n)
			transfer_next_piece(t);
	}
}

/* Runs all transfers to the ends of their responses. Returns the number of received bytes. */
static size_t run(struct transfer *transfers, unsigned n)
{
	struct pollfd *fds = xalloc(n * sizeof(*fds));
	unsigned active = n;
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		fds[i].fd = transfers[i].fd;
	while (active) {
		for (unsigned i = 0; i < n; i++)
			fds[i].events = (short)(POLLIN | (transfers[i].sent ? 0 : POLLOUT));
		if (poll(fds, n, 60000) == 0)
			die(0, "no progress for 60 s");
		for (unsigned i = 0; i < n; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			if (fds[i].revents & POLLOUT)
				transfer_writable(&transfers[i]);
			if (!(fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
				continue;
			if (reply_read(&transfers[i].reply, transfers[i].fd)) {
				bytes += transfers[i].reply.total;
				fds[i].fd = -1;
				active--;
			}
		}
	}
	free(fds);
	return bytes;
}

static struct bulk parse_options(int argc, char **argv)
{
	struct bulk bulk = {.connections = 1, .times = 1};
	int c;

	target_init(&bulk.target);
	while ((c = getopt(argc, argv, "+p:a:c:m:kb:r:t:e:")) != -1) {
		switch (c) {
		case 'p':
			target_set_port(&bulk.target, optarg);
			break;
		case 'a':
			target_set_address(&bulk.target, optarg);
			break;
		case 'c':
			bulk.connections = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			bulk.min_bytes = strtoul(optarg, NULL, 10);
			break;
		case 'k':
			bulk.reads = true;
			break;
		case 'b':
			bulk.body = optarg;
			break;
		case 'r':
			bulk.times = strtoul(optarg, NULL, 10);
			break;
		case 't':
			bulk.tail = optarg;
			break;
		case 'e':
			bulk.text = optarg;
			break;
		default:
			exit(2);
		}
	}
	if (optind == argc || !bulk.connections)
		exit(2);
	return bulk;
}

/* Sends the requests (each connection uses the next file), checks responses, prints the time. */
static int transfer_all(const struct bulk *bulk, char **files, int n_files)
{
	struct transfer *transfers = xalloc(bulk->connections * sizeof(*transfers));
	struct bytes body = {0}, tail = {0};
	int body_fd = -1;
	uint64_t began_ns;
	size_t bytes;

	if (bulk->body) {
		body = read_file(bulk->body);
		body_fd = open(bulk->body, O_RDONLY | O_CLOEXEC);
	}
	if (bulk->tail)
		tail = read_file(bulk->tail);
	for (unsigned i = 0; i < bulk->connections; i++) {
		struct transfer *t = &transfers[i];

		t->pieces[0] = read_file(files[i % (unsigned)n_files]);
		t->pieces[1] = body;
		t->pieces[2] = tail;
		t->body_fd = body_fd;
		t->times = bulk->times;
		t->reply.reads = bulk->reads;
		t->fd = target_connect(&bulk->target);
		if (fcntl(t->fd, F_SETFL, O_NONBLOCK) < 0)
			die(errno, "fcntl");
	}
	began_ns = now_ns();
	bytes = run(transfers, bulk->connections);
	printf("seconds=%.6f bytes=%zu\n", (double)(now_ns() - began_ns) / 1e9, bytes);
	for (unsigned i = 0; i < bulk->connections; i++) {
		reply_check(&transfers[i].reply, bulk->text);
		if (transfers[i].reply.total < bulk->min_bytes)
			die(0, "only %zu bytes came", transfers[i].reply.total);
	}
	return 0;
}

/*
 * Big responses. The end is known by Content-Length or by EOF, so a request for a chunked response
 * contains `Connection: close`. -m: fewer bytes are a failure; -k: the bytes are copied to memory.
 */
int cmd_fetch(int argc, char **argv)
{
	struct bulk bulk = parse_options(argc, argv);

	return transfer_all(&bulk, argv + optind, argc - optind);
}

/* Big requests: the head from FILE, the bytes of -b repeated -r times, the bytes of -t. */
int cmd_push(int argc, char **argv)
{
	struct bulk bulk = parse_options(argc, argv);

	return transfer_all(&bulk, argv + optind, argc - optind);
}
