# SPDX-License-Identifier: Apache-2.0
"""Live upgrade of a daemon to the same program: how long it does not answer, how long the workload is
stopped, and how much output is missing for a client that connects to its process again."""

import base64
import contextlib
import http.client
import json
import os
import sys
import threading
import time

import harness
import table
import wire
from figures import control

PROCESSES = 40
TICKER = """
import sys, time
with open(sys.argv[1], "w", buffering=1) as out:
    while True:
        out.write(f"{time.monotonic_ns()}\\n")
        time.sleep(0.001)
"""

# Writes while the file exists; then writes the number of bytes into it.
WRITER = """
import os, sys, time
block, total = b"x" * 4096, 0
while os.path.exists(sys.argv[1]):
    total += os.write(1, block)
    time.sleep(0.0002)
with open(sys.argv[1] + ".total", "w") as out:
    out.write(str(total))
"""
BEFORE_BYTES = 4 << 20  # that are read before an upgrade, and after it
KEPT_BYTES = 32 << 20


def connection(daemon):
    return http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)


def start(daemon, *command):
    """Starts a process, and closes its stream when the process has begun."""
    c = connection(daemon)
    c.request("POST", "/process.Process/Start", wire.envelope(wire.encode(wire.start(*command))),
              {"Content-Type": "application/connect+json"})
    c.getresponse().read(5)
    c.close()


def init(daemon):
    c = connection(daemon)
    c.request("POST", "/init", b"{}")
    answer = c.getresponse()
    answer.read()
    c.close()
    return answer


def settle(daemon):
    """Waits until the peer has closed old connections: E2B's envd refuses an upgrade while one of its
    descriptors has a number of 200 or more."""
    began = time.monotonic()
    while daemon.name == "peer" and time.monotonic() - began < 10 and \
            max(map(int, os.listdir(f"/proc/{daemon.process.pid}/fd"))) >= 200:
        time.sleep(0.05)


def replace(daemon):
    """Requests an upgrade without a body. Returns the milliseconds until /health is answered again."""
    began = time.monotonic()
    c = connection(daemon)
    c.request("POST", "/upgrade", b"", {"Content-Length": "0"})
    # No response comes, because the connection ends when the program is replaced.
    with contextlib.suppress(OSError, http.client.HTTPException):
        answer = c.getresponse()
        raise harness.Failed(f"{daemon.name}: the upgrade is refused: {answer.read()!r}")
    c.close()
    while not daemon.healthy():
        if time.monotonic() - began > 10:
            raise harness.Failed(f"{daemon.name} did not come back")
    return (time.monotonic() - began) * 1e3


def longest_gap_ms(path, since_ns):
    with open(path, encoding="ascii") as ticks:
        times = [int(line) for line in ticks.read().split("\n")[:-1]]
    times = [t for t in times if t >= since_ns]
    return max(b - a for a, b in zip(times, times[1:])) / 1e6


def upgrade(bench):
    with control.with_cgroups(bench):
        for daemon in bench.daemons.values():
            init(daemon)
            for _ in range(PROCESSES):
                start(daemon, "/bin/cat")
            start(daemon, sys.executable, "-c", TICKER, bench.file(f"ticks-{daemon.name}", b""))
        time.sleep(0.5)

        def measure(daemon):
            settle(daemon)
            since = time.monotonic_ns()
            away = replace(daemon)
            init(daemon)
            time.sleep(0.1)
            return {"away": away,
                    "still": longest_gap_ms(bench.path(f"ticks-{daemon.name}"),
                                            since)}

        m = bench.rounds(9, measure)
    bench.row(f"upgrade to /health, {PROCESSES} processes", "ms", m["away"], table.at_most(15))
    bench.row("standstill of the workload", "ms", m["still"], table.at_most(20))


class Output(threading.Thread):
    """Reads a stream to its end. Returns the number of bytes of stdout."""

    def __init__(self, daemon, method, message, headers):
        super().__init__()
        c = connection(daemon)
        c.request("POST", f"/process.Process/{method}", wire.envelope(wire.encode(message)),
                  {"Content-Type": "application/connect+json", **headers})
        self.response, self.bytes, self.pid = c.getresponse(), 0, None
        self.next()
        self.start()

    def next(self):
        head = self.response.read(5)
        if len(head) < 5:
            return False
        event = json.loads(self.response.read(int.from_bytes(head[1:], "big"))).get("event", {})
        self.pid = event.get("start", {}).get("pid", self.pid)
        self.bytes += len(base64.b64decode(event.get("data", {}).get("stdout", "")))
        return True

    def run(self):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while self.next():
                pass

    def has_read(self, n):
        began = time.monotonic()
        while self.bytes < n:
            if time.monotonic() - began > 20:
                raise harness.Failed(f"no output: {self.bytes} bytes")
            time.sleep(0.005)


def lost(bench):
    def measure(daemon):
        goes_on = bench.file(f"writes-{daemon.name}", b"")
        first = Output(daemon, "Start", wire.start(sys.executable, "-c", WRITER, goes_on),
                       {"X-Envd-Keep-Output": str(KEPT_BYTES)})
        first.has_read(BEFORE_BYTES)
        settle(daemon)
        replace(daemon)
        init(daemon)
        first.join()
        second = Output(daemon, "Connect", {"process": {"pid": first.pid}},
                        {"X-Envd-From": f"stdout={first.bytes}"})
        second.has_read(BEFORE_BYTES)
        os.unlink(goes_on)
        second.join()
        with open(f"{goes_on}.total", encoding="ascii") as total:
            return {"lost": (int(total.read()) - first.bytes - second.bytes) / 1024}

    with control.with_cgroups(bench):
        for daemon in bench.daemons.values():
            init(daemon)
        m = bench.rounds(5, measure)
    bench.row("output lost over an upgrade", "KiB", m["lost"], table.at_most(0))


GROUP = (upgrade, lost)
