# SPDX-License-Identifier: Apache-2.0
"""Requests and answers: connections kept, bodies framed, every cut of the input."""

import pytest
from wire import request, rpc

HEALTH = request("GET", "/health")
LIST = rpc("filesystem.Filesystem/Stat", {"path": "/"})


def is_stat(answer):
    return answer.status == 200 and answer.json()["entry"]["path"] == "/"


def test_health(wire):
    wire.send(HEALTH)
    answer = wire.answer()
    assert (answer.version, answer.status) == ("HTTP/1.1", 204)
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Length"] is None
    assert answer["Transfer-Encoding"] is None
    assert answer["Connection"] is None
    assert answer["Date"].endswith(" GMT")


def test_connection_is_kept(wire):
    for _ in range(3):
        wire.send(HEALTH)
        assert wire.answer().status == 204
        wire.send(LIST)
        assert is_stat(wire.answer())
        wire.send(request("GET", "/nothing"))
        assert wire.answer().status == 404


def test_connection_close(wire):
    wire.send(request("GET", "/health", "Connection: close"))
    answer = wire.answer()
    assert answer["Connection"] == "close"
    assert wire.closed()


def test_nothing_is_answered_after_close(wire):
    wire.send(request("GET", "/health", "Connection: close") + HEALTH)
    assert wire.answer().status == 204
    assert wire.closed()


def test_pipelined(wire):
    wire.send(HEALTH + LIST + request("GET", "/nothing") + LIST + HEALTH)
    assert wire.answer().status == 204
    assert is_stat(wire.answer())
    assert wire.answer().status == 404
    assert is_stat(wire.answer())
    assert wire.answer().status == 204
    assert wire.silent()


def test_many_pipelined(wire):
    wire.send(LIST * 500)
    for _ in range(500):
        assert is_stat(wire.answer())


def test_pipelined_then_half_closed(wire):
    wire.send(LIST * 20)
    wire.half_close()
    for _ in range(20):
        assert is_stat(wire.answer())
    assert wire.closed()


def test_byte_by_byte(wire):
    for byte in LIST + HEALTH:
        wire.send(bytes([byte]))
    assert is_stat(wire.answer())
    assert wire.answer().status == 204


def test_every_cut(connect):
    text = LIST + HEALTH
    for cut in range(1, len(text)):
        wire = connect()
        wire.send(text[:cut])
        wire.send(text[cut:])
        assert is_stat(wire.answer())
        assert wire.answer().status == 204
        wire.close()


def test_empty_line_before_request(wire):
    wire.send(LIST + b"\r\n" + LIST)
    assert is_stat(wire.answer())
    assert is_stat(wire.answer())


def test_chunked_request(wire):
    head = request("POST", "/filesystem.Filesystem/Stat", "Content-Type: application/json",
                   "Transfer-Encoding: chunked")
    wire.send(head + b'1\r\n{\r\n5;ext="1"\r\n"path\r\n6\r\n":"/"}\r\n0\r\nTrailer: x\r\n\r\n')
    assert is_stat(wire.answer())
    wire.send(HEALTH)
    assert wire.answer().status == 204


def test_large_body(wire):
    """A method with small messages refuses it, another one decodes it. The connection goes on."""
    wire.send(rpc("filesystem.Filesystem/Stat", {"path": "/" * 1_000_000}))
    answer = wire.answer()
    assert answer.status == 429
    assert answer.json()["message"] == "message is larger than configured max 65536 bytes"
    wire.send(rpc("process.Process/SendInput", {"process": {"tag": "nobody"},
                                                "input": {"stdin": "A" * 1_000_000}}))
    answer = wire.answer()
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    wire.send(HEALTH)
    assert wire.answer().status == 204


def test_expect_continue(wire):
    head, _, body = LIST.partition(b"\r\n\r\n")
    wire.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert wire.answer().status == 100
    wire.send(body)
    assert is_stat(wire.answer())
    wire.send(HEALTH)
    assert wire.answer().status == 204


def test_expect_continue_with_the_body_at_once(wire):
    head, _, body = LIST.partition(b"\r\n\r\n")
    wire.send(head + b"\r\nExpect: 100-continue\r\n\r\n" + body)
    answer = wire.answer()
    if answer.status == 100:
        answer = wire.answer()
    assert is_stat(answer)


