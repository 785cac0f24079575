# SPDX-License-Identifier: Apache-2.0
"""envd exec with pipes: bytes, exit statuses, signals."""

import hashlib
import os
import re
import signal
import subprocess

import pytest

from daemon import ENVD
from wait import SECONDS, wait_for


@pytest.mark.parametrize("command,status", [
    (["true"], 0),
    (["sh", "-c", "exit 3"], 3),
    (["sh", "-c", "kill -9 $$"], 137),
    (["sh", "-c", "kill -15 $$"], 143),
    (["sh", "-c", "ulimit -c 0; kill -11 $$"], 139),
    (["no-such-command"], 127),
    (["/etc/passwd"], 126),
])
def test_the_status_is_the_commands(host, command, status):
    assert host.run("exec", "--", *command).returncode == status


def test_the_two_outputs_are_apart(host):
    done = host.run("exec", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_arguments_reach_the_command_unchanged(host):
    arguments = ["a b", "", "*", "-i", "--", "--to", "ü", "'\"\\"]
    assert host.ok("exec", "--", "printf", "[%s]", *arguments) == \
        "".join(f"[{argument}]" for argument in arguments)


def test_directory_and_variables(host):
    host.environment["PASSED"] = "on"
    out = host.ok("exec", "-w", "/usr", "-e", "A=1=2", "-eB=", "-e", "PASSED", "-e", "ABSENT", "--", "sh",
                  "-c", 'pwd; echo "[$A][$B][$PASSED][${ABSENT-none}]"')
    assert out == "/usr\n[1=2][][on][none]\n"


def test_the_user(host):
    # Another envd may complain on stderr that it cannot set a priority.
    assert host.run("exec", "-u", "user", "id", "-un").stdout == b"user\n"
    done = host.run("exec", "--user", "nobody-of-that-name", "true")
    assert done.returncode == 125
    assert b"nobody-of-that-name" in done.stderr


def test_without_i_stdin_is_empty(host):
    assert host.ok("exec", "cat", stdin=b"not for the command") == ""


def test_bytes_both_ways(host):
    data = os.urandom(1 << 20) * 24 + b"\0\xff\r\n\x04"
    done = host.run("exec", "-i", "cat", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_the_end_of_stdin_is_passed_on(host):
    assert host.ok("exec", "-i", "sh", "-c", "cat; echo end", stdin=b"") == "end\n"


def test_a_command_that_does_not_read_all_its_input(host):
    done = host.run("exec", "-i", "head", "-c", "3", stdin=b"abc" * (1 << 20))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"abc", b"")


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read())[1])


def test_a_slow_reader_slows_the_command_down(host, tmp_path):
    """64 MiB could be in the memory of this command or of the daemon: with the pipe full, the writer
    stops instead."""
    count = tmp_path / "count"
    script = f"for i in $(seq 2048); do head -c 32768 /dev/zero; echo $i >{count}; done"
    with host.start("exec", "sh", "-c", script, stdin=subprocess.DEVNULL) as process:
        process.stdout.read(1)
        wait_for(lambda: count.exists() and count.read_text(), "the first piece")
        seen = [0, None]

        def stands_still():
            now = (count.read_text(), os.times().elapsed)
            if now[0] != seen[1]:
                seen[:] = now[1], now[0]
            return now[1] - seen[0] > 0.5

        wait_for(stands_still, "the writer to stop")
        assert int(count.read_text()) < 2048
        assert resident_kib(process.pid) < 32 << 10  # with sanitizers 17 MiB from the start
        assert len(process.stdout.read()) == (64 << 20) - 1
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("args", [
    ["ls", "/"], ["ls", "--json", "/"], ["ps"], ["ps", "--json"], ["top"], ["info"], ["cat", "/etc/passwd"],
    ["exec", "echo", "x"], ["exec", "-d", "true"],
], ids=" ".join)
def test_a_full_disk(host, args):
    """What did not fit was lost, with exit status 0."""
    with open("/dev/full", "wb") as full:
        with host.start(*args, stdin=subprocess.DEVNULL, stdout=full) as process:
            _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == (125 if args[0] == "exec" else 1)
    assert err.startswith(b"envd %b: " % args[0].encode()) and err.endswith(b": no space left on device\n")
    assert err.count(b"\n") == 1


