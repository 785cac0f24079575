/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server that connectconformance starts: one request on stdin says what it must be able to do,
 * its answer on stdout where it listens, both with a length of four bytes before them. It serves
 * until SIGTERM.
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/budget.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/mem.h"
#include "connectrpc/conformance/v1/server_compat.pb-c.h"
#include "rpc/codec/codec.h"
#include "rpc/http/router.h"
#include "rpc/http/server.h"
#include "tests/conformance/service.h"

#define LENGTH_BYTES	  4
#define REQUEST_MAX_BYTES 65536
#define FIRST_PORT	  20000
#define LAST_PORT	  32000

/* The limit for messages, of the request. */
static size_t read_request(void)
{
	static char bytes[REQUEST_MAX_BYTES];
	ProtobufCMessage *message;
	struct arena arena = {0};
	struct error err;
	uint32_t n;
	size_t limit;

	if (fd_read_all(STDIN_FILENO, &n, LENGTH_BYTES) != LENGTH_BYTES)
		fatal("no request on stdin");
	n = ntohl(n);
	if (n > sizeof(bytes) || fd_read_all(STDIN_FILENO, bytes, n) != (ssize_t)n)
		fatal("a bad request on stdin");
	if (codec_decode(RPC_CODEC_PROTO, &conformance__server_compat_request__descriptor, bytes, n,
			 0, &arena, &message, &err) < 0)
		fatal("%s", err.message);
	limit = ((const Conformance__ServerCompatRequest *)message)->message_receive_limit;
	arena_clear(&arena);
	return limit;
}

static void write_response(unsigned port)
{
	Conformance__ServerCompatResponse response = CONFORMANCE__SERVER_COMPAT_RESPONSE__INIT;
	struct error err;
	uint32_t length;
	size_t n;
	char *bytes;

	response.host = "127.0.0.1";
	response.port = port;
	if (codec_encode(RPC_CODEC_PROTO, &response.base, LENGTH_BYTES, &bytes, &n, &err) < 0)
		fatal("%s", err.message);
	length = htonl((uint32_t)n);
	memcpy(bytes, &length, LENGTH_BYTES);
	if (fd_write_all(STDOUT_FILENO, bytes, LENGTH_BYTES + n) < 0)
		fatal("stdout is closed");
	free(bytes);
}

/* Several servers run at once: each tries the ports from one of its own on. */
static unsigned listen_somewhere(struct server *server)
{
	unsigned n = LAST_PORT - FIRST_PORT, start = (unsigned)getpid() * 16;
	struct listen_spec spec;
	struct error err;
	char text[64];

	for (unsigned i = 0; i < n; i++) {
		unsigned port = FIRST_PORT + (start + i) % n;

		snprintf(text, sizeof(text), "tcp:127.0.0.1:%u", port);
		if (listen_parse(text, &spec, &err) == 0 && server_listen(server, &spec, &err) == 0)
			return port;
		if (err.code != ERROR_ALREADY_EXISTS)
			break;
	}
	fatal("%s", err.message);
}

static bool open_gate(struct stream *s, void *arg)
{
	return true;
}

static void on_term(evutil_socket_t signal_number, short what, void *arg)
{
	loop_stop(arg);
}

int main(void)
{
	size_t limit = read_request();
	struct router *router = router_new();
	struct budget budget;
	struct server *server;
	struct event term;
	struct loop loop;

	signal(SIGPIPE, SIG_IGN);
	loop_init(&loop);
	budget_init(&budget);
	conformance_register(router, limit);
	server = server_new(&loop, &budget, router, open_gate, NULL);
	write_response(listen_somewhere(server));
	signal_event_add(&term, &loop, SIGTERM, on_term, &loop);
	loop_run(&loop);
	event_del(&term);
	server_free(server);
	router_free(router);
	loop_clear(&loop);
	return 0;
}
