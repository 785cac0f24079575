# SPDX-License-Identifier: Apache-2.0
"""An /init with another lifecycleID: the peers of earlier connections may be gone."""

import http.client
import json
import socket
import struct
import subprocess

import pytest

from conftest import PORT, Daemon, wait_until

GUEST = "10.77.0.1"


def ended(connection):
    """Whether the daemon has closed it."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def idle_connection():
    connection = socket.create_connection(("127.0.0.1", PORT), timeout=20)
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"204" in connection.recv(4096)
    return connection


def start_stream(address, script):
    """A running command's stream: the connection, with its first event read."""
    connection = http.client.HTTPConnection(address, PORT, timeout=30)
    message = json.dumps({"process": {"cmd": "/bin/sh", "args": ["-c", script]}}).encode()
    connection.request("POST", "/process.Process/Start",
                       b"\0" + struct.pack(">I", len(message)) + message,
                       {"Content-Type": "application/connect+json"})
    response = connection.getresponse()
    head = response.read(5)
    assert b"start" in response.read(int.from_bytes(head[1:], "big"))
    return connection, response


def test_idle_connections_end_and_streams_of_living_peers_go_on(daemon):
    daemon.init(lifecycleID="one")
    idle = idle_connection()
    connection, response = start_stream("127.0.0.1", "read line; echo later")
    daemon.init(lifecycleID="one")
    daemon.init(lifecycleID="one")
    assert not ended(idle), "the same life cycle ends nothing"
    daemon.init(lifecycleID="two")
    wait_until(lambda: ended(idle), "the end of the idle connection")
    fresh = idle_connection()
    daemon.init(lifecycleID="two")
    assert not ended(fresh)
    fresh.close()
    assert not ended(connection.sock)
    connection.close()


@pytest.fixture
def far_daemon():
    """A daemon that is also reached through a link, whose other end can go away without a word."""
    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    ip("netns", "add", "peer")
    ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns", "peer")
    ip("address", "add", f"{GUEST}/24", "dev", "here")
    ip("link", "set", "here", "up")
    ip("-n", "peer", "address", "add", "10.77.0.2/24", "dev", "there")
    ip("-n", "peer", "link", "set", "there", "up")
    d = Daemon("-isnotfc", "-listen", f"tcp:{GUEST}:{PORT}")
    yield d
    d.end()
    ip("netns", "delete", "peer")


CLIENT = f"""
import sys
sys.path.insert(0, "tests/control")
from test_resume import start_stream
connection, response = start_stream({GUEST!r}, "sleep 1000")
print("begun", flush=True)
sys.stdin.read()
"""


def test_ghost_reader_is_noticed(far_daemon):
    daemon = far_daemon
    daemon.init(lifecycleID="one")
    client = subprocess.Popen(["ip", "netns", "exec", "peer", "python3", "-c", CLIENT],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"begun\n"
    subprocess.run(["ip", "link", "set", "here", "down"], check=True)
    assert established() == 1
    daemon.init(lifecycleID="two")
    wait_until(lambda: established() == 0, "the ghost's end", 60)
    client.kill()
    client.wait()
    client.stdin.close()
    client.stdout.close()


def established():
    """How many connections the daemon has on the link."""
    listed = subprocess.run(["ss", "-Htn", "state", "established", "src", GUEST],
                            capture_output=True, text=True, check=True).stdout
    return len(listed.splitlines())
