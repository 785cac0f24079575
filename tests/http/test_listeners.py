# SPDX-License-Identifier: Apache-2.0
"""Where the daemon listens, and what it says when it can't."""

import base64
import os
import socket
import stat
import subprocess
import time

import pytest
from conftest import ports, start_quietly
from wire import Wire, envelopes, request, rpc, stream_rpc

HEALTH = request("GET", "/health")
LOOPBACK = "127.0.0.1"


def is_healthy(address):
    with Wire(address) as wire:
        wire.send(HEALTH)
        return wire.answer().status == 204


class TestTcp:
    def test_both_families(self, daemon):
        assert is_healthy((LOOPBACK, daemon.address[1]))
        assert is_healthy(("::1", daemon.address[1]))

    def test_one_address(self, quiet_daemon):
        port = next(ports)
        quiet_daemon("-listen", f"tcp:{LOOPBACK}:{port}", line=f"listening on tcp:{LOOPBACK}:{port}")
        assert is_healthy((LOOPBACK, port))
        with pytest.raises(ConnectionRefusedError):
            Wire(("::1", port))

    def test_several(self, quiet_daemon):
        one, two = next(ports), next(ports)
        quiet_daemon("-listen", f"tcp:{LOOPBACK}:{one}", "-listen", f"tcp:[::1]:{two}",
                     line=f"listening on tcp:{LOOPBACK}:{one}, tcp:[::1]:{two}")
        assert is_healthy((LOOPBACK, one))
        assert is_healthy(("::1", two))

    def test_taken(self, daemon, run_envd):
        code, out, err = run_envd("-isnotfc", "-port", str(daemon.address[1]))
        assert code == 1
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("envd: ") and str(daemon.address[1]) in line and "in use" in line

    def test_taken_again_after_its_end(self, other_daemon):
        """Connections of the previous daemon do not prevent the next one from using its port."""
        first = other_daemon()
        with Wire(first.address) as wire:
            wire.send(HEALTH)
            assert wire.answer().status == 204
            first.process.kill()
            first.process.wait()
            again = start_quietly("-port", str(first.address[1]))
            try:
                assert is_healthy(first.address)
            finally:
                again.kill()
                again.wait()

    def test_options_of_connections(self, daemon):
        """Small answers leave at once, and peers that died are noticed: see tcp(7)."""
        with Wire(daemon.address) as wire:
            wire.send(HEALTH)
            wire.answer()
            port = wire.socket.getsockname()[1]
            lines = subprocess.run(
                ["ss", "-tnoiH", "sport", "=", f":{daemon.address[1]}", "and", "dport", "=",
                 f":{port}"], capture_output=True, text=True, check=True).stdout
            assert "timer:(keepalive" in lines


class TestUnix:
    def test_is_private(self, tmp_path, quiet_daemon):
        path = str(tmp_path / "envd.sock")
        quiet_daemon("-listen", f"unix:{path}", line=f"listening on unix:{path}")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert is_healthy(path)
        with Wire(path) as wire:
            wire.send(rpc("filesystem.Filesystem/Stat", {"path": "/"}))
            assert wire.answer().status == 200

    def test_is_removed_at_the_end(self, tmp_path, quiet_daemon):
        path = str(tmp_path / "envd.sock")
        process = quiet_daemon("-listen", f"unix:{path}", line=f"listening on unix:{path}")
        process.terminate()
        assert process.wait(10) == 0
        assert not os.path.exists(path)

    def test_stale_one_is_replaced(self, tmp_path, quiet_daemon):
        path = str(tmp_path / "envd.sock")
        process = quiet_daemon("-listen", f"unix:{path}", line=f"listening on unix:{path}")
        process.kill()
        process.wait()
        assert os.path.exists(path)
        quiet_daemon("-listen", f"unix:{path}", line=f"listening on unix:{path}")
        assert is_healthy(path)

    def test_served_one_is_not(self, tmp_path, quiet_daemon, run_envd):
        path = str(tmp_path / "envd.sock")
        quiet_daemon("-listen", f"unix:{path}", line=f"listening on unix:{path}")
        code, _, err = run_envd("-isnotfc", "-listen", f"unix:{path}")
        assert code == 1
        assert "in use" in err and len(err.splitlines()) == 1
        assert is_healthy(path)

    def test_no_other_file_is_replaced(self, tmp_path, run_envd):
        path = tmp_path / "precious"
        path.write_text("content")
        code, _, err = run_envd("-isnotfc", "-listen", f"unix:{path}")
        assert code == 1
        assert str(path) in err and len(err.splitlines()) == 1
        assert path.read_text() == "content"

    def test_no_link_is_followed(self, tmp_path, run_envd):
        target, link = tmp_path / "target", tmp_path / "link"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(target))
        listener.close()
        link.symlink_to(target)
        run_envd_result = run_envd("-isnotfc", "-listen", f"unix:{link}")
        assert run_envd_result[0] == 1
        assert target.exists() and link.is_symlink()


def has_vsock():
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


class TestVsock:
    def test_listens_or_says_why_not(self, run_envd, quiet_daemon):
        """A container often has vsock in its kernel but no /dev/vsock, so the daemon tries to open a
        socket."""
        port = next(ports)
        if has_vsock():
            quiet_daemon("-listen", f"vsock:{port}", line=f"listening on vsock:{port}")
            return
        code, _, err = run_envd("-isnotfc", "-listen", f"vsock:{port}")
        assert code == 1
        assert f"vsock:{port}" in err and len(err.splitlines()) == 1


