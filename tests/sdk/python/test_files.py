# SPDX-License-Identifier: Apache-2.0
"""Files through the SDK's synchronous half."""

import datetime
import gzip
import io
import json
import os
import pwd
import stat
import urllib.error
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from e2b import (
    AuthenticationException,
    ConnectionConfig,
    FileNotFoundException,
    FileType,
    InvalidArgumentException,
    Sandbox,
    SandboxException,
)
from packaging.version import Version

HOMES = {"root": pwd.getpwnam("root").pw_dir, "user": pwd.getpwnam("user").pw_dir}
MEBIBYTE = 1 << 20

# The three ways in which the SDK can send a file.
WAYS = {
    "multipart": {},
    "octet-stream": {"use_octet_stream": True},
    "gzip": {"gzip": True},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())

# What file names may hold.
NAMES = [
    "plain.txt",
    "with space",
    "  blanks around  ",
    "quote\"double",
    "quote'single",
    "back\\slash",
    "percent%41%",
    "plus+and&and=and?and#",
    "semi;colon",
    "new\nline",
    "tab\there",
    "ünïcödé 世界 🦊",
    "e\u0301 combined",
    "-rf",
    "*?[a]{b}~",
    "$HOME `id` $(id)",
    "n" * 255,
]


@pytest.fixture
def files(sandbox):
    return sandbox.files


class TestRead:
    def test_text(self, files, tmp_path):
        (tmp_path / "f").write_text("Grüße, 世界! 🦊\n")
        assert files.read(f"{tmp_path}/f") == "Grüße, 世界! 🦊\n"

    def test_bytes(self, files, tmp_path):
        data = bytes(range(256)) * 100
        (tmp_path / "f").write_bytes(data)
        read = files.read(f"{tmp_path}/f", format="bytes")
        assert isinstance(read, bytearray)
        assert read == data

    def test_stream(self, files, tmp_path):
        data = os.urandom(5 * MEBIBYTE)
        (tmp_path / "f").write_bytes(data)
        with files.read(f"{tmp_path}/f", format="stream") as stream:
            assert b"".join(stream) == data

    def test_stream_that_is_given_up(self, files, tmp_path):
        (tmp_path / "f").write_bytes(b"x" * (64 * MEBIBYTE))
        with files.read(f"{tmp_path}/f", format="stream") as stream:
            assert next(stream).startswith(b"xxx")
        assert files.exists(f"{tmp_path}/f")

    @pytest.mark.parametrize("format", ["text", "bytes", "stream"])
    def test_empty(self, files, tmp_path, format):
        (tmp_path / "f").touch()
        read = files.read(f"{tmp_path}/f", format=format)
        assert b"".join(read) == b"" if format == "stream" else not read

    @pytest.mark.parametrize("format", ["text", "bytes", "stream"])
    def test_gzip(self, files, tmp_path, format):
        text = "a line that compresses well\n" * 100_000
        (tmp_path / "f.txt").write_text(text)
        read = files.read(f"{tmp_path}/f.txt", format=format, gzip=True)
        read = b"".join(read) if format == "stream" else read
        assert read == (text if format == "text" else text.encode())

    def test_gzip_of_what_does_not_compress(self, files, tmp_path):
        data = os.urandom(3 * MEBIBYTE)
        (tmp_path / "f").write_bytes(data)
        assert files.read(f"{tmp_path}/f", format="bytes", gzip=True) == data

    def test_large(self, files, tmp_path):
        data = os.urandom(MEBIBYTE) * 64
        (tmp_path / "f").write_bytes(data)
        assert files.read(f"{tmp_path}/f", format="bytes") == data

    def test_relative_path_is_below_the_home(self, files):
        for user, home in HOMES.items():
            with open(f"{home}/below-home", "w") as f:
                f.write(user)
            assert files.read("below-home", user=user) == user
            assert files.read("./below-home", user=user) == user
            assert files.read("~/below-home", user=user) == user
            os.remove(f"{home}/below-home")

    def test_through_a_link(self, files, tmp_path):
        (tmp_path / "f").write_text("behind the link")
        (tmp_path / "link").symlink_to("f")
        assert files.read(f"{tmp_path}/link") == "behind the link"

    @pytest.mark.beyond
    def test_file_without_a_size(self, files):
        assert files.read("/proc/sys/kernel/ostype") == "Linux\n"
        assert "MemTotal" in files.read("/proc/meminfo")

    def test_absent(self, files, tmp_path):
        for format in "text", "bytes", "stream":
            with pytest.raises(FileNotFoundException):
                files.read(f"{tmp_path}/absent", format=format)

    def test_directory(self, files, tmp_path):
        with pytest.raises(InvalidArgumentException):
            files.read(str(tmp_path))

    def test_home_of_another(self, files):
        with pytest.raises(InvalidArgumentException):
            files.read("~root/f")

    def test_unknown_user(self, files, tmp_path):
        (tmp_path / "f").touch()
        with pytest.raises(AuthenticationException):
            files.read(f"{tmp_path}/f", user="nobody-of-this-name")