def test_expect_continue_refused(wire):
    """A client that was not told to go on can't know whether its body is still wanted."""
    wire.send(request("POST", "/nothing", "Expect: 100-continue", "Content-Length: 1000000"))
    answer = wire.answer()
    assert answer.status == 404
    assert answer["Connection"] == "close"
    assert wire.closed()


def test_expect_continue_in_http_1_0(wire):
    head, _, body = LIST.replace(b"HTTP/1.1", b"HTTP/1.0").partition(b"\r\n\r\n")
    wire.send(head + b"\r\nExpect: 100-continue\r\n\r\n" + body)
    assert is_stat(wire.answer())


@pytest.mark.parametrize("path", ["/nothing", "/health"])
def test_unwanted_body(wire, path):
    """The answer does not wait for it, and it is not taken for a request."""
    wire.send(request("PUT", path, "Content-Length: 200000"))
    assert wire.answer().status in (404, 405)
    wire.send(HEALTH * 1000 + bytes(200000 - 1000 * len(HEALTH)))
    wire.send(HEALTH)
    assert wire.answer().status == 204
    assert wire.silent()


def test_unwanted_chunked_body(wire):
    wire.send(request("PUT", "/health", "Transfer-Encoding: chunked"))
    assert wire.answer().status == 405
    wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n" + HEALTH)
    assert wire.answer().status == 204


def test_endless_unwanted_body(wire):
    """There is an end to what is read for nothing."""
    wire.send(request("PUT", "/health", "Content-Length: 10000000000"))
    assert wire.answer().status == 405
    with pytest.raises(OSError):
        while True:
            wire.send(bytes(1_000_000))


class TestHttp10:
    def test_is_closed(self, wire):
        wire.send(request("GET", "/health", version="1.0"))
        answer = wire.answer()
        assert (answer.status, answer["Connection"]) == (204, "close")
        assert wire.closed()

    def test_is_kept_on_demand(self, wire):
        for _ in range(2):
            wire.send(request("GET", "/nothing", "Connection: keep-alive", version="1.0"))
            answer = wire.answer()
            assert (answer.status, answer["Connection"]) == (404, "keep-alive")

    def test_length_is_enough(self, wire):
        wire.send(LIST.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert is_stat(wire.answer())
        assert wire.closed()


class TestHead:
    def test_of_health(self, wire):
        """`curl -I` and `wget --spider` ask this way, and got 405."""
        wire.send(request("HEAD", "/health"))
        answer = wire.answer("HEAD")
        assert (answer.status, answer["Content-Length"]) == (204, None)
        wire.send(HEALTH)
        assert wire.answer().status == 204

    def test_is_405_where_there_is_no_get(self, wire):
        wire.send(request("HEAD", "/filesystem.Filesystem/Stat"))
        assert wire.answer("HEAD").status == 405
        wire.send(HEALTH)
        assert wire.answer().status == 204

    def test_has_no_body(self, wire):
        wire.send(request("HEAD", "/nothing") + HEALTH)
        answer = wire.answer("HEAD")
        assert (answer.status, answer["Content-Length"]) == (404, "19")
        assert wire.answer().status == 204


class TestHalfClose:
    def test_between_requests(self, wire):
        wire.send(HEALTH)
        assert wire.answer().status == 204
        wire.half_close()
        assert wire.closed()

    def test_at_once(self, wire):
        wire.half_close()
        assert wire.closed()

    def test_in_a_head(self, wire):
        wire.send("GET /hea")
        wire.half_close()
        assert wire.closed()

    def test_behind_a_call(self, wire):
        wire.send(LIST)
        wire.half_close()
        assert is_stat(wire.answer())
        assert wire.closed()

    @pytest.mark.parametrize("framing, body", [
        ("Content-Length: 20", b"{}"),
        ("Transfer-Encoding: chunked", b"9\r\n{}"),
        ("Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n"),
    ])
    def test_in_a_body(self, wire, framing, body):
        wire.send(request("POST", "/filesystem.Filesystem/Stat", "Content-Type: application/json",
                          framing) + body)
        wire.half_close()
        assert wire.answer().status == 400
        assert wire.closed()


def test_resets_are_survived(connect):
    """At any point of a request the client may vanish."""
    for cut in range(0, len(LIST), 7):
        wire = connect()
        wire.send(LIST[:cut])
        wire.reset()
    for _ in range(50):
        wire = connect()
        wire.send(LIST)
        wire.reset()
    wire = connect()
    wire.send(HEALTH)
    assert wire.answer().status == 204
