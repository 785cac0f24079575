# SPDX-License-Identifier: Apache-2.0
"""Output that is kept and replayed (X-Envd-Keep-Output, X-Envd-From), and starts that happen once
(X-Envd-Start-Key)."""

import os
import random
import threading

import pytest

from client import Connection, Failed, envelope
from conftest import WORLD, Daemon, wait_for
from kept import OUTPUTS, Reader, offsets

KEEP = {"X-Envd-Keep-Output": "1000000"}

# Writes what a seed says to stdout and stderr, in pieces of random sizes, and waits now and then.
WRITER = """
import os, random, sys, time
r = random.Random(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    fd, n = r.choice([1, 1, 2]), r.choice([1, 10, 1000, 30000])
    data = r.randbytes(n)
    while data:
        data = data[os.write(fd, data):]
    if r.random() < 0.2:
        time.sleep(0.002)
"""


def written(seed, pieces):
    """What WRITER writes."""
    r = random.Random(seed)
    out = {"stdout": b"", "stderr": b""}
    for _ in range(pieces):
        fd, n = r.choice([1, 1, 2]), r.choice([1, 10, 1000, 30000])
        out["stdout" if fd == 1 else "stderr"] += r.randbytes(n)
        r.random()
    return out


@pytest.mark.parametrize("seed", range(4))
def test_readers_that_lose_their_connections(envd, seed):
    """Readers lose their connections at random, and some are slow. Each reader must end with exactly
    the bytes that the process wrote, none of them twice or missing."""
    pieces = 400
    expected = written(seed, pieces)
    total = sum(map(len, expected.values()))
    stream = envd.start("python3", "-c", WRITER, str(seed), str(pieces),
                        headers={"X-Envd-Keep-Output": str(total)})
    readers = [Reader(envd, stream.pid, expected, seed * 10 + i, events=60,
                      at=dict.fromkeys(OUTPUTS, 0), slow=i == 0) for i in range(4)]
    for reader in readers:
        reader.start()
    stream.drain()
    for reader in readers:
        assert reader.finish() == "exit status 0"
        assert reader.gaps == 0
        assert reader.at == {name: len(data) for name, data in expected.items()}
    assert sum(reader.cuts for reader in readers) > 0
    assert {name: stream.out[name] for name in expected} == expected


def test_the_window(envd):
    """Older bytes are dropped, and the offsets say how many. An offset after the end is out of range.
    """
    stream = envd.start("python3", "-c", "import sys; sys.stdout.write(''.join(map(chr, range(65, 91)))"
                        " * 1000); sys.stdout.flush(); sys.stdin.read()",
                        headers={"X-Envd-Keep-Output": "100"}, stdin=True)
    while len(stream.out["stdout"]) < 26000:
        stream.next()
    letters = bytes(range(65, 91)) * 1000
    for asked, begins in (("start", 25900), ("stdout=5", 25900), ("stdout=25990", 25990),
                          ("stdout=26000, stderr=0", 26000)):
        late = envd.connect(pid=stream.pid, headers={"X-Envd-From": asked})
        assert offsets(late) == {"stdout": begins, "stderr": 0}
        assert offsets(late, "X-Envd-Written") == {"stdout": 26000, "stderr": 0}
        late.until("stdout", letters[begins:])
        late.close()
    for asked, code in (("stdout=26001", "out_of_range"), ("pty=0", "invalid_argument"),
                        ("", "invalid_argument"), ("stdout", "invalid_argument"),
                        ("stdout=1,,stderr=1", "invalid_argument"),
                        ("stdout=99999999999999999999", "invalid_argument")):
        with pytest.raises(Failed) as failed:
            envd.connect(pid=stream.pid, headers={"X-Envd-From": asked})
        assert failed.value.code == code, asked
    envd.close_stdin(stream.pid)
    assert stream.drain().end["status"] == "exit status 0"


def test_a_large_window(envd):
    """Reads into the ring of kept output need more room than the window; the window is exact nevertheless.
    """
    seed, pieces, window = 5, 600, 300000
    expected = written(seed, pieces)
    assert sum(map(len, expected.values())) > 8 * window
    stream = envd.start("python3", "-c", WRITER, str(seed), str(pieces),
                        headers={"X-Envd-Keep-Output": str(window)}).drain()
    late = envd.connect(pid=stream.pid, headers={"X-Envd-From": "start"}).drain()
    begin = offsets(late)
    assert sum(len(expected[name]) - begin[name] for name in OUTPUTS) == window
    for name in OUTPUTS:
        assert stream.out[name] == expected[name]
        assert late.out[name] == expected[name][begin[name]:]


