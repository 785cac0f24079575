# SPDX-License-Identifier: Apache-2.0
"""The cost of an idle daemon, and the time until a new daemon answers."""

import os
import subprocess
import time

import table
import wire


def binary(bench):
    sizes = {}
    for name, daemon in bench.daemons.items():
        stripped = bench.path(f"stripped-{name}")
        subprocess.run(["strip", "-o", stripped, daemon.path], check=True)
        sizes[name] = min(os.path.getsize(p) for p in (stripped, daemon.path)) / 1e6
    bench.row("stripped binary", "MB", sizes, table.at_most(1.9))


def boot(bench):
    """Stops the daemons of the other figures, because this figure starts others on the same ports."""
    for daemon in bench.daemons.values():
        daemon.stop()
    m = bench.rounds(5, lambda daemon: bench.client("boot", "-p", daemon.port, "-n", 8,
                                                    *daemon.argv()))
    bench.row("exec to healthy", "ms", {k: v / 1e3 for k, v in m["p50_us"].items()},
              table.at_most(2))
    for daemon in bench.daemons.values():
        daemon.start()


def rest(bench):
    """Yields new daemons that have each served one command, at least three seconds ago."""
    run = bench.file("rest-true", wire.stream("process.Process/Start", wire.start("/bin/true")))
    for daemon in bench.daemons.values():
        daemon.stop()
        daemon.start()
        bench.client("load", "-p", daemon.port, "-n", 1, "-e", "exit status 0", run)
    time.sleep(4)
    seconds = 2 if bench.quick else 10
    before = {n: (d.wakeups(), d.cpu_us()) for n, d in bench.daemons.items()}
    time.sleep(seconds)
    after = {n: (d.wakeups(), d.cpu_us()) for n, d in bench.daemons.items()}
    memory = {n: d.memory_kib() for n, d in bench.daemons.items()}

    bench.row("idle memory, private dirty", "KiB", {n: m[0] for n, m in memory.items()},
              table.at_most(512))
    bench.row("idle memory, private dirty + clean", "KiB", {n: m[1] for n, m in memory.items()},
              table.at_most(1536))
    # The loop, and the thread for kills: a guest that has used up all processes must not prevent them.
    bench.row("idle threads", "", {n: d.threads() for n, d in bench.daemons.items()},
              table.at_most(2))
    bench.row(f"wake-ups in {seconds} idle seconds", "",
              {n: after[n][0] - before[n][0] for n in before}, table.at_most(0))
    bench.row("idle CPU", "% core",
              {n: (after[n][1] - before[n][1]) / seconds / 1e4 for n in before})


def streams(bench):
    count = 100 if bench.quick else 1000
    cases = (
        ("memory per idle stream (Connect)", "process.Process/Connect",
         {"process": {"tag": "sleeper"}}, table.at_most(8)),
        ("memory per idle process and stream (Start)", "process.Process/Start",
         wire.start("/bin/sleep", 600), None),
    )
    for daemon in bench.daemons.values():
        daemon.stop()
        daemon.start()
    for name, method, message, reach in cases:
        request = bench.file("idle-stream", wire.stream(method, message))
        sleeper = bench.file("sleeper", wire.stream(
            "process.Process/Start", wire.start("/bin/sleep", 600, tag="sleeper")))
        per_stream = {}
        for daemon in bench.daemons.values():
            with bench.client_held("hold", "-p", daemon.port, "-e", "start", sleeper):
                before = daemon.memory_kib()[0]
                with bench.client_held("hold", "-p", daemon.port, "-c", count, "-e", "start",
                                       request):
                    time.sleep(1)
                    per_stream[daemon.name] = (daemon.memory_kib()[0] - before) / count
            daemon.stop()
            daemon.start()
        bench.row(name, "KiB", per_stream, reach)


GROUP = (binary, boot, rest, streams)
