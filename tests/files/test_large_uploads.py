# SPDX-License-Identifier: Apache-2.0
"""Bodies so large that a worker reads them from the connection itself: whatever comes when, the file
has just the body's bytes, and the next request none of them less.
"""

import gzip
import io
import os
import random
import socket
import tarfile
import threading
import time

import pytest
from wire import Wire, request

from client import BYTES, FORM, form, part, target
from conftest import WORLD, ports, threads, wait_for
from daemon import Daemon

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
DATA = random.Random(7).randbytes(6 * MEBIBYTE + 12345)
GET_HEALTH = request("GET", "/health")
SANITIZED = "san" in os.environ.get("ENVD", "")


def send_beside(wire, data):
    """Sends from a thread, for a daemon that answers before all of it was sent."""
    thread = threading.Thread(target=wire.send, args=(data,))
    thread.start()
    return thread


def chunked(data, size):
    pieces = (data[i:i + size] for i in range(0, len(data), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [
    256 * KIBIBYTE - 1, 256 * KIBIBYTE, 256 * KIBIBYTE + 1, 512 * KIBIBYTE, MEBIBYTE, MEBIBYTE + 1,
    len(DATA),
])
def test_next_request_right_behind(files, tmp_path, size):
    """In one piece with the body, of which nobody takes a byte too many."""
    message = request("POST", files.target(tmp_path / "f"), BYTES, body=DATA[:size]) + GET_HEALTH
    with files.connect() as wire:
        sender = send_beside(wire, message * 3)
        for _ in range(3):
            assert wire.answer("POST").status == 200
            assert wire.answer().status == 204
        sender.join()
    assert (tmp_path / "f").read_bytes() == DATA[:size]


@pytest.mark.parametrize("seed", range(6))
def test_pauses(files, tmp_path, seed):
    """The client stops for a while, here and there: bytes come by worker and loop in turn."""
    chance = random.Random(seed)
    message = request("POST", files.target(tmp_path / "f"), BYTES, body=DATA) + GET_HEALTH
    at = 0
    with files.connect() as wire:
        while at < len(message):
            n = chance.choice([1, 100, 5000, 100_000, 700_000, 2_000_000])
            wire.send(message[at:at + n])
            at += n
            time.sleep(chance.choice([0, 0, 0.0005, 0.002, 0.02]))
        assert wire.answer("POST").status == 200
        assert wire.answer().status == 204
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("size", [300 * KIBIBYTE, MEBIBYTE, 3 * MEBIBYTE + 1])
def test_large_chunks(files, tmp_path, size):
    message = request("POST", files.target(tmp_path / "f"), BYTES, "Transfer-Encoding: chunked")
    with files.connect() as wire:
        wire.send(message + chunked(DATA, size) + GET_HEALTH)
        assert wire.answer("POST").status == 200
        assert wire.answer().status == 204
    assert (tmp_path / "f").read_bytes() == DATA


def test_bad_framing_behind_a_large_chunk(files, tmp_path):
    message = request("POST", files.target(tmp_path / "f"), BYTES, "Transfer-Encoding: chunked")
    with files.connect() as wire:
        wire.send(message + b"%x\r\n%sxx" % (len(DATA), DATA))
        assert wire.answer("POST").status == 400
        assert wire.closed()


def test_expect(files, tmp_path):
    with files.connect() as wire:
        wire.send(request("POST", files.target(tmp_path / "f"), BYTES, "Expect: 100-continue",
                          f"Content-Length: {len(DATA)}"))
        assert wire.answer().status == 100
        wire.send(DATA + GET_HEALTH)
        assert wire.answer("POST").status == 200
        assert wire.answer().status == 204
    assert (tmp_path / "f").read_bytes() == DATA


def test_unix_socket(tmp_path):
    path, port = f"{WORLD}/large.sock", next(ports)
    daemon = Daemon("-listen", f"tcp:127.0.0.1:{port}", "-listen", f"unix:{path}",
                    address=("127.0.0.1", port))
    message = request("POST", target(tmp_path / "f"), BYTES, body=DATA) + GET_HEALTH
    with Wire(path) as wire:
        wire.send(message)
        assert wire.answer("POST").status == 200
        assert wire.answer().status == 204
    assert (tmp_path / "f").read_bytes() == DATA
    daemon.stop()


def tar_of(data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("f")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["form", "gzip", "tar", "range", "atomic"])
def test_kinds(files, tmp_path, kind):
    where = tmp_path / "f"
    if kind == "form":
        body = form(part("a small file", disposition='form-data; name="other"'), part(DATA))
        message = request("POST", files.target(where), FORM, body=body)
    elif kind == "gzip":
        message = request("POST", files.target(where), BYTES, "Content-Encoding: gzip",
                          body=gzip.compress(DATA, 1))
    elif kind == "tar":
        message = request("POST", files.target(tmp_path, format="tar"), BYTES, body=tar_of(DATA))
    elif kind == "range":
        where.write_bytes(b"begin")
        message = request("POST", files.target(where), BYTES,
                          f"Content-Range: bytes 5-{len(DATA) + 4}/*", body=DATA)
    else:
        message = request("POST", files.target(where), BYTES, "X-Envd-Atomic: 1", body=DATA)
    with files.connect() as wire:
        wire.send(message + GET_HEALTH)
        assert wire.answer("POST").status == 200
        assert wire.answer().status == 204
    assert where.read_bytes() == (b"begin" if kind == "range" else b"") + DATA


@pytest.mark.parametrize("sent", [256 * KIBIBYTE, 400_000, MEBIBYTE, 3_000_000, 6_000_000])
def test_half_close_midway(files, tmp_path, sent):
    with files.connect() as wire:
        wire.send(request("POST", files.target(tmp_path / "f"), BYTES,
                          f"Content-Length: {len(DATA)}") + DATA[:sent])
        wire.half_close()
        assert wire.answer("POST").status == 400
        assert wire.closed()
    # The upload created the file, so the file goes with it.
    wait_for(lambda: not (tmp_path / "f").exists())


def test_refused_midway(files, mounts, tmp_path):
    """A full disk says so while the client still sends, and the connection goes on behind the body."""
    disk = mounts("tmpfs", 2)
    message = request("POST", files.target(disk / "f"), BYTES, body=DATA) + GET_HEALTH
    with files.connect() as wire:
        sender = send_beside(wire, message)
        assert wire.answer("POST").status == 507
        assert wire.answer().status == 204
        sender.join()


def test_others_have_their_turn(files, daemon, tmp_path):
    """More bodies than there are workers, all of them coming; small requests go on between."""
    wires = [files.connect() for _ in range(80)]
    size = 2 * MEBIBYTE
    senders = []
    for i, wire in enumerate(wires):
        senders.append(send_beside(wire, request(
            "POST", files.target(tmp_path / "d" / str(i)), BYTES, body=DATA[i:i + size])))
    for i in range(20):
        assert files.put(tmp_path / "small", str(i)).status == 200
        assert files.get(tmp_path / "small").body == str(i).encode()
    for i, wire in enumerate(wires):
        assert wire.answer("POST").status == 200
        wire.close()
        assert (tmp_path / "d" / str(i)).read_bytes() == DATA[i:i + size]
    for sender in senders:
        sender.join()
    wait_for(lambda: threads(daemon) == 0)


def test_stalled_clients_hold_no_worker(files, daemon, tmp_path):
    """Those who stop in the midst of a large body wait on the loop."""
    wires = [files.connect() for _ in range(70)]
    for i, wire in enumerate(wires):
        wire.send(request("POST", files.target(tmp_path / "d" / str(i)), BYTES,
                          "Content-Length: 100000000") + DATA[:MEBIBYTE])
    wait_for(lambda: threads(daemon) == 0)
    assert files.put(tmp_path / "f", "x").status == 200
    for wire in wires:
        wire.close()


def private_dirty_kib(daemon):
    with open(f"/proc/{daemon.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Private_Dirty:"))


