/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/input_stream.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "process.pb-c.h"

static void set_state(struct input_stream *in, enum input_state state)
{
	static const char *const names[] = {
		[INPUT_IDLE] = "idle",
		[INPUT_OPEN] = "open",
		[INPUT_ENDING] = "ending",
		[INPUT_CLOSED] = "closed",
	};

	if (state != in->state)
		log_debug("input: %s -> %s", names[in->state], names[state]);
	in->state = state;
}

static void put(struct input_stream *in, const Process__StreamInputRequest *request)
{
	call_put(&in->x, &request->base);
	in->sent_ms = clock_monotonic_ms();
}

int input_open(struct input_stream *in, const struct client *c, uint32_t pid, bool pty,
	       struct error *err)
{
	Process__StreamInputRequest request = PROCESS__STREAM_INPUT_REQUEST__INIT;
	Process__StreamInputRequest__StartEvent start =
		PROCESS__STREAM_INPUT_REQUEST__START_EVENT__INIT;
	Process__ProcessSelector selector = PROCESS__PROCESS_SELECTOR__INIT;

	in->client = c;
	in->pid = pid;
	in->pty = pty;
	if (exchange_open(&in->x, c, "POST", "/process.Process/StreamInput",
			  "Content-Type: application/connect+proto\r\n", EXCHANGE_CHUNKED, err) < 0)
		return -1;
	selector.selector_case = PROCESS__PROCESS_SELECTOR__SELECTOR_PID;
	selector.pid = pid;
	start.process = &selector;
	request.event_case = PROCESS__STREAM_INPUT_REQUEST__EVENT_START;
	request.start = &start;
	put(in, &request);
	set_state(in, INPUT_OPEN);
	return 0;
}

void input_close(struct input_stream *in)
{
	if (in->state != INPUT_IDLE)
		exchange_close(&in->x);
	set_state(in, INPUT_CLOSED);
}

bool input_wants(const struct input_stream *in)
{
	return in->state == INPUT_OPEN && exchange_queued(&in->x) == 0;
}

short input_events(const struct input_stream *in)
{
	if (in->state != INPUT_OPEN && in->state != INPUT_ENDING)
		return 0;
	return exchange_queued(&in->x) ? POLLIN | POLLOUT : POLLIN;
}

/* The process's stdin reaches its end. If it has ended meanwhile, nobody misses that. */
static void close_stdin(const struct input_stream *in)
{
	Process__CloseStdinRequest request = PROCESS__CLOSE_STDIN_REQUEST__INIT;
	Process__ProcessSelector selector = PROCESS__PROCESS_SELECTOR__INIT;
	struct arena arena = {0};
	ProtobufCMessage *answer;
	struct error err;

	selector.selector_case = PROCESS__PROCESS_SELECTOR__SELECTOR_PID;
	selector.pid = in->pid;
	request.process = &selector;
	if (call_unary(in->client, "process.Process/CloseStdin", &request.base,
		       &process__close_stdin_response__descriptor, &arena, &answer, &err) < 0)
		log_debug("input: %s", err.message);
	arena_clear(&arena);
}

int input_read(struct input_stream *in)
{
	Process__StreamInputRequest request = PROCESS__STREAM_INPUT_REQUEST__INIT;
	Process__StreamInputRequest__DataEvent data =
		PROCESS__STREAM_INPUT_REQUEST__DATA_EVENT__INIT;
	Process__ProcessInput input;
	ProtobufCBinaryData bytes = {.data = (uint8_t *)in->piece};
	ssize_t n = read(STDIN_FILENO, in->piece, sizeof(in->piece));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n <= 0) {
		exchange_put_end(&in->x);
		set_state(in, INPUT_ENDING);
		input_step(in);
		return 0;
	}
	bytes.len = (size_t)n;
	process__process_input__init(&input);
	if (in->pty) {
		input.input_case = PROCESS__PROCESS_INPUT__INPUT_PTY;
		input.pty = bytes;
	} else {
		input.input_case = PROCESS__PROCESS_INPUT__INPUT_STDIN;
		input.stdin = bytes;
	}
	data.input = &input;
	request.event_case = PROCESS__STREAM_INPUT_REQUEST__EVENT_DATA;
	request.data = &data;
	put(in, &request);
	input_step(in);
	return 1;
}

void input_step(struct input_stream *in)
{
	enum reply_event event = REPLY_MORE;
	struct error err;

	if (exchange_flush(&in->x) < 0)
		event = REPLY_ERROR;
	while (event == REPLY_MORE || event == REPLY_HEAD || event == REPLY_DATA) {
		event = exchange_next(&in->x, 0, &err);
		if (event == REPLY_MORE)
			return;
	}
	/*
	 * The response is there: all input was taken, or the process has closed its stdin or has
	 * ended. As with a pipe, that is no error of the reader.
	 */
	if (in->state == INPUT_ENDING && !in->pty)
		close_stdin(in);
	input_close(in);
}

void input_tick(struct input_stream *in)
{
	Process__StreamInputRequest request = PROCESS__STREAM_INPUT_REQUEST__INIT;
	Process__StreamInputRequest__KeepAlive keepalive =
		PROCESS__STREAM_INPUT_REQUEST__KEEP_ALIVE__INIT;

	if (!input_wants(in) || clock_monotonic_ms() - in->sent_ms < INPUT_KEEPALIVE_MS)
		return;
	request.event_case = PROCESS__STREAM_INPUT_REQUEST__EVENT_KEEPALIVE;
	request.keepalive = &keepalive;
	put(in, &request);
	input_step(in);
}
