# SPDX-License-Identifier: Apache-2.0
"""A guest that means harm, or is out of order: silent, endless, malformed, with escape sequences in every
text. The command ends with one line on stderr and its exit status, in bounded memory; the operator's
Ctrl-C always works."""

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import termios
import threading

import pytest

from conftest import Host
from daemon import ENVD
from protobuf_wire import BYTES, VARINT, encode
from test_terminal import Terminal
from wait import SECONDS, wait_for

OK = b"HTTP/1.1 200 OK\r\n\r\n"
ESCAPES = "\x1b]0;pwned\x07\x1b[2J\u202e\x9b31m\r\n"
MEMORY_KIB = 300 << 10  # an answer may have 64 MiB, and is copied once


class Guest:
    """Answers each request by a function of the connection, which is chosen by a part of the path."""

    def __init__(self, path, answers):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.answers, self.seen, self.open, self.over = answers, [], [], False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1) or b"\r\n\r\n"
            if head == b"\r\n\r\n":  # the command closed the connection first
                return
            path = head.split(b" ")[1].decode()
            self.seen.append(path)
            for part, answer in self.answers.items():
                if part in path:
                    answer(connection)
                    connection.shutdown(socket.SHUT_WR)
                    # An open connection has no reset that could overtake the answer.
                    while connection.recv(65536):
                        pass
                    connection.close()
                    return

    def count(self, part):
        return sum(part in path for path in self.seen)

    def close(self):
        for one in [self.listener, *self.open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@pytest.fixture
def guest(tmp_path):
    opened = []

    def start(answers):
        path = f"{tmp_path}/guest{len(opened)}"
        opened.append(Guest(path, answers))
        opened[-1].host = Host(f"unix:{path}")
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def silent(connection):
    """Until the command closes the connection."""
    while connection.recv(65536):
        pass


def send(*parts):
    return lambda connection: [connection.sendall(part) for part in parts]


def after_the_input(*parts):
    def answer(connection):
        data = b""
        while b"0\r\n\r\n" not in data:
            data += connection.recv(65536)
        for part in parts:
            connection.sendall(part)
    return answer


def endless(first, piece):
    def answer(connection):
        connection.sendall(first)
        while True:
            connection.sendall(piece)
    return answer


def envelope(message, flags=0):
    return struct.pack(">BI", flags, len(message)) + message


def event(number, fields):
    """A StartResponse with an event of a process."""
    return envelope(encode([[1, BYTES, encode([[number, BYTES, encode(fields)]])]]))


START = event(1, [[1, VARINT, 7]])
KEEPALIVE = event(4, [])
END = envelope(b"{}", 2)


def started(*more):
    def answer(connection):
        connection.sendall(OK + START + event(2, [[1, BYTES, b"go\n"]]))
        for one in more:
            one(connection)
    return answer


# ---- Ctrl-C against a guest that does not answer ----

def interrupt(process, condition, what):
    process.send_signal(signal.SIGINT)
    wait_for(lambda: condition() or process.poll() is not None, what)
    assert process.poll() is None, process.stderr.read()


def left(process, line):
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 125
    assert process.stderr.read() == line


def test_a_start_that_is_never_answered(guest):
    """The signal was looked at after a minute."""
    g = guest({"/Start": silent})
    with g.host.start("exec", "x", stdin=subprocess.DEVNULL) as process:
        wait_for(lambda: g.count("/Start"), "the request")
        left(process, b"envd exec: interrupted\n")


def test_a_signal_that_is_never_answered(guest):
    """While the first Ctrl-C waited for the guest, the second one was not seen."""
    g = guest({"/Start": started(silent), "/SendSignal": silent})
    with g.host.start("exec", "x", stdin=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"go\n"
        interrupt(process, lambda: g.count("/SendSignal"), "TERM")
        left(process, b"envd exec: process 7 was left: interrupted\n")


@pytest.mark.parametrize("piece", [KEEPALIVE, KEEPALIVE * 1000, event(2, [[1, BYTES, b""]])],
                         ids=["one", "many", "empty"])
def test_messages_without_end(guest, piece):
    """The command read on as long as messages came, and looked at no signal meanwhile. The third one
    ends it: TERM and KILL were sent, and the guest claims that the process goes on."""
    g = guest({"/Start": started(endless(b"", piece)), "/SendSignal": send(OK)})
    with g.host.start("exec", "x", stdin=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"go\n"
        interrupt(process, lambda: g.count("/SendSignal") == 1, "TERM")
        interrupt(process, lambda: g.count("/SendSignal") == 2, "KILL")
        left(process, b"envd exec: process 7 was left: interrupted\n")


def test_an_end_of_stdin_that_is_never_answered(guest):
    g = guest({"/Start": started(silent), "/StreamInput": after_the_input(OK, envelope(b""), END),
               "/CloseStdin": silent, "/SendSignal": silent})
    with g.host.start("exec", "-i", "x") as process:
        process.stdin.close()
        wait_for(lambda: g.count("/CloseStdin"), "the request")
        interrupt(process, lambda: g.count("/SendSignal"), "TERM")
        left(process, b"envd exec: process 7 was left: interrupted\n")


def test_a_stream_that_nobody_takes_up_again(guest):
    """A kept process whose stream was cut: the command tries for half a minute."""
    g = guest({"/Start": started(), "/Connect": silent})
    with g.host.start("exec", "--keep", "1", "x", stdin=subprocess.DEVNULL) as process:
        wait_for(lambda: g.count("/Connect"), "an attempt to join")
        left(process, b"envd exec: process 7 was left: interrupted\n")


def test_a_guest_that_refuses_connections_meanwhile(guest):
    """Each attempt to join failed at once, and the pause before the next one ended at once because of the
    signal, which nobody looked at: the command was busy for half a minute."""
    def gone(connection):
        os.unlink(g.listener.getsockname())

    g = guest({"/Start": started(gone)})
    with g.host.start("exec", "--keep", "1", "x", stdin=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"go\n"
        wait_for(lambda: not os.path.exists(g.listener.getsockname()), "the guest to be gone")
        left(process, b"envd exec: process 7 was left: interrupted\n")


@pytest.mark.parametrize("silence", ["/Update", "/StreamInput", "/Connect"])
def test_an_escape_from_a_guest_that_is_out_of_reach(guest, silence):
    """Keys of a raw terminal are no signals: nothing but a signal from another terminal ended the command."""
    answers = {"/Update": send(OK), "/StreamInput": silent,
               "/Start": started(*[silent] * (silence != "/Connect")), "/Connect": silent}
    g = guest(answers | {silence: silent})
    t = Terminal(g.host, "exec", "-it", "--keep", "1", "--", "x")
    try:
        wait_for(lambda: g.count(silence), "the request that is not answered")
        t.type(b"~.")
        assert t.status() == 125
        t.expect(b"process 7 was left: interrupted")
        assert termios.tcgetattr(t.slave) == t.before
    finally:
        t.close()


def test_an_answer_to_stdin_without_end(guest):
    g = guest({"/Start": started(silent), "/StreamInput": endless(OK, envelope(b""))})
    done = g.host.run("exec", "-i", "x", stdin=b"x")
    assert done.returncode == 125
    assert done.stderr == b"envd exec: process 7 was left: stdin: an answer of more than one message\n"


# ---- answers that are none ----

def json_refusal(status):
    text = ESCAPES.encode().replace(b"\x1b", b"\\u001b").replace(b"\r\n", b"\\r\\n").replace(b"\x07", b"\\u0007")
    return send(b"HTTP/1.1 %d No\r\n\r\n" % status, b'{"code":"internal","message":"%b"}' % text)


# Of each: what the guest answers to every request.
ANSWERS = {
    "nothing": send(b""),
    "no HTTP": send(b"SSH-2.0-" + ESCAPES.encode() * 100),
    "endless head": endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000),
    "endless line": endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 65536),
    "endless 100": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "escapes in the status line": send(b"HTTP/1.1 500 " + ESCAPES.encode() + b"\r\n\r\n"),
    "escapes in a refusal": json_refusal(500),
    "escapes in a refusal that is text": send(b"HTTP/1.1 502 No\r\n\r\n" + ESCAPES.encode() * 2000),
    "an endless refusal": endless(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 65536),
    "a body that is cut": send(b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{"),
    "a length out of range": send(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n{"),
    "a chunk out of range": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{"),
    "a message of 4 GiB": send(OK + b"\x00\xff\xff\xff\xff{"),
    "a field of 4 GiB": send(OK, b"\x0a\xff\xff\xff\xff\x0f"),
    "nested JSON": send(OK, b'{"a":' + b"[" * 1_000_000),
    "another coding": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b"),
    "a redirection": send(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"),
}
COMMANDS = [
    ["exec", "x"], ["attach", "7"], ["logs", "7"], ["ps"], ["ps", "--json"], ["kill", "7"], ["ls", "x"],
    ["rm", "x"], ["watch", "x"], ["info"], ["top"], ["ports"], ["ports", "--json"], ["freeze", "--wait", "1"],
    ["cp", "guest:x", "HERE"], ["cp", "FILE", "guest:x"], ["cp", "FILE", "-p", "guest:x"],
    ["cp", "HERE", "guest:x"],
]


def measured(host, args):
    """Runs a command. Returns its exit status, stdout, stderr, and the most memory that it had, in KiB."""
    with host.start(*args, stdin=subprocess.DEVNULL) as process:
        out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def check(host, args, what):
    status, out, err = measured(host, args)
    assert status in ((125,) if args[0] in ("exec", "attach") else (1, 0)), (what, status, err)
    assert status == 0 or err.startswith(b"envd %b: " % args[0].encode()), (what, err)
    assert err.count(b"\n") == (status != 0) and err[-1:] in (b"", b"\n"), (what, err)
    assert len(err) < 300_000
    for control in b"\x1b", b"\x07", b"\r", "\u202e".encode(), b"\x9b":
        assert control not in err.replace(b"\xe2\x80\xa6", b""), (what, err[:300])
        assert control not in out, (what, out[:300])


@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_answers_that_are_none(guest, tmp_path, args):
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_text("x")
    args = [str(here) if arg == "HERE" else f"{here}/file" if arg == "FILE" else arg for arg in args]
    for what, answer in ANSWERS.items():
        g = guest({"/": answer})
        check(g.host, args, what)
    assert os.listdir(here) == ["file"] and (here / "file").read_text() == "x"


@pytest.mark.parametrize("args", [["ps"], ["ls", "x"], ["top"], ["ports", "--json"]], ids=" ".join)
def test_an_answer_without_end(guest, args):
    """A list may be long. Beyond its limit it is refused; the command never has all of it in memory."""
    g = guest({"/": endless(OK, bytes(65536))})
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    check(g.host, args, "endless")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert "asan" in ENVD or peak <= max(before, MEMORY_KIB)


def drip(first, piece):
    """One piece after the other, with a pause before each, until the command closes the connection."""
    def answer(connection):
        connection.sendall(first)
        while not (select.select([connection], [], [], 0.05)[0] and connection.recv(65536) == b""):
            connection.sendall(piece)
    return answer


@pytest.mark.parametrize("args", [["ps"], ["ls", "x"], ["rm", "x"], ["kill", "7"], ["health"], ["info"],
                                  ["top"], ["ports"], ["freeze"], ["thaw"]], ids=" ".join)
@pytest.mark.parametrize("answer", [drip(b"", b"H"), drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"b"), drip(OK, b"{"),
                                    drip(b"HTTP/1.1 500 No\r\n\r\n", b"x")],
                         ids=["status line", "head", "body", "refusal"])
def test_an_answer_that_drips(guest, args, answer):
    """Each byte began the time limit of the answer's body anew, so a guest held the command for ever."""
    g = guest({"/": answer})
    done = g.host.run(*args, "--timeout", "0.4")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"envd %b: " % args[0].encode())
    assert done.stderr.endswith((b": no complete answer within 0.4 s\n", b"no status line of HTTP/1\n"))


def test_escape_sequences_in_every_text(guest):
    """Names, tags, commands, owners, links: whatever a guest may name."""
    bad = ESCAPES.encode()
    process = encode([[1, BYTES, encode([[1, BYTES, encode([[1, BYTES, b"x" + bad[:4]], [2, BYTES, b"a\x1b[2J"]])],
                                         [2, VARINT, 7], [3, BYTES, b"tag\x1b[2J"]])]])
    file = [[1, BYTES, b"n\x1b[2J"], [2, VARINT, 1], [3, BYTES, b"/n\x1b[2J"], [6, BYTES, b"-rw\x1b[2J"],
            [7, BYTES, b"own\x1b[2J"], [8, BYTES, b"grp\x1b[2J"], [10, BYTES, b"to\x1b[2J"]]
    g = guest({"/List": send(OK, process), "/Stat": send(OK, encode([[1, BYTES, encode(file)]])),
               "/WatchDir": send(OK, envelope(encode([[2, BYTES, encode([[1, BYTES, b"n\x1b[2J"]])]]))),
               "/Start": send(OK, START, event(3, [[2, VARINT, 1], [3, BYTES, b"odd\x1b[2J"]]))})
    for args in (["ps"], ["ps", "--json"], ["ls", "-l", "x"], ["ls", "--json", "x"], ["watch", "x"],
                 ["watch", "--json", "x"], ["exec", "x"]):
        done = g.host.run(*args)
        both = done.stdout + done.stderr
        assert b"\x1b" not in both and b"\r" not in both
        assert b"x1b[2J" in both or b"u001b[2J" in both or args[0] == "exec", (args, both)
