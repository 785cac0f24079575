/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/commands/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/decimal.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "envd/client/show.h"
#include "pty/exit_status.h"

#define RESUME_MS	30000 /* how long a session tries to continue a cut stream */
#define RESUME_RETRY_MS 200
#define FIELDS_BYTES	256

static void set_state(struct session *s, enum session_state state)
{
	static const char *const names[] = {
		[SESSION_STARTING] = "starting",
		[SESSION_RUNNING] = "running",
		[SESSION_DETACHED] = "detached",
		[SESSION_ENDED] = "ended",
	};

	if (state != s->state)
		log_debug("session: %s -> %s", names[s->state], names[state]);
	s->state = state;
}

static void end(struct session *s, int status)
{
	s->status = status;
	set_state(s, SESSION_ENDED);
}

static void fail(struct session *s, const struct error *err)
{
	terminal_restore(&s->terminal);
	client_complain(s->client, err);
	end(s, SESSION_FAILED);
}

int session_parse_escape(const char *text, char *ret)
{
	bool none = strcmp(text, "none") == 0;

	if (!none && (*text <= ' ' || *text > '~' || text[1]))
		return -EINVAL;
	*ret = none ? '\0' : *text;
	return 0;
}

/* Blocks the signals. A descriptor that becomes readable when one arrives. */
static int open_signals(const int *signals, size_t n)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	/* Fatal: at the start of the command. */
	if (fd < 0)
		fatal("signalfd: %s", error_errno_text(errno));
	return fd;
}

struct session *session_new(struct client *c)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT}, winch = SIGWINCH;
	struct session *s = mem_zalloc(sizeof(*s));

	s->client = c;
	s->stream.x.fd = -1;
	s->signal_fd = open_signals(signals, ARRAY_LEN(signals));
	s->winch_fd = open_signals(&winch, 1);
	c->interruptible = true;
	c->interrupt_fd = s->signal_fd;
	return s;
}

void session_free(struct session *s)
{
	terminal_restore(&s->terminal);
	call_stream_close(&s->stream);
	input_close(&s->input);
	s->client->interruptible = false;
	s->client->key_fd = -1;
	fd_close(&s->signal_fd);
	fd_close(&s->winch_fd);
	free(s);
}

/* ---- signals ---- */

static void select_own(const struct session *s, Process__ProcessSelector *ret)
{
	process__process_selector__init(ret);
	ret->selector_case = PROCESS__PROCESS_SELECTOR__SELECTOR_PID;
	ret->pid = s->pid;
}

/* Ends this command because of a signal, and says that the process goes on. */
static void abandon(struct session *s)
{
	struct error err;

	client_interrupted(&err);
	if (s->state == SESSION_RUNNING)
		error_prefix(&err, "process %u was left", s->pid);
	fail(s, &err);
}

/* A failure means that the process has ended, or that the stream fails too. */
static void send_signal(struct session *s, Process__Signal number)
{
	Process__SendSignalRequest request = PROCESS__SEND_SIGNAL_REQUEST__INIT;
	Process__ProcessSelector selector;
	struct arena arena = {0};
	ProtobufCMessage *answer;
	struct error err;

	select_own(s, &selector);
	request.process = &selector;
	request.signal = number;
	request.descendants = true;
	if (call_unary(s->client, "process.Process/SendSignal", &request.base,
		       &process__send_signal_response__descriptor, &arena, &answer, &err) < 0) {
		log_debug("session: %s", err.message);
		if (err.code == ERROR_CANCELED)
			abandon(s);
	}
	arena_clear(&arena);
}

static void send_size(struct session *s)
{
	Process__UpdateRequest request = PROCESS__UPDATE_REQUEST__INIT;
	Process__PTY pty = PROCESS__PTY__INIT;
	Process__PTY__Size size;
	Process__ProcessSelector selector;
	struct arena arena = {0};
	ProtobufCMessage *answer;
	struct error err;

	terminal_size(&size);
	pty.size = &size;
	select_own(s, &selector);
	request.process = &selector;
	request.pty = &pty;
	if (call_unary(s->client, "process.Process/Update", &request.base,
		       &process__update_response__descriptor, &arena, &answer, &err) < 0)
		log_debug("session: %s", err.message);
	arena_clear(&arena);
}

/*
 * This command should end. The process of another command goes on. An own process gets TERM, and
 * KILL if that was not enough; KILL at once if its terminal goes away (`hangup`), because shells
 * ignore TERM on a terminal. After KILL nothing is left to send.
 */
