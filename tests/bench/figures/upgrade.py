# SPDX-License-Identifier: Apache-2.0
"""Live upgrade of a daemon to itself: how long it is away, and how long the workload stands still."""

import contextlib
import http.client
import sys
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


def connection(daemon):
    return http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)


def start(daemon, *command):
    """A process whose client has left; its stream is closed once it has begun."""
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


def replace(daemon):
    """Sends the request for an upgrade without a body: milliseconds until /health is answered again."""
    began = time.monotonic()
    c = connection(daemon)
    c.request("POST", "/upgrade", b"", {"Content-Length": "0"})
    # The answer does not come: the connection ends when the program is replaced.
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


GROUP = (upgrade,)
