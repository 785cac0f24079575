# SPDX-License-Identifier: Apache-2.0
"""GET and HEAD /files: what is answered, row by row."""

import calendar
import email.utils
import gzip
import os
import re
import socket
import time

import pytest

from client import Failed
from conftest import wait_for

TEXT = "A line of text that compresses.\n" * 20_000


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """Files that are older than two seconds: (directory, name → content)."""
    where = tmp_path_factory.mktemp("settled")
    contents = {"digits": b"0123456789", "empty": b"", "text.txt": TEXT.encode(),
                "random": os.urandom(300_000), "large": os.urandom(1 << 20) * 5}
    for name, data in contents.items():
        (where / name).write_bytes(data)
        os.utime(where / name, (1_600_000_000, 1_600_000_000))
    # The ctime can't be set: it has to become old.
    wait_for(lambda: time.time() - os.stat(where / name).st_ctime > 2.1)
    return where, contents


class TestPlain:
    @pytest.mark.parametrize("name", ["digits", "empty", "random", "large", "text.txt"])
    def test_bytes_and_fields(self, files, settled, name):
        where, contents = settled
        answer = files.get(where / name)
        assert answer.status == 200
        assert answer.body == contents[name]
        assert answer["Content-Length"] == str(len(contents[name]))
        assert answer["Accept-Ranges"] == "bytes"
        assert answer["Vary"] == "Accept-Encoding"
        assert answer["Content-Encoding"] is None
        assert answer["Cache-Control"] is None
        assert answer["Last-Modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
        assert re.fullmatch(r'"[^"]+"', answer["ETag"])

    @pytest.mark.parametrize("name", ["digits", "empty", "large", "text.txt"])
    @pytest.mark.parametrize("fields", [(), ("Accept-Encoding: gzip",), ("Range: bytes=1-3",)])
    def test_head_is_get_without_a_body(self, files, settled, name, fields):
        where, _ = settled
        head, get = files.head(where / name, *fields), files.get(where / name, *fields)
        assert head.status == get.status
        dropped = "date", "transfer-encoding"
        assert sorted(f for f in head.fields if f[0].lower() not in dropped) == sorted(
            f for f in get.fields if f[0].lower() not in dropped)

    def test_head_then_the_same_connection(self, files, settled):
        where, contents = settled
        with files.connect() as wire:
            for name in "large", "digits", "text.txt":
                wire.send(f"HEAD {files.target(where / name)} HTTP/1.1\r\nHost: x\r\n\r\n")
                assert wire.answer("HEAD").status == 200
                wire.send(f"GET {files.target(where / name)} HTTP/1.1\r\nHost: x\r\n\r\n")
                assert wire.answer().body == contents[name]

    def test_http_1_0(self, files, settled):
        where, contents = settled
        for fields in "", "Accept-Encoding: gzip\r\n":
            with files.connect() as wire:
                wire.send(f"GET {files.target(where / 'text.txt')} HTTP/1.0\r\n{fields}\r\n")
                head = wire.head()
                body = wire.rest()
                assert head["Transfer-Encoding"] is None
                assert (gzip.decompress(body) if fields else body) == contents["text.txt"]

    def test_date_of_1970_is_none(self, files, tmp_path):
        (tmp_path / "f").write_text("x")
        os.utime(tmp_path / "f", (0, 0))
        assert files.get(tmp_path / "f")["Last-Modified"] is None
        os.utime(tmp_path / "f", (1, 1))
        assert files.get(tmp_path / "f")["Last-Modified"] == "Thu, 01 Jan 1970 00:00:01 GMT"


class TestRefusals:
    def test_absent(self, files, tmp_path):
        for answer in files.get(tmp_path / "absent"), files.get(tmp_path / "no" / "way"):
            assert answer.status == 404
            assert answer["Content-Type"] == "application/json; charset=utf-8"
            assert answer["X-Content-Type-Options"] == "nosniff"
            assert answer.json()["code"] == 404
            assert answer.json()["message"]
            assert answer.body.endswith(b"}\n")
        assert files.head(tmp_path / "absent").status == 404

    def test_directory(self, files, tmp_path):
        assert files.get(tmp_path).status == 400
        assert files.get("/").status == 400
        assert files.get().status == 400  # the home
        assert files.get("").status == 400

    def test_paths(self, files, tmp_path):
        (tmp_path / "f").write_text("x")
        (tmp_path / "loop").symlink_to("loop")
        rows = [
            ("~user", 400), ("~root/f", 400), ("~no-such/f", 400),
            (tmp_path / "f" / "below", 500), (f"{tmp_path}/f/", 500),
            (tmp_path / "loop", 500), ("/" + "n" * 256, 500), ("/a" * 3000, 500),
            (f"{tmp_path}/f\0", 500), (f"\0{tmp_path}/f", 500),
        ]
        for path, status in rows:
            answer = files.get(path)
            assert (path, answer.status) == (path, status)
            assert answer.json()["code"] == status

    @pytest.mark.parametrize("name", ["path", "username", "signature", "signature_expiration"])
    def test_parameter_twice(self, files, name):
        answer = files.send("GET", f"/files?{name}=1&{name}=1")
        assert answer.status == 400
        assert answer["Content-Type"].startswith("text/plain")

    def test_parameter_unreadable(self, files):
        answer = files.send("GET", "/files?path=/&signature_expiration=soon")
        assert (answer.status, answer["Content-Type"][:10]) == (400, "text/plain")

    def test_users(self, files, tmp_path):
        (tmp_path / "f").write_text("x")
        assert files.get(tmp_path / "f", username="user").body == b"x"
        assert files.get(tmp_path / "f", username="nobody-of-this-name").status == 401
        assert files.get(tmp_path / "f", username="").status == 401
        # A wrong user comes before a wrong path.
        assert files.get("~other/f", username="nobody-of-this-name").status == 401

    def test_query_strings(self, files, tmp_path):
        (tmp_path / "a b").write_text("space")
        (tmp_path / "a+b").write_text("plus")
        rows = [
            (f"path={tmp_path}/a+b", b"space"), (f"path={tmp_path}/a%20b", b"space"),
            (f"path={tmp_path}/a%2Bb", b"plus"), (f"path={tmp_path}/a%2bb&other=%zz", b"plus"),
            (f"x=1;y=2&path={tmp_path}/a%2bb", b"plus"),
        ]
        for query, body in rows:
            assert (query, files.send("GET", f"/files?{query}").body) == (query, body)
        # A pair that can't be read does not count: what is left is the home.
        for query in f"path={tmp_path}/a%2", f"path={tmp_path}/a;b":
            assert files.send("GET", f"/files?{query}").status == 400

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
    def test_methods(self, files, method):
        answer = files.send(method, "/files?path=/x")
        assert (answer.status, answer.body) == (405, b"")
        assert {"GET", "POST"} <= set(", ".join(answer.all("Allow")).split(", "))


class TestRanges:
    """Of ten digits."""

    @pytest.mark.parametrize("value, expected, where", [
        ("bytes=0-0", b"0", "0-0"), ("bytes=0-", b"0123456789", "0-9"), ("bytes=3-5", b"345", "3-5"),
        ("bytes=9-", b"9", "9-9"), ("bytes=-1", b"9", "9-9"), ("bytes=-3", b"789", "7-9"),
        ("bytes=-100", b"0123456789", "0-9"), ("bytes=5-100", b"56789", "5-9"),
        ("bytes= 1-2", b"12", "1-2"), ("bytes=1-2,20-30", b"12", "1-2"),
        ("bytes=20-30,-2", b"89", "8-9"), ("bytes=1-2,", b"12", "1-2"),
        ("bytes=5-9", b"56789", "5-9"), ("bytes=5-10", b"56789", "5-9"), ("bytes=9-9", b"9", "9-9"),
        ("bytes=-9", b"123456789", "1-9"), ("bytes=-10", b"0123456789", "0-9"),
    ])
    def test_single(self, files, settled, value, expected, where):
        answer = files.get(settled[0] / "digits", f"Range: {value}")
        assert (answer.status, answer.body) == (206, expected)
        assert answer["Content-Range"] == f"bytes {where}/10"
        assert answer["Content-Length"] == str(len(expected))

    @pytest.mark.parametrize("value, parts", [
        ("bytes=0-0,9-9", [(0, 0), (9, 9)]), ("bytes=5-6,1-2,0-0", [(5, 6), (1, 2), (0, 0)]),
        ("bytes=0-1,0-1,0-1", [(0, 1)] * 3), ("bytes=1-2, -1 , 5-5", [(1, 2), (9, 9), (5, 5)]),
    ])
    def test_several(self, files, settled, value, parts):
        answer = files.get(settled[0] / "digits", f"Range: {value}")
        assert answer.status == 206
        boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", answer["Content-Type"])[1]
        pieces = answer.body.split(f"--{boundary}".encode())
        assert pieces[0] == b""
        assert pieces[-1] == b"--\r\n"
        assert len(pieces) == len(parts) + 2
        for piece, (first, last) in zip(pieces[1:-1], parts):
            head, _, data = piece.removesuffix(b"\r\n").partition(b"\r\n\r\n")
            assert f"Content-Range: bytes {first}-{last}/10".encode() in head
            assert b"Content-Type: text/plain; charset=utf-8" in head
            assert data == b"0123456789"[first:last + 1]

    @pytest.mark.parametrize("value", [
        "bytes=", "bytes=0-9,0-9", "bytes=0-5,5-9,0-1",
    ])
    def test_whole(self, files, settled, value):
        answer = files.get(settled[0] / "digits", f"Range: {value}")
        assert (answer.status, answer.body) == (200, b"0123456789")

    @pytest.mark.parametrize("value", [
        "lines=1-2", "bytes=a-b", "bytes=5-1", "bytes=--1", "bytes=1", "bytes", "1-2", "bytes=1-2-3",
    ])
    def test_invalid(self, files, settled, value):
        answer = files.get(settled[0] / "digits", f"Range: {value}")
        assert (answer.status, answer.body) == (416, b"invalid range\n")
        assert answer["Content-Range"] is None
        assert answer["Content-Type"].startswith("text/plain")

    @pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-20,30-", "bytes=9223372036854775807-"])
    def test_unsatisfiable(self, files, settled, value):
        answer = files.get(settled[0] / "digits", f"Range: {value}")
        assert (answer.status, answer["Content-Range"]) == (416, "bytes */10")

    def test_very_many(self, files, settled):
        value = "bytes=" + ",".join(f"{i % 10}-{i % 10}" for i in range(3000))
        answer = files.get(settled[0] / "digits", f"Range: {value}")
        assert (answer.status, answer.body) == (200, b"0123456789")

    def test_of_a_large_file(self, files, settled):
        where, contents = settled
        data = contents["large"]
        for first, last in (0, 0), (1, 3_000_001), (4_999_999, len(data) - 1), (65_535, 65_536):
            answer = files.get(where / "large", f"Range: bytes={first}-{last}")
            assert (answer.status, answer.body) == (206, data[first:last + 1])
        answer = files.get(where / "large", "Range: bytes=5-1000004,2000000-3999999")
        assert data[5:1000005] in answer.body
        assert data[2000000:4000000] in answer.body
        assert len(answer.body) == int(answer["Content-Length"])

    def test_empty_file(self, files, settled):
        for value in "bytes=0-", "bytes=-5", "bytes=0-0", "bytes=-5,-6":
            answer = files.get(settled[0] / "empty", f"Range: {value}")
            assert (value, answer.status, answer.body) == (value, 200, b"")
            assert answer["Content-Range"] is None

    def test_if_range(self, files, settled):
        where, _ = settled
        path = where / "digits"
        answer = files.get(path)
        rows = [
            (answer["ETag"], 206), (answer["Last-Modified"], 206), ('"other"', 200),
            ("W/" + answer["ETag"], 200), ("Sun, 13 Sep 2020 12:26:41 GMT", 200), ("nonsense", 200),
        ]
        for value, status in rows:
            found = files.get(path, "Range: bytes=1-2", f"If-Range: {value}")
            assert (value, found.status) == (value, status)
            assert found.body == (b"12" if status == 206 else b"0123456789")


class TestConditions:
    def test_rows(self, files, settled):
        path = settled[0] / "digits"
        answer = files.get(path)
        etag, date = answer["ETag"], answer["Last-Modified"]
        before, after = "Sat, 12 Sep 2020 00:00:00 GMT", "Mon, 14 Sep 2020 00:00:00 GMT"
        rows = [
            ([f"If-None-Match: {etag}"], 304), (["If-None-Match: *"], 304),
            ([f'If-None-Match: "x", W/{etag}'], 304), (['If-None-Match: "x"'], 200),
            ([f"If-Match: {etag}"], 200), (["If-Match: *"], 200), (['If-Match: "x"'], 412),
            ([f'If-Match: "x", {etag}'], 200), ([f"If-Match: W/{etag}"], 412),
            ([f"If-Modified-Since: {date}"], 304), ([f"If-Modified-Since: {after}"], 304),
            ([f"If-Modified-Since: {before}"], 200), (["If-Modified-Since: nonsense"], 200),
            ([f"If-Unmodified-Since: {date}"], 200), ([f"If-Unmodified-Since: {before}"], 412),
            # RFC 9110 section 13.2.2: the ETag comes first, and the date then does not count.
            ([f'If-None-Match: "x"', f"If-Modified-Since: {after}"], 200),
            ([f"If-Match: {etag}", f"If-Unmodified-Since: {before}"], 200),
            (['If-Match: "x"', f"If-None-Match: {etag}"], 412),
        ]
        for fields, status in rows:
            for method in "GET", "HEAD":
                found = files.get(path, *fields, method=method)
                assert (fields, method, found.status) == (fields, method, status)
                if status != 200:
                    assert found.body == b""
                if status == 304:
                    assert found["ETag"] == etag
                    assert found["Content-Length"] in (None, "10")

    def test_change_makes_another_etag(self, files, tmp_path):
        path = tmp_path / "f"
        path.write_text("one")
        os.utime(path, (1_600_000_000, 1_600_000_000))
        seen = [files.get(path)["ETag"]]
        path.write_text("two!")
        os.utime(path, (1_600_000_000, 1_600_000_000))
        seen.append(files.get(path)["ETag"])
        path.rename(tmp_path / "g")
        path.write_text("two!")
        os.utime(path, (1_600_000_000, 1_600_000_000))
        seen.append(files.get(path)["ETag"])
        assert len(set(seen)) == 3

    def test_young_file(self, files, tmp_path):
        path = tmp_path / "f"
        path.write_text("0123456789")
        # However slow the machine is, it is young: it comes from the future.
        os.utime(path, (time.time() + 3600,) * 2)
        etag = files.get(path)["ETag"]
        assert etag.startswith('W/"')
        assert files.get(path, f"If-None-Match: {etag}").status == 304
        assert files.get(path, f"If-Match: {etag}").status == 412
        assert files.get(path, "Range: bytes=1-2", f"If-Range: {etag}").status == 200


class TestCoding:
    ROWS = [
        ("gzip", "gzip"), ("gzip, deflate", "gzip"), ("deflate, gzip;q=0.5", "gzip"),
        ("GZIP", "gzip"), ("gzip;q=1.0, identity;q=0.5", "gzip"),
        ("identity", None), ("br", None), ("*", None), ("", None), ("gzip;q=0", None),
        ("gzip;q=0.5, identity", None), ("identity, gzip", None), ("deflate", None),
        ("identity;q=0", 406), ("*;q=0", 406), ("identity;q=0, gzip;q=0", 406),
        ("*, identity;q=0", "gzip"), ("gzip, identity;q=0", "gzip"),
    ]

    @pytest.mark.parametrize("value, expected", ROWS)
    def test_rows(self, files, settled, value, expected):
        answer = files.get(settled[0] / "text.txt", f"Accept-Encoding: {value}")
        if expected == 406:
            assert (answer.status, answer.json()["code"]) == (406, 406)
            return
        assert (answer.status, answer["Content-Encoding"]) == (200, expected)
        body = gzip.decompress(answer.body) if expected else answer.body
        assert body == TEXT.encode()
        assert answer["Vary"] == "Accept-Encoding"

    def test_fields_of_gzip(self, files, settled):
        plain = files.get(settled[0] / "text.txt")
        answer = files.get(settled[0] / "text.txt", "Accept-Encoding: gzip")
        assert answer["Last-Modified"] is None
        assert answer["Accept-Ranges"] is None
        assert answer["Content-Length"] is None
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert answer["ETag"] != plain["ETag"]
        assert len(answer.body) < len(TEXT) / 20

    def test_type_comes_from_the_extension_alone(self, files, tmp_path):
        (tmp_path / "noextension").write_text("<!DOCTYPE html><html></html>" * 1000)
        answer = files.get(tmp_path / "noextension", "Accept-Encoding: gzip")
        assert (answer["Content-Encoding"], answer["Content-Type"]) == (
            "gzip", "application/octet-stream")

    def test_what_does_not_compress(self, files, settled):
        where, contents = settled
        answer = files.get(where / "random", "Accept-Encoding: gzip")
        assert (answer["Content-Encoding"], answer.body) == (None, contents["random"])
        answer = files.get(where / "random", "Accept-Encoding: gzip, identity;q=0")
        assert answer["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.body) == contents["random"]

    def test_text_behind_noise_and_noise_behind_text(self, files, tmp_path):
        noise, text = os.urandom(2 << 20), b"text that compresses\n" * 100_000
        for name, data in ("a", noise + text), ("b", text + noise), ("c", noise + text + noise):
            (tmp_path / name).write_bytes(data)
            answer = files.get(tmp_path / name, "Accept-Encoding: gzip")
            body = answer.body
            assert (gzip.decompress(body) if answer["Content-Encoding"] else body) == data

    @pytest.mark.parametrize("field", [
        "Range: bytes=1-2", "If-None-Match: \"x\"", "If-Modified-Since: Sat, 12 Sep 2020 00:00:00 GMT",
    ])
    def test_ranges_and_conditions_mean_identity(self, files, settled, field):
        path = settled[0] / "text.txt"
        answer = files.get(path, "Accept-Encoding: gzip", field)
        assert answer["Content-Encoding"] is None
        answer = files.get(path, "Accept-Encoding: gzip, identity;q=0", field)
        assert answer.status == 406


class TestNamesAndTypes:
    @pytest.mark.parametrize("name, expected", [
        ("plain.txt", "inline; filename=plain.txt"),
        ("with space", 'inline; filename="with space"'),
        ('quo"te', r'inline; filename="quo\"te"'),
        ("back\\slash", r'inline; filename="back\\slash"'),
        ("semi;colon", 'inline; filename="semi;colon"'),
        ("ü", "inline; filename*=utf-8''%C3%BC"),
        (b"\xff", "inline; filename*=utf-8''%FF"),
        ("new\nline", "inline; filename*=utf-8''new%0Aline"),
    ])
    def test_disposition(self, files, tmp_path, name, expected):
        path = os.fsencode(tmp_path) + b"/" + os.fsencode(name)
        with open(path, "w") as f:
            f.write("content")
        answer = files.get(path)
        assert (answer.status, answer.body) == (200, b"content")
        assert answer["Content-Disposition"] == expected

    @pytest.mark.parametrize("name, data, expected", [
        ("a.txt", b"x", "text/plain; charset=utf-8"), ("a.json", b"{}", "application/json"),
        ("a.html", b"x", "text/html; charset=utf-8"), ("a.png", b"x", "image/png"),
        ("a.css", b"x", "text/css; charset=utf-8"), ("a.pdf", b"x", "application/pdf"),
        ("page", b"<html>", "text/html; charset=utf-8"),
        ("image", b"\x89PNG\r\n\x1a\n", "image/png"), ("zip", b"PK\x03\x04", "application/zip"),
        ("text", b"text", "text/plain; charset=utf-8"), ("empty", b"", "text/plain; charset=utf-8"),
        ("binary", b"\0\1\2", "application/octet-stream"),
        ("gz", b"\x1f\x8b\x08", "application/x-gzip"), ("A.PNG", b"x", "image/png"),
    ])
    def test_type(self, files, tmp_path, name, data, expected):
        (tmp_path / name).write_bytes(data)
        assert files.get(tmp_path / name)["Content-Type"] == expected

    def test_type_is_that_of_the_name_asked_for(self, files, tmp_path):
        (tmp_path / "f.png").write_bytes(b"x")
        (tmp_path / "link.txt").symlink_to("f.png")
        answer = files.get(tmp_path / "link.txt")
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert answer["Content-Disposition"] == "inline; filename=link.txt"


class TestHomes:
    @pytest.mark.parametrize("user", ["root", "user"])
    def test_paths(self, files, user):
        home = f"{os.environ['WORLD']}/{user}"
        with open(f"{home}/in home", "w") as f:
            f.write(user)
        for path in "in home", "./in home", "~/in home", f"{home}/../{user}/in home", "a/../in home":
            assert files.get(path, username=user).body == user.encode()
        os.remove(f"{home}/in home")


class TestSpecialFiles:
    def test_without_a_size(self, files):
        for path in "/proc/sys/kernel/ostype", "/proc/meminfo", "/proc/self/status", "/proc/cpuinfo":
            answer = files.get(path)
            assert answer.status == 200
            assert answer.body
            assert answer["ETag"] is None
        assert files.get("/proc/sys/kernel/ostype").body == b"Linux\n"
        assert b"[" in files.get("/sys/kernel/mm/transparent_hugepage/enabled").body

    def test_large_without_a_size(self, files):
        with open("/proc/kallsyms", "rb") as f:
            expected = f.read()
        # Its end changes as the kernel compiles filters.
        expected = expected[:1 << 20]
        assert files.get("/proc/kallsyms").body.startswith(expected)
        answer = files.get("/proc/kallsyms", "Accept-Encoding: gzip")
        assert answer["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.body).startswith(expected)

    def test_fifo_and_socket(self, files, tmp_path):
        os.mkfifo(tmp_path / "fifo")
        assert files.get(tmp_path / "fifo").status == 400
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            assert files.get(tmp_path / "socket").status == 400

    @pytest.mark.parametrize("path", [
        "/dev/null", "/dev/zero", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/proc/self/mem",
        "/proc/kmsg", "/proc/1/mem", "/dev/fuse", "/dev/loop-control",
    ])
    def test_devices_end(self, files, path):
        """Read or refused: what counts is that it ends, and is small."""
        answer = files.get(path)
        assert answer.status in (200, 400, 404, 500)
        assert len(answer.body) < 1 << 20

    def test_sparse_tebibyte(self, files, tmp_path):
        with open(tmp_path / "sparse", "wb") as f:
            f.truncate(1 << 40)
            f.seek((1 << 40) - 3)
            f.write(b"end")
        assert files.head(tmp_path / "sparse")["Content-Length"] == str(1 << 40)
        assert files.get(tmp_path / "sparse", "Range: bytes=-5").body == b"\0\0end"
        answer = files.get(tmp_path / "sparse", "Range: bytes=549755813888-549755813890")
        assert answer["Content-Range"] == f"bytes 549755813888-549755813890/{1 << 40}"
        # Neither all of it nor its compressed form is waited for.
        for fields in "", "Accept-Encoding: gzip\r\n":
            with files.connect() as wire:
                where = files.target(tmp_path / "sparse")
                wire.send(f"GET {where} HTTP/1.1\r\nHost: x\r\n{fields}\r\n")
                assert wire.head().status == 200


def test_dates_agree(files, tmp_path):
    (tmp_path / "f").write_text("x")
    date = files.get(tmp_path / "f")["Last-Modified"]
    seconds = calendar.timegm(email.utils.parsedate(date))
    assert seconds == int((tmp_path / "f").stat().st_mtime)


def test_the_same_by_stat(files, tmp_path):
    """The two ways to look at a file agree on what there is."""
    (tmp_path / "f").write_text("x")
    assert files.stat(tmp_path / "f")["size"] == "1"
    with pytest.raises(Failed) as raised:
        files.stat(tmp_path / "absent")
    assert raised.value.code == "not_found"
