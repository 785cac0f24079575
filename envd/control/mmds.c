/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/control/mmds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "envd/control/http_client.h"
#include "rpc/codec/json.h"

/* A lookup: one request for a session token, and one for the data. */
struct lookup {
	struct mmds *mmds;
	struct http_exchange *exchange; /* NULL: no request is in progress */
	void (*done)(void *arg, const struct mmds_answer *answer);
	void *arg;
};

struct mmds {
	struct loop *loop;
	struct http_url token_url, data_url;
	void (*known)(void *arg, const struct mmds_answer *answer);
	void *known_arg;
	struct lookup poll, question;
	struct timer timer;
	uint64_t poll_began_ms;
	uint64_t poll_ends_ms; /* 0: never */
	unsigned poll_interval_ms;
};

static int get_text(struct json_lexer *in, char *ret, size_t ret_bytes)
{
	if (in->token == JSON_NULL)
		return 0;
	if (in->token != JSON_STRING)
		return json_fail(in, "must be a string");
	if (in->text.n >= ret_bytes)
		return json_fail(in, "is too long");
	ret[json_text_decode(&in->text, ret)] = '\0';
	return 0;
}

int mmds_parse(const char *p, size_t n, struct mmds_answer *ret)
{
	struct json_lexer in;
	struct error err;

	memset(ret, 0, sizeof(*ret));
	json_lexer_init(&in, p, n);
	if (json_open_object(&in))
		while (json_next_field(&in)) {
			if (json_name_is_nocase(&in, "instanceID"))
				get_text(&in, ret->instance_id, sizeof(ret->instance_id));
			else if (json_name_is_nocase(&in, "envID"))
				get_text(&in, ret->env_id, sizeof(ret->env_id));
			else if (json_name_is_nocase(&in, "address"))
				get_text(&in, ret->address, sizeof(ret->address));
			else if (json_name_is_nocase(&in, "accessTokenHash"))
				get_text(&in, ret->token_hash, sizeof(ret->token_hash));
			else
				json_skip(&in);
		}
	return json_finish(&in, &err) < 0 ? -EPROTO : 0;
}

static void lookup_end(struct lookup *l, const struct mmds_answer *answer)
{
	l->exchange = NULL;
	l->done(l->arg, answer);
}

static void on_data(void *arg, int status, const char *body, size_t n)
{
	struct mmds_answer answer;

	if (status == 200 && mmds_parse(body, n, &answer) == 0)
		lookup_end(arg, &answer);
	else
		lookup_end(arg, NULL);
}

static void on_token(void *arg, int status, const char *body, size_t n)
{
	struct lookup *l = arg;
	char fields[512];

	/* The token becomes a header value, so it must not contain a line break. */
	if (status != 200 || n == 0 || n > 256 || strpbrk(body, "\r\n")) {
		lookup_end(l, NULL);
		return;
	}
	snprintf(fields, sizeof(fields), "X-metadata-token: %s\r\nAccept: application/json\r\n",
		 body);
	l->exchange = http_client_start(l->mmds->loop, &l->mmds->data_url, "GET", fields, NULL, 0,
					MMDS_TIMEOUT_MS, on_data, l);
}

static void lookup_start(struct lookup *l)
{
	l->exchange = http_client_start(l->mmds->loop, &l->mmds->token_url, "PUT",
					"X-metadata-token-ttl-seconds: 60\r\n", NULL, 0,
					MMDS_TIMEOUT_MS, on_token, l);
}

/* ---- polling ---- */

static void poll_now(void *arg)
{
	struct mmds *m = arg;

	if (!m->poll.exchange)
		lookup_start(&m->poll);
}

/* An answer ends the poll. Without an answer the poll continues, with growing intervals. */
static void poll_answered(void *arg, const struct mmds_answer *answer)
{
	struct mmds *m = arg;
	uint64_t now = clock_monotonic_ms();

	if (answer) {
		m->known(m->known_arg, answer);
		return;
	}
	if (m->poll_ends_ms && now >= m->poll_ends_ms) {
		log_warn("the metadata service does not answer");
		return;
	}
	if (now - m->poll_began_ms > MMDS_POLL_PATIENCE_MS &&
	    m->poll_interval_ms < MMDS_POLL_SLOW_MS)
		m->poll_interval_ms *= 2;
	if (m->poll_interval_ms > MMDS_POLL_SLOW_MS)
		m->poll_interval_ms = MMDS_POLL_SLOW_MS;
	timer_set_ms(&m->timer, m->poll_interval_ms);
}

void mmds_poll(struct mmds *m, unsigned limit_ms)
{
	m->poll_began_ms = clock_monotonic_ms();
	m->poll_ends_ms = limit_ms ? m->poll_began_ms + limit_ms : 0;
	m->poll_interval_ms = MMDS_POLL_MS;
	timer_cancel(&m->timer);
	poll_now(m);
}

void mmds_ask(struct mmds *m, void (*done)(void *arg, const struct mmds_answer *answer), void *arg)
{
	/* Fatal: the caller's fault; one /init runs at a time (ctl_init.c). */
	if (m->question.exchange)
		fatal("mmds: two questions at a time");
	m->question.done = done;
	m->question.arg = arg;
	lookup_start(&m->question);
}

struct mmds *mmds_new(struct loop *loop, void (*known)(void *arg, const struct mmds_answer *answer),
		      void *arg)
{
	struct mmds *m = mem_zalloc(sizeof(*m));

	m->loop = loop;
	m->known = known;
	m->known_arg = arg;
	m->poll.mmds = m->question.mmds = m;
	m->poll.done = poll_answered;
	m->poll.arg = m;
	http_url_parse("http://169.254.169.254/latest/api/token", &m->token_url);
	http_url_parse("http://169.254.169.254/", &m->data_url);
	timer_init(&m->timer, loop, poll_now, m);
	return m;
}

void mmds_free(struct mmds *m)
{
	if (!m)
		return;
	timer_cancel(&m->timer);
	http_client_cancel(m->poll.exchange);
	http_client_cancel(m->question.exchange);
	free(m);
}
