# SPDX-License-Identifier: Apache-2.0
"""Files so large that a worker sends them: however the client takes them, it gets just the file's
bytes, and the answer behind them none of those.
"""

import os
import random
import socket
import subprocess
import time

import pytest
from wire import Wire, request

from client import target
from conftest import WORLD, ports, threads, wait_for
from daemon import Daemon

KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20
DATA = random.Random(8).randbytes(24 * MEBIBYTE + 12345)
GET_HEALTH = request("GET", "/health")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    return tmp_path / "f"


def get(files, path, *fields):
    return request("GET", files.target(path), *fields)


def test_without_splice(files, tmp_path):
    """A file on a file system without splice support (hugetlbfs): sendfile(2) fails with EINVAL.

    Before, the response was aborted after its head."""
    where = tmp_path / "huge"
    where.mkdir()
    subprocess.run(["mount", "-t", "hugetlbfs", "hugetlbfs", where], check=True)
    try:
        with open(where / "f", "wb") as f:
            f.truncate(4 << 20)
        assert files.get(where / "f").body == bytes(4 << 20)
        assert files.get(where / "f", "Range: bytes=5-1000004").body == bytes(1_000_000)
    finally:
        subprocess.run(["umount", "-l", where], check=True)


@pytest.mark.parametrize("size", [
    1, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 4 * MEBIBYTE, 4 * MEBIBYTE + 1, len(DATA),
])
def test_next_answer_right_behind(files, path, size):
    os.truncate(path, size)
    with files.connect() as wire:
        wire.send((get(files, path) + GET_HEALTH) * 3)
        for _ in range(3):
            assert wire.answer().body == DATA[:size]
            assert wire.answer().status == 204


@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
@pytest.mark.parametrize("seed", range(5))
def test_pauses(files, path, seed, cold):
    """The client stops for a while, here and there: worker and loop send in turn."""
    chance = random.Random(seed)
    got = bytearray()
    os.sync()  # only what is written can leave the page cache
    with files.connect() as wire:
        wire.send(get(files, path) + GET_HEALTH)
        size = int(wire.head()["Content-Length"])
        got += wire.buffer
        while len(got) < size:
            if cold and chance.random() < 0.05:
                with open(path, "rb") as f:
                    os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            most = chance.choice([1, 5000, 100_000, 700_000, 4_000_000])
            got += wire.socket.recv(min(most, size - len(got)), socket.MSG_WAITALL)
            time.sleep(chance.choice([0, 0, 0, 0, 0.0005, 0.002, 0.02]))
        wire.buffer = b""
        assert wire.answer().status == 204
    assert got == DATA


def test_ranges(files, path):
    """Several parts, each of them large, and text between."""
    ranges = [(0, 2_999_999), (5, 9), (4_000_000, 9_000_000), (20_000_000, len(DATA) - 1)]
    value = ",".join(f"{first}-{last}" for first, last in ranges)
    with files.connect() as wire:
        wire.send(get(files, path, f"Range: bytes={value}") + GET_HEALTH)
        answer = wire.answer()
        assert answer.status == 206
        boundary = answer["Content-Type"].partition("boundary=")[2].encode()
        parts = answer.body.split(b"--" + boundary)[1:-1]
        assert [part.partition(b"\r\n\r\n")[2][:-2] for part in parts] == \
            [DATA[first:last + 1] for first, last in ranges]
        assert wire.answer().status == 204


def test_half_close(files, path):
    """The end of what the client sends is not the end of what it takes."""
    with files.connect() as wire:
        wire.send(get(files, path))
        wire.half_close()
        assert wire.answer().body == DATA
        assert wire.closed()


def test_unix_socket(path):
    socket_path, port = f"{WORLD}/large.sock", next(ports)
    daemon = Daemon("-listen", f"tcp:127.0.0.1:{port}", "-listen", f"unix:{socket_path}",
                    address=("127.0.0.1", port))
    with Wire(socket_path) as wire:
        wire.send(request("GET", target(path)) + GET_HEALTH)
        assert wire.answer().body == DATA
        assert wire.answer().status == 204
    daemon.stop()


def test_others_have_their_turn(files, daemon, tmp_path, path):
    """More downloads than there are workers, all of them going; small requests go on between."""
    wires = [files.connect() for _ in range(80)]
    for wire in wires:
        wire.send(get(files, path, "Range: bytes=0-6000000"))
    for i in range(20):
        assert files.put(tmp_path / "small", str(i)).status == 200
        assert files.get(tmp_path / "small").body == str(i).encode()
    for wire in wires:
        assert wire.answer().body == DATA[:6_000_001]
        wire.close()
    wait_for(lambda: threads(daemon) == 0)


def test_stalled_clients_hold_no_worker(files, daemon, path):
    """Those who take nothing wait on the loop."""
    wires = [files.connect() for _ in range(70)]
    for wire in wires:
        wire.send(get(files, path))
    for wire in wires:
        assert wire.head().status == 200
    wait_for(lambda: threads(daemon) == 0)
    assert files.get(path, "Range: bytes=0-9").body == DATA[:10]
    for wire in wires:
        wire.close()


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def test_reset_midway(files, daemon, path):
    """The client resets the connection while a worker sends. Nothing remains of the download.

    The daemon may still be closing connections of the previous test, which must not be counted."""
    daemon.settle()
    before = descriptors(daemon)
    for seed in range(20):
        chance = random.Random(seed)
        with files.connect() as wire:
            wire.send(get(files, path))
            for _ in range(chance.randrange(4)):
                wire.socket.recv(chance.choice([1, 100_000, 3_000_000]))
            wire.reset()
    wait_for(lambda: threads(daemon) == 0 and descriptors(daemon) <= before)
    assert files.get(path, "Range: bytes=0-9").body == DATA[:10]
