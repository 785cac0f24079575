# SPDX-License-Identifier: Apache-2.0
"""What streams say to proxies, how often they speak, and bytes in lines."""

import base64
import json
import os
import re
import signal
import struct
import urllib.parse

import pytest
from wire import envelopes, request, rpc, stream_rpc

SLEEP = {"process": {"cmd": "sleep", "args": ["1000"]}}


@pytest.fixture
def killed():
    """Pids to be killed at the end."""
    pids = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def started(wire, killed, *fields):
    """Starts a process; the head of the answer."""
    wire.send(stream_rpc("process.Process/Start", SLEEP, *fields))
    head = wire.head()
    (_, message), = envelopes(wire.chunk())
    killed.append(message["event"]["start"]["pid"])
    return head


def test_proxies_do_not_buffer_streams(wire, connect, killed):
    """nginx in front of a sandbox collected the messages of a stream until its buffers were full."""
    assert started(wire, killed)["X-Accel-Buffering"] == "no"
    unary = connect()
    unary.send(rpc("process.Process/List", {}))
    assert unary.answer()["X-Accel-Buffering"] is None


def test_proxies_do_not_buffer_grpc_web(wire, killed):
    body = json.dumps(SLEEP).encode()
    wire.send(request("POST", "/process.Process/Start",
                      "Content-Type: application/grpc-web+json",
                      body=struct.pack(">BI", 0, len(body)) + body))
    assert wire.head()["X-Accel-Buffering"] == "no"
    (_, message), = envelopes(wire.chunk())
    killed.append(message["event"]["start"]["pid"])


def test_message_of_grpc_web(wire):
    """A percent sign in a message is encoded, too: else "%41" of a path would be read as "A"
    (PROTOCOL-HTTP2.md, "Status-Message")."""
    body = json.dumps({"path": "/absent/%41 \u00e9~"}).encode()
    wire.send(request("POST", "/filesystem.Filesystem/Stat", "Content-Type: application/grpc-web+json",
                      body=struct.pack(">BI", 0, len(body)) + body))
    answer = wire.answer()
    message = answer["Grpc-Message"] or re.search(rb"grpc-message: ?([^\r]*)", answer.body)[1].decode()
    assert "/absent/%2541 %C3%A9~" in message
    assert "/absent/%41 \u00e9~" in urllib.parse.unquote(message)


@pytest.mark.parametrize("field", [[], ["Keepalive-Ping-Interval: 0"],
                                   ["Keepalive-Ping-Interval: 86401"],
                                   ["Keepalive-Ping-Interval: soon"]])
def test_keepalive_of_the_daemon(other_daemon, connect, killed, field):
    """Some proxies close a connection that is silent for 60 s, which is less than the keepalive
    interval of 90 s. A flag sets a shorter interval. It applies if the client's value is missing, not a
    number, or out of range."""
    daemon = other_daemon("-keepalive", "1")
    wire = connect(daemon.address)
    started(wire, killed, *field)
    (_, message), = envelopes(wire.chunk())
    assert "keepalive" in message["event"]


def test_base64_in_lines(wire, connect):
    """base64(1) and Ruby split their output into lines, which JSON contains as \n. Such input was
    refused."""
    data = bytes(range(256)) * 10
    wire.send(stream_rpc("process.Process/Start", {"process": {"cmd": "cat"}, "stdin": True,
                                                   "tag": "lines"}))
    assert wire.head().status == 200
    wire.chunk()
    other = connect()
    for newline in ("\n", "\r\n"):
        text = base64.encodebytes(data).decode().replace("\n", newline)
        other.send(rpc("process.Process/SendInput",
                       {"process": {"tag": "lines"}, "input": {"stdin": text}}))
        assert other.answer().status == 200
    other.send(rpc("process.Process/SendInput",
                   {"process": {"tag": "lines"}, "input": {"stdin": "YW\\u0020Jj"}}))
    assert other.answer().status == 400
    other.send(rpc("process.Process/CloseStdin", {"process": {"tag": "lines"}}))
    assert other.answer().status == 200
    got = b""
    while chunk := wire.chunk():
        for _, message in envelopes(chunk):
            got += base64.b64decode(message.get("event", {}).get("data", {}).get("stdout", ""))
    assert got == data * 2