class TestWrite:
    @ways
    def test_text(self, files, tmp_path, way):
        text = "Grüße, 世界! 🦊\n" * 1000
        info = files.write(f"{tmp_path}/f.txt", text, **way)
        assert (info.path, info.name, info.type) == (f"{tmp_path}/f.txt", "f.txt", FileType.FILE)
        assert info.metadata is None
        assert (tmp_path / "f.txt").read_text() == text

    @ways
    def test_bytes(self, files, tmp_path, way):
        data = os.urandom(MEBIBYTE + 1)
        files.write(f"{tmp_path}/f", data, **way)
        assert (tmp_path / "f").read_bytes() == data

    @ways
    def test_open_file(self, files, tmp_path, way):
        data = os.urandom(9 * MEBIBYTE)
        (tmp_path / "source").write_bytes(data)
        with open(tmp_path / "source", "rb") as source:
            files.write(f"{tmp_path}/f", source, **way)
        assert (tmp_path / "f").read_bytes() == data

    @ways
    def test_text_file(self, files, tmp_path, way):
        files.write(f"{tmp_path}/f", io.StringIO("世界\n" * 50_000), **way)
        assert (tmp_path / "f").read_text() == "世界\n" * 50_000

    def test_chunks(self, files, tmp_path):
        files.write(f"{tmp_path}/f", (b"%d\n" % i for i in range(10_000)))
        assert (tmp_path / "f").read_bytes() == b"".join(b"%d\n" % i for i in range(10_000))

    @ways
    def test_empty(self, files, tmp_path, way):
        files.write(f"{tmp_path}/f", "", **way)
        assert (tmp_path / "f").read_bytes() == b""

    @ways
    def test_what_looks_like_a_boundary(self, files, tmp_path, way):
        data = b"\r\n--\r\n--boundary--\r\nContent-Disposition: form-data\r\n\r\n\r\n-"
        files.write(f"{tmp_path}/f", data, **way)
        assert (tmp_path / "f").read_bytes() == data

    @ways
    @pytest.mark.parametrize("user", ["root", "user"])
    def test_owner_and_mode(self, files, tmp_path, way, user):
        path = tmp_path / "new" / "deep" / "f"
        files.write(str(path), "x", user=user, **way)
        uid = pwd.getpwnam(user).pw_uid
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (uid, 0o644)
        for directory in path.parent, path.parent.parent:
            status = directory.stat()
            assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (uid, 0o755)
        assert tmp_path.stat().st_uid == os.getuid()

    @ways
    def test_overwrite(self, files, tmp_path, way):
        path = tmp_path / "f"
        path.write_text("something that is longer than what comes")
        path.chmod(0o600)
        inode = path.stat().st_ino
        files.write(str(path), "short", user="user", **way)
        assert path.read_text() == "short"
        status = path.stat()
        assert (status.st_ino, stat.S_IMODE(status.st_mode), status.st_uid) == (inode, 0o600, 1000)

    @ways
    def test_through_a_link(self, files, tmp_path, way):
        (tmp_path / "f").write_text("old")
        (tmp_path / "link").symlink_to("f")
        assert files.write(f"{tmp_path}/link", "new", **way).path == f"{tmp_path}/link"
        assert (tmp_path / "f").read_text() == "new"
        assert (tmp_path / "link").is_symlink()

    @ways
    def test_relative_path_is_below_the_home(self, files, way):
        for user, home in HOMES.items():
            info = files.write("a/b", "x", user=user, **way)
            assert info.path == f"{home}/a/b"
            files.remove("a", user=user)

    @ways
    def test_many(self, files, tmp_path, way):
        entries = [{"path": f"{tmp_path}/{i}/f{i}", "data": b"%d" % i * i} for i in range(100)]
        infos = files.write_files(entries, **way)
        assert [info.path for info in infos] == [entry["path"] for entry in entries]
        assert [info.name for info in infos] == [f"f{i}" for i in range(100)]
        for entry in entries:
            with open(entry["path"], "rb") as f:
                assert f.read() == entry["data"]

    def test_many_of_several_kinds(self, files, tmp_path):
        infos = files.write_files([
            {"path": f"{tmp_path}/text", "data": "text"},
            {"path": f"{tmp_path}/bytes", "data": b"\0\xff"},
            {"path": f"{tmp_path}/io", "data": io.BytesIO(b"io")},
        ])
        assert len(infos) == 3
        assert (tmp_path / "text").read_bytes() == b"text"
        assert (tmp_path / "bytes").read_bytes() == b"\0\xff"
        assert (tmp_path / "io").read_bytes() == b"io"

    def test_none(self, files):
        assert files.write_files([]) == []

    @ways
    def test_large(self, files, tmp_path, way):
        data = os.urandom(MEBIBYTE) * 40
        files.write(f"{tmp_path}/f", data, **way)
        assert (tmp_path / "f").read_bytes() == data

    def test_at_once(self, files, tmp_path):
        def one(i):
            data = os.urandom(MEBIBYTE // 2)
            way = list(WAYS.values())[i % len(WAYS)]
            files.write(f"{tmp_path}/{i}", data, **way)
            return files.read(f"{tmp_path}/{i}", format="bytes") == data

        with ThreadPoolExecutor(12) as pool:
            assert all(pool.map(one, range(48)))

    @ways
    def test_directory(self, files, tmp_path, way):
        with pytest.raises(InvalidArgumentException):
            files.write(str(tmp_path), "x", **way)

    @ways
    def test_below_a_file(self, files, tmp_path, way):
        (tmp_path / "f").write_text("x")
        with pytest.raises(SandboxException):
            files.write(f"{tmp_path}/f/below", "x", **way)

    @ways
    def test_unknown_user(self, files, tmp_path, way):
        with pytest.raises(AuthenticationException):
            files.write(f"{tmp_path}/f", "x", user="nobody-of-this-name", **way)
        assert not (tmp_path / "f").exists()


class TestMetadata:
    @ways
    def test_round_trip(self, files, tmp_path, way):
        metadata = {"Author": "A. Uthor", "empty": "", "x-y.z": "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"}
        expected = {key.lower(): value for key, value in metadata.items()}
        info = files.write(f"{tmp_path}/f", "x", metadata=metadata, **way)
        assert info.metadata == expected
        assert files.get_info(f"{tmp_path}/f").metadata == expected
        (entry,) = files.list(str(tmp_path))
        assert entry.metadata == expected
        assert files.rename(f"{tmp_path}/f", f"{tmp_path}/g").metadata == expected
        assert os.getxattr(tmp_path / "g", "user.e2b.author") == b"A. Uthor"

    def test_replaced_and_gone(self, files, tmp_path):
        files.write(f"{tmp_path}/f", "x", metadata={"a": "1", "b": "2"})
        os.setxattr(tmp_path / "f", "user.other", b"stays")
        assert files.write(f"{tmp_path}/f", "x", metadata={"b": "3"}).metadata == {"b": "3"}
        assert files.get_info(f"{tmp_path}/f").metadata == {"b": "3"}
        files.write(f"{tmp_path}/f", "x")
        assert files.get_info(f"{tmp_path}/f").metadata is None
        assert os.getxattr(tmp_path / "f", "user.other") == b"stays"

    def test_of_many(self, files, tmp_path):
        infos = files.write_files(
            [{"path": f"{tmp_path}/{i}", "data": "x"} for i in range(3)], metadata={"a": "1"}
        )
        assert [info.metadata for info in infos] == [{"a": "1"}] * 3

    def test_set_by_hand(self, files, tmp_path):
        (tmp_path / "f").touch()
        os.setxattr(tmp_path / "f", "user.e2b.by-hand", "世界".encode())
        os.setxattr(tmp_path / "f", "user.e2b.binary", b"\xff\xfe")
        assert files.get_info(f"{tmp_path}/f").metadata == {"by-hand": "世界"}

    def test_too_much(self, files, tmp_path):
        with pytest.raises(InvalidArgumentException):
            files.write(f"{tmp_path}/f", "x", metadata={"a": "v" * 5000})
        with pytest.raises(InvalidArgumentException):
            files.write(f"{tmp_path}/f", "x", metadata={"k" * 247: "v"})
        assert files.write(f"{tmp_path}/f", "x", metadata={"k" * 246: "v"}).metadata


class TestList:
    def test_empty(self, files, tmp_path):
        assert files.list(str(tmp_path)) == []

    def test_one_level(self, files, tmp_path):
        (tmp_path / "dir" / "inside").mkdir(parents=True)
        (tmp_path / "file").write_text("12345")
        (tmp_path / "link").symlink_to("file")
        entries = files.list(str(tmp_path))
        assert [(e.name, e.path, e.type) for e in entries] == [
            ("dir", f"{tmp_path}/dir", FileType.DIR),
            ("file", f"{tmp_path}/file", FileType.FILE),
            ("link", f"{tmp_path}/link", FileType.SYMLINK),
        ]
        assert [e.symlink_target for e in entries] == [None, None, f"{tmp_path}/file"]
        assert entries[1].size == 5

    def test_depth(self, files, tmp_path):
        path = tmp_path
        for name in "abcde":
            path = path / name
            path.mkdir()
            (path / "f").touch()
        for depth in range(1, 7):
            paths = [os.path.relpath(e.path, tmp_path) for e in files.list(str(tmp_path), depth)]
            expected = []
            for n in range(1, min(depth, 5) + 1):
                expected.append("/".join("abcde"[:n]))
            expected += ["/".join("abcde"[:n]) + "/f" for n in range(min(depth - 1, 5), 0, -1)]
            assert paths == expected

    def test_many(self, files, tmp_path):
        for i in range(3000):
            (tmp_path / f"{i:05}").touch()
        assert [e.name for e in files.list(str(tmp_path))] == [f"{i:05}" for i in range(3000)]

    def test_home(self, files):
        files.write("in-home", "x", user="user")
        for path in "", ".", "~":
            assert "in-home" in [e.name for e in files.list(path, user="user")]
        files.remove("in-home", user="user")

    def test_refusals(self, files, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(FileNotFoundException):
            files.list(f"{tmp_path}/absent")
        with pytest.raises(InvalidArgumentException):
            files.list(f"{tmp_path}/file")
        with pytest.raises(InvalidArgumentException):
            files.list(str(tmp_path), depth=0)
        with pytest.raises(AuthenticationException):
            files.list(str(tmp_path), user="nobody-of-this-name")


class TestInfo:
    def test_file(self, files, tmp_path):
        path = tmp_path / "f"
        path.write_text("12345")
        path.chmod(0o640)
        os.chown(path, 1000, 2000)
        os.utime(path, (1_000_000_000, 1_234_567_890.5))
        info = files.get_info(str(path))
        assert (info.name, info.path, info.type) == ("f", str(path), FileType.FILE)
        assert (info.size, info.mode, info.permissions) == (5, 0o640, "-rw-r-----")
        assert (info.owner, info.group) == ("user", "crew")
        assert info.modified_time == datetime.datetime.fromtimestamp(
            1_234_567_890.5, datetime.timezone.utc
        )
        assert info.symlink_target is None

    def test_directory(self, files, tmp_path):
        (tmp_path / "d").mkdir(mode=0o755)
        info = files.get_info(f"{tmp_path}/d")
        assert (info.type, info.permissions) == (FileType.DIR, "drwxr-xr-x")
        (tmp_path / "d").chmod(0o1777)
        assert files.get_info(f"{tmp_path}/d").permissions == "dtrwxrwxrwx"

    def test_link(self, files, tmp_path):
        (tmp_path / "f").touch(mode=0o600)
        (tmp_path / "link").symlink_to("f")
        (tmp_path / "dangling").symlink_to("nowhere")
        info = files.get_info(f"{tmp_path}/link")
        assert info.symlink_target == f"{tmp_path}/f"
        assert (info.type, info.permissions) == (FileType.SYMLINK, "Lrwxrwxrwx")
        info = files.get_info(f"{tmp_path}/dangling")
        assert (info.type, info.symlink_target) == (FileType.SYMLINK, f"{tmp_path}/dangling")

    def test_exists(self, files, tmp_path):
        (tmp_path / "dangling").symlink_to("nowhere")
        assert files.exists(str(tmp_path)) is True
        assert files.exists(f"{tmp_path}/dangling") is True
        assert files.exists(f"{tmp_path}/absent") is False
        with pytest.raises(FileNotFoundException):
            files.get_info(f"{tmp_path}/absent")


class TestMakeDir:
    @pytest.mark.parametrize("user", ["root", "user"])
    def test_with_parents(self, files, tmp_path, user):
        assert files.make_dir(f"{tmp_path}/a/b/c", user=user) is True
        assert files.make_dir(f"{tmp_path}/a/b/c", user=user) is False
        for path in "a", "a/b", "a/b/c":
            info = files.get_info(f"{tmp_path}/{path}")
            assert (info.type, info.owner, info.mode) == (FileType.DIR, user, 0o755)

    def test_over_a_file(self, files, tmp_path):
        (tmp_path / "f").touch()
        with pytest.raises(InvalidArgumentException):
            files.make_dir(f"{tmp_path}/f")


class TestRename:
    def test_file(self, files, tmp_path):
        (tmp_path / "a").write_text("x")
        info = files.rename(f"{tmp_path}/a", f"{tmp_path}/b")
        assert (info.name, info.path, info.type) == ("b", f"{tmp_path}/b", FileType.FILE)
        assert not (tmp_path / "a").exists()
        assert (tmp_path / "b").read_text() == "x"

    def test_directory_and_new_parents(self, files, tmp_path):
        (tmp_path / "a" / "inside").mkdir(parents=True)
        files.rename(f"{tmp_path}/a", f"{tmp_path}/x/y/z", user="user")
        assert (tmp_path / "x" / "y" / "z" / "inside").is_dir()
        assert (tmp_path / "x" / "y").stat().st_uid == 1000

    def test_over_another(self, files, tmp_path):
        (tmp_path / "a").write_text("new")
        (tmp_path / "b").write_text("old")
        files.rename(f"{tmp_path}/a", f"{tmp_path}/b")
        assert (tmp_path / "b").read_text() == "new"

    def test_refusals(self, files, tmp_path):
        (tmp_path / "a").touch()
        (tmp_path / "full" / "x").mkdir(parents=True)
        (tmp_path / "d").mkdir()
        with pytest.raises(FileNotFoundException):
            files.rename(f"{tmp_path}/absent", f"{tmp_path}/b")
        with pytest.raises(SandboxException):
            files.rename(f"{tmp_path}/d", f"{tmp_path}/full")
        with pytest.raises(SandboxException):
            files.rename(f"{tmp_path}/d", f"{tmp_path}/d/below")


class TestRemove:
    def test_file_tree_and_nothing(self, files, tmp_path):
        (tmp_path / "f").touch()
        files.remove(f"{tmp_path}/f")
        assert not (tmp_path / "f").exists()
        for i in range(50):
            (tmp_path / "d" / str(i) / "x" / "y").mkdir(parents=True)
            (tmp_path / "d" / str(i) / "f").touch()
        files.remove(f"{tmp_path}/d")
        assert not (tmp_path / "d").exists()
        files.remove(f"{tmp_path}/absent")

    def test_link_alone(self, files, tmp_path):
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "f").write_text("stays")
        (tmp_path / "link").symlink_to("d")
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "link").symlink_to("../d")
        files.remove(f"{tmp_path}/link")
        files.remove(f"{tmp_path}/tree")
        assert not (tmp_path / "link").is_symlink()
        assert (tmp_path / "d" / "f").read_text() == "stays"


