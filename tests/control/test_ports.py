# SPDX-License-Identifier: Apache-2.0
"""GET /ports: the listeners of the guest, once or as a stream of their changes."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from http.client import HTTPConnection

import pytest

from conftest import PORT, Daemon
from connect import envelope
from wait import wait_for as wait_until

ME = {"pid": os.getpid(), "user": "root"}


@pytest.fixture
def guest():
    d = Daemon("-isnotfc", "-forward-ip", "169.254.0.21")
    yield d
    d.stop(idle_workers=False)


def listed(guest):
    answer = guest.request("GET", "/ports")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.body)["ports"]


def listener(address="127.0.0.1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, 0), family=family)


def port_of(s):
    return s.getsockname()[1]


class Stream:
    """The lines of GET /ports?follow=1, and what they say is open now."""

    def __init__(self, receive_bytes=0):
        self.connection = HTTPConnection("127.0.0.1", PORT)
        self.connection.sock = socket.socket()
        if receive_bytes:
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.connection.sock.settimeout(60)
        self.connection.sock.connect(("127.0.0.1", PORT))
        self.connection.request("GET", "/ports?follow=1")
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        assert self.response.headers["Content-Type"] == "application/x-ndjson"
        self.events = []
        self.open = set()

    def next(self):
        event = json.loads(self.response.readline())
        self.events.append(dict(event))
        kind = event.pop("event")
        key = tuple(sorted(event.items()))
        if kind == "open":
            assert key not in self.open
            self.open.add(key)
        elif kind == "close":
            self.open.remove(key)
        return self.events[-1]

    def ports(self):
        return {dict(key)["port"] for key in self.open}

    def until(self, condition):
        while not condition():
            self.next()

    def close(self):
        self.response.close()
        self.connection.close()


@pytest.fixture
def stream(guest):
    s = Stream()
    yield s
    s.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_list(guest, address):
    with listener(address) as s:
        found = [entry for entry in listed(guest) if entry["port"] == port_of(s)]
        command = found[0].pop("command")
        assert found == [{"address": address, "port": port_of(s), **ME}]
        with open("/proc/self/comm", encoding="ascii") as f:
            assert command == f.read().rstrip("\n")
        port = port_of(s)
    assert port not in [entry["port"] for entry in listed(guest)]


def test_listener_of_another_user_and_of_two_processes(guest):
    """The process is the one with the lowest pid: the parent of servers that fork before they accept.
    The user is the one who opened the socket."""
    program = ("import os, socket, sys\n"
               "os.setuid(65534)\n"
               "s = socket.create_server(('127.0.0.1', 0))\n"
               "child = os.fork()\n"
               "if child: print(s.getsockname()[1], flush=True)\n"
               "sys.stdin.read()\n")
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        port = int(process.stdout.readline())
        found, = [entry for entry in listed(guest) if entry["port"] == port]
        assert (found["pid"], found["user"]) == (process.pid, "nobody")
        process.stdin.close()
        process.wait()


def test_own_listeners_are_not_listed(guest, stream):
    """Neither the daemon's own, nor the forwarder's. The port is forwarded when 169.254.0.21 answers."""
    with listener() as s:
        stream.until(lambda: port_of(s) in stream.ports())
        forwarded = wait_until(lambda: dial("169.254.0.21", port_of(s)), "the forwarded port")
        forwarded.close()
        with listener() as other:
            stream.until(lambda: port_of(other) in stream.ports())
            for ports in (listed(guest), [dict(key) for key in stream.open]):
                assert {entry["address"] for entry in ports if entry["port"] == port_of(s)} == \
                    {"127.0.0.1"}
                assert PORT not in [entry["port"] for entry in ports]


def dial(address, port):
    with contextlib.suppress(ConnectionRefusedError):
        return socket.create_connection((address, port), timeout=20)
    return None


def test_stream(guest, stream):
    """First what is there, then each change."""
    with listener() as first:
        early = Stream()
        early.until(lambda: port_of(first) in early.ports())
        with listener("::1") as second:
            stream.until(lambda: port_of(second) in stream.ports())
            opened = next(e for e in stream.events if e["port"] == port_of(second))
            assert {**opened, "command": None} == {"event": "open", "address": "::1",
                                                   "port": port_of(second), "command": None, **ME}
            port = port_of(second)
        stream.until(lambda: port not in stream.ports())
        assert stream.events[-1] == {**opened, "event": "close"}
        early.close()


def test_a_port_that_changes_hands(guest, stream):
    """Closed and opened again between two scans: the socket is another."""
    with listener() as s:
        port = port_of(s)
        stream.until(lambda: port in stream.ports())
    with socket.create_server(("127.0.0.1", port)):
        stream.until(lambda: [e["event"] for e in stream.events if e["port"] == port] in
                     (["open", "close", "open"],))


def test_the_end_comes_before_the_successor(guest, stream):
    """A socket that takes over an address may be older, and then has the lower inode. Its `open` came
    before the `close` of the one before: two listeners at one address."""
    with socket.socket() as older:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            first.listen()
            port = port_of(first)
            stream.until(lambda: port in stream.ports())
        older.bind(("127.0.0.1", port))
        older.listen()
        stream.until(lambda: [e["event"] for e in stream.events if e["port"] == port] in
                     (["open", "close", "open"],))


def test_listener_that_only_a_listing_saw(guest, stream):
    """A stream was told of a listener that came and went between two scans, because a listing for
    another request saw it. Its end was not reported: a scan was compared with the scan before, and the
    two were equal."""
    for _ in range(5):
        with listener() as s:
            port = port_of(s)
            assert port in [entry["port"] for entry in listed(guest)]
            stream.until(lambda port=port: port in stream.ports())
        stream.until(lambda port=port: port not in stream.ports())


def test_stream_without_forwarding():
    """The scan belongs to the streams then, and begins and ends with them."""
    d = Daemon("-isnotfc")
    try:
        for _ in range(2):
            stream = Stream()
            with listener() as s:
                stream.until(lambda s=s: port_of(s) in stream.ports())
            stream.until(lambda: not stream.open)
            stream.close()
    finally:
        d.stop(idle_workers=False)


def test_slow_stream_is_told_the_differences(guest, stream):
    """A client that does not read for a while is told what differs then, and no step between. So its
    stream has no queue that could grow."""
    with open("/proc/sys/net/ipv4/tcp_wmem", "r+", encoding="ascii") as f:
        before = f.read()
        f.seek(0)
        f.write("4096 4096 4096")
    slow, used = Stream(receive_bytes=4096), set()
    try:
        for _ in range(6):
            with contextlib.ExitStack() as stack:
                here = {port_of(stack.enter_context(listener())) for _ in range(400)}
                stream.until(lambda here=here: here <= stream.ports())
            stream.until(lambda here=here: not here & stream.ports())
            used |= here
        with contextlib.ExitStack() as stack:
            last = stack.enter_context(listener())
            while port_of(last) in used:  # the slow one may still have it from an earlier turn
                last = stack.enter_context(listener())
            stream.until(lambda: port_of(last) in stream.ports())
            slow.until(lambda: port_of(last) in slow.ports())
            assert slow.ports() == stream.ports()
            assert len(slow.events) < len(stream.events) / 2
    finally:
        slow.close()
        with open("/proc/sys/net/ipv4/tcp_wmem", "w", encoding="ascii") as f:
            f.write(before)


def test_keepalive():
    d = Daemon("-isnotfc", "-keepalive", "1")
    try:
        stream = Stream()
        while stream.next() != {"event": "keepalive"}:
            pass
        stream.close()
    finally:
        d.stop(idle_workers=False)


def test_end_of_the_daemon_ends_the_stream():
    """In order: the last chunk comes, so a client can tell the end from a cut."""
    d = Daemon("-isnotfc")
    stream = Stream()
    assert not d.terminate()
    while line := stream.response.readline():
        json.loads(line)
    stream.close()


def test_bad_parameter(guest):
    for query in ("follow=2", "follow=", "follow=1&follow=1"):
        assert guest.request("GET", f"/ports?{query}").status == 400


def test_listener_of_a_started_process(guest):
    """What an agent asks for: it starts a server, and sees its port."""
    program = "import socket, time; s = socket.create_server(('', 0)); time.sleep(60)"
    connection = HTTPConnection("127.0.0.1", PORT)
    connection.request("POST", "/process.Process/Start",
                       envelope({"process": {"cmd": sys.executable, "args": ["-c", program]}}),
                       {"Content-Type": "application/connect+json"})
    response = connection.getresponse()
    start = response.read(5)
    pid = json.loads(response.read(int.from_bytes(start[1:], "big")))["event"]["start"]["pid"]
    stream = Stream()
    stream.until(lambda: pid in {dict(key).get("pid") for key in stream.open})
    stream.close()
    response.close()
    connection.close()
