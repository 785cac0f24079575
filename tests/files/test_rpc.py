# SPDX-License-Identifier: Apache-2.0
"""filesystem.Filesystem: Stat, MakeDir, Move, ListDir, Remove, row by row."""

import json
import os
import socket
import stat
import subprocess
import threading

import pytest
from wire import request

from client import Failed
from conftest import WORLD, wait_for

HOME = f"{WORLD}/user"
BASIC_FIELDS = {"name", "path", "type", "size", "mode", "permissions", "owner", "group",
                "modifiedTime"}


def code_of(call, *arguments, **keywords):
    """The code with which a call fails, None if it does not."""
    try:
        call(*arguments, **keywords)
    except Failed as failed:
        return failed.code
    return None


class TestStat:
    def test_file(self, files, tmp_path):
        path = tmp_path / "f"
        path.write_text("12345")
        path.chmod(0o640)
        os.chown(path, 1000, 2000)
        os.utime(path, ns=(0, 1_234_567_890_123_456_789))
        assert files.stat(path) == {
            "name": "f", "path": str(path), "type": "FILE_TYPE_FILE", "size": "5", "mode": 0o640,
            "permissions": "-rw-r-----", "owner": "user", "group": "crew",
            "modifiedTime": "2009-02-13T23:31:30.123456789Z",
        }

    @pytest.mark.parametrize("mode, text", [
        (0o755, "-rwxr-xr-x"), (0o4755, "urwxr-xr-x"), (0o2755, "grwxr-xr-x"),
        (0o7777, "ugtrwxrwxrwx"), (0, "----------"), (0o1000, "t---------"),
    ])
    def test_modes(self, files, tmp_path, mode, text):
        (tmp_path / "f").touch()
        (tmp_path / "f").chmod(mode)
        entry = files.stat(tmp_path / "f")
        assert (entry.get("mode", 0), entry["permissions"]) == (mode & 0o777, text)

    def test_kinds(self, files, tmp_path):
        os.mkfifo(tmp_path / "fifo", 0o644)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "socket"))
        rows = [
            (tmp_path, "FILE_TYPE_DIRECTORY", "d"), (tmp_path / "fifo", None, "p"),
            (tmp_path / "socket", None, "S"), ("/dev/null", None, "Dc"), ("/dev/loop0", None, "D"),
            ("/proc/self/status", "FILE_TYPE_FILE", "-"), ("/", "FILE_TYPE_DIRECTORY", "d"),
        ]
        for path, kind, letter in rows:
            entry = files.stat(path)
            assert (path, entry.get("type")) == (path, kind)
            assert entry["permissions"].startswith(letter)
        listener.close()

    def test_links(self, files, tmp_path):
        (tmp_path / "f").write_text("x" * 99)
        (tmp_path / "f").chmod(0o600)
        os.setxattr(tmp_path / "f", "user.e2b.of", b"the target")
        (tmp_path / "d").mkdir()
        rows = [
            ("to-file", "f", "FILE_TYPE_FILE", 0o600, f"{tmp_path}/f"),
            ("to-dir", "d", "FILE_TYPE_DIRECTORY", 0o755, f"{tmp_path}/d"),
            ("to-link", "to-file", "FILE_TYPE_FILE", 0o600, f"{tmp_path}/f"),
            ("dangling", "nowhere", None, None, f"{tmp_path}/dangling"),
            ("loop", "loop", None, None, f"{tmp_path}/loop"),
        ]
        for name, target, kind, mode, resolved in rows:
            (tmp_path / name).symlink_to(target)
            os.chown(tmp_path / name, 1000, 1000, follow_symlinks=False)
            entry = files.stat(tmp_path / name)
            assert (name, entry.get("type"), entry.get("mode")) == (name, kind, mode)
            assert (entry["symlinkTarget"], entry["isSymlink"]) == (resolved, True)
            assert (entry["permissions"], entry["owner"]) == ("Lrwxrwxrwx", "user")
            assert entry["size"] == str(len(target))
        assert files.stat(tmp_path / "to-file")["metadata"] == {"of": "the target"}
        # A slash behind a link follows it.
        assert not {"symlinkTarget", "isSymlink"} & files.stat(f"{tmp_path}/to-dir/").keys()
        assert files.stat(f"{tmp_path}/to-dir/")["permissions"] == "drwxr-xr-x"

    def test_path_and_name_are_as_given(self, files, tmp_path):
        (tmp_path / "d" / "e").mkdir(parents=True)
        rows = [
            (f"{tmp_path}/d/", "d"), (f"{tmp_path}/d/.", "."), (f"{tmp_path}/d/e/..", ".."),
            (f"{tmp_path}//d///e", "e"), ("/", "/"),
        ]
        for path, name in rows:
            entry = files.stat(path)
            assert (entry["path"], entry["name"]) == (path, name)

    def test_homes(self, files):
        os.mkdir(f"{HOME}/d")
        for path in "d", "~/d", "./d":
            assert files.as_user("user").stat(path)["path"] == f"{HOME}/d"
        assert files.as_user("user").stat("")["path"] == HOME
        assert files.as_user("user").stat("~")["path"] == HOME
        os.rmdir(f"{HOME}/d")

    def test_owners_without_a_name(self, files, tmp_path):
        (tmp_path / "f").touch()
        os.chown(tmp_path / "f", 54321, 12345)
        entry = files.stat(tmp_path / "f")
        assert (entry["owner"], entry["group"]) == ("54321", "12345")

    def test_time_zero_is_none(self, files, tmp_path):
        (tmp_path / "f").touch()
        os.utime(tmp_path / "f", ns=(0, 0))
        assert "modifiedTime" not in files.stat(tmp_path / "f")
        os.utime(tmp_path / "f", ns=(-1_500_000_000, -1_500_000_000))
        assert files.stat(tmp_path / "f")["modifiedTime"] == "1969-12-31T23:59:58.500Z"

    def test_metadata(self, files, tmp_path):
        (tmp_path / "f").touch()
        for key, value in (("a", b"1"), ("empty", b""), ("bad", b"\xff"), ("世", "界".encode())):
            os.setxattr(tmp_path / "f", f"user.e2b.{key}", value)
        os.setxattr(tmp_path / "f", "user.other", b"x")
        assert files.stat(tmp_path / "f")["metadata"] == {"a": "1", "empty": "", "世": "界"}

    def test_failures(self, files, tmp_path):
        (tmp_path / "f").touch()
        (tmp_path / "loop").symlink_to("loop")
        rows = [
            (tmp_path / "absent", "not_found"), (tmp_path / "f" / "x", "internal"),
            ("/" + "n" * 256, "internal"), ("/a" * 3000, "internal"), ("~other", "invalid_argument"),
            (f"{tmp_path}/loop/x", "internal"), (f"{tmp_path}/f\0", "internal"),
        ]
        for path, code in rows:
            assert (path, code_of(files.stat, path)) == (path, code)
        assert code_of(files.as_user("nobody").stat, "/") == "unauthenticated"

    def test_legacy_client(self, files, tmp_path):
        (tmp_path / "f").touch()
        answer = files.send(
            "POST", "/filesystem.Filesystem/Stat", "Content-Type: application/json",
            "User-Agent: connect-python", body=b'{"path":"%s/f"}' % os.fsencode(tmp_path))
        assert answer["X-E2B-Legacy-SDK"] == "true"
        assert set(answer.json()["entry"]) == {"name", "type", "path"}
        assert set(files.stat(tmp_path / "f")) <= BASIC_FIELDS


