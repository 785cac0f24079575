/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch methods of filesystem.Filesystem: WatchDir streams the events of a directory;
 * CreateWatcher, GetWatcherEvents and RemoveWatcher are for clients that poll.
 */
#ifndef WATCH_SERVICE_H
#define WATCH_SERVICE_H

struct router;
struct context;
struct watch_service;

/* Borrows the context with its users and budget. */
struct watch_service *watch_service_new(struct context *context);

/* Frees the service and its polled watchers. All calls must have ended. */
void watch_service_free(struct watch_service *svc);

/* Adds the methods. The service must outlive the router. */
void watch_service_register(struct watch_service *svc, struct router *router);

/* Writes every watch to the log. */
void watch_service_dump(const struct watch_service *svc);

#endif
