# SPDX-License-Identifier: Apache-2.0
"""POST /files/compose, row by row."""

import os
import stat

import pytest

from conftest import WORLD


@pytest.fixture
def three(tmp_path):
    """Three files with known contents."""
    for name in "abc":
        (tmp_path / name).write_text(name * 3)
    return [tmp_path / name for name in "abc"]


def send(files, body):
    return files.send("POST", "/files/compose", "Content-Type: application/json", body=body)


@pytest.mark.parametrize("user, uid", [(None, 0), ("root", 0), ("user", 1000)])
def test_new_file(files, tmp_path, three, user, uid):
    more = {"username": user} if user else {}
    answer = files.compose(three, tmp_path / "new" / "all", **more)
    assert (answer.status, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == {"path": f"{tmp_path}/new/all", "name": "all", "type": "file"}
    path = tmp_path / "new" / "all"
    assert path.read_text() == "aaabbbccc"
    status = path.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (uid, 0o644)
    assert path.parent.stat().st_uid == uid
    assert os.listdir(tmp_path) == ["new"]


def test_over_an_old_file(files, tmp_path, three):
    (tmp_path / "target").write_text("stays")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "old").write_text("goes")
    (tmp_path / "old").chmod(0o600)
    inode = (tmp_path / "old").stat().st_ino
    assert files.compose(three[:2], tmp_path / "old").status == 200
    status = (tmp_path / "old").stat()
    assert stat.S_IMODE(status.st_mode) == 0o644 and status.st_ino != inode
    assert files.compose(three[2:], tmp_path / "link").status == 200
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "stays"


def test_sources(files, tmp_path, three):
    """As often as it is listed; of a link, the link goes."""
    (tmp_path / "link").symlink_to("c")
    answer = files.compose([three[0], three[0], three[1], tmp_path / "link"], tmp_path / "all")
    assert answer.status == 200
    assert (tmp_path / "all").read_text() == "aaaaaabbbccc"
    assert sorted(os.listdir(tmp_path)) == ["all", "c"]


def test_sizes(files, tmp_path):
    parts = [b"", b"x", os.urandom(4097), os.urandom(3 << 20), b"", os.urandom(65536)]
    paths = []
    for i, data in enumerate(parts):
        paths.append(tmp_path / str(i))
        paths[-1].write_bytes(data)
    assert files.compose(paths, tmp_path / "all").status == 200
    assert (tmp_path / "all").read_bytes() == b"".join(parts)
    assert files.compose([tmp_path / "all"], tmp_path / "again").status == 200
    assert (tmp_path / "again").read_bytes() == b"".join(parts)


def test_many(files, tmp_path):
    paths = [tmp_path / str(i) for i in range(1000)]
    for path in paths:
        path.write_text(f"{path.name}\n")
    assert files.compose(paths, tmp_path / "all").status == 200
    assert (tmp_path / "all").read_text() == "".join(f"{i}\n" for i in range(1000))
    assert os.listdir(tmp_path) == ["all"]


def test_across_file_systems(files, tmp_path, mounts, three):
    other = mounts("tmpfs", 4)
    (other / "d").write_text("ddd")
    assert files.compose([*three, other / "d"], other / "all").status == 200
    assert (other / "all").read_text() == "aaabbbcccddd"
    assert os.listdir(other) == ["all"]


def test_homes_and_names(files):
    home = files.as_user("user")
    names = ["with space", "quo\"te", "new\nline", "世界"]
    for name in names:
        home.put(f"parts/{name}", name)
    answer = files.compose([f"parts/{name}" for name in names], "~/whole", username="user")
    assert answer.json()["path"] == f"{WORLD}/user/whole"
    assert home.get("whole").body.decode() == "".join(names)
    home.call("Remove", path="whole")
    home.call("Remove", path="parts")


def test_refusals(files, tmp_path, three):
    a, b, _ = three
    os.mkfifo(tmp_path / "fifo")
    rows = [
        ([], tmp_path / "all", 400), ([a, b], "", 400), ([a, b], a, 400), ([a, b], b, 400),
        ([a, tmp_path], tmp_path / "all", 400), ([a, tmp_path / "fifo"], tmp_path / "all", 400),
        ([a, "/dev/null"], tmp_path / "all", 400), ([a, "~other/x"], tmp_path / "all", 400),
        ([a], "~other/x", 400), ([a, tmp_path / "absent"], tmp_path / "all", 404),
        ([tmp_path / "absent", tmp_path], tmp_path / "all", 404),
        ([tmp_path, tmp_path / "absent"], tmp_path / "all", 400),
    ]
    before = sorted(os.listdir(tmp_path))
    for sources, destination, status in rows:
        answer = files.compose(sources, destination)
        assert (sources, destination, answer.status) == (sources, destination, status)
        assert answer.json()["code"] == status
        assert sorted(os.listdir(tmp_path)) == before
        assert [path.read_text() for path in three] == ["aaa", "bbb", "ccc"]
    assert files.compose(three, tmp_path / "all", username="nobody").status == 401
    assert files.compose(three, tmp_path).status >= 400
    assert [path.read_text() for path in three] == ["aaa", "bbb", "ccc"]


def test_bodies(files, tmp_path, three):
    good = b'{"source_paths":["%s"],"destination":"%s/all"}' % (
        os.fsencode(three[0]), os.fsencode(tmp_path))
    for body in b"", b"{", b"[]", b'{"source_paths":"x"}', b'{"source_paths":[1]}', b"nonsense":
        assert (body, send(files, body).status) == (body, 400)
    # What comes behind the value does not matter, nor do fields that nobody knows.
    assert send(files, good.replace(b"{", b'{"x":[{}],', 1) + b" rubbish").status == 200
    assert (tmp_path / "all").read_text() == "aaa"
