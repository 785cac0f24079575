# SPDX-License-Identifier: Apache-2.0
"""What POST /files does beyond the reference, when it is asked: atomic uploads, uploads that are
continued, uploads under a condition."""

import os
import re
import stat
import time

import pytest

from client import BYTES, FORM, form, part
from conftest import wait_for

ATOMIC = "X-Envd-Atomic: 1"


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


class TestAtomic:
    @pytest.fixture(params=["bytes", "form"])
    def put(self, request, files):
        def put(path, data, *fields, user=None):
            client = files.as_user(user)
            if request.param == "form":
                return client.post_form(path, form(part(data)), ATOMIC, *fields)
            return client.put(path, data, ATOMIC, *fields)

        return put

    @pytest.mark.parametrize("user, uid", [("root", 0), ("user", 1000)])
    def test_new(self, put, tmp_path, user, uid):
        path = tmp_path / "a" / "b" / "f"
        assert put(path, "content", user=user).json() == [
            {"name": "f", "path": str(path), "type": "file"}]
        assert path.read_text() == "content"
        assert (mode(path), path.stat().st_uid, path.parent.stat().st_uid) == (0o644, uid, uid)
        assert os.listdir(path.parent) == ["f"]

    def test_keeps_what_the_old_one_was(self, put, tmp_path):
        path = tmp_path / "f"
        path.write_text("old")
        os.chown(path, 1000, 2000)
        path.chmod(0o4751)
        os.setxattr(path, "user.other", b"kept")
        os.setxattr(path, "user.e2b.gone", b"x")
        old = path.stat()
        with open(path) as reader:
            assert put(path, "new", "X-Metadata-Key: value").status == 200
            assert reader.read() == "old"
        new = path.stat()
        assert path.read_text() == "new"
        assert new.st_ino != old.st_ino
        assert (new.st_uid, new.st_gid, mode(path)) == (1000, 2000, 0o751)
        assert os.getxattr(path, "user.other") == b"kept"
        assert [name for name in os.listxattr(path) if "e2b" in name] == ["user.e2b.key"]

    def test_links(self, put, tmp_path):
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "f").write_text("old")
        (tmp_path / "link").symlink_to("d/f")
        (tmp_path / "dangling").symlink_to("d/new")
        for name in "link", "dangling":
            assert put(tmp_path / name, name).status == 200
            assert (tmp_path / name).is_symlink()
        assert (tmp_path / "d" / "f").read_text() == "link"
        assert (tmp_path / "d" / "new").read_text() == "dangling"

    def test_readers_see_one_or_the_other(self, put, tmp_path):
        """However often it is replaced, the file is never seen half."""
        path = tmp_path / "f"
        path.write_text("0" * 100_000)
        for i in range(1, 60):
            assert put(path, str(i % 10) * 100_000).status == 200
            text = path.read_text()
            assert len(text) == 100_000 and len(set(text)) == 1

    def test_refusals(self, put, tmp_path):
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "loop").symlink_to("loop")
        for path, status in [(tmp_path, 400), (f"{tmp_path}/new/", 400), (tmp_path / "fifo", 400),
                             (tmp_path / "loop", 500), ("~other/f", 400)]:
            assert (path, put(path, "x").status) == (path, status)
        assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)

    def test_sync(self, files, tmp_path):
        for fields in ["X-Envd-Sync: 1"], ["X-Envd-Sync: 1", ATOMIC]:
            assert files.put(tmp_path / "f", "content", *fields).status == 200
            assert (tmp_path / "f").read_text() == "content"

    def test_a_form_changes_all_it_can(self, files, tmp_path):
        """Each file for itself: what came whole is there, what was cut left the old one."""
        for name in "a", "b":
            (tmp_path / name).write_text("old")
        body = form(part("new", f"{tmp_path}/a"), part("new" * 1000, f"{tmp_path}/b"))
        assert files.post_form(None, body[:-500], ATOMIC).status == 500
        assert (tmp_path / "b").read_text() == "old"


