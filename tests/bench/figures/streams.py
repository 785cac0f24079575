# SPDX-License-Identifier: Apache-2.0
"""The output and the input of processes."""

import socket
import time
import urllib.request

import table
import wire

MIB = 1024 * 1024
LABELS = {"json": "JSON", "proto": "protobuf"}


def output(bench):
    size = 512 * MIB

    for kind, start in (("JSON", wire.start), ("protobuf", wire.start_proto)):
        message = start(bench.client_path, "produce", size)
        request = bench.file(f"produce-{kind}",
                             wire.stream("process.Process/Start", message, close=True))

        def measure(daemon, request=request):
            cpu_us = daemon.cpu_us()
            with daemon.peak_memory() as memory:
                result = bench.client("fetch", "-p", daemon.port, "-m", size, request)
            return {"rate": size / MIB / result["seconds"], **memory,
                    "cpu_us": (daemon.cpu_us() - cpu_us) / (size / MIB)}

        def floor():
            result = bench.client("pipe", bench.client_path, "produce", size)
            return {"rate": size / MIB / result["seconds"]}

        m = bench.rounds(3, measure, floor)
        bench.row(f"stdout in {kind}", "MiB/s", m["rate"], table.peer_at_least(2))
        bench.row("  daemon's memory meanwhile", "KiB", m["peak_kib"], table.at_most(4096))
        bench.row("  daemon CPU per MiB", "µs", m["cpu_us"])


def start_sink(bench, daemon):
    """Starts a process that reads its input to the end. Returns its tag."""
    tag = f"sink-{daemon.name}"
    message = wire.start(bench.client_path, "sink", tag=tag)
    request = bench.file(f"sink-{daemon.name}", wire.stream("process.Process/Start", message))
    return tag, bench.client_held("hold", "-p", daemon.port, "-c", 1, "-e", "start", request)


def close_stdin(daemon, tag):
    body = wire.encode({"process": {"tag": tag}})
    urllib.request.urlopen(urllib.request.Request(
        f"http://127.0.0.1:{daemon.port}/process.Process/CloseStdin", body,
        {"Content-Type": "application/json"})).close()


def input_stream(bench):
    piece = b"x" * 32768
    count = 4096 if not bench.quick else 512

    for kind in ("json", "proto"):
        if kind == "json":
            data = wire.encode({"data": {"input": {"stdin": wire.b64(piece)}}})
        else:
            data = wire.field(2, wire.field(2, wire.field(1, piece)))
        body = bench.file("input-body", wire.chunk(wire.envelope(data)))
        tail = bench.file("input-tail", wire.LAST_CHUNK)

        def measure(daemon, kind=kind, body=body, tail=tail):
            tag, held = start_sink(bench, daemon)
            if kind == "json":
                select = wire.encode({"start": {"process": {"tag": tag}}})
            else:
                select = wire.field(1, wire.field(1, wire.field(2, tag)))
            head = bench.file("input-head",
                              wire.client_stream_head("process.Process/StreamInput", kind) +
                              wire.chunk(wire.envelope(select)))
            size_mib = count * len(piece) / MIB
            with held:
                cpu_us = daemon.cpu_us()
                result = bench.client("push", "-p", daemon.port, "-b", body, "-r", count,
                                      "-t", tail, head)
                cpu_us = daemon.cpu_us() - cpu_us
                close_stdin(daemon, tag)
            return {"rate": size_mib / result["seconds"], "cpu_us": cpu_us / size_mib}

        m = bench.rounds(5, measure)
        bench.row(f"StreamInput in {LABELS[kind]}", "MiB/s", m["rate"])
        bench.row("  daemon CPU per MiB", "µs", m["cpu_us"])


def input_calls(bench):
    piece = b"x" * 4096

    def measure(daemon):
        tag, held = start_sink(bench, daemon)
        call = bench.file("send-input", wire.unary("process.Process/SendInput", {
            "process": {"tag": tag}, "input": {"stdin": wire.b64(piece)}}))
        with held:
            result = bench.client("load", "-p", daemon.port, "-s", 0.7, call)
            close_stdin(daemon, tag)
        return {"rate": result["count"] / result["seconds"]}

    m = bench.rounds(3, measure)
    bench.row("SendInput of 4 KiB, one connection", "/s", m["rate"])


def echo(bench):
    """The time from SendInput of one byte until the process' stream returns this byte."""
    count = 200 if bench.quick else 2000

    def measure(daemon):
        tag = f"echo-{daemon.name}"
        call = wire.unary("process.Process/SendInput", {
            "process": {"tag": tag}, "input": {"stdin": wire.b64(b"x")}})
        times = []
        with socket.create_connection(("127.0.0.1", daemon.port)) as stream, \
                socket.create_connection(("127.0.0.1", daemon.port)) as calls:
            for connection in (stream, calls):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.settimeout(20)
            stream.sendall(wire.stream("process.Process/Start", wire.start("cat", tag=tag)))
            while b'"start"' not in stream.recv(65536):
                pass
            for _ in range(count):
                began = time.perf_counter()
                calls.sendall(call)
                while b'"data"' not in stream.recv(65536):
                    pass
                times.append((time.perf_counter() - began) * 1e6)
                calls.recv(65536)
            close_stdin(daemon, tag)
        times.sort()
        return {"p50": times[count // 2], "p99": times[count * 99 // 100]}

    m = bench.rounds(5, measure)
    bench.row("echo through a process, p50", "µs", m["p50"])
    bench.row("echo through a process, p99", "µs", m["p99"], table.peer_at_most(2))


GROUP = (output, input_stream, input_calls, echo)