def test_after_the_end(envd):
    stream = envd.sh("echo one; echo two >&2; exit 3", headers=KEEP, tag="kept").drain()
    for selected in ({"pid": stream.pid}, {"tag": "kept"}):
        late = envd.connect(**selected, headers={"X-Envd-From": "start"}).drain()
        assert late.out == {"stdout": b"one\n", "stderr": b"two\n", "pty": b""}
        assert late.end == stream.end
    # A stock client that connects late gets what it always got.
    late = envd.connect(pid=stream.pid).drain()
    assert late.out["stdout"] == b"" and late.end["exitCode"] == 3
    assert late.response.headers["X-Envd-Offsets"] is None
    assert late.response.headers["X-Envd-Written"] is None


def test_much_after_the_end_at_the_readers_pace(envd, daemon):
    """Sixteen MiB of a process that has ended go to a slow reader without being queued for it."""
    size = 16 << 20
    stream = envd.sh(f"head -c {size} /dev/zero", headers={"X-Envd-Keep-Output": str(size)}).drain()
    late = envd.connect(pid=stream.pid, headers={"X-Envd-From": "start"}, receive_bytes=4096)
    envd.list()
    late.drain()
    assert len(late.out["stdout"]) == size and late.end["status"] == "exit status 0"


def test_a_terminal(envd):
    stream = envd.pty("stty -echo; echo one; read x; echo two", headers=KEEP).until("pty", b"one\r\n")
    late = envd.connect(pid=stream.pid, headers={"X-Envd-From": "start"}).until("pty", b"one\r\n")
    begin = len(late.out["pty"])
    again = envd.connect(pid=stream.pid, headers={"X-Envd-From": f"pty={begin}"})
    envd.send_input(stream.pid, b"\n", kind="pty")
    for reader in (stream, late, again):
        reader.drain()
    assert late.out == stream.out and late.out["pty"][begin:] == again.out["pty"]


def test_a_process_that_nobody_reads(envd):
    stream = envd.sh("read x; echo unseen; read y", headers=KEEP, stdin=True)
    stream.close()
    envd.send_input(stream.pid, b"\n")
    late = envd.connect(pid=stream.pid, headers={"X-Envd-From": "start"}).until("stdout", b"unseen\n")
    envd.kill(stream.pid)
    assert late.drain().end["status"] == "signal: killed"


def test_keep_for(envd):
    stream = envd.sh("echo brief", headers={**KEEP, "X-Envd-Keep-For": "1"}).drain()

    def is_forgotten():
        try:
            envd.connect(pid=stream.pid, headers={"X-Envd-From": "start"}).drain()
            return False
        except Failed as failed:
            return failed.code == "not_found"

    assert not is_forgotten()
    wait_for(is_forgotten)


def test_long_tags_of_ended_processes():
    """A remembered exit kept its tag without a charge: a client that started `true` with tags of 1 MiB,
    and asked to keep each exit for a day, made the daemon grow by 1 MiB for each start. The oldest exits
    are dropped when their tags fill the share."""
    daemon = Daemon()
    tags = [f"{i}-".ljust(1 << 20, "t") for i in range(40)]
    for tag in tags:
        daemon.client.run("true", tag=tag, headers={"X-Envd-Keep-For": "86400"})
    assert 30 << 20 < daemon.budgets()["bytes"] < 35 << 20
    # A short tag is not charged, and has room beside them.
    end = daemon.client.run("sh", "-c", "exit 3", tag="short").end
    assert daemon.client.connect(tag="short").drain().end == end
    assert not daemon.terminate()


@pytest.mark.parametrize("headers", [
    {"X-Envd-Keep-Output": "0"}, {"X-Envd-Keep-Output": "67108865"}, {"X-Envd-Keep-Output": "1k"},
    {"X-Envd-Keep-For": "-1"}, {"X-Envd-Keep-For": "86401"}, {"X-Envd-Start-Key": ""},
    {"X-Envd-Start-Key": "k" * 257},
])
def test_headers_that_are_wrong(envd, headers):
    with pytest.raises(Failed) as failed:
        envd.sh("true", headers=headers)
    assert failed.value.code == "invalid_argument"