class TestMakeDir:
    @pytest.mark.parametrize("user, uid", [("root", 0), ("user", 1000)])
    def test_with_parents(self, files, tmp_path, user, uid):
        entry = files.as_user(user).call("MakeDir", path=tmp_path / "a" / "b")["entry"]
        assert (entry["path"], entry["type"]) == (f"{tmp_path}/a/b", "FILE_TYPE_DIRECTORY")
        assert (entry["owner"], entry["group"], entry["permissions"]) == (user, user, "drwxr-xr-x")
        for name in "a", "a/b":
            status = (tmp_path / name).stat()
            assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (uid, 0o755)

    def test_as_given(self, files, tmp_path):
        for path in f"{tmp_path}/a/", f"{tmp_path}//b", f"{tmp_path}/a/../d", f"{tmp_path}/e/f/.":
            assert files.call("MakeDir", path=path)["entry"]["path"] == path
            assert code_of(files.call, "MakeDir", path=path) == "already_exists"
        assert sorted(os.listdir(tmp_path)) == ["a", "b", "d", "e"]

    def test_through_a_link(self, files, tmp_path):
        (tmp_path / "d").mkdir()
        (tmp_path / "link").symlink_to("d")
        files.call("MakeDir", path=tmp_path / "link" / "new")
        assert (tmp_path / "d" / "new").is_dir()

    def test_failures(self, files, tmp_path):
        (tmp_path / "f").touch()
        (tmp_path / "link").symlink_to(".")
        (tmp_path / "dangling").symlink_to("nowhere")
        rows = [
            (tmp_path, "already_exists"), (tmp_path / "link", "already_exists"),
            ("/", "already_exists"), ("", "already_exists"), (tmp_path / "f", "invalid_argument"),
            (tmp_path / "f" / "x", "internal"), (tmp_path / "dangling", "internal"),
            ("/" + "n" * 256, "internal"), ("~other/x", "invalid_argument"), ("/proc/x", "internal"),
        ]
        for path, code in rows:
            assert (path, code_of(files.call, "MakeDir", path=path)) == (path, code)

    def test_at_once(self, files, tmp_path):
        """Many make the same tree: each directory is made once."""
        codes = []

        def make(i):
            codes.append(code_of(files.call, "MakeDir", path=f"{tmp_path}/a/b/c/d/{i % 4}"))

        for _ in range(8):
            codes.clear()
            threads = [threading.Thread(target=make, args=(k,)) for k in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(codes, key=str) == [None] * 4 + ["already_exists"] * 12
            files.call("Remove", path=tmp_path / "a")


class TestMoveAcrossFileSystems:
    """rename(2) fails with EXDEV between mounts, and for directories of an overlay's lower layer.

    Before, files.rename failed, too. Now Move does what mv(1) does: it copies beside the destination,
    renames the copy and removes the source. If the copy fails, nothing changes."""

    @pytest.fixture
    def tree(self, tmp_path):
        top = tmp_path / "source"
        (top / "d" / "deep" / "er").mkdir(parents=True)
        (top / "empty").mkdir(mode=0o1750)
        (top / "f").write_bytes(os.urandom(3_000_000))
        (top / "d" / "setuid").write_text("program")
        os.chown(top / "d" / "setuid", 1000, 2000)
        (top / "d" / "setuid").chmod(0o4755)
        os.setxattr(top / "d" / "setuid", "user.e2b.key", b"value")
        with open(top / "d" / "sparse", "wb") as f:
            f.seek(1 << 30)
            f.write(b"end")
            f.truncate((1 << 30) + (1 << 20))
        (top / "dangling").symlink_to("nowhere")
        os.mkfifo(top / "d" / "fifo", 0o640)
        for path in top / "d" / "deep", top / "f", top:
            os.utime(path, (1_500_000_000, 1_600_000_000))
        return top

    @staticmethod
    def describe(top):
        found = {}
        for where, directories, names in os.walk(top):
            for path in [where] + [os.path.join(where, name) for name in directories + names]:
                st = os.lstat(path)
                facts = [st.st_mode, st.st_uid, st.st_gid]
                if not stat.S_ISDIR(st.st_mode):
                    facts += [st.st_size, st.st_mtime_ns]
                if stat.S_ISREG(st.st_mode):
                    facts.append(open(path, "rb").read(4_000_000))
                    facts.append({name: os.getxattr(path, name) for name in os.listxattr(path)})
                if stat.S_ISLNK(st.st_mode):
                    facts.append(os.readlink(path))
                found[os.path.relpath(path, top)] = facts
        return found

    def test_tree(self, files, tree, mounts):
        disk = mounts("tmpfs", 8)
        before = self.describe(tree)
        entry = files.call("Move", source=tree, destination=disk / "new" / "place")["entry"]
        assert (entry["name"], entry["type"]) == ("place", "FILE_TYPE_DIRECTORY")
        assert self.describe(disk / "new" / "place") == before
        assert (disk / "new" / "place").stat().st_mtime == 1_600_000_000
        assert (disk / "new" / "place" / "d" / "sparse").stat().st_blocks < 1000
        assert not tree.exists()
        assert os.listdir(disk / "new") == ["place"]

    def test_single(self, files, tree, mounts):
        disk = mounts("tmpfs", 8)
        (disk / "f").write_text("old")
        for name in "f", "dangling", "d/setuid", "d/fifo":
            kind = os.lstat(tree / name).st_mode
            files.call("Move", source=tree / name, destination=disk / os.path.basename(name))
            assert os.lstat(disk / os.path.basename(name)).st_mode == kind
            assert not os.path.lexists(tree / name)
        assert sorted(os.listdir(disk)) == ["dangling", "f", "fifo", "setuid"]

    def test_lower_layer(self, files, tmp_path):
        for name in "lower/d/e", "upper", "work", "merged":
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "lower" / "d" / "e" / "f").write_text("content")
        options = ",".join(f"{name}dir={tmp_path}/{name}" for name in ("lower", "upper", "work"))
        merged = tmp_path / "merged"
        try:
            subprocess.run(["mount", "-t", "overlay", "-o", f"{options},redirect_dir=off", "overlay",
                            merged], check=True)
        except subprocess.CalledProcessError:
            pytest.skip("no overlay here")
        try:
            files.call("Move", source=merged / "d", destination=merged / "moved")
            assert (merged / "moved" / "e" / "f").read_text() == "content"
            assert os.listdir(merged) == ["moved"]
        finally:
            subprocess.run(["umount", merged], check=True)

    def test_nothing_is_lost(self, files, tree, mounts):
        """A disk that is full, a mount inside the source, a file in the way: all is as it was."""
        before = self.describe(tree)
        disk = mounts("tmpfs", 2)
        (disk / "file").write_text("x")
        for where in disk / "full", disk / "file":
            with pytest.raises(Failed) as failed:
                files.call("Move", source=tree, destination=where)
            assert failed.value.code == "internal"
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tree / "empty"], check=True)
        (tree / "empty" / "inside").write_text("x")
        with pytest.raises(Failed):
            files.call("Move", source=tree, destination=disk / "x")
        subprocess.run(["umount", tree / "empty"], check=True)
        assert self.describe(tree) == before
        assert os.listdir(disk) == ["file"]

    def test_client_goes(self, files, tmp_path, mounts):
        """The copy is given up, and removed."""
        disk = mounts("ramfs", 0)
        source = tmp_path / "many"
        source.mkdir()
        for i in range(20_000):
            (source / str(i)).touch()
        body = json.dumps({"source": str(source), "destination": f"{disk}/many"}).encode()
        with files.connect() as wire:
            wire.send(request("POST", "/filesystem.Filesystem/Move",
                              "Content-Type: application/json", body=body))
            wait_for(lambda: os.listdir(disk))
            wire.reset()
        wait_for(lambda: not os.listdir(disk))
        assert len(os.listdir(source)) == 20_000


