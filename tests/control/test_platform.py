# SPDX-License-Identifier: Apache-2.0
"""What the platform around a sandbox sees: metadata, log, metrics, tokens, forwarded ports."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from conftest import PORT, Daemon, wait_until


def test_metadata_becomes_variables_and_files(sandbox):
    wait_until(lambda: sandbox.envs().get("E2B_TEMPLATE_ID") == "tpl-1", "the template's name")
    assert sandbox.envs() == {"E2B_SANDBOX": "true", "E2B_SANDBOX_ID": "i-1",
                              "E2B_TEMPLATE_ID": "tpl-1"}
    for name, value in (("E2B_SANDBOX", "true"), ("E2B_SANDBOX_ID", "i-1"),
                        ("E2B_TEMPLATE_ID", "tpl-1")):
        with open(f"/run/e2b/.{name}") as f:
            assert f.read() == value


def test_polling_stops_when_answered_and_begins_again_with_init(sandbox):
    wait_until(lambda: sandbox.envs().get("E2B_SANDBOX_ID") == "i-1", "the first poll")
    asked = len(sandbox.mmds.requests)
    for _ in range(20):
        assert sandbox.request("GET", "/health").status == 204
    assert len(sandbox.mmds.requests) == asked
    sandbox.mmds.data["instanceID"] = "i-2"
    assert sandbox.init().status == 204
    wait_until(lambda: sandbox.envs().get("E2B_SANDBOX_ID") == "i-2", "the second poll")


def test_daemon_listens_before_the_service_is_there():
    d = Daemon("-no-cgroups")
    try:
        assert d.request("GET", "/envs").json() == {"E2B_SANDBOX": "true"}
    finally:
        d.end()


def test_log_lines_reach_the_collector(sandbox):
    sandbox.init(accessToken="secret-token-of-the-test")
    sandbox.init(accessToken="another")
    wait_until(lambda: any("validation failed" in line["message"] for line in sandbox.mmds.lines),
               "the line of the refused /init")
    for line in sandbox.mmds.lines:
        assert line["instanceID"] == "i-1" and line["envID"] == "tpl-1"
        assert line["level"] in ("error", "warn", "info", "debug")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["timestamp"])
        assert "secret-token-of-the-test" not in str(line)


def test_metrics(daemon):
    daemon.request("GET", "/metrics")
    answer = daemon.request("GET", "/metrics")
    assert answer.headers["Content-Type"] == "application/json"
    m = answer.json()
    assert list(m) == ["ts", "cpu_count", "cpu_used_pct", "cpu_possible", "cpu_target",
                       "cpu_target_attempts", "cpu_write_pending_ms", "mem_total", "mem_used",
                       "mem_cache", "disk_used", "disk_total", "mem_total_mib", "mem_used_mib"]
    assert [m[name] for name in m if name.startswith("cpu_") and name[4] in "ptw"] == [0] * 4
    assert m["cpu_count"] == os.cpu_count()
    assert 0 <= m["cpu_used_pct"] <= 100
    assert m["mem_total"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < m["mem_used"] < m["mem_total"] and m["mem_total_mib"] == m["mem_total"] >> 20
    st = os.statvfs("/")
    assert m["disk_total"] == st.f_blocks * st.f_frsize


def test_openmetrics(daemon):
    answer = daemon.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    text = answer.body.decode()
    assert text.endswith("# EOF\n")
    for line in text.splitlines()[:-1]:
        assert re.fullmatch(r'# (TYPE|HELP) \w+ .+|\w+(\{\w+="\w+"\})? [-+.e\d]+', line), line


ENDPOINTS = [("GET", "/metrics"), ("GET", "/envs"), ("GET", "/ports"), ("POST", "/collapse"),
             ("POST", "/upgrade"),
             ("POST", "/files/compose"), ("POST", "/process.Process/List"),
             ("POST", "/filesystem.Filesystem/Stat"), ("GET", "/nothing/here"),
             ("POST", "/health"), ("GET", "/init")]


@pytest.mark.parametrize("method,path", ENDPOINTS)
@pytest.mark.parametrize("token", [None, "", "wrong", "correct-hors", "correct-horse2"])
def test_no_endpoint_without_the_token(daemon, method, path, token):
    daemon.init(accessToken="correct-horse")
    answer = daemon.request(method, path, token=token)
    assert answer.status == 401
    assert answer.json()["code"] == 401


# An upgrade with the token replaces the daemon: tests/upgrade.
@pytest.mark.parametrize("method,path", [e for e in ENDPOINTS if e[1] != "/upgrade"])
def test_every_endpoint_with_the_token(daemon, method, path):
    daemon.init(accessToken="correct-horse")
    assert daemon.request(method, path, token="correct-horse").status != 401


def test_health_needs_no_token(daemon):
    daemon.init(accessToken="correct-horse")
    assert daemon.request("GET", "/health").status == 204


HANDOVER = {"procs": 0, "procs_failed": 0, "retained": 0, "retained_failed": 0, "watchers": 0,
            "watchers_failed": 0}
BLOB = "/run/e2b/envd-handover.pb"


@pytest.mark.parametrize("blob,failed", [(b"\x08\x04", True), (b"\x08\x01", False),
                                         (None, False)])
def test_resume_handover(blob, failed):
    """-resume-handover was ignored: after an upgrade into this daemon, every process was lost, the
    platform was told that the upgrade had succeeded, and the pipes of the processes stayed open for
    ever."""
    os.makedirs("/run/e2b", exist_ok=True)
    if blob is not None:
        with open(BLOB, "wb") as out:
            out.write(blob)
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    d = Daemon("-isnotfc", "-resume-handover", keep_fds=[writing])
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"", "the daemon keeps an inherited descriptor"
        assert not os.path.exists(BLOB)
        for body in ({}, {"thaw": 1, "timestamp": "x"}):
            answer = d.request("POST", "/init", json.dumps(body))
            assert json.loads(answer.headers["X-Envd-Handover"]) == {"failed": failed, **HANDOVER}
    finally:
        os.close(reading)
        d.end()


def test_no_handover_without_the_flag(daemon):
    assert "X-Envd-Handover" not in daemon.init().headers


def test_log_that_nobody_reads():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    d = Daemon("-isnotfc", "-verbose", log=os.fdopen(writing, "wb"))
    for _ in range(20):
        os.kill(d.process.pid, signal.SIGUSR1)
        assert d.init(hyperloopIP="no address").status == 204
    d.end()
    os.close(reading)


# ---- forwarded ports ----

class Echo:
    """A server of the guest's: answers with the hash of all it got, at the end of it."""

    def __init__(self, address, family):
        self.listener = socket.socket(family)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY,
                                     not address.startswith("::ffff:"))
        self.listener.bind((address, 0))
        self.listener.listen(4096)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    @staticmethod
    def answer(client):
        digest = hashlib.sha256()
        while data := client.recv(65536):
            digest.update(data)
        client.sendall(digest.digest())
        client.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def forwarded(port):
    try:
        return socket.create_connection(("169.254.0.21", port), timeout=20)
    except (ConnectionRefusedError, ConnectionResetError):
        return None


