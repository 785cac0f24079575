/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls, from the first byte of a connection to the last: protocols, envelopes, compression,
 * codecs. The input is all that a client sends. What comes back must not depend on how the input
 * was cut, and nothing of a call may be left when its connection has gone.
 */
#include <string.h>

#include "base/budget.h"
#include "base/loop.h"
#include "rpc/call.h"
#include "rpc/http/router.h"
#include "rpc/http/server.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/wire_client.h"
#include "tests/proto/kinds.pb-c.h"

#define MAX_INPUT_BYTES 2048
#define STREAM_MESSAGES 3

static struct loop loop;
static struct budget budget;
static struct server *server;
static int n_open; /* calls without an ending */

/* What came goes back, once or in a stream. */
static void open_unary(struct rpc_call *call, const ProtobufCMessage *request)
{
	rpc_reply(call, request);
}

static void open_server_stream(struct rpc_call *call, const ProtobufCMessage *request)
{
	for (int i = 0; i < STREAM_MESSAGES; i++)
		rpc_send(call, request);
	rpc_finish(call);
}

/* Counts messages. Each holds the call up, until the loop's next turn. */
struct count {
	struct rpc_call *call;
	struct defer unhold;
	Kinds__Scalars answer;
};

static void unhold(void *arg)
{
	struct count *count = arg;

	rpc_unhold(count->call);
}

static void open_client_stream(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct count *count = arena_zalloc(rpc_call_arena(call), sizeof(*count));

	CHECK(!request);
	count->call = call;
	kinds__scalars__init(&count->answer);
	defer_init(&count->unhold, &loop, unhold, count);
	rpc_call_set_data(call, count);
	n_open++;
}

static void count_message(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct count *count = rpc_call_data(call);

	CHECK(request && !defer_pending(&count->unhold));
	count->answer.an_int32++;
	rpc_hold(call);
	defer_schedule(&count->unhold);
}

static void count_end(struct rpc_call *call)
{
	struct count *count = rpc_call_data(call);

	CHECK(!defer_pending(&count->unhold));
	n_open--;
	rpc_reply(call, &count->answer.base);
}

static void count_cancel(struct rpc_call *call, enum rpc_cancel why)
{
	struct count *count = rpc_call_data(call);

	defer_cancel(&count->unhold);
	n_open--;
}

static const struct rpc_method methods[] = {
	{
		.service = "t.T",
		.name = "U",
		.kind = RPC_UNARY,
		.idempotent = true,
		.input = &kinds__scalars__descriptor,
		.output = &kinds__scalars__descriptor,
		.open = open_unary,
	},
	{
		.service = "t.T",
		.name = "S",
		.kind = RPC_SERVER_STREAM,
		.input = &kinds__scalars__descriptor,
		.output = &kinds__scalars__descriptor,
		.open = open_server_stream,
	},
	{
		.service = "t.T",
		.name = "C",
		.kind = RPC_CLIENT_STREAM,
		.input = &kinds__scalars__descriptor,
		.output = &kinds__scalars__descriptor,
		.open = open_client_stream,
		.message = count_message,
		.end = count_end,
		.cancel = count_cancel,
	},
};

static bool allow_all(struct stream *s, void *arg)
{
	return true;
}

static void build_server(void)
{
	struct router *router = router_new();

	loop_init(&loop);
	budget_init(&budget);
	rpc_register(router, methods, ARRAY_LEN(methods), NULL);
	server = server_new(&loop, &budget, router, allow_all, NULL);
}

static void check_idle(void)
{
	CHECK(n_open == 0);
	CHECK(budget.used[BUDGET_STREAMS] == 0);
	CHECK(budget.used[BUDGET_BYTES] == 0);
}

/* A deadline would make the answers depend on the time, and not on the bytes. */
static bool has_deadline(const uint8_t *data, size_t n)
{
	for (size_t i = 0; i + 7 <= n; i++)
		if (strncasecmp((const char *)data + i, "timeout", 7) == 0)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (!server)
		build_server();
	if (n == 0 || n > MAX_INPUT_BYTES || has_deadline(data, n))
		return 0;
	wire_client_talk(&loop, server, data, n, check_idle);
	return 0;
}