class TestMove:
    def move(self, files, source, destination):
        return files.call("Move", source=str(source), destination=str(destination))["entry"]

    @pytest.mark.parametrize("user, uid", [("root", 0), ("user", 1000)])
    def test_into_new_parents(self, files, tmp_path, user, uid):
        (tmp_path / "f").write_text("x")
        entry = self.move(files.as_user(user), tmp_path / "f", tmp_path / "a" / "b" / "g")
        assert (entry["path"], entry["name"], entry["owner"]) == (f"{tmp_path}/a/b/g", "g", "root")
        assert (tmp_path / "a" / "b").stat().st_uid == uid
        assert (tmp_path / "a" / "b" / "g").read_text() == "x"

    def test_over_another(self, files, tmp_path):
        for name in "a", "b":
            (tmp_path / name).write_text(name)
        self.move(files, tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b").read_text() == "a"

    def test_link_itself(self, files, tmp_path):
        (tmp_path / "f").touch()
        (tmp_path / "link").symlink_to("f")
        entry = self.move(files, tmp_path / "link", tmp_path / "moved")
        assert entry["symlinkTarget"] == f"{tmp_path}/f"
        assert os.readlink(tmp_path / "moved") == "f"

    def test_failures(self, files, tmp_path):
        (tmp_path / "f").touch()
        (tmp_path / "full" / "x").mkdir(parents=True)
        (tmp_path / "d").mkdir()
        (tmp_path / "empty").mkdir()
        rows = [
            (tmp_path / "absent", tmp_path / "new" / "x", "not_found"),
            (tmp_path / "d", tmp_path / "full", "internal"),
            (tmp_path / "d", tmp_path / "empty", "internal"),
            (tmp_path / "d", tmp_path / "d" / "x", "internal"),
            (tmp_path / "d", tmp_path / "f", "internal"),
            (tmp_path / "f", tmp_path / "d", "internal"),
            (tmp_path / "f", tmp_path / "f" / "x", "internal"),
            ("~other/x", tmp_path / "x", "invalid_argument"),
            (tmp_path / "f", "~other/x", "invalid_argument"),
        ]
        for source, destination, code in rows:
            found = code_of(self.move, files, source, destination)
            assert (source, destination, found) == (source, destination, code)
        # The parents are made even for a source that is missing.
        assert (tmp_path / "new").is_dir()
        assert (tmp_path / "f").exists()


class TestListDir:
    def test_order_and_depth(self, files, tmp_path):
        for path in "b", "a/x/y", "a.b", "c/d", "Z":
            (tmp_path / path).mkdir(parents=True)
        (tmp_path / "a" / "f").touch()

        def paths(depth):
            return [os.path.relpath(e["path"], tmp_path) for e in files.list(tmp_path, depth)]

        assert paths(0) == paths(1) == ["Z", "a", "a.b", "b", "c"]
        assert paths(2) == ["Z", "a", "a/f", "a/x", "a.b", "b", "c", "c/d"]
        assert paths(3) == paths(99) == paths(2 ** 32 - 1) == [
            "Z", "a", "a/f", "a/x", "a/x/y", "a.b", "b", "c", "c/d"]

    def test_entries_are_those_of_stat(self, files, tmp_path):
        (tmp_path / "d").mkdir()
        (tmp_path / "f").write_text("x")
        os.setxattr(tmp_path / "f", "user.e2b.k", b"v")
        (tmp_path / "link").symlink_to("d")
        (tmp_path / "dangling").symlink_to("nowhere")
        os.mkfifo(tmp_path / "fifo")
        for entry in files.list(tmp_path):
            assert entry == files.stat(entry["path"])

    def test_links_are_not_followed_below_the_start(self, files, tmp_path):
        (tmp_path / "d" / "inside").mkdir(parents=True)
        (tmp_path / "d" / "up").symlink_to("..")
        (tmp_path / "start").symlink_to("d")
        paths = [entry["path"] for entry in files.list(tmp_path / "start", 9)]
        assert paths == [f"{tmp_path}/start/inside", f"{tmp_path}/start/up"]

    def test_paths_are_cleaned(self, files, tmp_path):
        (tmp_path / "d" / "f").mkdir(parents=True)
        for path in f"{tmp_path}/d/", f"{tmp_path}//d", f"{tmp_path}/d/../d/.":
            assert [entry["path"] for entry in files.list(path)] == [f"{tmp_path}/d/f"]

    def test_names(self, files, tmp_path):
        names = [b"new\nline", b"quote\"'", b"\xff\xfebad", "ünï".encode(), b"n" * 255, b" ", b"\\",
                 b"half\xe4\xb8", b"\x01", b"\xed\xa0\x80"]
        for name in names:
            with open(os.fsencode(tmp_path) + b"/" + name, "w"):
                pass
        shown = {entry["name"] for entry in files.list(tmp_path)}
        assert shown == {"new\nline", "quote\"'", "\ufffd\ufffdbad", "ünï", "n" * 255, " ", "\\",
                         "half\ufffd\ufffd", "\x01", "\ufffd\ufffd\ufffd"}

    def test_binary_codec(self, files, tmp_path):
        (tmp_path / "f").touch()
        path = os.fsencode(tmp_path)
        answer = files.send(
            "POST", "/filesystem.Filesystem/ListDir", "Content-Type: application/proto",
            body=b"\x0a" + bytes([len(path)]) + path)
        assert (answer.status, answer["Content-Type"]) == (200, "application/proto")
        assert b"%s/f" % path in answer.body

    def test_many(self, files, tmp_path):
        for i in range(2000):
            (tmp_path / f"{i:04}").touch()
        assert [e["name"] for e in files.list(tmp_path)] == [f"{i:04}" for i in range(2000)]

    def test_deep(self, files, tmp_path):
        """A tree deeper than PATH_MAX: its walk needs no whole path."""
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(60):
            os.mkdir("n" * 100, dir_fd=here)
            below = os.open("n" * 100, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        assert len(files.list(tmp_path, 1000)) >= 38
        files.call("Remove", path=tmp_path / ("n" * 100))
        assert os.listdir(tmp_path) == []

    def test_failures(self, files, tmp_path):
        (tmp_path / "f").touch()
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "dangling").symlink_to("nowhere")
        (tmp_path / "to-file").symlink_to("f")
        rows = [
            (tmp_path / "absent", "not_found"), (tmp_path / "f", "invalid_argument"),
            (tmp_path / "to-file", "invalid_argument"), (tmp_path / "loop", "failed_precondition"),
            (tmp_path / "dangling", "not_found"), (tmp_path / "f" / "x", "internal"),
            ("~other", "invalid_argument"), ("/" + "n" * 256, "internal"),
        ]
        for path, code in rows:
            assert (path, code_of(files.call, "ListDir", path=path)) == (path, code)

    def test_while_the_tree_changes(self, files, tmp_path):
        """Entries that vanish during the listing are left out; entries that stay are in every listing.
        """
        for i in range(300):
            (tmp_path / f"stays-{i}").mkdir()
        stop = threading.Event()

        def change():
            while not stop.is_set():
                for i in range(40):
                    os.makedirs(tmp_path / f"goes-{i}" / "below")
                for i in range(40):
                    os.rename(tmp_path / f"goes-{i}", tmp_path / f"gone-{i}")
                for i in range(40):
                    os.rmdir(tmp_path / f"gone-{i}" / "below")
                    os.rmdir(tmp_path / f"gone-{i}")

        thread = threading.Thread(target=change)
        thread.start()
        try:
            for _ in range(25):
                names = {e["name"] for e in files.list(tmp_path, 3)}
                assert {f"stays-{i}" for i in range(300)} <= names
        finally:
            stop.set()
            thread.join()


class TestRemove:
    def remove(self, files, path):
        return files.call("Remove", path=path)

    def test_rows(self, files, tmp_path):
        (tmp_path / "f").touch()
        (tmp_path / "d" / "e" / "f").mkdir(parents=True)
        (tmp_path / "d" / "link").symlink_to("/")
        os.mkfifo(tmp_path / "fifo")
        for name in "f", "d", "fifo", "absent", "absent/below":
            assert self.remove(files, tmp_path / name) == {}
        assert os.listdir(tmp_path) == []

    def test_links_themselves(self, files, tmp_path):
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "f").touch()
        for name in "link", "slash":
            (tmp_path / name).symlink_to("d")
        self.remove(files, tmp_path / "link")
        self.remove(files, f"{tmp_path}/slash/")
        assert os.listdir(tmp_path) == ["d"]
        assert os.listdir(tmp_path / "d") == ["f"]

    def test_slash_behind_a_file(self, files, tmp_path):
        (tmp_path / "f").touch()
        self.remove(files, f"{tmp_path}/f/")
        assert os.listdir(tmp_path) == []

    def test_refusals(self, files, tmp_path):
        (tmp_path / "f").touch()
        (tmp_path / "d").mkdir()
        for path in tmp_path / "f" / "x", "/proc/1", f"{tmp_path}/d/.":
            assert (path, code_of(self.remove, files, path)) != (path, None)
        assert code_of(self.remove, files, "~other/x") == "invalid_argument"
        assert sorted(os.listdir(tmp_path)) == ["d", "f"]

    def test_what_root_may_not(self, files, mounts):
        where = mounts("ext4", 16)
        (where / "d").mkdir()
        (where / "d" / "f").touch()
        os.system(f"chattr +i '{where}/d/f'")
        assert code_of(self.remove, files, where / "d") == "internal"
        assert (where / "d" / "f").exists()
        os.system(f"chattr -i '{where}/d/f'")
        self.remove(files, where / "d")
        assert os.listdir(where) == []

    def test_mount_point(self, files, mounts, tmp_path):
        where = mounts("tmpfs", 1)
        (where / "f").touch()
        assert code_of(self.remove, files, where) is not None
        assert where.is_dir()

    def test_wide(self, files, tmp_path):
        for i in range(1500):
            (tmp_path / "d" / str(i % 100)).mkdir(parents=True, exist_ok=True)
            (tmp_path / "d" / str(i % 100) / str(i)).touch()
        self.remove(files, tmp_path / "d")
        assert os.listdir(tmp_path) == []

    def test_while_it_grows(self, files, tmp_path):
        """Another process keeps creating files in the tree. The removal must end, with success or an
        error."""
        stop = threading.Event()
        (tmp_path / "d").mkdir()

        def grow():
            i = 0
            while not stop.is_set():
                try:
                    (tmp_path / "d" / str(i)).touch()
                except FileNotFoundError:
                    (tmp_path / "d").mkdir(exist_ok=True)
                i += 1

        thread = threading.Thread(target=grow)
        thread.start()
        try:
            for _ in range(10):
                assert code_of(self.remove, files, tmp_path / "d") in (None, "internal")
        finally:
            stop.set()
            thread.join()
        self.remove(files, tmp_path / "d")
        wait_for(lambda: not (tmp_path / "d").exists())


@pytest.mark.parametrize("user", ["root", "user"])
def test_all_as_a_user(files, user):
    """Relative paths, from beginning to end."""
    home = files.as_user(user)
    home.call("MakeDir", path="d/e")
    assert home.put("d/e/f", "content").status == 200
    assert [e["path"] for e in home.list("d", 2)] == [f"{WORLD}/{user}/d/{p}" for p in ("e", "e/f")]
    assert all(e["owner"] == user for e in home.list("d", 2))
    home.call("Move", source="d/e/f", destination="~/d/g")
    assert home.get("d/g").body == b"content"
    home.call("Remove", path="d")
    assert code_of(home.stat, "d") == "not_found"
