# SPDX-License-Identifier: Apache-2.0
"""What `envd upgrade` shows of a peer's answers; tests/upgrade replaces real daemons."""

import contextlib
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
    the operator's terminal, or worse. What a terminal obeys is shown as an escape."""
    address = peer(b"", b"HTTP/1.1 204 No Content\r\nX-Envd-Version: 1\xc2\x9b2J\r\n"
                        b"X-Envd-Handover: {\"failed\":false}\xe2\x80\xae\r\n\r\n")
    ran = envd("upgrade", program, "--to", address)
    assert ran.stdout == 'version 1\\xc2\\x9b2J, carried over: {"failed":false}\\xe2\\x80\\xae\n'
    assert (ran.returncode, ran.stderr) == (0, "")
    # No field may have a control character (RFC 9110, section 5.5).
    address = peer(b"", b"HTTP/1.1 204 No Content\r\nX-Envd-Version: 1\x1b]0;title\x07\r\n\r\n")
    ran = envd("upgrade", program, "--to", address)
    assert ran.stderr.startswith("envd upgrade: the new program has not accepted /init ")
    assert ran.stderr.endswith(f": {address}: a malformed head\n")
    assert (ran.returncode, ran.stdout) == (1, "")


def test_no_escape_sequence_of_a_refusal_is_shown(envd, peer, program):
    address = peer(b"HTTP/1.1 409 Conflict\r\n\r\nno\x1b[2J \xc2\x9b2J\r more")
    ran = envd("upgrade", program, "--to", address)
    assert ran.stderr == "envd upgrade: the daemon goes on as before: HTTP status 409: no\\x1b[2J \\xc2\\x9b2J\n"
    assert (ran.returncode, ran.stdout) == (1, "")


def test_a_field_is_looked_for_in_the_head(envd, peer, program):
    """Names of fields were searched for in the whole answer: a body that names one, or a longer name,
    gave the version and the report."""
    address = peer(b"", b"HTTP/1.1 204 No Content\r\nX-Not-X-Envd-Version: 6\r\n"
                        b"x-envd-VERSION:\t1.2.3\r\n\r\n"
                        b"X-Envd-Handover: {\"failed\":false}\r\nX-Envd-Version: 7\r\n")
    ran = envd("upgrade", program, "--to", address)
    assert ran.stdout == "version 1.2.3, carried over: unknown\n"
    assert (ran.returncode, ran.stderr) == (1, "")


@pytest.mark.parametrize("lost", ["procs_failed", "retained_failed", "watchers_failed"])
def test_a_loss_is_told_by_the_exit_status(envd, peer, program, lost):
    """The manual promises 1 if something was lost; it was 0 unless everything was."""
    address = peer(b"", b"HTTP/1.1 204 No Content\r\nX-Envd-Version: 1\r\n"
                        b"X-Envd-Handover: {\"failed\":false,\"%s\":1}\r\n\r\n" % lost.encode())
    assert envd("upgrade", program, "--to", address).returncode == 1


def test_no_program_is_not_sent(envd, peer, tmp_path):
    """An empty body tells a daemon to execute its own program again: the command told that as success."""
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for path in (empty, tmp_path):
        ran = envd("upgrade", str(path), "--to", "tcp:127.0.0.1:1")
        assert ran.stderr == f"envd upgrade: {path}: not a program\n"
        assert ran.returncode == 1


def test_a_listener_whose_queue_is_full(envd, program, tmp_path):
    """connect(2) waits until the queue of a listener has room, in which nobody may ever accept."""
    path = str(tmp_path / "full")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        with pytest.raises(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(path)
        ran = envd("upgrade", program, "--timeout", "0.5", "--to", f"unix:{path}")
    assert ran.stderr.startswith(f"envd upgrade: unix:{path}: connection timed out: ")
    assert ran.returncode == 1


def test_a_connection_that_ends_while_the_program_is_sent(envd, program, tmp_path):
    """Nothing was replaced: a daemon needs all of the program. The command then asked what had ended for
    its report, for 15 s."""
    with open(program, "ab") as f:
        f.truncate(16 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def refuse():
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        ran = envd("upgrade", program, "--to", "tcp:127.0.0.1:%d" % listener.getsockname()[1])
        thread.join()
    assert ran.stderr.startswith("envd upgrade: the daemon goes on as before: tcp:")
    assert (ran.returncode, ran.stdout) == (1, "")


@pytest.mark.parametrize("args", [[], ["a", "b"], ["a", "--to", "nowhere"], ["a", "--timeout", "0"]])
def test_wrong_arguments(envd, args):
    ran = envd("upgrade", *args)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("envd upgrade: ") and ran.stderr.endswith(" (see envd upgrade --help)\n")
