# SPDX-License-Identifier: Apache-2.0
"""Short commands: their duration, their rate, and their cost for the daemon."""

import table
import wire


def request(bench):
    return bench.file("start-true", wire.stream("process.Process/Start", wire.start("/bin/true")))


def latency(bench):
    def measure(daemon):
        cpu_us = daemon.cpu_us()
        result = bench.client("load", "-p", daemon.port, "-n", 200, "-e", "exit status 0",
                              request(bench))
        result["cpu_us"] = (daemon.cpu_us() - cpu_us) / result["count"]
        return result

    m = bench.rounds(9, measure, lambda: bench.client("spawn", "-n", 200, "/bin/true"))
    bench.row("command latency p50", "µs", m["p50_us"], table.floor_at_most(1.5))
    bench.row("command latency p99", "µs", m["p99_us"])
    bench.row("daemon CPU per command", "µs", m["cpu_us"])


def at_once(bench):
    def measure(daemon):
        with daemon.peak_memory() as memory:
            result = bench.client("load", "-p", daemon.port, "-c", 32, "-s", 1, "-e",
                                  "exit status 0", request(bench))
        return {"rate": result["count"] / result["seconds"], **memory}

    def floor():
        result = bench.client("spawn", "-c", 32, "-s", 1, "/bin/true")
        return {"rate": result["count"] / result["seconds"]}

    m = bench.rounds(5, measure, floor)
    bench.row("commands at 32 at once", "/s", m["rate"], table.peer_at_least(2))
    bench.row("  daemon's memory meanwhile", "KiB", m["peak_kib"])


def unary(bench):
    call = bench.file("list", wire.unary("process.Process/List", {}))

    def measure(daemon, connections):
        cpu_us = daemon.cpu_us()
        result = bench.client("load", "-p", daemon.port, "-c", connections, "-s", 0.7, call)
        return {"rate": result["count"] / result["seconds"], "p50_us": result["p50_us"],
                "cpu_us": (daemon.cpu_us() - cpu_us) / result["count"]}

    m = bench.rounds(5, lambda daemon: measure(daemon, 1))
    bench.row("unary calls, one connection", "/s", m["rate"])
    bench.row("  latency p50", "µs", m["p50_us"])
    m = bench.rounds(5, lambda daemon: measure(daemon, 16))
    bench.row("unary calls, 16 connections", "/s", m["rate"])
    bench.row("  daemon CPU per call", "µs", m["cpu_us"])


GROUP = (latency, at_once, unary)
