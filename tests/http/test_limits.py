# SPDX-License-Identifier: Apache-2.0
"""The resources that one client, or many, can make the daemon hold, and the effect on other clients."""

import json
import os
import resource
import struct
import time

import pytest
from conftest import ports, start_quietly
from wire import Wire, request, rpc

HEALTH = request("GET", "/health")
MIB = 1 << 20

# A sanitizer has memory of its own and frees late: what is kept tells nothing of the daemon.
MEMORY_COUNTS = "asan" not in os.environ.get("ENVD", "")


def private_kib(pid):
    """Memory that the process has for itself."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestHead:
    def test_largest(self, wire):
        text = request("GET", "/health", "X: ").replace(b"X: ", b"X: " + b"y" * 70000)
        excess = len(text) - 65536
        wire.send(text.replace(b"y" * excess, b"", 1))
        assert wire.answer().status == 204

    def test_too_large(self, wire):
        wire.send(b"GET /health HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 65536)
        answer = wire.answer()
        assert (answer.status, answer["Connection"]) == (431, "close")
        assert wire.closed()

    def test_endless_line(self, wire):
        wire.send(b"G" * 65536)
        assert wire.answer().status == 431
        assert wire.closed()

    def test_most_fields(self, wire):
        wire.send(request("GET", "/health", *(f"X{i}: y" for i in range(999))))
        assert wire.answer().status == 204

    def test_too_many_fields(self, wire):
        wire.send(request("GET", "/health", *(f"X{i}: y" for i in range(1000))))
        assert wire.answer().status == 431
        assert wire.closed()

    def test_refusal_arrives_while_the_client_sends_on(self, wire):
        """Its unread bytes must not make a reset that overtakes the answer."""
        wire.send(b"GET /health HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 300000)
        assert wire.answer().status == 431


class TestBody:
    HEAD = request("POST", "/filesystem.Filesystem/Stat", "Content-Type: application/json",
                   "Transfer-Encoding: chunked")

    def test_endless_extension(self, wire):
        wire.send(self.HEAD + b"1;" + b"x" * 5000)
        assert wire.answer().status == 400
        assert wire.closed()

    def test_many_extensions(self, wire):
        wire.send(self.HEAD + (b"1;" + b"x" * 100 + b"\r\n{\r\n") * 50)
        assert wire.answer().status == 400

    @pytest.mark.parametrize("trailers", [b"x" * 20000, b"x: y\r\n" * 4000])
    def test_endless_trailers(self, wire, trailers):
        wire.send(self.HEAD + b"2\r\n{}\r\n0\r\n" + trailers)
        assert wire.answer().status in (200, 400, 431)
        wire.half_close()
        assert wire.closed()

    @pytest.mark.parametrize("framing, piece", [
        ("Content-Length: 100000000", b" " * MIB),
        ("Transfer-Encoding: chunked", b"100000\r\n" + b" " * MIB + b"\r\n"),
    ])
    def test_message_too_large(self, wire, framing, piece):
        """It is refused while it is sent, and the refusal arrives."""
        wire.send(request("POST", "/filesystem.Filesystem/Stat", "Content-Type: application/json",
                          framing))
        for _ in range(18):
            wire.send(piece)
        answer = wire.answer()
        assert (answer.status, answer.json()["code"]) == (429, "resource_exhausted")


def test_one_byte_chunks_cost_bytes(other_daemon, connect):
    """Each chunk kept the 1 KiB buffer in which it had arrived: a body of 6 MB on the wire took 995
    MiB."""
    daemon = other_daemon()
    wire = connect(daemon.address)
    before = private_kib(daemon.pid)
    wire.send(request("POST", "/process.Process/Start", "Content-Type: application/connect+json",
                      "Transfer-Encoding: chunked"))
    for byte in struct.pack(">BI", 0, 1_000_000):
        wire.send(b"1\r\n" + bytes([byte]) + b"\r\n")
    for _ in range(100):
        wire.send(b"1\r\n \r\n" * 9_000)
    other = connect(daemon.address)
    other.send(HEALTH)
    assert other.answer().status == 204
    wait_for(lambda: budget_used(other, "requests") > 800_000)
    assert private_kib(daemon.pid) - before < 8192 or not MEMORY_COUNTS


def budget_used(wire, name):
    """Bytes that the daemon has charged to a class."""
    wire.send(request("GET", "/metrics", "Accept: application/openmetrics-text"))
    for line in wire.answer().body.decode().splitlines():
        if line.startswith(f'envd_budget_class_used_bytes{{class="{name}"}}'):
            return int(line.split()[1])
    raise AssertionError("the metrics do not tell")


def test_bodies_without_a_token_are_charged(other_daemon, connect):
    """/init needs no token, and its bodies were not charged: 150 connections with unfinished bodies
    held 602 MiB. Now they share a small class, and other requests are not refused because of them."""
    daemon = other_daemon()
    before = private_kib(daemon.pid)
    head = request("POST", "/init", "Content-Type: application/json", "Content-Length: 4000000")
    refused = 0
    for _ in range(30):
        wire = connect(daemon.address)
        wire.socket.settimeout(0.3)
        try:
            wire.send(head + b" " * 3_000_000)
            refused += b" 503 " in wire.socket.recv(1000)
        except (TimeoutError, ConnectionError):
            pass
    assert refused
    other = connect(daemon.address)
    other.send(HEALTH + rpc("process.Process/List", {}))
    assert [other.answer().status for _ in range(2)] == [204, 200]
    assert budget_used(other, "unauthenticated") <= 24 * MIB
    assert private_kib(daemon.pid) - before < 48 * 1024 or not MEMORY_COUNTS


def test_pipelined_requests_are_not_hoarded(other_daemon, connect):
    """A client that sends without reading makes the daemon wait, not grow."""
    daemon = other_daemon()
    wire = connect(daemon.address)
    before = private_kib(daemon.pid)
    text = rpc("filesystem.Filesystem/ListDir", {"path": "/usr/bin"}) * 100
    sent = 0
    wire.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        while sent < 100 * MIB:
            sent += wire.socket.send(text)
    assert private_kib(daemon.pid) - before < 4096 or not MEMORY_COUNTS


@pytest.fixture
def crowd():
    """Thousands of connections, or as many as this process, and a daemon that shares its limit and
    leaves half of it to other things, may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield 3000 if hard == resource.RLIM_INFINITY else min(3000, hard // 2 - 50)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_thousands_of_connections(crowd, other_daemon):
    """Each costs little, none costs time, all are served; and when they have gone, nothing is left."""
    daemon = other_daemon()
    memory = [private_kib(daemon.pid)]
    for _ in range(2):
        wires = [Wire(daemon.address) for _ in range(crowd)]
        for wire in wires:
            wire.send(HEALTH)
        for wire in wires:
            assert wire.answer().status == 204
        memory.append(private_kib(daemon.pid))
        busy = cpu_seconds(daemon.pid)
        for wire in (wires[0], wires[crowd // 2], wires[-1]):
            wire.send(HEALTH)
            assert wire.answer().status == 204
        assert cpu_seconds(daemon.pid) - busy < 0.1
        for wire in wires:
            wire.close()
        wait_for(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) < 100)
    if MEMORY_COUNTS:
        assert memory[1] - memory[0] < crowd * 2
        assert memory[2] - memory[1] < 300
        wait_for(lambda: private_kib(daemon.pid) - memory[0] < 512)


def test_memory_of_unfinished_messages(crowd, other_daemon):
    """docs/limits.md named 256 MiB for all clients together, and thousands of clients with an unfinished
    message made the daemon hold 430. What the account does not count is bounded for each connection."""
    daemon = other_daemon()
    before = private_kib(daemon.pid)
    head = request("POST", "/process.Process/Start", "Content-Type: application/connect+json",
                   "Content-Length: 100000")
    other = Wire(daemon.address)
    wires = [Wire(daemon.address) for _ in range(crowd)]
    for wire in wires:
        wire.send(head + struct.pack(">BI", 0, 99_995) + b" " * 28_000)
    wait_for(lambda: budget_used(other, "requests") >= crowd * (28_000 - 4096))
    if MEMORY_COUNTS:
        charged_kib = budget_used(other, "requests") // 1024
        assert private_kib(daemon.pid) - before < charged_kib + crowd * 16 + 1024
    for wire in (other, *wires):
        wire.close()


def test_without_descriptors():
    """At its limit of descriptors, the daemon serves the existing connections, does not spin, and
    recovers."""
    port = next(ports)
    process = start_quietly("-listen", f"tcp:127.0.0.1:{port}", descriptors=64)
    address = ("127.0.0.1", port)
    try:
        wires = [Wire(address) for _ in range(200)]
        wires[0].send(HEALTH)
        assert wires[0].answer().status == 204
        before = cpu_seconds(process.pid)
        time.sleep(1)  # an interval to measure, not a thing to wait for
        assert cpu_seconds(process.pid) - before < 0.2
        assert len(os.listdir(f"/proc/{process.pid}/fd")) <= 64
        wires[0].send(HEALTH)
        assert wires[0].answer().status == 204
        for wire in wires[1:]:
            wire.close()
        wait_for(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) < 32)

        def recovered():
            # Those that were never accepted are still to be, and found closed.
            with Wire(address) as wire:
                wire.send(rpc("filesystem.Filesystem/Stat", {"path": "/"}))
                return wire.answer().status == 200

        wait_for(recovered)
        wires[0].close()
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_health_when_all_connections_are_taken():
    """A few connections are kept for probes: /health is answered, all else is 503."""
    port = next(ports)
    process = start_quietly("-listen", f"tcp:127.0.0.1:{port}", descriptors=128)
    address = ("127.0.0.1", port)
    wires = []
    try:
        for _ in range(64):
            wires.append(Wire(address))
            wires[-1].send(HEALTH)
            assert wires[-1].answer().status == 204
        # A refusal kept its connection, and sixteen of them took what was kept for probes.
        for _ in range(20):
            refused = Wire(address)
            wires.append(refused)
            refused.send(rpc("filesystem.Filesystem/Stat", {"path": "/"}))
            answer = refused.answer()
            assert (answer.status, answer["Connection"]) == (503, "close")
            assert refused.closed()
        with Wire(address) as probe:
            probe.send(HEALTH)
            assert probe.answer().status == 204
    finally:
        for wire in wires:
            wire.close()
        process.terminate()
        assert process.wait(10) == 0


def test_reserve_connections_are_few(connect, other_daemon):
    """Beyond the limit of 64, which 128 descriptors leave, 16 connections are accepted. Without that limit
    they took the descriptors that requests need."""
    daemon = other_daemon(nofile=(128, 128))
    for _ in range(64):
        wire = connect(daemon.address)
        wire.send(HEALTH)
        assert wire.answer().status == 204
    for _ in range(20):
        connect(daemon.address)
    wait_for(lambda: "connections are not accepted for now: 80 are open" in daemon.log())


class TestSlowHeads:
    """A head has thirty seconds from its first byte. All of it is waited for at once."""

    def test_are_cut(self, connect):
        start = time.monotonic()
        silent, slow, second = connect(), connect(), connect()
        slow.send("GET /health HTTP/1.1\r\n")
        second.send(HEALTH + b"GET /hea")
        assert second.answer().status == 204
        slow.socket.settimeout(1)
        data = b"-"
        while data:
            assert time.monotonic() - start < 40
            try:
                data = slow.socket.recv(100)
            except TimeoutError:
                slow.send("X: y\r\n")
            except ConnectionResetError:
                data = b""
        assert time.monotonic() - start > 25
        assert second.closed()
        silent.send(HEALTH)
        assert silent.answer().status == 204


def address_space(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


if MEMORY_COUNTS:
    def test_without_memory_large_requests_are_refused(other_daemon, connect):
        """When malloc(3) failed, the daemon aborted, and all its processes lost their connections. Now
        it has a reserve: while the reserve is in use, requests with large bodies are refused, and small
        ones are served."""
        daemon = other_daemon()
        gathered = connect(daemon.address)
        gathered.send(HEALTH)
        assert gathered.answer().status == 204
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_AS)
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (address_space(daemon.pid), hard))
        # The memory that this body takes is the reserve's.
        body = json.dumps({"process": {"pid": 1 << 30}, "input": {"stdin": "A" * 800_000}}).encode()
        text = request("POST", "/process.Process/SendInput", "Content-Type: application/json",
                       body=body)
        gathered.send(text[:-10])
        wait_for(lambda: "the reserve of" in daemon.log())
        # Less than the reserve is left, but something.
        room = address_space(daemon.pid) + MIB
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (room, hard))
        refused = connect(daemon.address)
        refused.send(text)
        assert refused.answer().status == 503
        other = connect(daemon.address)
        other.send(HEALTH + rpc("process.Process/List", {}))
        assert [other.answer().status for _ in range(2)] == [204, 200]
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (hard, hard))
        gathered.send(text[-10:])
        assert gathered.answer().status == 404
        other.send(text)
        assert other.answer().status == 404
