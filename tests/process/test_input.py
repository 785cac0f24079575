# SPDX-License-Identifier: Apache-2.0
"""Input: SendInput, StreamInput, CloseStdin."""

import hashlib
import os
import threading

import pytest

from client import Failed, envelope
from conftest import WORLD, wait_for
from test_steer import fails


def test_send_input(envd):
    stream = envd.start("cat")
    assert envd.send_input(stream.pid, b"one\n") == {}
    stream.until("stdout", b"one\n")
    envd.send_input(stream.pid, b"")
    envd.send_input(stream.pid, bytes(range(256)))
    assert envd.close_stdin(stream.pid) == {}
    stream.drain()
    assert stream.out["stdout"] == b"one\n" + bytes(range(256))


def test_close_stdin_twice(envd):
    stream = envd.sh("cat; sleep 100")
    assert envd.close_stdin(stream.pid) == {}
    assert envd.close_stdin(stream.pid) == {}
    fails("internal", envd.send_input, stream.pid, b"x")
    envd.kill(stream.pid)
    stream.drain()


@pytest.fixture
def gate(tmp_path):
    """A file that is to be made, and how a script waits for it."""
    path = tmp_path / "gate"
    return path, f"until [ -e {path} ]; do sleep 0.02; done"


def test_send_input_answers_when_it_was_taken(envd, gate):
    gate, wait = gate
    stream = envd.sh(f"{wait}; sha256sum")
    data = os.urandom(1000000)
    connection = envd.begin_input(stream.pid, data)
    wait_for(lambda: connection.unread_bytes() == 0)
    assert not connection.is_answered()
    gate.touch()
    envd.finish(connection)
    envd.close_stdin(stream.pid)
    assert stream.drain().out["stdout"].split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_process_that_does_not_read_holds_up_nobody(envd, daemon):
    deaf = envd.start("sleep", "100")
    answers = []

    def send():
        try:
            answers.append(envd.send_input(deaf.pid, bytes(1000000)))
        except Failed as failed:
            answers.append(failed)

    writers = [threading.Thread(target=send) for _ in range(3)]
    for writer in writers:
        writer.start()
    # All three wait, but for what the pipe holds.
    held = 'envd_budget_class_used_bytes{class="stdin"}'
    wait_for(lambda: daemon.metrics()[held] > 2900000)
    reader = envd.start("cat")
    envd.send_input(reader.pid, b"hello\n")
    reader.until("stdout", b"hello\n")
    assert len(envd.list()) == 2
    assert answers == []
    envd.kill(deaf.pid)
    for writer in writers:
        writer.join()
    assert [a.code for a in answers] == ["internal"] * 3


def test_pieces_come_in_their_order(envd, gate):
    gate, wait = gate
    stream = envd.sh(f"{wait}; cat")
    # Requests on different connections have the order in which they are decoded. A worker decodes
    # larger ones, and the next request could overtake them.
    parts = [bytes([65 + i]) * 40000 for i in range(5)]
    connections = []
    for part in parts:
        connections.append(envd.begin_input(stream.pid, part))
        wait_for(lambda: connections[-1].unread_bytes() == 0)
    connections.append(envd.begin("CloseStdin", {"process": {"pid": stream.pid}}))
    wait_for(lambda: connections[-1].unread_bytes() == 0)
    gate.touch()
    stream.drain()
    for connection in connections:
        assert envd.finish(connection) == {}
    assert stream.out["stdout"] == b"".join(parts)


def test_reader_closed_its_end(envd):
    stream = envd.sh("exec <&-; echo closed; sleep 100").until("stdout", b"closed")
    fails("internal", envd.send_input, stream.pid, b"x")


def test_too_much_waits(envd):
    deaf = envd.start("sleep", "100")
    codes = []

    def send():
        try:
            envd.send_input(deaf.pid, bytes(10 << 20))
        except Failed as failed:
            codes.append(failed.code)

    writers = [threading.Thread(target=send) for _ in range(5)]
    for writer in writers:
        writer.start()
    wait_for(lambda: codes.count("resource_exhausted") >= 2)
    envd.kill(deaf.pid)
    for writer in writers:
        writer.join()
    assert codes.count("resource_exhausted") == 2 and codes.count("internal") == 3


