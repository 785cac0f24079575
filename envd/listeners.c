/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/listeners.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "envd/boot/inherited.h"
#include "envd/options.h"
#include "rpc/http/server.h"

/*
 * The vsock device may appear later, when its module is loaded: try again after 1, 3, 7, … seconds.
 */
#define VSOCK_RETRY_LAST_S 60

/* Between two tries to open a listener of a daemon that takes over processes. */
#define RETRY_MS 100

static const struct listen_spec *default_vsock(const struct options *o)
{
	return &o->listen[1];
}

/* server_listen with the rights that the flags give to the clients of this listener. */
static int open_listener(struct listeners *l, const struct listen_spec *spec, struct error *err)
{
	struct listen_spec copy = *spec;

	copy.restricted = options_restrict_listener(l->options, spec);
	return server_listen(l->server, &copy, err);
}

static void retry_vsock(void *arg)
{
	struct listeners *l = arg;
	const struct listen_spec *spec = default_vsock(l->options);
	struct error err;

	if (open_listener(l, spec, &err) == 0) {
		log_info("listening on %s", spec->text);
		l->opened_later(l->arg);
	} else if (l->vsock_waited_s < VSOCK_RETRY_LAST_S) {
		timer_set_ms(&l->vsock_timer, (l->vsock_waited_s + 1) * 1000);
		l->vsock_waited_s = l->vsock_waited_s * 2 + 1;
	} else {
		log_info("no vsock: %s", err.message);
	}
}

/* Opens one listener. 1, 0 if vsock does not exist yet, or -1 with the reason on stderr. */
static int listen_one(struct listeners *l, const struct listen_spec *spec)
{
	struct error err = {0};

	if (l->options->default_listen && spec == default_vsock(l->options)) {
		if (access("/dev/vsock", F_OK) == 0 && open_listener(l, spec, &err) == 0)
			return 1;
		l->vsock_waited_s = 1;
		timer_set_ms(&l->vsock_timer, 1000);
		return 0;
	}
	if (open_listener(l, spec, &err) == 0)
		return 1;
	fprintf(stderr, "envd: %s\n", err.message);
	return -1;
}

static void add_name(char *names, size_t names_bytes, const struct listen_spec *spec)
{
	size_t n = strlen(names);

	snprintf(names + n, names_bytes - n, "%s%s", n ? ", " : "", spec->text);
}

/* Opens the listeners of the flags that are not open, and adds their names. 0 or -1. */
static int open_flags(struct listeners *l, char *names, size_t names_bytes)
{
	unsigned i;
	int r;

	for (i = 0; i < l->options->n_listen; i++) {
		if (l->opened[i])
			continue;
		r = listen_one(l, &l->options->listen[i]);
		if (r < 0 && !l->takes_over)
			return -1;
		if (r < 0)
			timer_set_ms(&l->retry, RETRY_MS);
		l->opened[i] = r >= 0;
		if (r > 0)
			add_name(names, names_bytes, &l->options->listen[i]);
	}
	return 0;
}

static void retry_flags(void *arg)
{
	struct listeners *l = arg;
	char names[OPTIONS_MAX_LISTEN * 64] = "";

	open_flags(l, names, sizeof(names));
	if (!*names)
		return;
	log_info("listening on %s", names);
	l->opened_later(l->arg);
}

int listeners_open(struct listeners *l, const struct inherited *inherited)
{
	char names[(OPTIONS_MAX_LISTEN + INHERITED_MAX) * 64] = "";
	struct listen_spec spec;
	unsigned i;

	for (i = 0; i < inherited->n; i++) {
		spec = inherited->specs[i];
		spec.restricted = options_restrict_listener(l->options, &spec);
		server_listen_adopted(l->server, inherited->fds[i], &spec);
		add_name(names, sizeof(names), &inherited->specs[i]);
	}
	for (i = 0; i < l->options->n_listen; i++)
		l->opened[i] = inherited_covers(inherited, &l->options->listen[i]);
	if (open_flags(l, names, sizeof(names)) < 0)
		return -1;
	log_info("listening on %s", names);
	return 0;
}

void listeners_init(struct listeners *l, struct loop *loop, struct server *server,
		    const struct options *options, bool takes_over, void (*opened_later)(void *arg),
		    void *arg)
{
	l->takes_over = takes_over;
	l->opened_later = opened_later;
	l->arg = arg;
	l->server = server;
	l->options = options;
	l->vsock_waited_s = 0;
	timer_init(&l->vsock_timer, loop, retry_vsock, l);
	timer_init(&l->retry, loop, retry_flags, l);
}

void listeners_clear(struct listeners *l)
{
	timer_cancel(&l->vsock_timer);
	timer_cancel(&l->retry);
}
