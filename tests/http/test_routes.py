# SPDX-License-Identifier: Apache-2.0
"""Which path answers what: methods, content types, cross-origin rules, users."""

import base64

import pytest
from wire import request, rpc

STAT = "filesystem.Filesystem/Stat"
EXPOSED = {"grpc-status", "grpc-message", "grpc-status-details-bin", "location", "cache-control",
           "x-content-type-options", "etag", "content-disposition", "content-range",
           "x-envd-offsets"}
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def ask(wire, *arguments, **keywords):
    wire.send(request(*arguments, **keywords))
    return wire.answer(arguments[0])


@pytest.mark.parametrize("path", [
    "/", "/nothing", "/health/", "//health", "/%68ealth", "/health/x", "/Health", "/*",
    "/filesystem.Filesystem", "/filesystem.Filesystem/", "/filesystem.Filesystem/Nothing",
    "/filesystem.Filesystem/Stat/", "/filesystem.filesystem/stat",
])
def test_no_such_path(wire, path):
    answer = ask(wire, "GET", path)
    assert answer.status == 404
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Vary"] == "Origin"
    assert answer.body == b"404 page not found\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "get"])
def test_wrong_method(wire, method):
    answer = ask(wire, method, "/health")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.all("Allow") == ["GET", "HEAD"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_wrong_method_of_a_call(wire, method):
    answer = ask(wire, method, f"/{STAT}")
    assert (answer.status, answer.body) == (405, b"")
    assert answer.all("Allow") == ["POST"]


def test_calls_may_be_percent_encoded(wire):
    text = rpc("filesystem.Filesystem/St%61t", {"path": "/"})
    wire.send(text)
    assert wire.answer().json()["entry"]["path"] == "/"


class TestContentType:
    UNARY = {"application/json", "application/json; charset=utf-8", "application/proto",
             "application/grpc-web", "application/grpc-web+proto", "application/grpc-web+json",
             "application/grpc-web+json; charset=utf-8"}

    @pytest.mark.parametrize("field", [
        "Content-Type: text/plain", "Content-Type: application/connect+json",
        "Content-Type: application/json; charset=latin1", "Content-Type: application/json; x=y",
        "Content-Type: application/grpc-web-text", "Content-Type:", "X-None: x",
    ])
    def test_unknown(self, wire, field):
        answer = ask(wire, "POST", f"/{STAT}", field, body=b"{}")
        assert (answer.status, answer.body) == (415, b"")
        accepted = answer["Accept-Post"].split(", ")
        assert self.UNARY <= set(accepted)
        assert not any("connect+" in name for name in accepted)

    def test_unknown_for_a_stream(self, wire):
        answer = ask(wire, "POST", "/process.Process/Start",
                     "Content-Type: application/json", body=b"{}")
        assert (answer.status, answer.body) == (415, b"")
        accepted = answer["Accept-Post"].split(", ")
        assert {"application/connect+json", "application/connect+proto"} <= set(accepted)
        assert "application/json" not in accepted

    @pytest.mark.parametrize("value", ["application/json", "application/json; charset=utf-8",
                                       "application/json;charset=UTF-8", "Application/JSON"])
    def test_json(self, wire, value):
        answer = ask(wire, "POST", f"/{STAT}", f"Content-Type: {value}", body=b'{"path":"/"}')
        assert answer.status == 200
        assert answer.json()["entry"]["path"] == "/"


class TestCors:
    ORIGIN = "Origin: https://app.example"

    def test_simple(self, wire):
        answer = ask(wire, "GET", "/health", self.ORIGIN)
        assert answer.status == 204
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert set(answer["Access-Control-Expose-Headers"].lower().split(", ")) == EXPOSED
        assert answer["Access-Control-Allow-Credentials"] is None
        assert "Origin" in answer["Vary"]

    @pytest.mark.parametrize("method, path, status", [
        ("GET", "/nothing", 404), ("PUT", "/health", 405), ("OPTIONS", "/health", 405),
    ])
    def test_errors_too(self, wire, method, path, status):
        answer = ask(wire, method, path, self.ORIGIN)
        assert answer.status == status
        assert answer["Access-Control-Allow-Origin"] == "*"

    @pytest.mark.parametrize("fields", [(), ("Origin:",)])
    def test_without_origin(self, wire, fields):
        answer = ask(wire, "GET", "/health", *fields)
        assert answer["Access-Control-Allow-Origin"] is None
        assert answer["Access-Control-Expose-Headers"] is None
        assert answer["Vary"] == "Origin"

    @pytest.mark.parametrize("method", ["HEAD", "GET", "POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize("path", ["/health", "/nothing", f"/{STAT}"])
    def test_preflight(self, wire, path, method):
        answer = ask(wire, "OPTIONS", path, self.ORIGIN,
                     f"Access-Control-Request-Method: {method}",
                     "Access-Control-Request-Headers: content-type,x-access-token")
        assert (answer.status, answer.body) == (204, b"")
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert answer["Access-Control-Allow-Methods"] == method
        assert answer["Access-Control-Allow-Headers"] == "content-type,x-access-token"
        assert answer["Access-Control-Max-Age"] == "7200"
        assert answer["Vary"] == PREFLIGHT_VARY

    @pytest.mark.parametrize("fields", [
        (ORIGIN, "Access-Control-Request-Method: TRACE"),
        (ORIGIN, "Access-Control-Request-Method: put"),
        ("Access-Control-Request-Method: PUT",),
    ])
    def test_preflight_refused(self, wire, fields):
        answer = ask(wire, "OPTIONS", "/health", *fields)
        assert answer.status == 204
        assert answer["Access-Control-Allow-Origin"] is None
        assert answer["Access-Control-Allow-Methods"] is None
        assert answer["Vary"] == PREFLIGHT_VARY

    def test_preflight_before_the_user_is_looked_at(self, wire):
        answer = ask(wire, "OPTIONS", "/health", self.ORIGIN,
                     "Access-Control-Request-Method: GET", basic("nobody-there:"))
        assert answer.status == 204
        assert answer["Access-Control-Allow-Origin"] == "*"

    def test_no_header_is_smuggled_into_the_answer(self, wire):
        answer = ask(wire, "OPTIONS", "/health", self.ORIGIN,
                     "Access-Control-Request-Method: GET",
                     "Access-Control-Request-Headers: x\t,\xff y")
        assert answer["Access-Control-Allow-Headers"] == "x\t,\xff y"


class TestCorsOff:
    def test_web_pages_are_refused(self, other_daemon, connect):
        daemon = other_daemon("-cors", "off")
        wire = connect(daemon.address)
        for method, fields in [
            ("GET", ()), ("POST", ()), ("OPTIONS", ("Access-Control-Request-Method: GET",)),
        ]:
            for origin in ("https://app.example", "null", "http://localhost:23000", ""):
                answer = ask(wire, method, "/health", f"Origin: {origin}", *fields)
                assert answer.status == 403
                assert answer["Access-Control-Allow-Origin"] is None
                assert answer["Access-Control-Allow-Methods"] is None
        wire.send(rpc(STAT, {"path": "/"}, "Origin: null"))
        assert wire.answer().status == 403
        wire.send(rpc(STAT, {"path": "/"}))
        assert wire.answer().status == 200


def basic(text):
    return f"Authorization: Basic {base64.b64encode(text.encode('latin-1')).decode()}"


class TestUser:
    @pytest.mark.parametrize("path", ["/health", "/nothing", f"/{STAT}"])
    @pytest.mark.parametrize("name", ["nobody-there", "", "root\0x"])
    def test_unknown(self, wire, path, name):
        answer = ask(wire, "GET", path, basic(f"{name}:"))
        assert answer.status == 401
        assert answer.json()["code"] == "unauthenticated"

    @pytest.mark.parametrize("field", [
        basic("root:"), basic("root:any password"), "Authorization: basic cm9vdDo=",
        "Authorization: Bearer cm9vdDo=", "Authorization: Basic !", "Authorization: Basic",
        "Authorization:", basic("no colon"), "Authorization: Basic bm9ib2R5LXRoZXJlOg",
    ])
    def test_known_or_not_named(self, wire, field):
        assert ask(wire, "GET", "/health", field).status == 204

    def test_unknown_in_a_stream(self, wire):
        from wire import envelopes, stream_rpc
        wire.send(stream_rpc("process.Process/Start", {},
                             basic("nobody-there:")))
        answer = wire.answer()
        assert answer.status == 200
        (flags, message), = envelopes(answer.body)
        assert flags == 2
        assert message["error"]["code"] == "unauthenticated"
