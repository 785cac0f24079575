# SPDX-License-Identifier: Apache-2.0
"""Paths and trees that a user of the guest prepares as traps."""

import os
import threading

import pytest
from wire import request

import fuse
from client import BYTES, Failed, form, part
from conftest import WORLD, wait_for
from test_tar import archive, fifo, link


class Swapping:
    """While it is entered, a thread exchanges the directory `d` and the link `l` again and again."""

    def __init__(self, where, victim):
        self.where = where
        (where / "d").mkdir()
        (where / "l").symlink_to(victim)
        self.stop = threading.Event()
        self.rounds = 0
        self.thread = threading.Thread(target=self._swap)

    def _swap(self):
        steps = [("d", "x"), ("l", "d"), ("d", "l"), ("x", "d")]
        while not self.stop.is_set():
            for a, b in steps:
                try:
                    os.rename(self.where / a, self.where / b)
                except OSError:
                    pass
            if not os.path.lexists(self.where / "x") and not os.path.lexists(self.where / "d"):
                os.makedirs(self.where / "d" / "below" / "again", exist_ok=True)
            self.rounds += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.stop.set()
        self.thread.join()


@pytest.fixture
def victim(tmp_path):
    """A tree that nobody may touch; checked at the end."""
    top = tmp_path / "victim"
    for i in range(20):
        (top / str(i)).mkdir(parents=True)
        (top / str(i) / "f").write_text("kept")
    before = {path: path.lstat() for path in top.rglob("*")}
    yield top
    now = {path: path.lstat() for path in top.rglob("*")}
    assert now.keys() == before.keys()
    for path, status in now.items():
        assert (status.st_uid, status.st_mode) == (before[path].st_uid, before[path].st_mode)


