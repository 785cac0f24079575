# SPDX-License-Identifier: Apache-2.0
"""Watches: the rate and the delay of events, lost events, and the cost of a big tree."""

import contextlib
import json
import os
import subprocess
import time

import table
import wire

MAX_QUEUED = "/proc/sys/fs/inotify/max_queued_events"


@contextlib.contextmanager
def queue_of(events):
    """Limits the queue of inotify instances created in the `with` block. The limit is that of the machine."""
    with open(MAX_QUEUED, encoding="ascii") as f:
        before = f.read()
    try:
        with open(MAX_QUEUED, "w", encoding="ascii") as f:
            f.write(str(events))
        yield
    finally:
        with open(MAX_QUEUED, "w", encoding="ascii") as f:
            f.write(before)


def watch_request(bench, path, recursive=False):
    message = {"path": path, "recursive": recursive}
    return bench.file("watch", wire.stream("filesystem.Filesystem/WatchDir", message))


def messages(raw):
    """Yields the JSON messages in the bytes of a chunked response."""
    body = bytearray()
    at = 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        size = int(raw[at:end] or b"0", 16)
        if not size or end + 2 + size > len(raw):
            break
        body += raw[end + 2:end + 2 + size]
        at = end + 2 + size + 2
    at = 0
    while at + 5 <= len(body):
        size = int.from_bytes(body[at + 1:at + 5], "big")
        yield json.loads(bytes(body[at + 5:at + 5 + size]))
        at += 5 + size


def burst(bench):
    count = 20000 if bench.quick else 100000

    def measure(daemon):
        directory = bench.path(f"burst-{daemon.name}")
        os.makedirs(directory)
        with queue_of(count * 8):
            result = bench.client("burst", "-p", daemon.port, "-n", count,
                                  watch_request(bench, directory), directory)
        subprocess.run(["rm", "-r", directory], check=True)
        return {"rate": result["events"] / result["seconds"], "lost": count - result["events"]}

    m = bench.rounds(3, measure)
    bench.row(f"{count:,} files made in one directory", "events/s", m["rate"],
              table.peer_at_least(2))
    bench.row("  events lost", "", m["lost"], table.at_most(0))


def overflow(bench):
    """Whether a client knows all files at the end: by their events, or because "look again" was sent."""
    count = 20000 if bench.quick else 100000

    def measure(daemon):
        directory = bench.path(f"overflow-{daemon.name}")
        answer = bench.path("overflow-answer")
        os.makedirs(directory)
        with queue_of(1024):
            result = bench.client("burst", "-p", daemon.port, "-n", count, "-o", answer,
                                  watch_request(bench, directory), directory)
        with open(answer, "rb") as f:
            events = [m["filesystem"] for m in messages(f.read()) if "filesystem" in m]
        known = {e["name"] for e in events if e["type"] == "EVENT_TYPE_CREATE"}
        look_again = bool(events) and any(
            e["name"] == "." and e["type"] == "EVENT_TYPE_WRITE" for e in events[-10:])
        right = result["open"] and (len(known) == count or look_again)
        subprocess.run(["rm", "-r", directory], check=True)
        return {"right": float(bool(right))}

    m = bench.rounds(1, measure)
    bench.row("picture right after an overflow (queue of 1,024)", "1 = yes", m["right"],
              table.at_least(1))


def recursive_start(bench):
    count = 2000 if bench.quick else 20000
    tree = bench.path("tree")
    for i in range(count // 100):
        for j in range(100):
            os.makedirs(f"{tree}/{i}/{j}")

    def measure(daemon):
        health = bench.file("health", wire.http("GET", "/health"))
        probe = subprocess.Popen([bench.client_path, "load", "-p", str(daemon.port), "-s", "1.5",
                                  "-i", "1", health], stdout=subprocess.PIPE)
        time.sleep(0.2)
        with bench.client_held("hold", "-p", daemon.port, "-e", "start",
                               watch_request(bench, tree, True)) as held:
            out, _ = probe.communicate()
        p99_us = bench.parse(out.decode())["p99_us"]
        return {"ms": held["seconds"] * 1e3, "p99_ms": p99_us / 1e3}

    m = bench.rounds(3, measure)
    bench.row(f"recursive start on {count:,} directories", "ms", m["ms"], table.peer_at_most(0.5))
    bench.row("  /health p99 meanwhile", "ms", m["p99_ms"], table.at_most(5))


def latency(bench):
    def measure(daemon):
        directory = bench.path(f"latency-{daemon.name}")
        os.makedirs(directory, exist_ok=True)
        with open(f"{directory}/latency", "wb"):
            pass
        return bench.client("watch", "-p", daemon.port, "-n", 500,
                            watch_request(bench, directory), directory)

    m = bench.rounds(5, measure)
    bench.row("from write() to the event, p50", "µs", m["p50_us"], table.at_most(500))
    bench.row("from write() to the event, p99", "µs", m["p99_us"], table.peer_at_most(2))


def many_watchers(bench):
    """Polled watchers, because the memory of a stream is another figure."""
    tree = bench.path("thousand")
    for i in range(1000):
        os.makedirs(f"{tree}/{i // 32}/{i % 32}", exist_ok=True)
    create = bench.file("create-watcher", wire.unary(
        "filesystem.Filesystem/CreateWatcher", {"path": tree, "recursive": True}))
    growth = {1: {}, 100: {}}
    for daemon in bench.daemons.values():
        for count, values in growth.items():
            daemon.stop()
            daemon.start()
            before = daemon.memory_kib()[0]
            bench.client("load", "-p", daemon.port, "-n", count, "-e", "watcherId", create)
            time.sleep(4)  # until idle threads have ended
            values[daemon.name] = daemon.memory_kib()[0] - before
        daemon.stop()
        daemon.start()
    bench.row("memory of a watcher on 1,000 directories", "KiB", growth[1])
    bench.row("memory of 100 watchers on the same", "KiB", growth[100],
              table.at_most(1.5 * growth[1]["ours"], "≤ 1.5 × one"))


GROUP = (latency, burst, overflow, recursive_start, many_watchers)