class TestNames:
    """A name goes through every method as it is."""

    @ways
    @pytest.mark.parametrize("name", NAMES)
    def test_one(self, files, tmp_path, name, way):
        path = f"{tmp_path}/{name}"
        info = files.write(path, "content", **way)
        assert (info.path, info.name) == (path, name)
        assert os.listdir(tmp_path) == [name]
        assert files.read(path) == "content"
        assert files.exists(path)
        assert (files.get_info(path).name, files.get_info(path).path) == (name, path)
        assert [e.path for e in files.list(str(tmp_path))] == [path]
        assert files.rename(path, f"{tmp_path}/d/{name}").name == name
        files.remove(f"{tmp_path}/d/{name}")
        assert os.listdir(tmp_path / "d") == []

    # The names of many files travel in the form's parts, where httpx writes some characters as %XX.
    FORM = [name for name in NAMES if not set(name) & set("\"\\\t\n")]

    def test_many_in_one_form(self, files, tmp_path):
        infos = files.write_files([{"path": f"{tmp_path}/{n}", "data": n} for n in self.FORM])
        assert [info.name for info in infos] == self.FORM
        for name in self.FORM:
            assert (tmp_path / name).read_text() == name

    def test_not_utf8(self, files, tmp_path):
        with open(os.fsencode(tmp_path) + b"/bad\xff\xfename", "wb"):
            pass
        (tmp_path / "good").touch()
        names = [entry.name for entry in files.list(str(tmp_path))]
        assert names == ["bad\ufffd\ufffdname", "good"]