class TestContinued:
    DATA = os.urandom(1_000_000)

    def put(self, files, path, first, last, *fields, total=None, body=None):
        total = len(self.DATA) if total is None else total
        body = self.DATA[first:last + 1] if body is None else body
        return files.put(path, body, f"Content-Range: bytes {first}-{last}/{total}", *fields)

    def test_in_pieces(self, files, tmp_path):
        path = tmp_path / "d" / "f"
        step = 300_000
        for first in range(0, len(self.DATA), step):
            last = min(first + step, len(self.DATA)) - 1
            assert self.put(files, path, first, last).status == 200
            assert files.head(path)["Content-Length"] == str(last + 1)
        assert path.read_bytes() == self.DATA

    def test_again_and_over(self, files, tmp_path):
        """A piece may come twice, and may overlap what is there."""
        path = tmp_path / "f"
        for first, last in (0, 499_999), (0, 499_999), (400_000, 999_999), (999_999, 999_999):
            assert self.put(files, path, first, last).status == 200
        assert path.read_bytes() == self.DATA

    def test_unknown_total(self, files, tmp_path):
        assert self.put(files, tmp_path / "f", 0, 9, total="*").status == 200
        assert self.put(files, tmp_path / "f", 10, 999_999, total="*").status == 200
        assert (tmp_path / "f").read_bytes() == self.DATA

    def test_after_a_cut(self, files, tmp_path):
        """A client that died asks how much there is, and goes on from there."""
        path = tmp_path / "f"
        with files.connect() as wire:
            head = (f"POST {files.target(path)} HTTP/1.1\r\nHost: x\r\n{BYTES}\r\n"
                    f"Content-Range: bytes 0-999999/1000000\r\nContent-Length: 1000000\r\n\r\n")
            wire.send(head.encode() + self.DATA[:654_321])
        wait_for(lambda: path.exists() and path.stat().st_size > 0)
        sizes = []
        # The last bytes that it sent may still be on their way to the file.
        wait_for(lambda: sizes.append(path.stat().st_size) or time.sleep(0.1)
                 or path.stat().st_size == sizes[-1])
        there = int(files.head(path)["Content-Length"])
        assert 0 < there <= 654_321
        assert self.put(files, path, there, 999_999).status == 200
        assert path.read_bytes() == self.DATA

    def test_gap_and_mismatch(self, files, tmp_path):
        path = tmp_path / "f"
        assert self.put(files, path, 5, 9).status in (409, 416)
        assert not path.exists()
        path.write_bytes(self.DATA[:100])
        answer = self.put(files, path, 200, 299)
        assert (answer.status, answer["Content-Range"]) == (416, "bytes */100")
        answer = self.put(files, path, 50, 59, total=60)
        assert answer.status == 409
        assert path.read_bytes() == self.DATA[:100]

    def test_refusals(self, files, tmp_path):
        path = tmp_path / "f"
        path.write_text("old")
        for value in ("bytes 5-1/10", "bytes 0-9/5", "0-9/10", "bytes 0-9", "bytes */10", "lines 0-9/10"):
            assert (value, files.put(path, "0123456789", f"Content-Range: {value}").status) == (value, 400)
        rows = [
            (BYTES, b"short", []), (BYTES, b"longer than it says", []),
            (FORM, form(part("0123456789")), []), (BYTES, b"0123456789", [ATOMIC]),
        ]
        for kind, body, fields in rows:
            answer = files.send("POST", files.target(path), kind, "Content-Range: bytes 0-9/10",
                                *fields, body=body)
            assert (body, answer.status) == (body, 400)
        assert path.read_text() == "old"


class TestConditions:
    @pytest.fixture
    def settled(self, tmp_path):
        """A file that is old enough for an ETag that tells."""
        path = tmp_path / "f"
        path.write_text("old")
        os.utime(path, (1_600_000_000, 1_600_000_000))
        wait_for(lambda: time.time() - path.stat().st_ctime > 2.1)
        return path

    @pytest.mark.parametrize("extra", [(), (ATOMIC,)], ids=["plain", "atomic"])
    def test_if_match(self, files, settled, extra):
        etag = files.get(settled)["ETag"]
        assert re.fullmatch(r'"[^"]+"', etag)
        for wrong in '"other"', f"W/{etag}":
            assert files.put(settled, "lost", f"If-Match: {wrong}", *extra).status == 412
        assert settled.read_text() == "old"
        assert files.put(settled, "new", f'If-Match: "x", {etag}', *extra).status == 200
        # The one who read the same version comes too late.
        assert files.put(settled, "lost", f"If-Match: {etag}", *extra).status == 412
        assert settled.read_text() == "new"

    @pytest.mark.parametrize("extra", [(), (ATOMIC,)], ids=["plain", "atomic"])
    def test_stars(self, files, tmp_path, extra):
        path = tmp_path / "f"
        assert files.put(path, "x", "If-Match: *", *extra).status == 412
        assert not path.exists()
        assert files.put(path, "first", "If-None-Match: *", *extra).status == 200
        assert files.put(path, "second", "If-None-Match: *", *extra).status == 412
        assert files.put(path, "third", "If-Match: *", *extra).status == 200
        assert path.read_text() == "third"
