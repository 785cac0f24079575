# SPDX-License-Identifier: Apache-2.0
"""Kept output against a model, which knows what the process writes: readers that begin at random
offsets, lose their connections at random, and read slowly; upgrades in between; a process that exits or
is killed; a window that holds all of the output or a part."""

import http.client
import mmap
import os
import random
import struct
import threading

import pytest
from client import Failed, Stream
from conftest import WORLD, wait_for

OUTPUTS = ("stdout", "stderr")
UPGRADES = 3
PART_PIECES, SIZES = 100, (1, 10, 1000, 20000)
PIECES = PART_PIECES * UPGRADES

# Writes the pieces of a seed, and counts in a file the bytes that each pipe has taken. It reads a byte
# before each part. Then it exits, or waits.
WRITER = """
import mmap, os, random, struct, sys
r, ends = random.Random(int(sys.argv[1])), sys.argv[2]
taken = mmap.mmap(os.open(sys.argv[3], os.O_RDWR), 16)
pieces, part, *sizes = map(int, sys.argv[4:])
count = {1: 0, 2: 0}
for i in range(pieces):
    fd, data = r.choice([1, 1, 2]), r.randbytes(r.choice(sizes))
    if i % part == 0:
        os.read(0, 1)
    while data:
        n = os.write(fd, data)
        count[fd] += n
        taken[fd * 8 - 8:fd * 8] = struct.pack("=q", count[fd])
        data = data[n:]
if ends == "killed":
    os.read(0, 2)
"""


def written(seed):
    """What WRITER writes in all."""
    r = random.Random(seed)
    out = dict.fromkeys(OUTPUTS, b"")
    for _ in range(PIECES):
        output = OUTPUTS[r.choice([1, 1, 2]) - 1]
        out[output] += r.randbytes(r.choice(SIZES))
    return out


def offsets(stream, header="X-Envd-Offsets"):
    return {name: int(value) for name, _, value in
            (part.strip().partition("=") for part in stream.response.headers[header].split(","))}


class Reader(threading.Thread):
    """Reads to the end of the process. It compares each piece with the model, at its offset."""

    def __init__(self, daemon, pid, expected, random_seed, slow):
        super().__init__()
        self.daemon_, self.pid, self.expected, self.slow = daemon, pid, expected, slow
        self.random = random.Random(random_seed)
        self.at = None  # the offset of the next byte of each output
        self.gaps = self.cuts = 0
        self.end = self.error = None

    def run(self):
        try:
            while self.end is None:
                self.read_for_a_while()
        except BaseException as error:  # shown by the test
            self.error = error

    def connect(self):
        """A stream from where the reader was; None while the daemon does not answer."""
        where = "start" if self.at is None else ", ".join(f"{n}={at}" for n, at in self.at.items())
        try:
            connection = self.daemon_.client.open(
                "Connect", {"process": {"pid": self.pid}}, headers={"X-Envd-From": where},
                receive_bytes=4096 if self.slow else 0)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException):
            return None
        if response.status == 200:
            return Stream(connection, response)
        connection.close()
        return None

    def begin(self, stream):
        begin = offsets(stream)
        if self.at is None:
            # A reader may also begin somewhere in what is kept.
            written = offsets(stream, "X-Envd-Written")
            self.at = {n: self.random.randint(begin[n], written[n]) for n in OUTPUTS}
            return False
        assert all(begin[n] >= self.at[n] for n in OUTPUTS), (begin, self.at)
        self.gaps += begin != self.at
        self.at = begin
        return True

    def next(self, stream):
        """The next event; None if the connection has ended."""
        try:
            return stream.next()
        except Failed as failed:
            assert failed.code in ("unavailable", "aborted"), failed
        except (OSError, http.client.HTTPException, AssertionError):
            pass
        return None

    def read_for_a_while(self):
        stream = self.connect()
        if stream is None:
            return
        events = self.random.randrange(80) if self.begin(stream) else 0
        for _ in range(events):
            event = self.next(stream)
            if event is None:
                break
            for name in OUTPUTS:
                data, at = stream.out[name], self.at[name]
                assert data == self.expected[name][at:at + len(data)], f"{name} at {at}"
                self.at[name] += len(data)
                stream.out[name] = b""
        self.cuts += 1
        self.end = stream.end
        stream.close()


def taken_bytes(taken):
    """What the pipes have taken, by output."""
    return struct.unpack("=2q", taken[:])


@pytest.mark.parametrize("seed, ends, window", [
    (1, "exits", None), (2, "killed", None), (3, "exits", 30000), (4, "killed", 5000)])
def test_model(daemon, seed, ends, window):
    daemon.keeps_output = True
    expected = written(seed)
    path = os.path.join(WORLD, f"taken-{seed}")
    with open(path, "w+b") as file:
        file.truncate(16)
        taken = mmap.mmap(file.fileno(), 16)
    keep = window or sum(map(len, expected.values()))
    process = daemon.client.start(
        "python3", "-c", WRITER, str(seed), ends, path, str(PIECES), str(PART_PIECES), *map(str, SIZES),
        headers={"X-Envd-Keep-Output": str(keep), "X-Envd-Keep-For": "600"}, stdin=True)
    pid = process.pid
    process.close()
    readers = [Reader(daemon, pid, expected, seed * 10 + i, slow=i == 0) for i in range(4)]
    for reader in readers:
        reader.start()
    moment = random.Random(seed)
    for _ in range(UPGRADES):
        some = sum(taken_bytes(taken)) + moment.randrange(100000)
        daemon.client.send_input(pid, b"x")
        wait_for(lambda some=some: sum(taken_bytes(taken)) >= some, "output")
        assert daemon.replace()["failed"] is False
    if ends == "killed":
        daemon.client.kill(pid)
    for reader in readers:
        reader.join()
        assert reader.error is None, reader.error
        assert reader.end["status"] == ("signal: killed" if ends == "killed" else "exit status 0")
        # All that the pipes had taken, also what nobody had read when the process ended.
        for name, took in zip(OUTPUTS, taken_bytes(taken), strict=True):
            assert took <= reader.at[name] <= len(expected[name])
            assert ends == "killed" or reader.at[name] == len(expected[name])
        assert reader.at == readers[0].at
        assert window or reader.gaps == 0
    assert sum(reader.cuts for reader in readers) > len(readers)
