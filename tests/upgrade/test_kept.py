# SPDX-License-Identifier: Apache-2.0
"""Kept output against a model, which knows what the process writes: readers that begin at random
offsets, lose their connections at random, and read slowly; upgrades in between; a process that exits or
is killed; a window that holds all of the output or a part."""

import mmap
import os
import random
import struct

import pytest
from conftest import WORLD, wait_for
from kept import OUTPUTS, Reader

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


def taken_bytes(taken):
    """What the pipes have taken, by output."""
    return struct.unpack("=2q", taken[:])


@pytest.mark.parametrize("seed, ends, window", [
    (1, "exits", None), (2, "killed", None), (3, "exits", 30000), (4, "killed", 5000),
    (5, "exits", 400000)])
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
    readers = [Reader(daemon.client, pid, expected, seed * 10 + i, events=80, slow=i == 0,
                      upgraded=True) for i in range(4)]
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
        assert reader.finish() == ("signal: killed" if ends == "killed" else "exit status 0")
        # All that the pipes had taken, also what nobody had read when the process ended.
        for name, took in zip(OUTPUTS, taken_bytes(taken), strict=True):
            assert took <= reader.at[name] <= len(expected[name])
            assert ends == "killed" or reader.at[name] == len(expected[name])
        assert reader.at == readers[0].at
        assert window or reader.gaps == 0
    assert sum(reader.cuts for reader in readers) > len(readers)