def start_below(listener, *flags):
    """The daemon with a socket that its parent holds, as a service manager starts it: number 3."""
    program = os.path.abspath(os.environ.get("ENVD", "build/envd"))
    return subprocess.Popen(["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", program, "-isnotfc",
                             *flags],
                            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "envd.socket"},
                            pass_fds=[3], preexec_fn=lambda: os.dup2(listener.fileno(), 3),
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


class TestInherited:
    """Only the daemon held its port, so after a crash any process of the guest could bind the port and
    receive the next /init with its token. If a parent holds the socket, the port is never free."""

    def test_port_stays_taken_over_a_crash(self):
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as held:
            port = held.getsockname()[1]
            for _ in range(3):
                # What connects while there is no daemon waits for the next one.
                with Wire((LOOPBACK, port)) as wire:
                    wire.send(HEALTH)
                    daemon = start_below(held, "-port", str(port))
                    try:
                        assert wire.answer().status == 204
                        said = daemon.stderr.readline().decode()
                        assert said.startswith(f"listening on tcp:*:{port}"), said
                    finally:
                        daemon.kill()
                        daemon.wait()
                        daemon.stderr.close()
                with socket.socket() as thief, pytest.raises(OSError, match="in use"):
                    thief.bind((LOOPBACK, port))
                    thief.listen()

    def test_other_addresses_are_opened(self):
        """One that was handed down is served beside those of -listen."""
        port = next(ports)
        with socket.create_server((LOOPBACK, 0)) as held:
            daemon = start_below(held, "-listen", f"tcp:{LOOPBACK}:{port}")
            try:
                assert daemon.stderr.readline()
                assert is_healthy(held.getsockname())
                assert is_healthy((LOOPBACK, port))
            finally:
                daemon.terminate()
                daemon.wait()
                daemon.stderr.close()

    def test_processes_do_not_see_it(self, tmp_path):
        with socket.create_server((LOOPBACK, 0)) as held:
            daemon = start_below(held, "-listen", f"unix:{tmp_path}/socket")
            try:
                assert daemon.stderr.readline()
                with Wire(held.getsockname()) as wire:
                    wire.send(stream_rpc("process.Process/Start", {"process": {
                        "cmd": "sh", "args": ["-c", "env; ls /proc/self/fd"]}}))
                    body = wire.answer().body
                    data = b"".join(base64.b64decode(message["event"]["data"]["stdout"])
                                    for _, message in envelopes(body)
                                    if "data" in message.get("event", {}))
                    lines = data.decode().split("\n")
                    assert "LISTEN" not in data.decode()
                    assert "3" in lines and "4" not in lines  # 3 is ls' own, of the directory
            finally:
                daemon.terminate()
                daemon.wait()
                daemon.stderr.close()


class TestFlags:
    @pytest.mark.parametrize("flags", [
        ("-port", "x"), ("-port", "0"), ("-port", "65536"), ("-port", "-1"), ("-port",),
        ("-listen", "elsewhere"), ("-listen", "tcp:127.0.0.1"), ("-listen", "tcp:127.0.0.1:0"),
        ("-listen", "tcp:localhost:80"), ("-listen", "tcp:::1:80"), ("-listen", "tcp:[::1:80"),
        ("-listen", "tcp:127.0.0.1:99999"), ("-listen", "unix:"), ("-listen", "unix:" + "x" * 108),
        ("-listen", "vsock:"), ("-listen", "vsock:x"), ("-listen", ""),
        ("-cors", "maybe"), ("-kill-scope", "all"), ("-nothing",), ("--nothing",), ("--", "x"),
    ])
    def test_bad_ones(self, run_envd, flags):
        code, out, err = run_envd("-isnotfc", *flags)
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith("envd: ") and flags[0].lstrip("-") in line
        assert line.endswith("(see envd --help)")

    @pytest.mark.parametrize("words,suggestion", [
        (("redy", "--port", "8080"), "did you mean 'envd ready'?"),
        (("brigde",), "did you mean 'envd bridge'?"),
        (("frobnicate",), "see envd --help"), (("-isnotfc", "ready"), "ready"), (("",), ""),
        (("-",), "-"), (("x" * 5000,), "see envd --help"),
    ])
    def test_unknown_words(self, run_envd, words, suggestion):
        """`envd redy --port 8080` started a daemon on all interfaces: all words after the first one
        that is not a flag were ignored, as in Go's flag package. Now a mistyped command is an error."""
        code, out, err = run_envd(*words)
        assert (code, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith("envd: no such command: ") and suggestion in line

    @pytest.mark.parametrize("flags", [
        ("-listen", "unix:/nonexistent/envd.sock"), ("-listen", "tcp:192.0.2.1:23999"),
    ])
    def test_impossible_ones(self, run_envd, flags):
        code, out, err = run_envd("-isnotfc", *flags)
        assert (code, out) == (1, "")
        (line,) = err.splitlines()
        assert flags[1] in line

    @pytest.mark.parametrize("flag", ["-version", "--version", "-commit", "-build"])
    def test_one_line_and_no_daemon(self, run_envd, flag):
        code, out, err = run_envd(flag, "-port", "1")
        assert (code, err) == (0, "")
        assert len(out.splitlines()) == 1
        if "version" in flag:
            assert out == "0.9.1+c1\n"

    def test_hexadecimal_port(self, quiet_daemon):
        port = next(ports)
        quiet_daemon("-port", hex(port), line=f"listening on tcp:*:{port}")
        assert is_healthy((LOOPBACK, port))


def test_listens_at_once(quiet_daemon):
    """What connects is answered in a few milliseconds from the start of the program."""
    port = next(ports)
    start = time.monotonic()
    quiet_daemon("-listen", f"tcp:{LOOPBACK}:{port}", line=f"listening on tcp:{LOOPBACK}:{port}")
    assert is_healthy((LOOPBACK, port))
    assert time.monotonic() - start < 2
