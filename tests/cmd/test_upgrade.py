# SPDX-License-Identifier: Apache-2.0
"""What `envd upgrade` shows of a peer's answers; tests/upgrade replaces real daemons."""

import socket
import threading

import pytest


def receive(connection):
    piece = connection.recv(65536)
    assert piece, "the client closed the connection in the middle of its request"
    return piece


@pytest.fixture
def peer():
    """Starts a daemon that answers one connection after the other with these bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(*answers):
        def run():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += receive(connection)
                    head, _, body = request.partition(b"\r\n\r\n")
                    left = int(head.lower().partition(b"content-length:")[2].split()[0])
                    while len(body) < left:
                        body += receive(connection)
                    connection.sendall(answer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return "tcp:127.0.0.1:%d" % listener.getsockname()[1]

    yield serve
    listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    listener.close()


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(b"a program")
    return str(path)


def test_no_escape_sequence_of_a_new_program_is_shown(envd, peer, program):
    """The values of the answer's fields were printed as they came: a guest could set the title of
    the operator's terminal, or worse. What is not printable ASCII is shown as '?'."""
    address = peer(b"", b"HTTP/1.1 204 No Content\r\nX-Envd-Version: 1\x1b]0;title\x07\r\n"
                        b"X-Envd-Handover: {\"failed\":false}\x1b[2J\x7f\r\n\r\n")
    ran = envd("upgrade", program, "--to", address)
    assert ran.stdout == 'version 1?]0;title?, carried over: {"failed":false}?[2J?\n'
    assert (ran.returncode, ran.stderr) == (0, "")


def test_no_escape_sequence_of_a_refusal_is_shown(envd, peer, program):
    address = peer(b"HTTP/1.1 409 Conflict\r\n\r\nno\x1b[2J\r \xc2\x9b2J more")
    ran = envd("upgrade", program, "--to", address)
    assert ran.stderr == "envd upgrade: the daemon goes on as before: no?[2J? ??2J more\n"
    assert (ran.returncode, ran.stdout) == (1, "")
