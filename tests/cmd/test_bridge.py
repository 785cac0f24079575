# SPDX-License-Identifier: Apache-2.0
import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from unittest import mock

import pytest

TIMEOUT_S = 10


class Proxy:
    """The host's end of a guest's vsock as Firecracker has it: a unix socket that asks for a
    port. `serve` is what the guest does with a connection to port 49983."""

    def __init__(self, path, serve):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(256)
        self._serve = serve
        self.requests = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                stream.settimeout(TIMEOUT_S)
                threading.Thread(target=self._connection, args=(stream,), daemon=True).start()

    def _connection(self, stream):
        with stream, contextlib.suppress(OSError):
            request = b""
            while not request.endswith(b"\n"):
                request += stream.recv(1)
            self.requests.append(request)
            if request == b"CONNECT 49983\n":
                stream.sendall(b"OK 1073741824\n")
                self._serve(stream)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def echo(stream):
    """Sends back what comes, and ends where the peer's end of file is."""
    while data := stream.recv(65536):
        stream.sendall(data)


def receive_all(stream):
    parts = []
    while data := stream.recv(65536):
        parts.append(data)
    return b"".join(parts)


@pytest.fixture
def bridge(background, tmp_path):
    """Starts a bridge to tmp_path/vsock and gives the TCP port that it listens on."""

    def start(*args):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = background("bridge", "--listen", f"tcp:127.0.0.1:{port}", "--to",
                             f"uds:{tmp_path}/vsock", *args)
        assert process.stderr.readline() == (
            f"bridge: tcp:127.0.0.1:{port} leads to uds:{tmp_path}/vsock port 49983\n"
            if "--port" not in args else mock.ANY)
        process.port = port
        return process

    return start


@pytest.fixture
def guest(tmp_path):
    """Opens the proxy's socket; it is closed at the end of the test."""
    opened = []

    def start(serve=echo):
        path = tmp_path / "vsock"
        path.unlink(missing_ok=True)
        opened.append(Proxy(path, serve))
        return opened[-1]

    yield start
    for proxy in opened:
        proxy.close()


def connect(process):
    return socket.create_connection(("127.0.0.1", process.port), TIMEOUT_S)


def test_bytes_and_half_close(bridge, guest):
    proxy = guest()
    with connect(bridge()) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"hello"
    assert proxy.requests == [b"CONNECT 49983\n"]


def test_the_guest_speaks_first(bridge, guest):
    guest(lambda stream: stream.sendall(b"banner"))
    with connect(bridge()) as client:
        assert receive_all(client) == b"banner"


def test_another_port_of_the_guest(bridge, guest):
    proxy = guest()
    with connect(bridge("--port", "8080", "--wait", "0.1")) as client:
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    assert proxy.requests[0] == b"CONNECT 8080\n"


def test_volume_both_ways(bridge, guest):
    guest()
    data = os.urandom(1 << 20) * 24
    with connect(bridge()) as client:
        writer = threading.Thread(
            target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        writer.start()
        received = receive_all(client)
        writer.join()
    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1])


def test_a_reader_that_stalls_costs_no_memory(bridge, guest):
    sent = []

    def flood(stream):
        stream.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                sent.append(stream.send(b"x" * 65536))

    guest(flood)
    process = bridge()
    with connect(process) as client:
        client.recv(1)
        before = resident_kib(process.pid)
        while True:
            n = len(sent)
            time.sleep(0.3)
            if len(sent) == n:
                break
        assert sum(sent) < 64 << 20, "the guest was never held up"
        assert resident_kib(process.pid) - before < 512


def test_a_guest_that_comes_later(bridge, guest):
    process = bridge("--wait", "10")
    with connect(process) as client:
        client.sendall(b"early")
        time.sleep(0.3)
        guest()
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"early"


def test_no_guest(bridge):
    with connect(bridge("--wait", "0.2")) as client:
        started = time.monotonic()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert time.monotonic() - started < 5


def test_a_restored_guest(bridge, guest):
    """The old connections are reset, and new ones reach the guest that is there now."""
    def broken(stream):
        stream.recv(1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    old = guest(broken)
    process = bridge()
    with connect(process) as client:
        client.sendall(b"x")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    old.close()
    with connect(process) as client:
        client.sendall(b"again")
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        guest()
        assert receive_all(client) == b"again"


def test_many_connections(bridge, guest):
    guest()
    process = bridge()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(process)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in enumerate(clients):
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client) == b"%d" % number
        # Their descriptors are given back (16 pipes are kept for the next).
        deadline = time.monotonic() + TIMEOUT_S
        while len(os.listdir(f"/proc/{process.pid}/fd")) > 50:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_more_connections_than_descriptors(guest, tmp_path):
    """Without free descriptors, the bridge waits and does not spin."""
    from conftest import ENVD
    guest()
    process = subprocess.Popen(
        ["prlimit", "--nofile=64:64", ENVD, "bridge", "--listen", f"unix:{tmp_path}/in", "--to",
         f"uds:{tmp_path}/vsock"], stderr=subprocess.PIPE, text=True)
    try:
        process.stderr.readline()
        with contextlib.ExitStack() as stack:
            clients = []
            for _ in range(100):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.settimeout(TIMEOUT_S)
                client.connect(f"{tmp_path}/in")
                clients.append(client)
            ticks = cpu_ticks(process.pid)
            time.sleep(1)
            assert cpu_ticks(process.pid) - ticks < 20, "it spins"
            for client in clients[:90]:
                client.close()
            for client in clients[90:]:
                client.sendall(b"served")
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b"served"
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_idle_costs_nothing(bridge, guest):
    guest()
    process = bridge()
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(connect(process))
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        # A second in which it is never woken comes soon: it is still about its last bytes now.
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            before = wake_ups(process.pid)
            time.sleep(1)
            if wake_ups(process.pid) == before:
                break
            assert time.monotonic() < deadline, "it never rests"


def wake_ups(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)[1])


def test_unix_listener(background, guest, tmp_path):
    guest()
    path = tmp_path / "in"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    process = background("bridge", "--listen", f"unix:{path}", "--to", f"uds:{tmp_path}/vsock")
    process.stderr.readline()
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(str(path))
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"x"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert not path.exists()


def test_a_taken_address(envd, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        done = envd("bridge", "--listen", text, "--to", f"uds:{tmp_path}/vsock")
    assert done.returncode == 1
    assert done.stderr == f"envd bridge: {text}: the address is in use\n"
    occupied = tmp_path / "file"
    occupied.write_text("kept")
    done = envd("bridge", "--listen", f"unix:{occupied}", "--to", f"uds:{tmp_path}/vsock")
    assert done.returncode == 1
    assert occupied.read_text() == "kept"


@pytest.mark.parametrize("args", [
    [], ["--to", "tcp:127.0.0.1:80"], ["--to", "vsock:x"], ["--to", "uds:"],
    ["--to", "uds:" + "x" * 108], ["--to", "vsock:3", "--listen", "tcp:127.0.0.1"],
    ["--to", "vsock:3", "--listen", "tcp:::1:80"], ["--to", "vsock:3", "--listen", "tcp:host:80"],
    ["--to", "vsock:3", "--listen", "vsock:x"], ["--to", "vsock:3", "--port", "0"],
    ["--to", "vsock:3", "--wait", "long"], ["--to", "vsock:3"] + ["--listen", "tcp:[::1]:80"] * 9,
])
def test_wrong_arguments(envd, args):
    done = envd("bridge", *args)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("envd bridge: ") and line.endswith("(see envd bridge --help)")