def fetch(url, method="GET", body=None, headers=None):
    """What a browser does with a URL that it was given: (status, body)."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def post_form(url, name, data):
    """An upload by a form; the file's name is the part's."""
    boundary = uuid.uuid4().hex
    body = (
        f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n"
        f"Content-Type: application/octet-stream\r\n\r\n{data}\r\n--{boundary}--\r\n"
    ).encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return fetch(url, "POST", body, headers)


class TestUrls:
    def test_download(self, sandbox, tmp_path):
        for name in "plain", "with space & ? # % + 世界":
            (tmp_path / name).write_text(name)
            assert fetch(sandbox.download_url(f"{tmp_path}/{name}")) == (200, name.encode())

    def test_upload(self, sandbox, tmp_path):
        status, _ = post_form(sandbox.upload_url(f"{tmp_path}/f"), "ignored", "content")
        assert (status, (tmp_path / "f").read_text()) == (200, "content")

    def test_upload_by_the_name_in_the_form(self, sandbox):
        status, answer = post_form(sandbox.upload_url("", user="user"), "from/form.txt", "content")
        assert status == 200
        assert json.loads(answer)[0]["path"] == f"{HOMES['user']}/from/form.txt"
        assert sandbox.files.read("from/form.txt", user="user") == "content"
        sandbox.files.remove("from", user="user")

    @pytest.mark.tokenless
    def test_expiration_needs_a_token(self, sandbox):
        with pytest.raises(InvalidArgumentException):
            sandbox.download_url("f", use_signature_expiration=10)


class TestSignedUrls:
    """A sandbox with an access token: whoever has the URL can use it, and only as it is."""

    TOKEN = "a token of the test's own"

    @pytest.fixture
    def secure(self, other_daemon):
        daemon = other_daemon(port=49985)
        status, _ = fetch(
            f"{daemon.url}/init", "POST", json.dumps({"accessToken": self.TOKEN}).encode(),
            {"Content-Type": "application/json"},
        )
        assert status == 204
        config = ConnectionConfig(
            debug=True, sandbox_url=daemon.url,
            extra_sandbox_headers={"X-Access-Token": self.TOKEN},
        )
        return Sandbox(
            sandbox_id="sandbox", sandbox_domain=None, envd_version=Version("0.6.13"),
            envd_access_token=self.TOKEN, traffic_access_token=None, connection_config=config,
        )

    def test_files(self, secure, tmp_path):
        secure.files.write(f"{tmp_path}/f", "content")
        assert secure.files.read(f"{tmp_path}/f") == "content"
        assert [entry.name for entry in secure.files.list(str(tmp_path))] == ["f"]

    @pytest.mark.parametrize("user", [None, "user"])
    @pytest.mark.parametrize("expiration", [None, 600])
    def test_download(self, secure, tmp_path, user, expiration):
        (tmp_path / "ä + b").write_text("content")
        url = secure.download_url(f"{tmp_path}/ä + b", user, expiration)
        assert fetch(url) == (200, b"content")

    @pytest.mark.parametrize("user", [None, "user"])
    @pytest.mark.parametrize("expiration", [None, 600])
    def test_upload(self, secure, tmp_path, user, expiration):
        url = secure.upload_url(f"{tmp_path}/f", user, expiration)
        assert post_form(url, "ignored", "content")[0] == 200
        assert (tmp_path / "f").read_text() == "content"
        assert (tmp_path / "f").stat().st_uid == (1000 if user else 0)

    def test_altered(self, secure, tmp_path):
        (tmp_path / "f").write_text("content")
        (tmp_path / "g").write_text("other")
        url = secure.download_url(f"{tmp_path}/f", "user", 600)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        changes = {
            "path": f"{tmp_path}/g",
            "username": "root",
            "signature": query["signature"][:-1] + ("A" if query["signature"][-1] != "A" else "B"),
            "signature_expiration": str(int(query["signature_expiration"]) + 1),
        }
        base = url.partition("?")[0]
        assert fetch(f"{base}?{urllib.parse.urlencode(query)}")[0] == 200
        for name, value in changes.items():
            altered = urllib.parse.urlencode({**query, name: value})
            assert fetch(f"{base}?{altered}")[0] == 401, name
            left_out = urllib.parse.urlencode({k: v for k, v in query.items() if k != name})
            assert fetch(f"{base}?{left_out}")[0] == 401, name
        assert post_form(url, "f", "changed")[0] == 401
        assert (tmp_path / "f").read_text() == "content"

    def test_expired(self, secure, tmp_path):
        (tmp_path / "f").write_text("content")
        assert fetch(secure.download_url(f"{tmp_path}/f", None, -10))[0] == 401
        assert post_form(secure.upload_url(f"{tmp_path}/f", None, -10), "f", "x")[0] == 401
        assert (tmp_path / "f").read_text() == "content"


def test_what_a_command_writes_can_be_read(sandbox, tmp_path):
    sandbox.commands.run(f"seq 100000 | tee {tmp_path}/f | gzip -c >{tmp_path}/f.gz")
    assert sandbox.files.read(f"{tmp_path}/f") == "".join(f"{i}\n" for i in range(1, 100001))
    packed = sandbox.files.read(f"{tmp_path}/f.gz", format="bytes")
    assert gzip.decompress(packed).endswith(b"\n100000\n")


def test_what_is_written_can_be_run(sandbox, tmp_path):
    sandbox.files.write(f"{tmp_path}/script", "#!/bin/sh\necho ran as $(id -un)\n", user="user")
    tmp_path.chmod(0o755)
    result = sandbox.commands.run(f"chmod +x {tmp_path}/script && {tmp_path}/script")
    assert result.stdout == "ran as root\n"
