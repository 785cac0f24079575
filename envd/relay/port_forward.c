#include "envd/relay/port_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "envd/relay/address.h"
#include "envd/relay/dial.h"
#include "envd/relay/port_scan.h"
#include "envd/relay/relay.h"

#define BACKLOG	       4096 /* the kernel takes net.core.somaxconn, if that is less */
#define ACCEPTS_A_TURN 16

/* A connection: first the dial to the guest's program, then the relay. */
struct connection {
	struct port_forward *owner;
	int client; /* until the relay takes it */
	struct dial *dial;
	struct relay *relay;
	LIST_ENTRY(connection) link;
};

/* A port that is forwarded. */
struct forwarder {
	struct port_forward *owner;
	uint16_t port;
	unsigned families;
	bool seen; /* by the last scan */
	int fd;
	struct event event;
	LIST_ENTRY(forwarder) link;
};

struct port_forward {
	struct loop *loop;
	int netlink;
	struct address address; /* the port is each forwarder's own */
	const uint64_t *young_since_ms;
	struct timer timer;
	struct relay_hub hub;
	LIST_HEAD(, forwarder) forwarders;
	LIST_HEAD(, connection) connections;
	size_t n_forwarders, n_connections;
	bool accept_paused;
	struct port_set found;
};

static void set_accepting(struct port_forward *f, bool accepting);

/* ---- connections ---- */

static void connection_free(struct connection *c)
{
	struct port_forward *f = c->owner;

	LIST_REMOVE(c, link);
	f->n_connections--;
	fd_close(&c->client);
	if (c->dial)
		dial_free(c->dial);
	if (c->relay)
		relay_free(c->relay);
	free(c);
	if (f->accept_paused)
		set_accepting(f, true);
}

static void on_relay_done(struct relay *r, int rc, void *arg)
{
	connection_free(arg);
}

/* The guest's program answered, or does not: then the client is told by a reset. */
static void on_dialed(struct dial *d, int fd, void *arg)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct connection *c = arg;

	if (fd < 0) {
		setsockopt(c->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		connection_free(c);
		return;
	}
	dial_free(c->dial);
	c->dial = NULL;
	c->relay = relay_new(&c->owner->hub, fd_take(&c->client), fd, on_relay_done, c);
}

static void connection_new(struct forwarder *w, int client)
{
	struct connection *c = mem_zalloc(sizeof(*c));
	struct dial_target target = {0};

	c->owner = w->owner;
	c->client = client;
	LIST_INSERT_HEAD(&w->owner->connections, c, link);
	w->owner->n_connections++;
	address_parse_ip(w->families & PORT_IPV4 ? "127.0.0.1" : "::1", w->port, &target.address);
	c->dial = dial_new(w->owner->loop, &target, 0, on_dialed, c);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct forwarder *w = arg;
	struct port_forward *f = w->owner;
	int i, client;

	for (i = 0; i < ACCEPTS_A_TURN; i++) {
		if (f->n_connections >= PORT_FORWARD_MAX_CONNECTIONS) {
			set_accepting(f, false);
			return;
		}
		client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (client < 0) {
			/* Without descriptors it would fail again at once; the next scan resumes. */
			if (errno == EMFILE || errno == ENFILE)
				set_accepting(f, false);
			return;
		}
		connection_new(w, client);
	}
}

static void set_accepting(struct port_forward *f, bool accepting)
{
	struct forwarder *w;

	f->accept_paused = !accepting;
	LIST_FOREACH (w, &f->forwarders, link) {
		if (accepting)
			event_add(&w->event, NULL);
		else
			event_del(&w->event);
	}
}

/* ---- ports ---- */

static int open_listener(const struct port_forward *f, uint16_t port)
{
	struct address address = f->address;
	int fd, one = 1, r;

	if (address.storage.ss_family == AF_INET)
		((struct sockaddr_in *)&address.storage)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)&address.storage)->sin6_port = htons(port);
	fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address.storage, address.bytes) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static void forwarder_free(struct forwarder *w)
{
	log_debug("port %u is forwarded no more", w->port);
	LIST_REMOVE(w, link);
	w->owner->n_forwarders--;
	event_del(&w->event);
	close(w->fd);
	free(w);
}

