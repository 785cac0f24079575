# SPDX-License-Identifier: Apache-2.0
"""Messages that a worker inflates, decodes or compresses, so that the loop serves the others."""

import base64
import gzip
import hashlib
import json
import os
import struct
import time

import pytest
from wire import request, rpc, stream_rpc

LARGE = 1 << 20
ENVS = {f"NAME_{i}": "x" * 20 for i in range(30_000)}


def envelope(message, compressed=False):
    data = json.dumps(message).encode()
    if compressed:
        data = gzip.compress(data)
    return struct.pack(">BI", compressed, len(data)) + data


def envelopes(data):
    """(flags, message) pairs: an answer is compressed if its request was."""
    found = []
    while data:
        flags, n = struct.unpack(">BI", data[:5])
        text = data[5:5 + n]
        found.append((flags & 2, json.loads(gzip.decompress(text) if flags & 1 else text)))
        data = data[5 + n:]
    return found


def start_request(*fields, compressed=False, **process):
    body = envelope({"process": process}, compressed)
    if compressed:
        fields += ("Connect-Content-Encoding: gzip",)
    return request("POST", "/process.Process/Start", "Content-Type: application/connect+json",
                   *fields, body=body)


def output(messages):
    return b"".join(base64.b64decode(message["event"]["data"].get("stdout", ""))
                    for _, message in messages if "data" in message.get("event", {}))


@pytest.mark.parametrize("compressed", [False, True])
def test_start(wire, compressed):
    wire.send(start_request(cmd="sh", args=["-c", "echo $NAME_29999 $#"], envs=ENVS,
                            compressed=compressed))
    messages = envelopes(wire.answer().body)
    assert output(messages) == b"x" * 20 + b" 0\n"
    assert "error" not in messages[-1][1]


def test_start_by_a_client_that_closes_its_side_at_once(wire, connect):
    """The process of a large request is also started, before its client counts as gone."""
    body = envelope({"process": {"cmd": "sleep", "args": ["1000"], "envs": ENVS}, "tag": "closed"})
    wire.send(request("POST", "/process.Process/Start",
                      "Content-Type: application/connect+json", body=body))
    wire.half_close()
    assert envelopes(wire.answer().body)[-1][1]["error"]["code"] == "canceled"
    other = connect()
    kill = rpc("process.Process/SendSignal", {"process": {"tag": "closed"},
                                              "signal": "SIGNAL_SIGKILL"})
    deadline = time.monotonic() + 20
    other.send(kill)
    while other.answer().status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        other.send(kill)


def test_clients_that_go_away(connect):
    """While a worker has their message."""
    for i in range(20):
        wire = connect()
        wire.send(start_request(cmd="true", envs=ENVS, compressed=i % 2 == 1))
        wire.reset()
    wire = connect()
    wire.send(rpc("process.Process/List", {}))
    assert wire.answer().status == 200


@pytest.mark.parametrize("damage", ["json", "gzip"])
def test_malformed(wire, damage):
    body = bytearray(envelope({"process": {"cmd": "true", "envs": ENVS}}, damage == "gzip"))
    body[-10:] = b"\xff" * 10
    wire.send(request("POST", "/process.Process/Start", "Content-Type: application/connect+json",
                      *(["Connect-Content-Encoding: gzip"] if damage == "gzip" else []),
                      body=bytes(body)))
    (flags, message), = envelopes(wire.answer().body)
    assert (flags, message["error"]["code"]) == (2, "invalid_argument")


def test_a_bomb(wire):
    """17 KiB of gzip that are 17 MiB of text."""
    body = gzip.compress(b" " * (17 << 20))
    wire.send(request("POST", "/process.Process/Start", "Content-Type: application/connect+json",
                      "Connect-Content-Encoding: gzip",
                      body=struct.pack(">BI", 1, len(body)) + body))
    (flags, message), = envelopes(wire.answer().body)
    assert (flags, message["error"]["code"]) == (2, "resource_exhausted")