def test_memory(files, daemon, tmp_path):
    """Eight at once, of any length."""
    block, times = DATA[:MEBIBYTE], 48
    wires = [files.connect() for _ in range(8)]

    def send(wire, path):
        wire.send(request("POST", files.target(path), BYTES, f"Content-Length: {times * MEBIBYTE}"))
        for _ in range(times):
            wire.send(block)

    senders = [threading.Thread(target=send, args=(wire, tmp_path / str(i)))
               for i, wire in enumerate(wires)]
    for sender in senders:
        sender.start()
    most = 0
    while any(sender.is_alive() for sender in senders):
        most = max(most, private_dirty_kib(daemon))
        time.sleep(0.01)
    for wire in wires:
        assert wire.answer("POST").status == 200
        wire.close()
    assert SANITIZED or most <= 6 * KIBIBYTE


def test_reset_midway(files, daemon, tmp_path):
    """While a worker reads; the daemon's end comes for all of them."""
    for seed in range(10):
        chance = random.Random(seed)
        with socket.create_connection(daemon.address) as s:
            # A file each: the one before may still be written when the next is begun.
            s.sendall(request("POST", files.target(tmp_path / str(seed)), BYTES,
                              "Content-Length: 50000000") + DATA[:chance.randrange(len(DATA))])
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_for(lambda: threads(daemon) == 0)
    wait_for(lambda: not list(tmp_path.iterdir()))