def attempt(call, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except Failed as failed:
        return failed.code


def test_remove_is_not_led_out(files, tmp_path, victim):
    where = tmp_path / "tree"
    where.mkdir()
    with Swapping(where, victim) as swapping:
        for i in range(20):
            for k in range(5):
                os.makedirs(where / "own" / str(k) / "below", exist_ok=True)
            attempt(files.call, "Remove", path=where / "own")
            attempt(files.call, "Remove", path=where / ("d" if i % 2 else "l"))
            if not os.path.lexists(where / "l"):
                try:
                    os.symlink(victim, where / "l")
                except FileExistsError:
                    pass
        wait_for(lambda: swapping.rounds > 100)
    for k in range(30):
        (where / str(k)).symlink_to(victim)
    files.call("Remove", path=where)
    assert not where.exists()


def test_list_is_not_led_out(files, tmp_path, victim):
    where = tmp_path / "tree"
    where.mkdir()
    (victim / "secret").mkdir()
    with Swapping(where, victim):
        for _ in range(60):
            found = attempt(files.list, where, 9)
            if isinstance(found, list):
                assert not [entry for entry in found if entry["name"] == "secret"]
    (victim / "secret").rmdir()


def test_owner_of_others_is_not_taken(files, tmp_path, victim):
    """While a directory is created for a user, another file may replace it. The daemon must not give
    that file to the user."""
    where = tmp_path / "tree"
    where.mkdir()
    user = files.as_user("user")
    with Swapping(where, victim):
        for i in range(100):
            attempt(user.call, "MakeDir", path=where / "d")
            attempt(user.call, "MakeDir", path=f"{where}/new-{i}")
    assert victim.stat().st_uid == 0


def test_made_as_the_user(files, tmp_path):
    """Files that a request creates for a user are created with that user's ids.

    Before, root created them and then gave them away by name. In between, an unprivileged process
    replaced them by another file of root: after 23 tries it owned a directory of root with mode 0700,
    after 1,271 tries a file with mode 0600. A FUSE server sees the ids with which a file is created,
    and any change of the owner."""
    where = tmp_path / "mount"
    where.mkdir()
    mount = fuse.Fuse(where, b"")
    try:
        user = files.as_user("user")
        user.call("MakeDir", path=where / "d")
        made, *changed = mount.made
        assert made == (fuse.MKDIR, 1000, 1000)
        # By its descriptor, and to the owner that it has: a watch tells CHMOD for it.
        assert {kind for kind, _, _ in changed} <= {fuse.SETATTR}
        mount.made.clear()
        body = archive(("e", None), ("l", link("f")), ("p", fifo()))
        answer = user.send("POST", user.target(where, format="tar"),
                           "Content-Type: application/x-tar", body=body)
        assert answer.status == 200
        assert mount.made == [(kind, 1000, 1000)
                              for kind in (fuse.MKDIR, fuse.SYMLINK, fuse.MKNOD)]
    finally:
        mount.abort()


def test_dots_and_slashes(files, tmp_path):
    """They mean what the kernel says they mean, and no more."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "f").write_text("content")
    for path in f"{tmp_path}/a/../f", f"{tmp_path}//a///b/../../f", f"{tmp_path}/./f", \
            f"/..{tmp_path}/f", f"/../../..{tmp_path}/f":
        assert files.get(path).body == b"content"
    home = f"{WORLD}/user"
    up = "../" * 60 + str(tmp_path).lstrip("/")
    assert files.as_user("user").get(f"{up}/f").body == b"content"
    answer = files.as_user("user").post_form(None, form(part("x", f"{up}/from a form")))
    assert answer.status == 200
    assert (tmp_path / "from a form").read_text() == "x"
    assert os.listdir(home) == []


@pytest.mark.parametrize("path", [
    "", ".", "..", "/", "//", "/.", "/..", "~", "~/", "~/..", "/proc", "/proc/self", "/proc/1/root",
    "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/3", "/proc/self/exe", "/proc/self/maps",
    "/proc/self/clear_refs", "/proc/self/environ", "/proc/self/task/1/mem",
    "/dev/stdin", "/dev/fd/3", "/dev/core", "/dev/full", "/dev/random", "/dev/shm", "/sys/kernel",
    "\x01", "\x7f", "a\x00b", "\ud7ff", "%s%n%p", "-", "--help", "*", "CON", "n" * 255, "n" * 256,
    "/" + "d/" * 2040 + "f", "/" + "d/" * 2100 + "f", "x/" * 400, "\u202e\u2066", "a" * 20_000,
])
def test_odd_paths(daemon, files, path):
    """Whatever is said to them, the daemon answers, soon and with little."""
    where = files.target(path)
    for method in "GET", "HEAD":
        answer = files.send(method, where, "Range: bytes=0-99999")
        assert answer.status in (200, 206, 400, 404, 416, 500)
        assert len(answer.body) < 1 << 20
    for method in "Stat", "ListDir":
        attempt(files.as_user("user").call, method, path=path)
    assert files.send("GET", "/health").status == 204


def test_what_the_kernel_forbids(files):
    """Writes to files of the kernel's that refuse them."""
    for path in "/proc/self/mem", "/proc/version", "/sys/kernel/uevent_helper", "/proc/sys/kernel/ostype":
        assert files.put(path, "x" * 10).status >= 400
    assert attempt(files.call, "Remove", path="/proc/self/fd") == "internal"
    assert attempt(files.call, "Move", source="/proc/version", destination="/tmp/x") == "internal"


def test_deep_links(files, tmp_path):
    """Forty links may follow each other, no more (path_resolution(7))."""
    (tmp_path / "0").write_text("content")
    for i in range(1, 60):
        (tmp_path / str(i)).symlink_to(str(i - 1))
    assert files.get(tmp_path / "39").body == b"content"
    assert files.get(tmp_path / "59").status == 500
    assert files.put(tmp_path / "59", "x").status == 500
    assert files.put(tmp_path / "39", "new").status == 200
    assert (tmp_path / "0").read_text() == "new"


def test_many_small_files_at_once(files, tmp_path):
    """Hundreds of connections, each with an upload of its own and then the file back."""
    wires = [files.connect() for _ in range(250)]
    for i, wire in enumerate(wires):
        wire.send(request("POST", files.target(tmp_path / str(i)), BYTES, body=b"%d" % i))
    assert [wire.answer("POST").status for wire in wires] == [200] * len(wires)
    for i, wire in enumerate(wires):
        wire.send(request("GET", files.target(tmp_path / str(i))))
    assert [wire.answer().body for wire in wires] == [b"%d" % i for i in range(len(wires))]
    for wire in wires:
        wire.close()
