# SPDX-License-Identifier: Apache-2.0
"""The cost of the extensions that a client requests, compared with the same work without them."""

import table
import wire

MIB = 1024 * 1024


def true(bench, name, *headers):
    return bench.file(f"true-{name}", wire.stream("process.Process/Start", wire.start("/bin/true"),
                                                  headers=headers))


def command_latency(bench):
    """The floor is our own daemon without the header."""
    plain = true(bench, "plain")
    cases = (
        ("command latency p50 with limits", 1.15, "limits",
         ("X-Envd-Limits", "nofile=1024, core=0, fsize=1G, nice=5")),
        ("command latency p50 with the default profile", 1.1, "profile",
         ("X-Envd-Seccomp", "default")),
        ("command latency p50 with a trace context", 1.1, "trace",
         ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
    )

    def measure(daemon, request):
        return bench.client("load", "-p", daemon.port, "-n", 200, "-e", "exit status 0", request)

    for name, factor, file, header in cases:
        request = true(bench, file, header)
        m = bench.rounds(9, lambda daemon, request=request: measure(daemon, request),
                         lambda: measure(bench.daemons["ours"], plain))
        bench.row(name, "µs", m["p50_us"], table.floor_at_most(factor, "without"))


def kept_output(bench):
    """The daemon keeps the last 1 MiB of 512 MiB of output. The floor is our own daemon without the header.
    """
    size = 512 * MIB

    def measure(daemon, request):
        result = bench.client("fetch", "-p", daemon.port, "-m", size, request)
        return {"rate": size / MIB / result["seconds"]}

    for kind, start in (("JSON", wire.start), ("protobuf", wire.start_proto)):
        message = start(bench.client_path, "produce", size)
        plain, kept = (
            bench.file(f"{name}-{kind}", wire.stream("process.Process/Start", message, close=True,
                                                     headers=headers))
            for name, headers in (("plain", ()), ("kept", [("X-Envd-Keep-Output", MIB)])))
        m = bench.rounds(7, lambda daemon, kept=kept: measure(daemon, kept),
                         lambda plain=plain: measure(bench.daemons["ours"], plain))
        bench.row(f"stdout in {kind} with 1 MiB kept", "MiB/s", m["rate"],
                  table.floor_at_least(0.9, "without"))


def finished_processes(bench):
    count = 100 if bench.quick else 1000
    request = bench.file("finished", wire.stream(
        "process.Process/Start", wire.start_proto(bench.client_path, "produce", 4096),
        headers=(("X-Envd-Keep-Output", 4096), ("X-Envd-Keep-For", 3600))))
    memory = {}
    for daemon in bench.daemons.values():
        daemon.stop()
        daemon.start()
        bench.client("load", "-p", daemon.port, "-n", 10, request)
        before = daemon.memory_kib()[0]
        bench.client("load", "-p", daemon.port, "-n", count, request)
        memory[daemon.name] = (daemon.memory_kib()[0] - before) / 1024
        daemon.stop()
        daemon.start()
    bench.row(f"memory of {count} finished processes with 4 KiB kept", "MiB", memory,
              table.at_most(8))


GROUP = (command_latency, kept_output, finished_processes)