def test_small_gzip_that_inflates_to_much(wire):
    """It is small on the wire, and its text is for a worker."""
    text = json.dumps({"process": {"cmd": "echo", "args": ["hi"]}}).encode() + b" " * LARGE
    body = gzip.compress(text)
    assert len(body) < 8192
    wire.send(request("POST", "/process.Process/Start", "Content-Type: application/connect+json",
                      "Connect-Content-Encoding: gzip",
                      body=struct.pack(">BI", 1, len(body)) + body))
    assert output(envelopes(wire.answer().body)) == b"hi\n"


def test_input_keeps_its_order(wire, connect):
    """Large and small messages of one stream, of which a worker decodes the large ones."""
    wire.send(stream_rpc("process.Process/Start", {"process": {
        "cmd": "sha256sum"}, "stdin": True, "tag": "large-input"}))
    assert wire.head().status == 200
    assert "start" in envelopes(wire.chunk())[0][1]["event"]
    pieces = [os.urandom(n) for n in (10, 1_300_000, 1, 70_000, 900_000, 5)]
    body = envelope({"start": {"process": {"tag": "large-input"}}})
    for i, piece in enumerate(pieces):
        body += envelope({"data": {"input": {"stdin": base64.b64encode(piece).decode()}}}, i % 2)
    other = connect()
    other.send(request("POST", "/process.Process/StreamInput",
                       "Content-Type: application/connect+json",
                       "Connect-Content-Encoding: gzip", body=body))
    assert envelopes(other.answer().body) == [(0, {}), (2, {})]
    other.send(rpc("process.Process/CloseStdin", {"process": {"tag": "large-input"}}))
    assert other.answer().status == 200
    data = b""
    while chunk := wire.chunk():
        data += chunk

    assert output(envelopes(data)).split()[0].decode() == \
        hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.fixture(scope="module")
def many_files(tmp_path_factory):
    path = tmp_path_factory.mktemp("many")
    for i in range(5000):
        (path / f"a-name-that-makes-the-listing-large-{i}").touch()
    return str(path)


def cpu_ticks(pid):
    """CPU time of the loop's thread, and of all threads that live."""
    def ticks(tid):
        with open(f"/proc/{pid}/task/{tid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    tasks = os.listdir(f"/proc/{pid}/task")
    return ticks(pid), sum(ticks(tid) for tid in tasks)


def test_gzip_answer(wire, many_files):
    wire.send(rpc("filesystem.Filesystem/ListDir", {"path": many_files},
                  "Accept-Encoding: gzip") * 2)
    for _ in range(2):
        answer = wire.answer()
        assert answer["Content-Encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(answer.body))["entries"]) == 5000


def test_gzip_answer_is_not_the_loops_work(other_daemon, connect, many_files):
    """A listing of 200,000 entries was compressed on the loop, and /health took 600 ms during that
    time."""
    daemon = other_daemon()
    wire = connect(daemon.address)
    for _ in range(10):
        wire.send(rpc("filesystem.Filesystem/ListDir", {"path": many_files},
                      "Accept-Encoding: gzip") * 4)
        for _ in range(4):
            assert wire.answer().status == 200
    loop, everything = cpu_ticks(daemon.pid)
    assert everything > 20
    assert loop < everything / 3


def test_web_answer(wire, many_files):
    """The same in gRPC-Web, whose answers are in an envelope."""
    message = json.dumps({"path": many_files}).encode()
    wire.send(request("POST", "/filesystem.Filesystem/ListDir",
                      "Content-Type: application/grpc-web+json", "Grpc-Accept-Encoding: gzip",
                      body=struct.pack(">BI", 0, len(message)) + message))
    body = wire.answer().body
    flags, n = struct.unpack(">BI", body[:5])
    assert flags == 1
    assert len(json.loads(gzip.decompress(body[5:5 + n]))["entries"]) == 5000
    flags, n = struct.unpack(">BI", body[5 + n:10 + n])
    assert flags in (0x80, 0x81)


def test_clients_that_do_not_wait_for_their_answer(connect, many_files):
    for _ in range(10):
        wire = connect()
        wire.send(rpc("filesystem.Filesystem/ListDir", {"path": many_files},
                      "Accept-Encoding: gzip"))
        wire.reset()
    wire = connect()
    wire.send(request("GET", "/health"))
    assert wire.answer().status == 204
