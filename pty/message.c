/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/message.h"

static const ProtobufCMessage *wrap(struct message *m, Process__ProcessEvent__EventCase which)
{
	process__start_response__init(&m->response);
	m->response.event = &m->event;
	m->event.event_case = which;
	return &m->response.base;
}

const ProtobufCMessage *message_start(struct message *m, pid_t pid)
{
	process__process_event__start_event__init(&m->start);
	m->start.pid = (uint32_t)pid;
	process__process_event__init(&m->event);
	m->event.start = &m->start;
	return wrap(m, PROCESS__PROCESS_EVENT__EVENT_START);
}

const ProtobufCMessage *message_end(struct message *m, const struct exit_status *exit_status,
				    bool explain)
{
	exit_status_event(exit_status, explain, &m->text, &m->end);
	process__process_event__init(&m->event);
	m->event.end = &m->end;
	return wrap(m, PROCESS__PROCESS_EVENT__EVENT_END);
}

const ProtobufCMessage *message_keepalive(struct message *m)
{
	process__process_event__keep_alive__init(&m->keepalive);
	process__process_event__init(&m->event);
	m->event.keepalive = &m->keepalive;
	return wrap(m, PROCESS__PROCESS_EVENT__EVENT_KEEPALIVE);
}

const ProtobufCMessage *message_data(struct message *m, enum output_kind kind, const uint8_t *data,
				     size_t n)
{
	static const Process__ProcessEvent__DataEvent__OutputCase cases[] = {
		[OUTPUT_STDOUT] = PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDOUT,
		[OUTPUT_STDERR] = PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_STDERR,
		[OUTPUT_PTY] = PROCESS__PROCESS_EVENT__DATA_EVENT__OUTPUT_PTY,
	};

	process__process_event__data_event__init(&m->data);
	m->data.output_case = cases[kind];
	/* The members of the oneof share one place. Encoding does not write to the bytes. */
	m->data.stdout = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)data};
	process__process_event__init(&m->event);
	m->event.data = &m->data;
	return wrap(m, PROCESS__PROCESS_EVENT__EVENT_DATA);
}
