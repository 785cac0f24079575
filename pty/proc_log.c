/* SPDX-License-Identifier: Apache-2.0 */
#include "pty/proc_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "rpc/codec/json.h"

/* Appends a word to the n bytes of a command line, as far as there is room. Returns the length. */
static size_t add_word(char *text, size_t n, size_t max, const char *word)
{
	size_t bytes = strlen(word);

	if (n && n < max)
		text[n++] = ' ';
	if (bytes > max - n)
		bytes = max - n;
	memcpy(text + n, word, bytes);
	return n + bytes;
}

void proc_log_command(const Process__ProcessConfig *config, char *text, size_t max)
{
	size_t i, n = config ? add_word(text, 0, max, config->cmd) : 0;

	for (i = 0; config && i < config->n_args && n < max; i++)
		n = add_word(text, n, max, config->args[i]);
	text[n] = '\0';
}

void proc_log_start(const struct proc *p, const Process__ProcessConfig *config, int64_t timeout_ms)
{
	char command[PROC_LOG_COMMAND_BYTES + 1];

	if (!log_has_sink())
		return;
	proc_log_command(config, command, PROC_LOG_COMMAND_BYTES);
	log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
				     .logger = "process",
				     .event_type = "process_start",
				     .request = p->request,
				     LOG_FIELDS(LOG_NUMBER("pid", p->pid),
						LOG_TEXT("command", command),
						LOG_NUMBER("request_timeout_ms",
							   timeout_ms > 0 ? timeout_ms : 0))},
		  "Process with pid %d started", (int)p->pid);
}

/* Returns the member process_result, owned. */
static char *result_text(const struct proc *p)
{
	Process__ProcessEvent__EndEvent event;
	struct exit_status_text text;
	struct json_writer out;
	size_t n;

	exit_status_event(&p->exit_status, false, &text, &event);
	json_writer_init(&out, 0, 128);
	json_put_object(&out);
	if (event.opt_error_case == PROCESS__PROCESS_EVENT__END_EVENT__OPT_ERROR_ERROR) {
		json_put_name(&out, "error");
		json_put_string(&out, event.error);
	}
	if (event.exit_code) {
		json_put_name(&out, "exit_code");
		json_put_int(&out, event.exit_code);
	}
	if (event.exited) {
		json_put_name(&out, "exited");
		json_put_bool(&out, true);
	}
	json_put_name(&out, "status");
	json_put_string(&out, event.status);
	json_put_object_end(&out);
	json_append(&out, "", 1);
	return json_writer_take(&out, &n);
}

static uint64_t total_bytes(const struct proc *p, enum output_kind kind)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < p->n_outputs; i++)
		if (p->outputs[i].kind == kind)
			bytes += p->outputs[i].total_bytes;
	return bytes;
}

void proc_log_end(const struct proc *p)
{
	char *result;

	if (!log_has_sink())
		return;
	result = result_text(p);
	if (p->readopted)
		log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
					     .logger = "process",
					     .event_type = "process_end_readopted",
					     LOG_FIELDS(LOG_NUMBER("pid", p->pid),
							LOG_JSON("process_result", result))},
			  "Process with pid %d ended", (int)p->pid);
	else
		log_event(
			&(struct log_line){
				.level = LOG_LEVEL_INFO,
				.logger = "process",
				.event_type = "process_end",
				.request = p->request,
				LOG_FIELDS(
					LOG_JSON("process_result", result),
					LOG_NUMBER("stdout_bytes", total_bytes(p, OUTPUT_STDOUT)),
					LOG_NUMBER("stderr_bytes", total_bytes(p, OUTPUT_STDERR)),
					LOG_NUMBER("pty_bytes", total_bytes(p, OUTPUT_PTY)))},
			"Process with pid %d ended", (int)p->pid);
	free(result);
}

void proc_log_readopted(const struct proc *p)
{
	log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
				     .logger = "process",
				     .event_type = "process_readopted",
				     LOG_FIELDS(LOG_NUMBER("pid", p->pid))},
		  "Process with pid %d is taken over", (int)p->pid);
}
