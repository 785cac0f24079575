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
		[INPUT_IDLE] = "idle",	   [INPUT_OPEN] = "open", [INPUT_ENDING] = "ending",
		[INPUT_CLOSED] = "closed", [INPUT_LOST] = "lost",
	};

	if (state != in->state)
		log_debug("input: %s -> %s", names[in->state], names[state]);
	in->state = state;
}

static void put(struct input_stream *in, const Process__StreamInputRequest *request)
{
	call_put(&in->stream.x, &request->base);
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
	in->answered = false;
	in->stream = (struct call_stream){.type = &process__stream_input_response__descriptor};
	if (exchange_open(&in->stream.x, c, "POST", "/process.Process/StreamInput",
			  "Content-Type: application/connect+proto\r\n", EXCHANGE_CHUNKED,
			  err) < 0) {
		call_stream_close(&in->stream);
		return -1;
	}
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
		call_stream_close(&in->stream);
	set_state(in, INPUT_CLOSED);
}

/* Returns true if the next piece can be sent. */
static bool can_send(const struct input_stream *in)
{
	return in->state == INPUT_OPEN && exchange_queued(&in->stream.x) == 0;
}

bool input_wants(const struct input_stream *in)
{
	if (in->escape)
		return in->state != INPUT_IDLE && !in->eof && in->n < INPUT_PIECE_BYTES;
	return can_send(in) && in->n == 0;
}

short input_events(const struct input_stream *in)
{
	if (in->state != INPUT_OPEN && in->state != INPUT_ENDING)
		return 0;
	return exchange_queued(&in->stream.x) ? POLLIN | POLLOUT : POLLIN;
}

static void lose(struct input_stream *in)
{
	error_prefix(&in->err, "stdin");
	call_stream_close(&in->stream);
	set_state(in, INPUT_LOST);
}

/*
 * The process's stdin reaches its end. A process that has ended needs none. 0, or -1 with the error
 * if the call did not arrive.
 */
static int close_stdin(const struct input_stream *in, struct error *err)
{
	Process__CloseStdinRequest request = PROCESS__CLOSE_STDIN_REQUEST__INIT;
	Process__ProcessSelector selector = PROCESS__PROCESS_SELECTOR__INIT;
	struct arena arena = {0};
	ProtobufCMessage *answer;
	int r;

	selector.selector_case = PROCESS__PROCESS_SELECTOR__SELECTOR_PID;
	selector.pid = in->pid;
	request.process = &selector;
	r = call_unary(in->client, "process.Process/CloseStdin", &request.base,
		       &process__close_stdin_response__descriptor, &arena, &answer, err);
	arena_clear(&arena);
	if (r < 0)
		log_debug("input: %s", err->message);
	return r < 0 && err->code == ERROR_UNAVAILABLE ? -1 : 0;
}

/*
 * Adds a key to the piece, or takes it for an escape. The keys were read one byte behind the place
 * at which they are added, because an escape character can be added late.
 */
static void add_key(struct input_stream *in, char key)
{
	if (in->line == INPUT_LINE_BEGIN && key == in->escape) {
		in->line = INPUT_LINE_ESCAPE;
		return;
	}
	if (in->line == INPUT_LINE_ESCAPE && key == '.') {
		in->escaped = true;
		return;
	}
	if (in->line == INPUT_LINE_ESCAPE && key != in->escape)
		in->piece[in->n++] = in->escape;
	in->piece[in->n++] = key;
	in->line = key == '\r' || key == '\n' ? INPUT_LINE_BEGIN : INPUT_LINE_INSIDE;
}

void input_read(struct input_stream *in)
{
	char *to = in->piece + in->n + (in->escape ? 1 : 0);
	ssize_t n = read(STDIN_FILENO, to, INPUT_PIECE_BYTES - in->n);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	in->eof = n <= 0;
	if (!in->escape && n > 0)
		in->n = (size_t)n;
	for (ssize_t i = 0; in->escape && i < n && !in->escaped; i++)
		add_key(in, to[i]);
}

/* Sends the piece. */
static void push(struct input_stream *in)
{
	Process__StreamInputRequest request = PROCESS__STREAM_INPUT_REQUEST__INIT;
	Process__StreamInputRequest__DataEvent data =
		PROCESS__STREAM_INPUT_REQUEST__DATA_EVENT__INIT;
	ProtobufCBinaryData bytes = {.data = (uint8_t *)in->piece, .len = in->n};
	Process__ProcessInput input;

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
	in->n = 0;
	put(in, &request);
	input_step(in);
}

/*
 * The daemon's response is complete. As with a pipe, it is no error of the writer that the process
 * has closed its stdin (internal) or has ended (not_found).
 */
static void take_end(struct input_stream *in)
{
	enum error_code code = in->err.code;
	bool taken = code == ERROR_OK || code == ERROR_INTERNAL || code == ERROR_NOT_FOUND;

	if (taken && code == ERROR_OK && in->state == INPUT_ENDING && !in->pty)
		taken = close_stdin(in, &in->err) == 0;
	if (taken)
		input_close(in);
	else
		lose(in);
}

void input_step(struct input_stream *in)
{
	struct exchange *x = &in->stream.x;
	int r = exchange_flush(x);
	enum call_event event = call_stream_next(&in->stream, 0, &in->err);

	/* The response is one message (Connect, "Client-streaming"). More could never end. */
	if (event == CALL_MESSAGE && !in->answered) {
		in->answered = true;
		event = call_stream_next(&in->stream, 0, &in->err);
	}
	if (event == CALL_MESSAGE) {
		error_set(&in->err, ERROR_INTERNAL, "an answer of more than one message");
		lose(in);
		return;
	}
	if (x->reply.status >= 300)
		error_set(&in->err, ERROR_UNKNOWN, "HTTP status %u", x->reply.status);
	else if (event == CALL_WAIT && r < 0)
		error_set_errno(&in->err, ERROR_UNAVAILABLE, r, "%s", in->client->to);
	else if (event == CALL_WAIT)
		return;
	if (event == CALL_END && x->reply.status < 300)
		take_end(in);
	else
		lose(in);
}

static void keep_alive(struct input_stream *in)
{
	Process__StreamInputRequest request = PROCESS__STREAM_INPUT_REQUEST__INIT;
	Process__StreamInputRequest__KeepAlive keepalive =
		PROCESS__STREAM_INPUT_REQUEST__KEEP_ALIVE__INIT;

	request.event_case = PROCESS__STREAM_INPUT_REQUEST__EVENT_KEEPALIVE;
	request.keepalive = &keepalive;
	put(in, &request);
	input_step(in);
}

void input_tick(struct input_stream *in)
{
	if (in->state == INPUT_CLOSED)
		in->n = 0;
	if (!can_send(in))
		return;
	if (in->n) {
		push(in);
	} else if (in->eof) {
		exchange_put_end(&in->stream.x);
		set_state(in, INPUT_ENDING);
		input_step(in);
	} else if (clock_monotonic_ms() - in->sent_ms >= INPUT_KEEPALIVE_MS) {
		keep_alive(in);
	}
}