static void leave(struct session *s, bool hangup)
{
	if (!s->owner || s->state == SESSION_STARTING) {
		s->status = s->state == SESSION_STARTING ? SESSION_FAILED : 0;
		set_state(s, SESSION_DETACHED);
		return;
	}
	if (s->signals >= 2) {
		abandon(s);
		return;
	}
	send_signal(s, s->signals || hangup ? PROCESS__SIGNAL__SIGNAL_SIGKILL
					    : PROCESS__SIGNAL__SIGNAL_SIGTERM);
	s->signals++;
}

static void on_signal(struct session *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		leave(s, s->tty);
}

static void on_winch(struct session *s)
{
	struct signalfd_siginfo info;

	if (read(s->winch_fd, &info, sizeof(info)) == sizeof(info) && s->tty &&
	    (s->interactive || s->owner) && s->state == SESSION_RUNNING)
		send_size(s);
}

/* ---- output ---- */

static void complain_of_output(const struct session *s, int errnum)
{
	struct error err;

	error_set_errno(&err, ERROR_ABORTED, errnum, s->to == STDERR_FILENO ? "stderr" : "stdout");
	client_complain(s->client, &err);
}

/* Writes a part of the waiting piece. */
static void write_piece(struct session *s)
{
	ssize_t n = write(s->to, s->p, s->n < SESSION_PIECE ? s->n : SESSION_PIECE);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) {
		/* Nobody reads any more: a local process would get SIGPIPE. Or the disk is full. */
		s->incomplete |= errno != EPIPE;
		if (errno != EPIPE)
			complain_of_output(s, errno);
		s->discard = true;
		s->n = 0;
		leave(s, false);
		return;
	}
	s->p += n;
	s->n -= (size_t)n;
}

static void take_data(struct session *s, const Process__ProcessEvent__DataEvent *data)
{
	const ProtobufCBinaryData *bytes = &data->stdout;
	enum session_output output = SESSION_STDOUT;

	switch (data->output_case) {
	case PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR:
		output = SESSION_STDERR;
		bytes = &data->stderr;
		break;
	case PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_PTY:
		output = SESSION_PTY;
		bytes = &data->pty;
		break;
	case PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT:
		break;
	default:
		return;
	}
	s->offsets[output] += bytes->len;
	if (s->discard)
		return;
	s->p = bytes->data;
	s->n = bytes->len;
	s->to = output == SESSION_STDERR ? STDERR_FILENO : STDOUT_FILENO;
}

/* From now on a wait for the daemon reads keys, so the operator's escape is seen in it. */
static void watch_keys(struct session *s)
{
	bool watched = s->input.escape && !s->input.escaped && input_wants(&s->input);

	s->client->key_fd = watched ? STDIN_FILENO : -1;
}

/* The session sees the end of stdin later, when it reads again. */
static bool on_key(void *arg)
{
	struct session *s = arg;

	input_read(&s->input);
	watch_keys(s);
	s->input.eof = false;
	return s->input.escaped;
}

/* Stdin goes to the process from here on. */
static void begin_input(struct session *s)
{
	struct error err;

	s->input.escape = s->tty ? s->escape : '\0';
	if (input_open(&s->input, s->client, s->pid, s->tty, &err) < 0) {
		fail(s, &err);
		return;
	}
	if (!s->tty || terminal_make_raw(&s->terminal) < 0)
		return;
	s->client->on_key = on_key;
	s->client->key_arg = s;
	watch_keys(s);
	send_size(s); /* it may have changed since the request */
}

static void take_start(struct session *s, const Process__ProcessEvent__StartEvent *start)
{
	if (s->state != SESSION_STARTING) /* a stream that was resumed */
		return;
	s->pid = start->pid;
	set_state(s, SESSION_RUNNING);
	if (s->detach) {
		printf("%u\n", s->pid);
		set_state(s, SESSION_DETACHED);
		return;
	}
	if (s->interactive)
		begin_input(s);
}

static void take_end(struct session *s, const Process__ProcessEvent__EndEvent *event)
{
	struct exit_status status;

	terminal_restore(&s->terminal);
	if (s->observe) {
		end(s, 0);
		return;
	}
	if (event->oom_killed)
		fprintf(stderr, "envd %s: the kernel killed the process for lack of memory\n",
			s->client->command);
	if (exit_status_parse(event, &status) == 0) {
		end(s, event->exited ? status.status : 128 + status.status);
		return;
	}
	fprintf(stderr, "envd %s: the process ended: ", s->client->command);
	show_text(stderr, event->status);
	fputc('\n', stderr);
	end(s, SESSION_FAILED);
}

