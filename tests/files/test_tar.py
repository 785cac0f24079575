# SPDX-License-Identifier: Apache-2.0
"""Directories as tar streams, with GNU tar (or Python's tarfile) at the other end."""

import filecmp
import gzip
import io
import os
import socket
import stat
import subprocess
import tarfile
import threading

import pytest
from wire import request

from client import target
from conftest import wait_for

TAR = "Content-Type: application/x-tar"


def get(files, path, *fields, **query):
    return files.get(path, *fields, format="tar", **query)


def post(files, path, body, *fields, **query):
    return files.send("POST", files.target(path, format="tar", **query), TAR, *fields, body=body)


def archive(*members, form=tarfile.PAX_FORMAT):
    """An archive of (name, what): bytes are a file, None a directory, a TarInfo's fields a dict."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, what in members:
            info = tarfile.TarInfo(name)
            data = b""
            if what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(what, dict):
                for key, value in what.items():
                    setattr(info, key, value)
            else:
                data, info.size = what, len(what)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(to):
    return {"type": tarfile.SYMTYPE, "linkname": to}


def fifo():
    return {"type": tarfile.FIFOTYPE}


def hard_link(to):
    return {"type": tarfile.LNKTYPE, "linkname": to}


@pytest.fixture
def tree(tmp_path):
    """A directory with all that a tree can hold."""
    top = tmp_path / "tree"
    (top / "d" / "empty").mkdir(parents=True)
    contents = {"empty file": b"", "f": b"content", "d/random": os.urandom(1_000_003),
                "quo'te\"": b"q", "new\nline": b"n", "世界 🦊": b"u", "n" * 255: b"long",
                "d/" + "x" * 200: b"x", "block": bytes(512)}
    for name, data in contents.items():
        (top / name).write_bytes(data)
    with open(os.fsencode(top) + b"/bad\xff\xfe", "wb") as f:
        f.write(b"bad")
    deep = top
    for _ in range(12):
        deep = deep / ("deep" * 20)
        deep.mkdir()
    (deep / "bottom").write_text("bottom")
    (top / "link").symlink_to("d/random")
    (top / "dangling").symlink_to("nowhere/" + "y" * 150)
    os.mkfifo(top / "fifo", 0o640)
    (top / "f").chmod(0o640)
    (top / "d" / "random").chmod(0o755)
    os.chown(top / "f", 1000, 2000)
    for i, path in enumerate([top / "f", top / "block"]):
        os.utime(path, ns=(0, 1_234_567_890_123_456_789 + i * 10**17))
    return top


def describe(top, owners=True):
    """What there is below a directory: path → facts."""
    found = {}
    top = os.fsencode(top)
    for where, directories, names in os.walk(top):
        for name in directories + names:
            path = os.path.join(where, name)
            status = os.lstat(path)
            facts = [stat.S_IFMT(status.st_mode)]
            if not stat.S_ISLNK(status.st_mode):
                facts.append(stat.S_IMODE(status.st_mode))
            if owners:
                facts += [status.st_uid, status.st_gid]
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as f:
                    facts += [status.st_mtime_ns, f.read()]
            if stat.S_ISLNK(status.st_mode):
                facts.append(os.readlink(path))
            found[os.path.relpath(path, top)] = facts
    return found


class TestDownload:
    @pytest.mark.parametrize("fields, query", [
        ((), {}), ((), {"gzip": "1"}), (("Accept-Encoding: gzip",), {}),
    ], ids=["plain", "archive.gz", "coding"])
    def test_gnu_tar_unpacks_it(self, files, tree, tmp_path, fields, query):
        answer = get(files, tree, *fields, **query)
        assert answer.status == 200
        assert answer["Content-Type"] == (
            "application/gzip" if query else "application/x-tar")
        name = "tree.tar.gz" if query else "tree.tar"
        assert answer["Content-Disposition"] == f"inline; filename={name}"
        body = answer.body
        assert answer["Content-Encoding"] == ("gzip" if fields else None)
        if fields or query:
            body = gzip.decompress(body)
        assert len(body) % 512 == 0 and body.endswith(bytes(1024))
        (tmp_path / "out").mkdir()
        done = subprocess.run(["tar", "xp", "--same-owner", "-C", tmp_path / "out"], input=body,
                              capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert describe(tmp_path / "out") == describe(tree)

    def test_python_reads_it(self, files, tree):
        with tarfile.open(fileobj=io.BytesIO(get(files, tree).body)) as tar:
            members = {member.name: member for member in tar}
            assert members["f"].uname == "user" and members["f"].gname == "crew"
            assert tar.extractfile("d/random").read() == (tree / "d" / "random").read_bytes()
            assert abs(members["f"].mtime - 1_234_567_890.1234567) < 1e-5
            assert members["link"].linkname == "d/random"

    def test_empty_and_socket(self, files, tmp_path):
        (tmp_path / "d").mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "d" / "socket"))
            body = get(files, tmp_path / "d").body
        listing = subprocess.run(["tar", "t"], input=body, capture_output=True, check=True).stdout
        assert [name for name in listing.decode().split() if name.strip("./")] == []

    def test_refusals(self, files, tmp_path):
        (tmp_path / "f").write_text("x")
        rows = [(tmp_path / "absent", 404), (tmp_path / "f", 400), ("~other", 400)]
        for path, status in rows:
            assert (path, get(files, path).status) == (path, status)
        assert get(files, tmp_path, username="nobody").status == 401
        assert get(files, tmp_path, "Accept-Encoding: identity;q=0, *;q=0").status == 406
        head = files.head(tmp_path, format="tar")
        assert (head.status, head["Content-Type"]) == (200, "application/x-tar")

    def test_while_the_tree_changes(self, files, tmp_path):
        """The archive is readable, whatever happens to the tree; or it is cut."""
        stop = threading.Event()
        (tmp_path / "d").mkdir()

        def change():
            while not stop.is_set():
                for i in range(30):
                    os.makedirs(tmp_path / "d" / str(i) / "x")
                    (tmp_path / "d" / str(i) / "f").write_bytes(bytes(i * 1000))
                for i in range(30):
                    os.rename(tmp_path / "d" / str(i), tmp_path / "d" / f"{i}-moved")
                subprocess.run(["rm", "-rf", *(tmp_path / "d").iterdir()], check=True)

        thread = threading.Thread(target=change)
        thread.start()
        try:
            whole = 0
            for _ in range(30):
                try:
                    body = get(files, tmp_path / "d").body
                except (AssertionError, ConnectionError):
                    continue
                with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                    tar.getmembers()
                whole += 1
            assert whole
        finally:
            stop.set()
            thread.join()

    def test_client_goes(self, files, tree, daemon):
        held = len(os.listdir(f"/proc/{daemon.pid}/fd"))
        for wait in [*range(1, 2000, 97), 500_000]:
            for more in {}, {"gzip": "1"}:
                with files.connect() as wire:
                    wire.send(request("GET", files.target(tree, format="tar", **more)))
                    wire.socket.recv(wait)
        wait_for(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= held)


class TestUpload:
    @pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
    @pytest.mark.parametrize("user, uid", [("root", 0), ("user", 1000)])
    def test_gnu_tar_packed_it(self, files, tree, tmp_path, form, user, uid):
        (tree / "fifo").unlink()
        if form in ("ustar", "v7"):
            # What these have no room for.
            subprocess.run(f"rm -rf -- '{tree}'/deep* '{tree}/dangling' '{tree}'/nnn* '{tree}'/d/xxx*",
                           shell=True, check=True)
        body = subprocess.run(["tar", "c", f"--format={form}", "-C", tree, "."],
                              capture_output=True, check=True).stdout
        out = tmp_path / "new" / "out"
        answer = post(files.as_user(user), out, body)
        assert answer.status == 200
        found, expected = describe(out), describe(tree)
        assert found.keys() == expected.keys()
        for name, facts in expected.items():
            assert found[name][0] == facts[0]
            if stat.S_ISREG(facts[0]):
                assert found[name][-1] == facts[-1]
                assert found[name][1] == facts[1] & 0o777
            if stat.S_ISLNK(facts[0]):
                assert found[name][-1] == facts[-1]
        for where, directories, names in os.walk(os.fsencode(out)):
            for name in [b"."] + directories + names:
                assert os.lstat(os.path.join(where, name)).st_uid == uid

    def test_round_trip(self, files, tree, tmp_path):
        body = get(files, tree).body
        assert post(files, tmp_path / "out", body).status == 200
        left, right = describe(tmp_path / "out", owners=False), describe(tree, owners=False)
        assert left == right

    @pytest.mark.parametrize("kind", ["application/octet-stream", "application/x-tar"])
    @pytest.mark.parametrize("how", ["plain", "archive.gz", "coding"])
    def test_ways(self, files, tmp_path, kind, how):
        body = archive(("a/b", b"content"))
        fields, query = [], {"format": "tar"}
        if how != "plain":
            body = gzip.compress(body)
        if how == "coding":
            fields = ["Content-Encoding: gzip"]
        if how == "archive.gz":
            query["gzip"] = "1"
        answer = files.send("POST", files.target(tmp_path / "out", **query),
                            f"Content-Type: {kind}", *fields, body=body)
        assert answer.status == 200
        (info,) = answer.json()
        assert (info["path"], info["type"]) == (f"{tmp_path}/out", "dir")
        assert (tmp_path / "out" / "a" / "b").read_text() == "content"

    def test_pieces(self, files, tmp_path):
        """Cut anywhere, it is the same archive."""
        body = archive(("n" * 200, b"long name"), ("f", os.urandom(700)), ("l", link("f")))
        for step in 1, 7, 511, 513:
            out = tmp_path / str(step)
            with files.connect() as wire:
                wire.send(request("POST", files.target(out, format="tar"), TAR,
                                  "Transfer-Encoding: chunked"))
                wire.send(b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + step]), body[i:i + step])
                                   for i in range(0, len(body), step)) + b"0\r\n\r\n")
                assert wire.answer("POST").status == 200
            assert len(os.listdir(out)) == 3
        assert not filecmp.dircmp(tmp_path / "1", tmp_path / "513").diff_files

    def test_replaces(self, files, tmp_path):
        out = tmp_path / "out"
        (out / "d").mkdir(parents=True)
        (out / "d" / "stays").write_text("stays")
        (out / "f").write_text("old")
        (out / "l").symlink_to("f")
        body = archive(("d", None), ("d/new", b"new"), ("f", b"new"), ("l", b"now a file"))
        assert post(files, out, body).status == 200
        assert (out / "d" / "stays").read_text() == "stays"
        assert (out / "f").read_text() == "new"
        assert not (out / "l").is_symlink() and (out / "l").read_text() == "now a file"

    def test_hard_links(self, files, tmp_path):
        body = archive(("a", b"content"), ("d", None), ("d/b", hard_link("a")))
        assert post(files, tmp_path / "out", body).status == 200
        assert os.path.samefile(tmp_path / "out" / "a", tmp_path / "out" / "d" / "b")

    def test_nothing(self, files, tmp_path):
        for name, body in ("end", bytes(1024)), ("empty", b""):
            assert post(files, tmp_path / name, body).status == 200
            assert os.listdir(tmp_path / name) == []

    def test_damaged(self, files, tmp_path):
        good = archive(("f", b"content" * 200))
        rows = [good[:700], good[:100], b"x" * 512, good[:300] + b"x" + good[301:], b"no archive at all"]
        for body in rows:
            assert (body[:9], post(files, tmp_path / "out", body).status) == (body[:9], 400)
        (tmp_path / "file").touch()
        assert post(files, tmp_path / "file", good).status == 400
        assert post(files, "~other", good).status == 400

    def test_disk_is_full(self, files, mounts):
        disk = mounts("tmpfs", 2)
        body = archive(("f", bytes(4 << 20)))
        assert post(files, disk, body).status == 507
        many = archive(*((f"d/{i}", b"") for i in range(800)))
        (disk / "f").unlink(missing_ok=True)
        assert post(files, disk, many).status == 507


class TestNoWayOut:
    """No archive creates or changes anything outside the directory."""

    ROWS = {
        "absolute": [("{outside}/f", b"x")],
        "up": [("../outside/f", b"x")],
        "up later": [("d/../../outside/f", b"x")],
        "only up": [("..", None)],
        "absolute link": [("l", link("{outside}"))],
        "link up": [("l", link("../outside"))],
        "link down and up": [("d", None), ("l", link("d/../../outside"))],
        "link, then through it": [("l", link("..")), ("l/outside/f", b"x")],
        "chain of links": [("a", None), ("a/b", link("..")), ("c", link("a/b/..")), ("c/f", b"x")],
        "hard link up": [("l", hard_link("../outside/secret"))],
        "absolute hard link": [("l", hard_link("{outside}/secret"))],
        "hard link to a link": [("a", link("f")), ("b", hard_link("a"))],
        "link by pax": [("l", link("../" * 50 + "outside"))],
        "long name": [("x/" * 60 + "../" * 61 + "outside/f", b"x")],
        "file over the top": [(".", b"x")],
    }

    @pytest.mark.parametrize("to", ["up/secret", "up/../outside/secret", "d/up/secret"])
    def test_hard_link_through_a_link(self, files, tmp_path, to):
        """A link that was there before the archive leads out of the directory; a hard link through it
        would give its user another user's file."""
        outside, top = tmp_path / "outside", tmp_path / "top"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (top / "d").mkdir(parents=True)
        (top / "up").symlink_to(outside)
        (top / "d" / "up").symlink_to(outside)
        answer = post(files, top, archive(("f", b"x"), ("l", hard_link(to))))
        assert answer.status == 400
        assert not os.path.lexists(top / "l")
        assert (outside / "secret").stat().st_nlink == 1

    @pytest.mark.parametrize("name", ROWS)
    @pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
    def test_refused(self, files, tmp_path, name, form):
        outside, top = tmp_path / "outside", tmp_path / "top"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        members = []
        for path, what in self.ROWS[name]:
            if isinstance(what, dict):
                what = {**what, "linkname": what["linkname"].format(outside=outside)}
            members.append((path.format(outside=outside), what))
        answer = post(files, top, archive(*members, form=form))
        assert (answer.status, answer.json()["code"]) == (400, 400)
        assert os.listdir(outside) == ["secret"]
        assert (outside / "secret").stat().st_nlink == 1
        assert sorted(os.listdir(tmp_path)) == ["outside", "top"]
        for where, directories, names in os.walk(top):
            for entry in directories + names:
                assert os.path.realpath(os.path.join(where, entry)).startswith(str(top))

    def test_links_that_are_there(self, files, tmp_path):
        """A link that another user has placed in the directory is not followed out of it, and the file
        behind it is not written to."""
        outside, top = tmp_path / "outside", tmp_path / "top"
        outside.mkdir()
        top.mkdir()
        (outside / "f").write_text("outside")
        (top / "out").symlink_to(outside)
        (top / "file").symlink_to(outside / "f")
        (top / "d").mkdir()
        (top / "in").symlink_to("d")
        assert post(files, top, archive(("out/f", b"x"))).status == 400
        assert post(files, top, archive(("out/new/f", b"x"))).status == 400
        assert post(files, top, archive(("file", b"replaced"))).status == 200
        assert post(files, top, archive(("in/f", b"inside"))).status == 200
        assert (outside / "f").read_text() == "outside"
        assert os.listdir(outside) == ["f"]
        assert (top / "file").read_text() == "replaced"
        assert (top / "d" / "f").read_text() == "inside"

    def test_race(self, files, tmp_path):
        """Another process replaces a directory by a link, and back, while the archive is unpacked."""
        outside, top = tmp_path / "outside", tmp_path / "top"
        outside.mkdir()
        (top / "d").mkdir(parents=True)
        (top / "l").symlink_to(outside)
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for a, b in ("d", "x"), ("l", "d"), ("d", "l"), ("x", "d"):
                    try:
                        os.rename(top / a, top / b)
                    except OSError:
                        pass

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            body = archive(*((f"d/{i % 5}/f{i}", b"x") for i in range(200)))
            for _ in range(6):
                assert post(files, top, body).status in (200, 400, 500)
        finally:
            stop.set()
            thread.join()
        assert os.listdir(outside) == []

    def test_devices(self, files, tmp_path):
        device = {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3, "mode": 0o666}
        body = archive(("null", device))
        assert post(files.as_user("user"), tmp_path / "user", body).status == 400
        assert os.listdir(tmp_path / "user") == []
        assert post(files, tmp_path / "root", body).status == 200
        assert stat.S_ISCHR((tmp_path / "root" / "null").stat().st_mode)

    def test_setuid(self, files, tmp_path):
        body = archive(("f", {"mode": 0o6755}))
        assert post(files, tmp_path / "out", body).status == 200
        assert stat.S_IMODE((tmp_path / "out" / "f").stat().st_mode) == 0o755


def test_paths_are_those_of_the_query(files):
    assert files.send("POST", target(None, format="tar"), TAR, body=archive()).status == 400
    assert files.send("GET", target("/etc/passwd", format="tar")).status == 400
    assert files.send("GET", target("/etc/passwd", format="zip")).status in (200, 400)
