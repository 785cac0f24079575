# SPDX-License-Identifier: Apache-2.0
"""The ways to a guest, and connections that break."""

import re
import socket

import pytest

from conftest import Host
from wait import SECONDS, wait_for


def test_the_proxy_of_a_guests_vsock(proxy, tmp_path):
    between = proxy(ask=True)
    host = Host(f"uds:{tmp_path}/proxy")
    assert host.run("exec", "-i", "cat", stdin=b"through").stdout == b"through"
    assert set(between.asked) == {b"CONNECT 49983\n"}


def test_a_guest_that_does_not_listen(tmp_path):
    """Firecracker closes the connection if nothing listens on the port."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "proxy"))
        listener.listen()
        host = Host(f"uds:{tmp_path}/proxy")
        with host.start("ps") as process:
            connection, _ = listener.accept()
            connection.recv(64)
            connection.close()
            assert process.wait(SECONDS) == 1
            assert b"connection refused" in process.stderr.read()


SCRIPT = "i=0; while [ $i -lt 20000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 5"


def test_a_cut_stream_goes_on_where_it_was_cut(proxy, tmp_path):
    """Every connection breaks after some bytes: not one is lost or comes twice, and the status is the
    command's."""
    between = proxy()
    between.limit = 40000
    host = Host(f"unix:{tmp_path}/proxy")
    done = host.run("exec", "--keep", "8388608", "--keep-for", "10", "--", "sh", "-c", SCRIPT)
    assert (done.returncode, between.cuts > 3) == (5, True)
    assert done.stdout == b"".join(b"out %d\n" % i for i in range(20000))
    assert done.stderr == b"".join(b"err %d\n" % i for i in range(20000))


def test_a_guest_that_is_away_for_a_moment(proxy, tmp_path):
    between = proxy()
    host = Host(f"unix:{tmp_path}/proxy")
    more = tmp_path / "more"
    script = f"echo ready; until [ -e {more} ]; do sleep 0.05; done; seq 5000; exit 4"
    with host.start("exec", "--keep", "1048576", "--keep-for", "10", "--", "sh", "-c",
                    script) as process:
        assert process.stdout.readline() == b"ready\n"
        between.refusing = True
        between.cut()
        more.touch()
        wait_for(lambda: between.refused > 1, "attempts to join again")
        between.refusing = False
        assert process.stdout.read() == b"".join(b"%d\n" % i for i in range(1, 5001))
        assert process.wait(SECONDS) == 4


def test_without_kept_output_a_cut_is_an_error(proxy, tmp_path):
    """The rest would have a gap. The message says which process goes on without a reader."""
    between = proxy()
    between.limit = 40000
    host = Host(f"unix:{tmp_path}/proxy")
    done = host.run("exec", "--", "sh", "-c", SCRIPT)
    assert done.returncode == 125
    line = done.stderr.splitlines()[-1].decode()
    assert line.startswith("envd exec: process ") and "was left" in line


BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("mark,answer,ends", [
    (b"\r\n0\r\n\r\n", b"", True), (b"\r\n\r\n", BUSY, True),
    (b"\r\n\r\n", b"", False), (b"\r\n\r\n", BUSY, False),
], ids=["cut-at-the-end", "refused-at-the-end", "cut", "refused"])
def test_stdin_that_is_lost_is_an_error(proxy, daemon, tmp_path, mark, answer, ends):
    """The connection that carried stdin was cut, or the request was refused. If stdin had ended, the
    command's stdin was closed all the same: `cat` saw a regular end after a part of the bytes, and
    `envd exec` succeeded. If stdin was still open, `cat` waited for ever, and nobody was told."""
    between = proxy()
    between.instead = {b"StreamInput": (mark, answer)}
    host = Host(f"unix:{tmp_path}/proxy")
    with host.start("exec", "-i", "--keep", "65536", "--", "cat") as process:
        if ends:
            process.stdin.write(b"lost")
            process.stdin.close()
        assert process.wait(SECONDS) == 125
        assert process.stdout.read() == b""
        line = process.stderr.read().decode()
    left = re.fullmatch(r"envd exec: process (\d+) was left: stdin: .*\n", line)
    assert left, line
    Host(daemon.to["unix"]).ok("kill", "-s", "KILL", left[1])


def test_a_large_stdin_that_is_cut(proxy, daemon, tmp_path):
    """The same in the middle of the bytes. What had arrived is no whole input."""
    between = proxy()
    between.limit_up = 200_000
    host = Host(f"unix:{tmp_path}/proxy")
    done = host.run("exec", "-i", "--keep", "65536", "--", "wc", "-c", stdin=bytes(1 << 20))
    left = re.fullmatch(rb"envd exec: process (\d+) was left: stdin: .*\n", done.stderr)
    assert (done.returncode, done.stdout, bool(left)) == (125, b"", True), done.stderr
    Host(daemon.to["unix"]).ok("kill", "-s", "KILL", left[1].decode())