static void take_event(struct session *s, const Process__ProcessEvent *event)
{
	if (!event)
		return;
	switch (event->event_case) {
	case PROCESS__PROCESS_EVENT__EVENT_START:
		take_start(s, event->start);
		break;
	case PROCESS__PROCESS_EVENT__EVENT_DATA:
		take_data(s, event->data);
		break;
	case PROCESS__PROCESS_EVENT__EVENT_END:
		take_end(s, event->end);
		break;
	default:
		break;
	}
}

/* ---- offsets of kept output ---- */

bool session_parse_offsets(const char *text, uint64_t ret[SESSION_OUTPUTS])
{
	static const char *const names[SESSION_OUTPUTS] = {"stdout=", "stderr=", "pty="};
	size_t i, n;

	for (;;) {
		for (i = 0; i < SESSION_OUTPUTS; i++)
			if (strncmp(text, names[i], strlen(names[i])) == 0)
				break;
		if (i == SESSION_OUTPUTS)
			return false;
		text += strlen(names[i]);
		n = decimal_digits(text, strlen(text), INT64_MAX, &ret[i]);
		text += n;
		if (n == 0 || !*text)
			return n > 0;
		if (*text++ != ',')
			return false;
		text += strspn(text, " ");
	}
}

/*
 * Takes where the outputs of the stream begin, and reports that bytes before are missing. After a
 * crash of the daemon their number is unknown. 0, or -1 with the error if the daemon keeps no
 * output.
 */
static int take_offsets(struct session *s, struct error *err)
{
	const char *text = reply_field(&s->stream.x.reply, "X-Envd-Offsets");
	uint64_t begin[SESSION_OUTPUTS];
	bool lost = false;

	memcpy(begin, s->offsets, sizeof(begin));
	if (!text)
		return error_set(err, ERROR_UNIMPLEMENTED, "this envd keeps no output");
	if (!session_parse_offsets(text, begin))
		return error_set(err, ERROR_INTERNAL, "malformed offsets: %s", text);
	for (size_t i = 0; i < SESSION_OUTPUTS; i++)
		lost |= begin[i] > s->offsets[i];
	if (lost)
		fprintf(stderr, "envd %s: a part of the output is no longer kept\n",
			s->client->command);
	memcpy(s->offsets, begin, sizeof(begin));
	s->tty = strncmp(text, "pty=", 4) == 0;
	text = reply_field(&s->stream.x.reply, "X-Envd-Written");
	if (s->replay && (!text || !session_parse_offsets(text, s->written)))
		return error_set(err, ERROR_UNIMPLEMENTED,
				 "this envd does not say where the output ends; follow it with -f");
	return 0;
}

/* Ends a replay that has all bytes. */
static void settle_replay(struct session *s)
{
	bool all = s->replay && s->state == SESSION_RUNNING && s->n == 0;

	for (size_t i = 0; i < SESSION_OUTPUTS; i++)
		all &= s->offsets[i] >= s->written[i];
	if (all)
		end(s, 0);
}

/* ---- a stream that was cut ---- */

/* Joins the process again, at the bytes that are still missing. True if that succeeded. */
static bool rejoin(struct session *s, struct error *err)
{
	Process__ConnectRequest request = PROCESS__CONNECT_REQUEST__INIT;
	Process__ProcessSelector selector;
	char fields[FIELDS_BYTES];
	const uint64_t *at = s->offsets;

	select_own(s, &selector);
	request.process = &selector;
	if (s->tty)
		snprintf(fields, sizeof(fields), "X-Envd-From: pty=%ju\r\n",
			 (uintmax_t)at[SESSION_PTY]);
	else
		snprintf(fields, sizeof(fields), "X-Envd-From: stdout=%ju, stderr=%ju\r\n",
			 (uintmax_t)at[SESSION_STDOUT], (uintmax_t)at[SESSION_STDERR]);
	call_stream_close(&s->stream);
	if (call_stream_open(&s->stream, s->client, "process.Process/Connect", fields,
			     &request.base, &process__connect_response__descriptor, err) < 0)
		return false;
	/* A daemon that keeps no output would go on at the present end, with a gap. */
	return take_offsets(s, err) == 0;
}

/*
 * A connection was lost. Bytes of stdin that were on their way may be lost too: on a terminal the
 * operator sees that, in a pipe nobody would. A pipe that is at its end stays as it is: its own
 * connection tells whether all bytes arrived.
 */
