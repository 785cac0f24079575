# SPDX-License-Identifier: Apache-2.0
"""Requests that two programs could interpret differently are refused, and the connection is closed."""

import pytest
from wire import request, rpc

HEALTH = request("GET", "/health")

# (name, text, status): a request that must not be served
BAD_HEADS = [
    ("bare LF", "GET /health HTTP/1.1\nHost: h\n\n", 400),
    ("LF after a field", "GET /health HTTP/1.1\r\nHost: h\n\r\n", 400),
    ("bare CR", "GET /health HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400),
    ("CR at the end", "GET /health HTTP/1.1\r\nHost: h\r\n\r\rGET /health HTTP/1.1\r\n\r\n", 400),
    ("two empty lines", "\r\n\r\nGET /health HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("folded field", "GET /health HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n", 400),
    ("space before a field", "GET /health HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    ("space before a colon", "GET /health HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    ("empty name", "GET /health HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400),
    ("no colon", "GET /health HTTP/1.1\r\nHost: h\r\nx\r\n\r\n", 400),
    ("NUL in a value", "GET /health HTTP/1.1\r\nHost: h\r\nX: \0\r\n\r\n", 400),
    ("no Host", "GET /health HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", "GET /health HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
    ("bad Host", "GET /health HTTP/1.1\r\nHost: h/x\r\n\r\n", 400),
    ("two spaces", "GET  /health HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("space in the target", "GET /hea lth HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("tab", "GET\t/health HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("no version", "GET /health\r\n\r\n", 400),
    ("bad version", "GET /health HTTP/1\r\nHost: h\r\n\r\n", 400),
    ("authority", "GET sandbox:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("user in the target", "GET http://u@h/health HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("asterisk", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("bad escape", "GET /health%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("expectation", "POST /health HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
    ("length sign", "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\n{}", 400),
    ("length list", "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 2\r\n\r\n{}", 400),
    ("length in hex", "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 0x2\r\n\r\n{}", 400),
    ("empty length", "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n{}", 400),
    ("huge length",
     "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551618\r\n\r\n{}", 400),
    ("two lengths",
     "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    ("length and chunked", "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked in 1.0", "POST /health HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("coding", "POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ("coding list",
     "POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501),
    ("coding in disguise",
     "POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    ("coding with a tab",
     "POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\x0b\r\n\r\n", 400),
]


@pytest.mark.parametrize("text, status", [case[1:] for case in BAD_HEADS],
                         ids=[case[0] for case in BAD_HEADS])
def test_head(wire, text, status):
    """Nothing behind it is taken for a request."""
    wire.send(text.encode("latin-1") + HEALTH)
    answer = wire.answer()
    assert answer.status == status
    assert answer["Connection"] == "close"
    assert wire.closed()


@pytest.mark.parametrize("head, status", [
    ("HEAD /health HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
    ("HEAD /health HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 400),
    ("HEAD /health HTTP/1.1\r\nHost: h\r\nX: " + "y" * 66_000 + "\r\n\r\n", 431),
])
def test_head_method(wire, head, status):
    """A refused HEAD was answered with content, which a client would take for the next response (RFC 9110
    section 9.3.2)."""
    wire.send(head)
    answer = wire.answer("HEAD")
    assert (answer.status, answer["Connection"]) == (status, "close")
    assert wire.closed()


BAD_CHUNKS = [
    ("letters", "zz\r\n"),
    ("sign", "+2\r\n{}\r\n0\r\n\r\n"),
    ("prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
    ("space", "2 \r\n{}\r\n0\r\n\r\n"),
    ("no size", "\r\n{}\r\n0\r\n\r\n"),
    ("overflow", "10000000000000002\r\n{}\r\n0\r\n\r\n"),
    ("LF", "2\n{}\n0\n\n"),
    ("LF behind data", "2\r\n{}\n0\r\n\r\n"),
    ("LF in an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n"),
    ("more data", "1\r\n{}\r\n0\r\n\r\n"),
    ("bad trailer", "2\r\n{}\r\n0\r\nX : y\r\n\r\n"),
    ("folded trailer", "2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n"),
]


@pytest.mark.parametrize("body", [case[1] for case in BAD_CHUNKS],
                         ids=[case[0] for case in BAD_CHUNKS])
def test_chunked_body(wire, body):
    wire.send(request("POST", "/filesystem.Filesystem/Stat", "Content-Type: application/json",
                      "Transfer-Encoding: chunked") + body.encode() + HEALTH)
    answer = wire.answer()
    assert answer.status == 400
    assert answer["Connection"] == "close"
    assert wire.closed()


def test_answers_before_the_fault_arrive(wire):
    wire.send(HEALTH + rpc("filesystem.Filesystem/Stat", {"path": "/"}) + b"GET /health\r\n\r\n")
    assert wire.answer().status == 204
    assert wire.answer().status == 200
    assert wire.answer().status == 400
    assert wire.closed()


# What looks odd and is meant.
GOOD_HEADS = [
    ("absolute target", "GET http://elsewhere:80/health HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("query", "GET /health?%zz;=&& HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("raw query", "GET /health?\xc3\xa9\"{}|<> HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("HTTP/1.2", "GET /health HTTP/1.2\r\nHost: h\r\n\r\n"),
    ("names in capitals", "GET /health HTTP/1.1\r\nHOST: h\r\n\r\n"),
    ("white space around a value", "GET /health HTTP/1.1\r\nHost:\t h \t\r\n\r\n"),
    ("empty Host", "GET /health HTTP/1.1\r\nHost:\r\n\r\n"),
    ("obs-text", "GET /health HTTP/1.1\r\nHost: h\r\nX: \xff\x80\r\n\r\n"),
    ("upgrade", "GET /health HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
     "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"),
    ("zero length", "GET /health HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
    ("GET with a body", "GET /health HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"),
]


@pytest.mark.parametrize("text", [case[1] for case in GOOD_HEADS],
                         ids=[case[0] for case in GOOD_HEADS])
def test_odd_but_good(wire, text):
    wire.send(text.encode("latin-1") + HEALTH)
    assert wire.answer().status == 204
    assert wire.answer().status == 204
