# SPDX-License-Identifier: Apache-2.0
"""envd ps, kill and attach; tokens; what of a peer's text reaches a terminal."""

import json
import signal
import subprocess

import pytest

import daemon as base
from conftest import Host
from wait import SECONDS, wait_for


def test_ps(host):
    assert host.ok("ps") == "    PID  TAG  COMMAND\n"
    pid = int(host.ok("exec", "-d", "--tag", "nap", "-w", "/usr", "sleep", "600"))
    line = host.ok("ps").splitlines()[1]
    assert line.split(maxsplit=2)[:2] == [str(pid), "nap"] and line.endswith("sleep 600")
    (process,) = json.loads(host.ok("ps", "--json"))["processes"]
    assert (process["pid"], process["tag"], process["config"]["cwd"]) == (pid, "nap", "/usr")


def test_a_name_cannot_command_the_terminal(host):
    """A tag and an argument come from whoever started the process. ESC, C1 controls, a character that
    turns the direction, and a line end are shown as escapes; other letters stay."""
    host.ok("exec", "-d", "--tag", "a\x1b[2Jb\u009bc\u202ed\ne\\f", "sleep", "600", stdin=None)
    line = host.ok("ps").splitlines()[1]
    assert "a\\x1b[2Jb\\xc2\\x9bc\\xe2\\x80\\xaed\\ne\\\\f" in line
    assert json.loads(host.ok("ps", "--json"))["processes"][0]["tag"] == "a\x1b[2Jb\u009bc\u202ed\ne\\f"
    assert host.run("ps", "--json").stdout.isascii()


def test_letters_of_every_language_stay(host):
    host.ok("exec", "-d", "--tag", "größe-日本", "sleep", "600")
    assert "größe-日本" in host.ok("ps")


def test_kill(host):
    script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with host.start("exec", "--tag", "trapped", "sh", "-c", script, stdin=subprocess.DEVNULL) as process:
        process.stdout.readline()
        host.ok("kill", "trapped")
        assert process.wait(SECONDS) == 5
    pid = host.ok("exec", "-d", "sleep", "600").strip()
    host.ok("kill", "-s", "SIGKILL", pid)
    wait_for(lambda: not host.pids(), "the end")


def test_kill_of_what_is_not_there(host):
    done = host.run("kill", "4194999", "absent", "-s", "9")
    assert done.returncode == 1
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("envd kill: ") and "4194999" in first
    assert "absent" in second


def test_attach(host, tmp_path):
    flag = tmp_path / "flag"
    pid = host.ok("exec", "-d", "--tag", "worker", "sh", "-c",
                  f"until [ -e {flag} ]; do echo tick; sleep 0.05; done; echo got it; exit 4")
    with host.start("attach", "worker", stdin=subprocess.DEVNULL) as process:
        # It shows the output from the moment on at which it has joined.
        assert process.stdout.readline() == b"tick\n"
        flag.touch()
        assert process.stdout.read().endswith(b"got it\n")
        assert process.wait(SECONDS) == 4
    assert host.run("attach", pid.strip()).returncode == 4


def test_a_signal_ends_attach_alone(host):
    pid = int(host.ok("exec", "-d", "sh", "-c", "while :; do echo tick; sleep 0.05; done"))
    with host.start("attach", str(pid), stdin=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"tick\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert pid in host.pids()


@pytest.mark.parametrize("args", [
    ["ps", "x"], ["ps", "--nonsense"], ["kill"], ["kill", "-s", "HUP", "1"], ["kill", "-s"],
])
def test_wrong_arguments(host, args):
    done = host.run(*args)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"envd {args[0]}: ") and line.endswith(f"(see envd {args[0]} --help)")


@pytest.mark.parametrize("command", ["exec", "attach", "ps", "kill", "cp", "cat", "ls", "rm"])
def test_help(host, command):
    assert f"Usage: envd {command} " in host.ok(command, "--help")


# ---- tokens: a daemon of their own, because a token cannot be taken away again ----

@pytest.fixture
def guarded(tmp_path):
    d = base.Daemon(address=str(tmp_path / "guarded.sock"))
    assert d.init(accessToken="correct-horse").status == 204
    d.token = "correct-horse"
    yield Host(f"unix:{d.address}")
    d.stop(idle_workers=False)


def test_the_token(guarded, tmp_path):
    done = guarded.run("ps")
    assert done.returncode == 1
    assert done.stderr.startswith(b"envd ps: ") and b"--token-file, $ENVD_TOKEN" in done.stderr
    path = tmp_path / "token"
    path.write_text("correct-horse\n")
    assert guarded.ok("ps", "--token-file", str(path)).startswith("    PID")
    assert guarded.run("exec", "-i", "--token-file", str(path), "cat", stdin=b"in").stdout == b"in"
    guarded.environment["ENVD_TOKEN"] = "correct-horse"
    assert guarded.ok("exec", "echo", "hello") == "hello\n"
    path.write_text("wrong")
    assert guarded.run("ps", "--token-file", str(path)).returncode == 1
    path.write_text("split\r\nX-Header: 1")
    assert guarded.run("ps", "--token-file", str(path)).returncode == 2


# ---- peers that do not behave ----

@pytest.mark.parametrize("answer,text", [
    (b"", "ended too early"),
    (b"SSH-2.0-OpenSSH\r\n\r\n", "no status line"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x0a", "ended too early"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000, "too large"),
    (b"HTTP/1.1 500 \r\n\r\nplain\x1b[2J", "HTTP status 500: plain\\x1b[2J"),
    (b'HTTP/1.1 404 Not Found\r\n\r\n{"code":"not_found","message":"no\\u001b]0;t\\u0007"}',
     "no\\x1b]0;t\\x07"),
])
def test_a_peer_that_does_not_behave(rogue, answer, text):
    done = rogue(answer).run("ps")
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("envd ps: ") and text in line


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/connect+proto\r\n\r\n"


@pytest.mark.parametrize("body,text", [
    (b"", "without its last message"),
    (b"\0\xff\xff\xff\xff", "too large"),
    (b"\1\0\0\0\1x", "flags"),
    (b"\0\0\0\0\3\xff\xff\xff", "malformed"),
    (b"\2\0\0\0\2[]", "malformed end"),
    (b"\2\0\0\0\2{}", "before its end event"),
    (b'\2\0\0\0\x20{"error":{"message":"a\\u001bb"}}', "a\\x1bb"),
])
def test_a_stream_that_does_not_behave(rogue, body, text):
    done = rogue(STREAM + body).run("exec", "true")
    assert done.returncode == 125
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("envd exec: ") and text in line