@pytest.fixture
def forwarding():
    d = Daemon("-isnotfc", "-forward-ip", "169.254.0.21")
    yield d
    d.end()


@pytest.mark.parametrize("address,family", [
    ("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("::", socket.AF_INET6),
    ("127.0.1.1", socket.AF_INET), ("::ffff:127.0.0.1", socket.AF_INET6)])
def test_port_is_forwarded_while_it_is_served(forwarding, address, family):
    """Only ports on 127.0.0.1 and ::1 were forwarded. Servers in a JVM bind ::ffff:127.0.0.1, others
    bind 127.0.1.1 (Debian's address for the host itself) or "::" for IPv6 only."""
    echo = Echo(address, family)
    sent = os.urandom(3_000_000)
    client = wait_until(lambda: forwarded(echo.port), "the forwarded port")
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    got = b""
    while data := client.recv(65536):
        got += data
    assert got == hashlib.sha256(sent).digest()
    client.close()
    echo.close()
    wait_until(lambda: not (c := forwarded(echo.port)) or c.close(), "the port's end")


def test_thousands_of_forwarded_connections(forwarding):
    echo = Echo("127.0.0.1", socket.AF_INET)
    wait_until(lambda: forwarded(echo.port), "the forwarded port").close()
    clients = [forwarded(echo.port) for _ in range(2000)]
    for i, client in enumerate(clients):
        client.sendall(b"%d" % i)
    for client in clients:
        client.shutdown(socket.SHUT_WR)
    for i, client in enumerate(clients):
        assert client.recv(100) == hashlib.sha256(b"%d" % i).digest()
        client.close()
    echo.close()


def test_forwarded_bytes_that_nobody_reads_are_not_hoarded(forwarding):
    """The server accepts and never reads. Its clients are blocked, and the daemon's memory stays small.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    port = listener.getsockname()[1]
    before = private_kib(forwarding)
    clients, accepted = [], []
    for _ in range(50):
        client = wait_until(lambda: forwarded(port), "the forwarded port")
        accepted.append(listener.accept()[0])
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            while True:
                client.sendall(bytes(1 << 20))
        clients.append(client)
    assert private_kib(forwarding) - before < 2048
    for s in (*clients, *accepted, listener):
        s.close()


def private_kib(daemon):
    with open(f"/proc/{daemon.process.pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def test_ports_on_all_interfaces_are_left_alone(forwarding):
    everywhere = socket.socket()
    everywhere.bind(("0.0.0.0", 0))
    everywhere.listen()
    local = Echo("127.0.0.1", socket.AF_INET)
    wait_until(lambda: forwarded(local.port), "the forwarded port").close()
    client = forwarded(everywhere.getsockname()[1])
    assert client, "the guest's own listener answers there"
    served, _ = everywhere.accept()
    for s in (served, client, everywhere):
        s.close()
    local.close()


def test_own_listeners_are_not_forwarded(forwarding):
    """A daemon that was bound to loopback on purpose became reachable from outside, because it
    forwarded its own port. The scan that forwards the echo server has seen both listeners."""
    echo = Echo("127.0.0.1", socket.AF_INET)
    wait_until(lambda: forwarded(echo.port), "the forwarded port").close()
    assert forwarded(PORT) is None
    echo.close()


def test_a_server_that_never_accepts_leaves_the_other_ports_alone(forwarding):
    """4,096 connections to one port, whose server never accepted, used up all connections for ever, so
    no other port was forwarded. Now a port can have only as many connections as remain for all others.
    """
    deaf = socket.create_server(("127.0.0.1", 0), backlog=1)
    echo = Echo("127.0.0.1", socket.AF_INET)
    port = deaf.getsockname()[1]
    clients = [wait_until(lambda: forwarded(port), "the forwarded port")]
    clients += [forwarded(port) for _ in range(2500)]
    with socket.create_connection(("169.254.0.21", echo.port), timeout=20) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == hashlib.sha256(b"").digest()
    for s in (*clients, deaf):
        s.close()
    echo.close()


def test_no_forwarding_outside_firecracker(daemon):
    echo = Echo("127.0.0.1", socket.AF_INET)
    for _ in range(50):
        assert daemon.request("GET", "/health").status == 204
    assert not forwarded(echo.port)
    echo.close()


def test_bad_forward_address(tmp_path):
    from conftest import ENVD, TOP
    r = subprocess.run([os.path.join(TOP, ENVD), "-isnotfc", "-listen", f"unix:{tmp_path}/socket",
                        "-forward-ip", "nowhere"], capture_output=True, text=True, timeout=20)
    assert r.returncode == 2
    assert "'nowhere' is not an IP address" in r.stderr


class TestRestart:
    """After a crash the daemon did not know its token. Until the next /init it served every client, and
    any process of the guest could send that /init."""

    @pytest.fixture
    def restarted(self, tmp_path):
        state = f"/dev/shm/envd-state-{os.getpid()}"
        d = Daemon("-isnotfc", "-state-dir", state)
        d.init(accessToken="correct-horse")
        os.kill(d.process.pid, signal.SIGKILL)
        d.process.wait()
        d = Daemon("-isnotfc", "-state-dir", state)
        yield d
        d.end()
        os.unlink(f"{state}/token")
        os.rmdir(state)

    def test_the_door_stays_closed(self, restarted):
        for method, path in (("GET", "/envs"), ("GET", "/files?path=/etc/hostname"),
                             ("POST", "/process.Process/List")):
            assert restarted.request(method, path).status == 401
            assert restarted.request(method, path, token="wrong").status == 401
        assert restarted.request("GET", "/health").status == 204
        assert restarted.init(accessToken="thief").status == 401
        assert restarted.init().status == 401

    def test_the_token_opens_it(self, restarted):
        assert restarted.request("GET", "/envs", token="correct-horse").status == 200
        assert restarted.request("GET", "/envs").status == 401

    def test_an_init_with_the_token_opens_it(self, restarted):
        assert restarted.init(accessToken="correct-horse").status == 204
        assert restarted.request("GET", "/envs", token="correct-horse").status == 200

    def test_the_marker_has_no_token(self, restarted):
        with open(f"/dev/shm/envd-state-{os.getpid()}/token", encoding="ascii") as marker:
            text = marker.read()
        assert len(text) == 160 and "correct-horse" not in text
        mode = os.stat(f"/dev/shm/envd-state-{os.getpid()}").st_mode
        assert mode & 0o777 == 0o700


class TestARefusedStateDirectory:
    """The daemon only wrote a warning if others could change its state directory. After a crash it did not
    know its token, although its flag asked for that: every client was served. Now it is locked from its
    start, so the operator notices before there is a token to lose."""

    @pytest.fixture
    def state(self):
        path = tempfile.mkdtemp(dir="/dev/shm")
        yield path
        shutil.rmtree(path)

    def refused(self, path):
        d = Daemon("-isnotfc", "-state-dir", path)
        assert d.request("GET", "/health").status == 204
        assert d.request("GET", "/envs").status == 401
        assert d.init(accessToken="correct-horse").status == 401
        assert d.init().status == 401
        assert d.request("GET", "/envs", token="correct-horse").status == 401
        assert "no token opens this daemon" in d.log()
        d.end()

    @pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
    def test_others_can_write_to_it(self, state, mode):
        os.chmod(state, mode)
        self.refused(state)
        assert os.listdir(state) == []

    def test_others_can_read_it(self, state):
        """That does no harm, for the marker itself is root's: nothing is refused."""
        os.chmod(state, 0o755)
        d = Daemon("-isnotfc", "-state-dir", state)
        assert d.init(accessToken="correct-horse").status == 204
        d.end()
        assert os.stat(f"{state}/token").st_mode & 0o777 == 0o600

    def test_it_belongs_to_another_user(self, state):
        """Its owner could replace the marker, and with it the token that a restarted daemon asks for."""
        os.chown(state, 1000, 1000)
        self.refused(state)
        assert os.listdir(state) == []
        assert (os.stat(state).st_uid, os.stat(state).st_mode & 0o777) == (1000, 0o700)

    def test_it_is_a_link(self, state):
        """A link can be made to lead to another directory after the check."""
        os.symlink(state, f"{state}.link")
        try:
            self.refused(f"{state}.link")
        finally:
            os.unlink(f"{state}.link")
        assert os.listdir(state) == []

    def test_it_is_on_a_disk(self, tmp_path):
        """A reboot does not clear it: the machine would start with the token of an earlier life."""
        if os.stat(tmp_path).st_dev == os.stat("/dev/shm").st_dev:
            pytest.skip("/tmp is a tmpfs")
        os.chmod(tmp_path, 0o700)
        self.refused(str(tmp_path))


def test_a_state_directory_without_room(tmp_path):
    """A full tmpfs: the marker was emptied before it was written, which failed. After a crash the daemon
    served everyone. Its page is reserved at the start."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", tmp_path], check=True)
    try:
        d = Daemon("-isnotfc", "-state-dir", str(tmp_path))
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "ballast").write_bytes(bytes(1 << 20))
        assert d.init(accessToken="correct-horse").status == 204
        os.kill(d.process.pid, signal.SIGKILL)
        d.process.wait()
        d = Daemon("-isnotfc", "-state-dir", str(tmp_path))
        assert d.request("GET", "/envs").status == 401
        assert d.request("GET", "/envs", token="correct-horse").status == 200
        d.end()
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)