def test_wrong_place(envd):
    pipes = envd.start("sleep", "100")
    terminal = envd.pty("sleep 100")
    fails("internal", envd.send_input, pipes.pid, b"x", "pty")
    fails("internal", envd.send_input, terminal.pid, b"x", "stdin")
    fails("unknown", envd.close_stdin, terminal.pid)
    fails("unimplemented", envd.call, "SendInput", {"process": {"pid": pipes.pid}, "input": {}})


# ---- StreamInput ----

def test_stream_input(envd):
    stream = envd.start("cat", tag="cat")
    up = envd.stream_input().start(tag="cat")
    up.data(b"one\n")
    stream.until("stdout", b"one\n")
    up.send({"keepalive": {}})
    up.data(b"two\n")
    stream.until("stdout", b"two\n")
    assert up.finish() == [{}]
    assert len(envd.list()) == 1


def test_stream_input_empty(envd):
    assert envd.stream_input().finish() == [{}]


def test_stream_input_switches(envd):
    first, second = envd.start("cat"), envd.start("cat")
    up = envd.stream_input().start(pid=first.pid).data(b"1\n").start(pid=second.pid).data(b"2\n")
    assert up.finish() == [{}]
    first.until("stdout", b"1\n")
    second.until("stdout", b"2\n")
    assert (first.out["stdout"], second.out["stdout"]) == (b"1\n", b"2\n")


@pytest.mark.parametrize("message, code", [
    ({"data": {"input": {"stdin": "eA=="}}}, "failed_precondition"),
    ({}, "unimplemented"),
    ({"start": {}}, "unimplemented"),
    ({"start": {"process": {"pid": 4000000}}}, "not_found"),
    (b"{", "unknown"),
    (b'{"data":{"input":{"stdin":"?"}}}', "unknown"),
])
def test_stream_input_errors(envd, message, code):
    fails(code, envd.stream_input().send_bytes(envelope(message)).answer)


def test_stream_input_wrong_place(envd):
    stream = envd.start("sleep", "100", stdin=False)
    fails("internal", envd.stream_input().start(pid=stream.pid).data(b"x").answer)
    fails("internal", envd.stream_input().start(pid=stream.pid).data(b"x", "pty").answer)
    fails("unimplemented", envd.stream_input().start(pid=stream.pid).send({"data": {}}).answer)


def test_stream_input_of_much(envd):
    """Thirty MB through a process, while it is not always reading."""
    stream = envd.sh("sleep 0.3; head -c 1000000 | sha256sum; sleep 0.3; sha256sum")
    data = os.urandom(1000000) * 30
    sent = threading.Event()

    def send():
        up = envd.stream_input().start(pid=stream.pid)
        for at in range(0, len(data), 65536):
            up.data(data[at:at + 65536])
        up.finish()
        sent.set()
        envd.close_stdin(stream.pid)

    threading.Thread(target=send).start()
    stream.drain()
    assert sent.wait(10)
    sums = [line.split()[0].decode() for line in stream.out["stdout"].splitlines()]
    # `head` may read more than it passes on, so only the first sum is sure.
    assert sums[0] == hashlib.sha256(data[:1000000]).hexdigest()


def test_stream_input_is_held(envd):
    """The stream of a writer to a deaf process is not read: its sender blocks."""
    deaf = envd.start("sleep", "100")
    up = envd.stream_input().start(pid=deaf.pid)
    up.connection.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            up.data(bytes(65536))
    other = envd.stream_input()
    reader = envd.start("cat")
    other.start(pid=reader.pid).data(b"free\n")
    reader.until("stdout", b"free\n")
    up.close()


def test_client_goes_with_its_input_under_way(envd):
    path = os.path.join(WORLD, "input-went-on")
    stream = envd.sh(f"sleep 0.5; cat > {path}")
    up = envd.stream_input().start(pid=stream.pid).data(b"x" * 500000)
    wait_for(lambda: up.connection.unread_bytes() == 0)
    up.close()
    envd.close_stdin(stream.pid)
    stream.drain()
    assert os.stat(path).st_size == 500000
