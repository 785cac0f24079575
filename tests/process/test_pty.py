# SPDX-License-Identifier: Apache-2.0
"""Terminals."""

import os
import re

import pytest

from conftest import WORLD, wait_for
from test_steer import fails


def resize(envd, pid, pty):
    return envd.call("Update", {"process": {"pid": pid}, **({} if pty is None else {"pty": pty})})


def test_terminal(envd):
    stream = envd.pty("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all three; "
                      "ps -o tpgid= -p $$; echo $$; echo ${TERM-no TERM}", cols=97, rows=31)
    stream.drain()
    lines = stream.out["pty"].decode().split("\r\n")
    assert re.fullmatch(r"/dev/pts/\d+", lines[0])
    assert lines[1:3] == ["31 97", "all three"]
    assert int(lines[3]) == int(lines[4]) == stream.pid
    assert lines[5:] == ["no TERM", ""]
    assert stream.out["stdout"] == stream.out["stderr"] == b""
    assert stream.end == {"exited": True, "status": "exit status 0"}


def test_terminal_belongs_to_the_user(envd):
    out = envd.pty("stat -c '%u %g' $(tty); echo > $(tty) && echo open", user="user").drain().out
    owner, opened = out["pty"].decode().split("\r\n")[0], out["pty"]
    assert owner.split()[0] == "1000"
    assert opened.endswith(b"open\r\n")


@pytest.mark.parametrize("pty, size", [
    ({}, "0 0"), ({"size": {}}, "0 0"), ({"size": {"cols": 5}}, "0 5"),
    ({"size": {"cols": 65536 + 7, "rows": 65536 + 8}}, "8 7"),
])
def test_sizes(envd, pty, size):
    assert envd.sh("stty size", pty=pty).drain().out["pty"] == f"{size}\r\n".encode()


def test_resize(envd):
    stream = envd.pty("trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done")
    stream.until("pty", b"ready\r\n")
    assert resize(envd, stream.pid, {"size": {"cols": 132, "rows": 50}}) == {}
    stream.until("pty", b"50 132\r\n")
    assert resize(envd, stream.pid, None) == {}
    assert resize(envd, stream.pid, {}) == {}
    stream.until("pty", b"0 0\r\n")


def test_resize_without_terminal(envd):
    stream = envd.start("sleep", "100")
    assert resize(envd, stream.pid, None) == {}
    fails("internal", resize, envd, stream.pid, {"size": {"cols": 1, "rows": 1}})
    fails("internal", resize, envd, stream.pid, {})


def test_keys(envd):
    stream = envd.pty("stty -echo; trap 'echo interrupted' INT; echo ready; cat; echo eof; "
                      "read x; echo read $x; exit 3")
    stream.until("pty", b"ready\r\n")
    envd.send_input(stream.pid, b"line\n", "pty")
    stream.until("pty", b"line\r\n")
    envd.send_input(stream.pid, b"\x03", "pty")
    stream.until("pty", b"interrupted\r\n")
    envd.send_input(stream.pid, b"last\n", "pty")
    stream.drain()
    assert stream.out["pty"].endswith(b"read last\r\n")
    assert stream.end["exitCode"] == 3


def test_end_of_input(envd):
    stream = envd.pty("stty -echo; echo ready; cat; echo eof").until("pty", b"ready\r\n")
    envd.stream_input().start(pid=stream.pid).data(b"x\n\x04", "pty").finish()
    stream.drain()
    assert stream.out["pty"] == b"ready\r\nx\r\neof\r\n"


def test_echo_and_a_shell(envd):
    stream = envd.start("bash", "--norc", "-i", pty={"size": {"cols": 80, "rows": 24}},
                        envs={"PS1": "> ", "TERM": "dumb"})
    stream.until("pty", b"> ")
    envd.send_input(stream.pid, b"echo $((6 * 7))\n", "pty")
    stream.until("pty", b"\r\n42\r\n")
    envd.send_input(stream.pid, b"sleep 100\n", "pty")
    wait_for(lambda: b"sleep" in children(stream.pid))
    envd.send_input(stream.pid, b"\x03", "pty")
    envd.send_input(stream.pid, b"exit 6\n", "pty")
    assert stream.drain().end["exitCode"] == 6


def children(pid):
    names = b""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        for child in f.read().split():
            with open(f"/proc/{child}/comm", "rb") as comm:
                names += comm.read()
    return names


def test_much_output(envd):
    stream = envd.pty("stty -opost; seq 1 100000").drain()
    assert stream.out["pty"] == b"".join(b"%d\n" % i for i in range(1, 100001))
    assert max(size for _, size in stream.chunks) <= 16384


def test_output_right_before_the_exit(envd):
    for _ in range(50):
        assert envd.pty("echo last words").drain().out["pty"] == b"last words\r\n"


def test_stdin_flag_means_nothing(envd):
    stream = envd.pty("cat", stdin=False)
    envd.send_input(stream.pid, b"x\n", "pty")
    stream.until("pty", b"x\r\n")


def test_leader_without_its_terminal(envd):
    stream = envd.pty("exec </dev/null >/dev/null 2>&1; sleep 0.3; exit 6").drain()
    assert stream.end["exitCode"] == 6


def test_the_session_is_hung_up_with_its_leader(envd):
    path = os.path.join(WORLD, "pty-child")
    stream = envd.pty(f"sleep 100 & echo $! > {path}; exit 2").drain()
    assert stream.end["exitCode"] == 2


def test_missing_command(envd):
    stream = envd.start("no-such-command", pty={}).drain()
    assert stream.out["pty"] == b"no-such-command: No such file or directory\r\n"
    assert stream.end["exitCode"] == 127