# ---- X-Envd-Start-Key ----

def test_a_start_that_is_repeated(envd):
    """A client loses its connection between the request and `start`, and repeats the request. Only one
    process is started."""
    path = os.path.join(WORLD, "once")
    headers = {**KEEP, "X-Envd-Start-Key": "repeated"}
    request = {"process": {"cmd": "sh", "args": ["-c", f"echo x >>{path}; echo begun; sleep 100"]}}
    lost = Connection(envd.address)
    lost.request("POST", "/process.Process/Start", envelope(request),
                 {"Content-Type": "application/connect+json", **headers})
    lost.close()
    streams = [envd.stream("Start", request, headers=headers) for _ in range(3)]
    for stream in streams:
        stream.until("stdout", b"begun\n")
    assert len({stream.pid for stream in streams}) == 1 and len(envd.list()) == 1
    with pytest.raises(Failed) as failed:
        envd.start("sleep", "1", headers=headers)
    assert failed.value.code == "already_exists"
    envd.kill(streams[0].pid)
    for stream in streams:
        assert stream.drain().end["status"] == "signal: killed"
    late = envd.stream("Start", request, headers=headers).drain()
    assert late.pid == streams[0].pid and late.out["stdout"] == b"begun\n"
    with open(path, encoding="ascii") as f:
        assert f.read() == "x\n"


# Each header that changes what is started, with two values.
START_HEADERS = {
    "X-Envd-Keep-Output": ("1000", "2000"), "X-Envd-Keep-For": ("60", "61"),
    "X-Envd-Limits": ("nofile=100", "nofile=101"), "X-Envd-Seccomp": ("default", "none"),
    "X-Envd-Kill-Scope": ("leader", "session"), "X-Envd-End": ("leader", "output"),
}


@pytest.mark.parametrize("name", START_HEADERS)
def test_a_repeated_start_with_other_headers(envd, name):
    """A Start whose X-Envd-Limits differed from those of the first one with its key joined the process of
    the first one: the client believed that its limits were in effect. The same held for all headers."""
    request = {"process": {"cmd": "sleep", "args": ["100"]}}
    key = {"X-Envd-Start-Key": f"headers-{name}"}
    first, second = ({**key, name: value} for value in START_HEADERS[name])
    stream = envd.stream("Start", request, headers=first)
    stream.next()
    for other in (key, second):
        with pytest.raises(Failed) as failed:
            envd.stream("Start", request, headers=other).next()
        assert failed.value.code == "already_exists"
    # What belongs to the attempt and not to the process may differ.
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333%d-01"
    for i in range(2):
        again = envd.stream("Start", request, headers={**first, "X-Envd-Explain-End": "1",
                                                       "traceparent": trace % i})
        again.next()
        assert again.pid == stream.pid
    envd.kill(stream.pid)


def test_starts_that_race(envd):
    results = []

    def begin():
        stream = envd.sh("echo x; exit 7", headers={**KEEP, "X-Envd-Start-Key": "race"}).drain()
        results.append((stream.pid, stream.out["stdout"], stream.end["exitCode"]))

    threads = [threading.Thread(target=begin) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20 and len(set(results)) == 1
    assert results[0][1:] == (b"x\n", 7)


def test_a_large_request_with_a_key(envd):
    """The loop computes the digest of a request with a key: 12 MB of arguments stopped it for 100 ms, in
    which not even /health was answered. Larger requests than 1 MiB are refused."""
    headers = {"X-Envd-Start-Key": "large"}
    args = ["x" * 100000] * 10
    assert envd.run("true", *args, headers=headers).end["status"] == "exit status 0"
    with pytest.raises(Failed) as failed:
        envd.run("true", *args, "x" * 50000, headers=headers)
    assert failed.value.code == "invalid_argument" and "1048576" in failed.value.message


def test_a_start_that_fails_frees_its_key(envd):
    headers = {"X-Envd-Start-Key": "failed"}
    for _ in range(2):
        with pytest.raises(Failed) as failed:
            envd.sh("true", cwd="/no/such", headers=headers)
        assert failed.value.code == "invalid_argument"
    assert envd.sh("exit 4", headers=headers).drain().end["exitCode"] == 4