@pytest.mark.parametrize("args,redirection,expected", [
    (["exec", "echo", "x"], ">&-", (125, b"", b"envd exec: stdout: bad file descriptor\n")),
    (["ps"], ">&-", (1, b"", b"envd ps: stdout: bad file descriptor\n")),
    (["exec", "-i", "cat"], "<&-", (0, b"", b"")),
    (["exec", "sh", "-c", "echo x; exit 3"], "2>&- <&-", (3, b"x\n", b"")),
    (["cat", "/no/such"], "<&- 2>&- >&-", (1, b"", b"")),
])
def test_closed_descriptors(host, args, redirection, expected):
    """The socket got the number of the descriptor that was closed: the output of the guest was sent to the
    guest, and the command waited for ever."""
    done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirection}', ENVD, *args], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=SECONDS, env=host.environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_a_reader_that_leaves_ends_the_command(host):
    """As SIGPIPE ends the writer of a pipe on one machine."""
    with host.start("exec", "yes", stdin=subprocess.DEVNULL) as process:
        process.stdout.read(4)
        process.stdout.close()
        assert process.wait(SECONDS) == 143
    wait_for(lambda: not host.pids(), "the end of yes")


def test_term_and_interrupt_reach_the_command(host):
    for number in signal.SIGTERM, signal.SIGINT:
        with host.start("exec", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done",
                        stdin=subprocess.DEVNULL) as process:
            process.stdout.readline()
            process.send_signal(number)
            assert process.wait(SECONDS) == 9


def test_a_second_interrupt_kills(host):
    with host.start("exec", "sh", "-c",
                    "trap 'echo ignored' TERM; echo ready; while :; do sleep 0.05; done",
                    stdin=subprocess.DEVNULL) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"ignored\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 137


def test_a_timeout_kills(host):
    done = host.run("exec", "--timeout", "0.2", "sleep", "600")
    assert done.returncode == 124
    assert done.stderr == b"envd exec: the process was killed at its --timeout\n"
    wait_for(lambda: not host.pids(), "the end of sleep")


def test_detached(host):
    pid = int(host.ok("exec", "-d", "--tag", "nap", "sleep", "600"))
    assert host.pids() == {pid: "nap"}
    host.ok("kill", "nap")
    wait_for(lambda: not host.pids(), "the end of sleep")


def test_a_daemon_that_is_not_there(host, tmp_path):
    for to in "tcp:127.0.0.1:1", f"unix:{tmp_path}/absent", f"uds:{tmp_path}/absent":
        done = host.run("exec", "--to", to, "true")
        assert done.returncode == 125
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith(f"envd exec: {to}: ") and "--to" in line


@pytest.mark.parametrize("args", [
    [], ["-i"], ["--"], ["--no-such", "true"], ["-x", "true"], ["-e", "=1", "true"], ["-e"],
    ["--timeout", "soon", "true"], ["--timeout", "0", "true"], ["--to", "nowhere", "true"],
    ["--to", "tcp:name.of.a.host:1", "true"], ["--to", "tcp:127.0.0.1:0", "true"], ["-di", "true"],
    ["--keep", "0", "true"], ["--keep-for", "5", "true"], ["--user", "a:b", "true"], ["-it", "true"],
    ["--token-file", "/no/such/file", "true"],
])
def test_wrong_arguments(host, args):
    done = host.run("exec", *args)
    assert (done.returncode, done.stdout) == (125, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("envd exec: ") and line.endswith("(see envd exec --help)")