/* A port that can't be had (the guest listens on that address itself) is tried at each scan. */
static void forwarder_new(struct port_forward *f, const struct port_found *found)
{
	struct forwarder *w;
	int fd;

	if (f->n_forwarders == PORT_FORWARD_MAX_PORTS)
		return;
	fd = open_listener(f, found->port);
	if (fd < 0)
		return;
	w = mem_zalloc(sizeof(*w));
	w->owner = f;
	w->port = found->port;
	w->families = found->families;
	w->seen = true;
	w->fd = fd;
	event_assign(&w->event, f->loop->base, fd, EV_READ | EV_PERSIST, on_acceptable, w);
	if (!f->accept_paused)
		event_add(&w->event, NULL);
	LIST_INSERT_HEAD(&f->forwarders, w, link);
	f->n_forwarders++;
	log_debug("port %u is forwarded", w->port);
}

static struct forwarder *find_forwarder(struct port_forward *f, uint16_t port)
{
	struct forwarder *w;

	LIST_FOREACH (w, &f->forwarders, link)
		if (w->port == port)
			return w;
	return NULL;
}

/* Makes the forwarders be those of the ports that were found. */
static void update_forwarders(struct port_forward *f)
{
	struct forwarder *w, *next;
	size_t i;

	LIST_FOREACH (w, &f->forwarders, link)
		w->seen = false;
	for (i = 0; i < f->found.n; i++) {
		w = find_forwarder(f, f->found.ports[i].port);
		if (w) {
			w->seen = true;
			w->families = f->found.ports[i].families;
		} else {
			forwarder_new(f, &f->found.ports[i]);
		}
	}
	for (w = LIST_FIRST(&f->forwarders); w; w = next) {
		next = LIST_NEXT(w, link);
		if (!w->seen)
			forwarder_free(w);
	}
}

static void scan(void *arg)
{
	struct port_forward *f = arg;
	uint64_t now = clock_monotonic_ms(), since = *f->young_since_ms;
	bool young = since && now - since < PORT_FORWARD_YOUNG_MS;

	if (f->accept_paused && f->n_connections < PORT_FORWARD_MAX_CONNECTIONS)
		set_accepting(f, true);
	if (port_scan(f->netlink, &f->found) == 0) {
		update_forwarders(f);
	} else {
		/* What is left of a broken answer must not be taken for the next one. */
		fd_close(&f->netlink);
		f->netlink = port_scan_open();
	}
	timer_set_ms(&f->timer, young ? PORT_FORWARD_POLL_YOUNG_MS : PORT_FORWARD_POLL_MS);
}

int port_forward_new(struct loop *loop, const char *address, const uint64_t *young_since_ms,
		     struct port_forward **ret, struct error *err)
{
	struct port_forward *f = mem_zalloc(sizeof(*f));

	f->loop = loop;
	f->young_since_ms = young_since_ms;
	f->netlink = -1;
	if (address_parse_ip(address, 0, &f->address) < 0) {
		free(f);
		return error_set(err, ERROR_INVALID_ARGUMENT, "'%s' is no address", address);
	}
	f->netlink = port_scan_open();
	if (f->netlink < 0) {
		error_set_errno(err, ERROR_UNAVAILABLE, f->netlink, "no port forwarding");
		free(f);
		return -1;
	}
	LIST_INIT(&f->forwarders);
	LIST_INIT(&f->connections);
	relay_hub_init(&f->hub, loop);
	timer_init(&f->timer, loop, scan, f);
	timer_set_ms(&f->timer, 0);
	*ret = f;
	return 0;
}

void port_forward_free(struct port_forward *f)
{
	if (!f)
		return;
	timer_cancel(&f->timer);
	while (!LIST_EMPTY(&f->forwarders))
		forwarder_free(LIST_FIRST(&f->forwarders));
	while (!LIST_EMPTY(&f->connections))
		connection_free(LIST_FIRST(&f->connections));
	relay_hub_clear(&f->hub);
	fd_close(&f->netlink);
	free(f);
}

size_t port_forward_ports(const struct port_forward *f)
{
	return f->n_forwarders;
}

size_t port_forward_connections(const struct port_forward *f)
{
	return f->n_connections;
}