static void resume(struct session *s, struct error *err)
{
	uint64_t until = clock_monotonic_ms() + RESUME_MS;
	bool input = s->input.state == INPUT_OPEN || s->input.state == INPUT_LOST;

	if (s->state != SESSION_RUNNING || !s->resumable || (input && !s->tty)) {
		if (s->state == SESSION_RUNNING)
			error_prefix(err, "process %u was left", s->pid);
		fail(s, err);
		return;
	}
	while (!rejoin(s, err)) {
		if (err->code != ERROR_UNAVAILABLE || clock_monotonic_ms() > until) {
			error_prefix(err, "process %u was left", s->pid);
			fail(s, err);
			return;
		}
		if (!client_pause(s->client, RESUME_RETRY_MS)) {
			abandon(s);
			return;
		}
	}
	if (!input)
		return;
	input_close(&s->input);
	if (input_open(&s->input, s->client, s->pid, s->tty, err) < 0)
		fail(s, err);
}

/* ---- the loop ---- */

/* The call ended without an end event. */
static void take_failure(struct session *s, struct error *err)
{
	bool timeout = err->code == ERROR_DEADLINE_EXCEEDED;

	if (err->code == ERROR_OK)
		error_set(err, ERROR_DATA_LOSS, "the stream ended before its end event");
	if (timeout)
		error_set(err, ERROR_DEADLINE_EXCEEDED, "the process was killed at its --timeout");
	fail(s, err);
	if (timeout)
		end(s, SESSION_TIMEOUT);
}

/* Input was lost. Only a cut connection can be made again; a refusal would come again. */
static void take_lost_input(struct session *s)
{
	struct error err = s->input.err;

	if (err.code != ERROR_UNAVAILABLE)
		s->resumable = false;
	resume(s, &err);
}

/* Takes what has arrived, up to a piece that waits for its descriptor, or SESSION_MESSAGES. */
static void read_stream(struct session *s)
{
	unsigned left = SESSION_MESSAGES;
	struct error err;

	for (settle_replay(s); s->n == 0 && s->state <= SESSION_RUNNING; settle_replay(s)) {
		s->pending = left-- == 0;
		if (s->pending)
			return;
		switch (call_stream_next(&s->stream, 0, &err)) {
		case CALL_WAIT:
			return;
		case CALL_MESSAGE: /* a ConnectResponse has the same member */
			take_event(s, ((Process__StartResponse *)s->stream.message)->event);
			break;
		case CALL_END:
			take_failure(s, &err);
			break;
		case CALL_LOST:
			resume(s, &err);
			break;
		}
	}
}

static void read_stdin(struct session *s)
{
	input_read(&s->input);
	watch_keys(s);
	if (s->input.eof && s->tty)
		leave(s, true);
}

/* The operator wants to leave at once, because the guest may be out of reach. */
static void escape(struct session *s)
{
	if (s->owner)
		abandon(s);
	else
		leave(s, false);
}

static void turn(struct session *s)
{
	enum { SIGNALS, WINCH, STREAM, OUTPUT, STDIN, INPUT, N };
	struct pollfd p[N] = {
		[SIGNALS] = {.fd = s->signal_fd, .events = POLLIN},
		[WINCH] = {.fd = s->winch_fd, .events = POLLIN},
		[STREAM] = {.fd = s->n ? -1 : s->stream.x.fd, .events = POLLIN},
		[OUTPUT] = {.fd = s->n ? s->to : -1, .events = POLLOUT},
		[STDIN] = {.fd = input_wants(&s->input) ? STDIN_FILENO : -1, .events = POLLIN},
		[INPUT] = {.fd = input_events(&s->input) ? s->input.stream.x.fd : -1,
			   .events = input_events(&s->input)},
	};

	if (poll(p, N, s->pending ? 0 : INPUT_KEEPALIVE_MS) < 0)
		return;
	/* First: a wait in one of the others would read the keys, and this read would block. */
	if (p[STDIN].revents)
		read_stdin(s);
	if (p[SIGNALS].revents)
		on_signal(s);
	if (p[WINCH].revents)
		on_winch(s);
	if (p[OUTPUT].revents)
		write_piece(s);
	if (p[INPUT].revents)
		input_step(&s->input);
	input_tick(&s->input);
	read_stream(s);
	/* After the stream: a process that has ended needs no input. */
	if (s->state == SESSION_RUNNING && s->input.state == INPUT_LOST)
		take_lost_input(s);
	watch_keys(s);
	if (s->state == SESSION_RUNNING && s->input.escaped)
		escape(s);
}

int session_run(struct session *s, const char *method, const char *fields,
		const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type)
{
	struct error err;

	if (call_stream_open(&s->stream, s->client, method, fields, request, type, &err) < 0 ||
	    (s->observe && take_offsets(s, &err) < 0))
		fail(s, &err);
	read_stream(s);
	while (s->state <= SESSION_RUNNING)
		turn(s);
	return s->incomplete ? SESSION_FAILED : s->status;
}
