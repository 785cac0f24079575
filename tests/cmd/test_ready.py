# SPDX-License-Identifier: Apache-2.0
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest


@pytest.fixture
def now(envd):
    """Whether the conditions hold, judged quickly: True or False."""

    def look(*args):
        code = envd("ready", *args, "--timeout", "0.05").returncode
        assert code in (0, 1)
        return code == 0

    return look


@pytest.fixture
def web():
    """A server on a free port that answers /ok with 200, /teapot with 418, /slow never."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/slow":
                time.sleep(2)
            self.send_response({"/ok": 200, "/ok?q=1": 200, "/teapot": 418}.get(self.path, 404))
            self.send_header("X-Host", self.headers["Host"])
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("family,kind,address", [
    (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
    (socket.AF_INET, socket.SOCK_STREAM, "0.0.0.0"),
    (socket.AF_INET6, socket.SOCK_STREAM, "::1"),
    (socket.AF_INET, socket.SOCK_DGRAM, "127.0.0.1"),
    (socket.AF_INET6, socket.SOCK_DGRAM, "::1"),
])
def test_port(now, family, kind, address):
    with socket.socket(family, kind) as listener:
        listener.bind((address, 0))
        port = str(listener.getsockname()[1])
        if kind == socket.SOCK_STREAM:
            assert not now("--port", port), "bound, but not yet listening"
            listener.listen()
        assert now("--port", port)
    assert not now("--port", port)


def test_a_connection_is_no_listener(now):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            assert not now("--port", str(client.getsockname()[1]))


def test_url(now, web):
    assert now("--url", f"http://127.0.0.1:{web}/ok")
    assert now("--url", f"http://localhost:{web}/ok?q=1#fragment")
    assert now("--url", f"http://127.0.0.1:{web}/teapot", "--status", "418")
    assert not now("--url", f"http://127.0.0.1:{web}/teapot")
    assert not now("--url", f"http://127.0.0.1:{web}/absent")
    assert not now("--url", "http://no-such-name.invalid/")


def test_url_that_never_answers(envd, web):
    started = time.monotonic()
    assert envd("ready", "--url", f"http://127.0.0.1:{web}/slow", "--timeout", "0.3").returncode == 1
    assert time.monotonic() - started < 1.5


def test_file(now, tmp_path):
    path = tmp_path / "ready"
    assert not now("--file", str(path))
    link = tmp_path / "link"
    link.symlink_to(path)
    assert not now("--file", str(link))
    path.write_text("")
    assert now("--file", str(path))
    assert now("--file", str(link))
    assert not now("--file", str(tmp_path)), "a directory is no file"


def test_process(now, tmp_path):
    program = tmp_path / "my (odd) one"
    shutil.copy(shutil.which("sleep"), program)
    with subprocess.Popen([program, "30"]) as process:
        assert now("--process", "my (odd) one")
        assert now("--process", "(odd)")
        assert not now("--process", "my odd one")
        process.kill()
    assert not now("--process", "my (odd) one")


def test_a_zombie_is_no_process(now, tmp_path):
    program = tmp_path / "zombie"
    shutil.copy(shutil.which("true"), program)
    with subprocess.Popen([program]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not now("--process", "zombie")


def test_process_does_not_find_itself(now):
    assert not now("--process", "envd-that-is-not-running")


def test_socket(now, tmp_path):
    path = tmp_path / "socket"
    assert not now("--socket", str(path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert not now("--socket", str(path)), "bound, but not yet listening"
        listener.listen()
        assert now("--socket", str(path))
    assert not now("--socket", str(path)), "a stale one"


def test_for(envd):
    started = time.monotonic()
    assert envd("ready", "--for", "0.4").returncode == 0
    assert 0.4 <= time.monotonic() - started < 2


def test_all_conditions_must_hold(envd, tmp_path, web):
    path = tmp_path / "late"
    timer = threading.Timer(0.5, path.write_text, [""])
    timer.start()
    started = time.monotonic()
    done = envd("ready", "--port", str(web), "--file", str(path), "--interval", "0.02")
    timer.join()
    assert done.returncode == 0
    assert time.monotonic() - started >= 0.5


def test_timeout_says_what_is_missing(envd, web):
    done = envd("ready", "--port", str(web), "--file", "/no/such/file", "--timeout", "0.2")
    assert done.returncode == 1
    assert done.stderr == "envd ready: timed out waiting for --file /no/such/file\n"


def test_timeout_tells_the_last_status(envd, web):
    """The message at the timeout named only the URL, so a server that answered 404 or 503 looked like
    one that did not answer. Now the message contains the last status."""
    url = f"http://127.0.0.1:{web}/absent"
    done = envd("ready", "--url", url, "--timeout", "0.3")
    assert done.stderr == (f"envd ready: timed out waiting for --url {url} "
                           "(last status 404, 200 is waited for)\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        done = envd("ready", "--url", url, "--timeout", "0.3")
    assert done.stderr == f"envd ready: timed out waiting for --url {url} (no answer)\n"


@pytest.mark.parametrize("args", [
    [], ["--port"], ["--port", "0"], ["--port", "65536"], ["--port", "x"], ["--nothing", "1"],
    ["--url", "https://localhost/"], ["--url", "localhost"], ["--file", ""], ["--for", "-1"],
    ["--status", "200"], ["--for", "0", "--timeout", "soon"], ["--for", "0", "word"],
    ["--for", "0"] * 33,
])
def test_wrong_arguments(envd, args):
    done = envd("ready", *args)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("envd ready: ") and line.endswith("(see envd ready --help)")


def test_help(envd):
    done = envd("ready", "--help")
    assert done.returncode == 0
    assert "--port N" in done.stdout
