/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /collapse: moves the daemon's own anonymous memory into huge pages, so that a resume touches
 * fewer pages of the host (MADV_COLLAPSE, madvise(2), Linux 6.1). The daemon's heap is small and
 * seldom contains an aligned range of 2 MiB; the response reports how many there were.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/work.h"
#include "envd/control/control.h"
#include "rpc/codec/json.h"
#include "rpc/http/router.h"
#include "rpc/http/stream.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE_PAGE_BYTES	    (2u * 1024 * 1024)
#define MAPS_FILE_MAX_BYTES (4 * 1024 * 1024)

struct collapse_call {
	struct work work;
	struct stream *stream;
	unsigned regions, chunks, done, skipped;
	uint64_t huge_before, huge_after; /* bytes */
	uint64_t elapsed_us;
};

static void collapse_open(struct stream *s, void *arg);
static void collapse_run(struct work *work);
static void collapse_done(struct work *work);

void ctl_collapse_register(struct control *c, struct router *router)
{
	router_add(router, "POST", "/collapse", collapse_open, c);
}

static void collapse_open(struct stream *s, void *arg)
{
	struct collapse_call *call = arena_zalloc(stream_arena(s), sizeof(*call));
	struct control *c = arg;

	call->stream = stream_ref(s);
	call->work.run = collapse_run;
	call->work.done = collapse_done;
	work_submit(c->collapse_workers, &call->work);
}

/* Returns AnonHugePages of the daemon, in bytes. */
static uint64_t huge_bytes(void)
{
	uint64_t bytes = 0;
	char *text, *at;

	if (fd_read_file(AT_FDCWD, "/proc/self/smaps_rollup", 65536, &text, NULL) < 0)
		return 0;
	at = strstr(text, "AnonHugePages:");
	if (at)
		bytes = strtoull(at + strlen("AnonHugePages:"), NULL, 10) * 1024;
	free(text);
	return bytes;
}

static void collapse_region(struct collapse_call *call, uintptr_t start, uintptr_t end)
{
	uintptr_t at = (start + HUGE_PAGE_BYTES - 1) & ~(uintptr_t)(HUGE_PAGE_BYTES - 1);

	call->regions++;
	for (; at + HUGE_PAGE_BYTES <= end; at += HUGE_PAGE_BYTES) {
		call->chunks++;
		if (madvise((void *)at, HUGE_PAGE_BYTES, MADV_COLLAPSE) == 0)
			call->done++;
		else
			call->skipped++;
	}
}

static void collapse_run(struct work *work)
{
	struct collapse_call *call = container_of(work, struct collapse_call, work);
	uint64_t began = clock_monotonic_us();
	char *maps, *line, *rest, *at, *mode;
	unsigned long start, end, inode;

	call->huge_before = huge_bytes();
	if (fd_read_file(AT_FDCWD, "/proc/self/maps", MAPS_FILE_MAX_BYTES, &maps, NULL) < 0)
		return;
	/*
	 * Anonymous writable memory has no inode, and either no name or the name [heap] (proc(5)).
	 */
	for (rest = maps; (line = strsep(&rest, "\n")) != NULL;) {
		/* 7f0000000000-7f0000001000 rw-p 00000000 00:00 0    [heap] */
		start = strtoul(line, &at, 16);
		if (*at != '-')
			continue;
		end = strtoul(at + 1, &mode, 16);
		if (strncmp(mode, " rw", 3) != 0 || strlen(mode) < 16)
			continue;
		strtoul(mode + 6, &at, 16); /* offset */
		at += strcspn(at + 1, " ") + 1;
		inode = strtoul(at, &at, 10);
		at += strspn(at, " ");
		if (inode == 0 && (*at == '\0' || strcmp(at, "[heap]") == 0))
			collapse_region(call, start, end);
	}
	free(maps);
	call->huge_after = huge_bytes();
	call->elapsed_us = clock_monotonic_us() - began;
}

static void log_collapse(const struct collapse_call *call, unsigned collapsed)
{
	log_event(&(struct log_line){.level = LOG_LEVEL_INFO,
				     .request = stream_log_request(call->stream),
				     LOG_FIELDS(LOG_NUMBER("regions", call->regions),
						LOG_NUMBER("chunks", call->chunks),
						LOG_NUMBER("collapsed", collapsed),
						LOG_NUMBER("already_huge", call->done - collapsed),
						LOG_NUMBER("skipped", call->skipped),
						LOG_NUMBER("elapsed_ms", call->elapsed_us / 1000))},
		  "collapse: %u of %u chunks are huge pages now", call->done, call->chunks);
}

static void collapse_done(struct work *work)
{
	struct collapse_call *call = container_of(work, struct collapse_call, work);
	unsigned collapsed = 0;
	struct json_writer out;

	/*
	 * madvise(2) also succeeds for ranges that were huge before; only the total shows the
	 * difference.
	 */
	if (call->huge_after > call->huge_before)
		collapsed = (unsigned)((call->huge_after - call->huge_before) / HUGE_PAGE_BYTES);
	if (collapsed > call->done)
		collapsed = call->done;
	json_writer_init(&out, 0, 128);
	json_put_object(&out);
	json_put_name(&out, "alreadyHuge");
	json_put_uint(&out, call->done - collapsed);
	json_put_name(&out, "chunks");
	json_put_uint(&out, call->chunks);
	json_put_name(&out, "collapsed");
	json_put_uint(&out, collapsed);
	json_put_name(&out, "elapsedMs");
	json_put_uint(&out, call->elapsed_us / 1000);
	json_put_name(&out, "regions");
	json_put_uint(&out, call->regions);
	json_put_name(&out, "skipped");
	json_put_uint(&out, call->skipped);
	json_put_object_end(&out);
	json_append(&out, "\n", 1);
	log_collapse(call, collapsed);
	stream_set_quiet(call->stream);
	stream_header(call->stream, "Cache-Control", "no-store");
	stream_reply(call->stream, 200, "application/json", out.data, out.n);
	json_writer_clear(&out);
	stream_unref(call->stream);
}
