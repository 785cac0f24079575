# SPDX-License-Identifier: Apache-2.0
"""envd cp, cat, ls and rm."""

import io
import json
import os
import stat
import tarfile

import pytest

from conftest import WORLD, Host

DATA = os.urandom(1 << 20) * 3 + b"\0\r\n"
NAMES = ["plain", "a b", "%41&?#+=", "größe", "new\nline", "-dash", "quote'\"\\"]


@pytest.fixture
def guest(tmp_path):
    """A directory that stands for the guest's: the daemon runs on this machine."""
    (tmp_path / "guest").mkdir()
    return tmp_path / "guest"


@pytest.fixture
def local(tmp_path):
    (tmp_path / "local").mkdir()
    return tmp_path / "local"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_there_and_back(host, guest, local, name):
    (local / name).write_bytes(DATA)
    host.ok("cp", f"{local}/{name}", f"guest:{guest}")
    assert (guest / name).read_bytes() == DATA
    host.ok("cp", f"guest:{guest}/{name}", f"{local}/back")
    assert (local / "back").read_bytes() == DATA
    assert host.run("cat", f"{guest}/{name}").stdout == DATA


def test_targets(host, guest, local):
    """As with cp(1): a name; a directory; a directory by its slash, which is made."""
    (local / "one").write_text("1")
    (local / "two").write_text("2")
    host.ok("cp", f"{local}/one", f"guest:{guest}/named")
    host.ok("cp", f"{local}/one", f"{local}/two", f"guest:{guest}/both/")
    assert sorted(p.relative_to(guest).as_posix() for p in guest.rglob("*")) == \
        ["both", "both/one", "both/two", "named"]
    (local / "in").mkdir()
    host.ok("cp", f"guest:{guest}/both/one", f"guest:{guest}/named", f"{local}/in")
    assert sorted(os.listdir(local / "in")) == ["named", "one"]


def test_pipes(host, guest):
    done = host.run("cp", "-", f"guest:{guest}/piped", stdin=DATA)
    assert (done.returncode, done.stderr, (guest / "piped").read_bytes() == DATA) == (0, b"", True)
    assert host.run("cp", f"guest:{guest}/piped", "-").stdout == DATA
    done = host.run("cp", "-", f"guest:{guest}", stdin=b"")
    assert done.returncode == 1 and b"name the file in it" in done.stderr


def test_an_existing_file_is_replaced(host, guest, local):
    (guest / "file").write_bytes(DATA + DATA)
    (local / "file").write_bytes(DATA)
    host.ok("cp", f"{local}/file", f"guest:{guest}/file")
    assert (guest / "file").read_bytes() == DATA
    (local / "file").write_bytes(DATA + DATA)
    host.ok("cp", f"guest:{guest}/file", f"{local}/file")
    assert (local / "file").read_bytes() == DATA


def test_an_empty_file(host, guest, local):
    (local / "empty").touch()
    host.ok("cp", f"{local}/empty", f"guest:{guest}/empty")
    assert (guest / "empty").read_bytes() == b""
    host.ok("cp", f"guest:{guest}/empty", f"{local}/back")
    assert (local / "back").read_bytes() == b""


def test_the_user_owns_it(host, local):
    (local / "file").write_text("x")
    host.ok("cp", "-u", "user", f"{local}/file", "guest:owned")
    there = os.stat(f"{WORLD}/user/owned")
    assert there.st_uid == 1000
    assert host.ok("cat", "-u", "user", "owned") == "x"
    host.ok("rm", "-u", "user", "owned")
    assert not os.path.exists(f"{WORLD}/user/owned")


def test_failures(host, guest, local):
    (local / "file").write_text("x")
    for args in (["cp", f"guest:{guest}/absent", f"{local}/x"], ["cat", f"{guest}/absent"],
                 ["cp", f"{local}/absent", f"guest:{guest}/x"], ["cat", str(guest)],
                 ["cp", f"{local}/file", f"guest:{local}/file/below"], ["ls", f"{guest}/absent"],
                 ["cp", f"guest:{guest}", "-"], ["rm", f"{guest}/absent"]):
        done = host.run(*args)
        assert done.returncode == 1, args
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith(f"envd {args[0]}: ")
    assert os.listdir(guest) == []
    assert os.listdir(local) == ["file"]


# ---- trees ----

def make_tree(top):
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "run").write_text("#!/bin/sh\n")
    (top / "run").chmod(0o750)
    (top / "sub" / "data").write_bytes(DATA)
    os.utime(top / "sub" / "data", (1_000_000_000, 1_000_000_000))
    (top / "sub" / "link").symlink_to("../run")
    (top / ("n" * 200)).write_text("long")
    for name in NAMES:
        (top / "sub" / name).write_text(name)


def describe(top):
    found = {}
    for path in sorted(top.rglob("*")):
        st = path.lstat()
        name = path.relative_to(top).as_posix()
        found[name] = (stat.S_IFMT(st.st_mode),
                       os.readlink(path) if path.is_symlink() else
                       path.read_bytes() if path.is_file() else None,
                       None if path.is_symlink() else st.st_mode & 0o777,
                       int(st.st_mtime) if path.is_file() and not path.is_symlink() else None)
    return found


@pytest.mark.beyond
def test_a_tree_there_and_back(host, guest, local):
    (local / "tree").mkdir()
    make_tree(local / "tree")
    host.ok("cp", f"{local}/tree", f"guest:{guest}")
    assert describe(guest / "tree") == describe(local / "tree")
    host.ok("cp", f"{local}/tree", f"guest:{guest}/renamed")
    assert describe(guest / "renamed") == describe(local / "tree")
    host.ok("cp", f"guest:{guest}/tree", f"{local}/back")
    assert describe(local / "back") == describe(local / "tree")
    host.ok("cp", f"guest:{guest}/tree", f"{local}/back")
    assert describe(local / "back" / "tree") == describe(local / "tree")


@pytest.mark.beyond
def test_mode_and_time_of_a_single_file(host, guest, local):
    (local / "tool").write_text("#!/bin/sh\n")
    (local / "tool").chmod(0o751)
    os.utime(local / "tool", (1_000_000_000, 1_000_000_000))
    host.ok("cp", "-p", f"{local}/tool", f"guest:{guest}/named")
    host.ok("cp", "-p", f"guest:{guest}/named", f"{local}/back")
    for path in guest / "named", local / "back":
        assert (path.stat().st_mode & 0o7777, path.stat().st_mtime) == (0o751, 1_000_000_000)


@pytest.mark.beyond
def test_what_is_no_file_is_not_left_out_silently(host, guest, local):
    (local / "tree").mkdir()
    os.mkfifo(local / "tree" / "fifo")
    done = host.run("cp", f"{local}/tree", f"guest:{guest}")
    assert done.returncode == 1
    assert done.stderr == b"envd cp: fifo: neither file, directory nor link\n"


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
            member.devmajor, member.devminor = 1, 3
            tar.addfile(member, io.BytesIO(b"x"))
    return out.getvalue()


ENTRY = b"\x0a\x16\x0a\x04tree\x10\x02\x1a\x05/tree\x32\x05drwxr"


@pytest.mark.parametrize("members", [
    [("../escaped", tarfile.REGTYPE, "")],
    [("/tmp/escaped", tarfile.REGTYPE, "")],
    [("out", tarfile.SYMTYPE, "/etc"), ("out/escaped", tarfile.REGTYPE, "")],
    [("out", tarfile.SYMTYPE, ".."), ("out/escaped", tarfile.REGTYPE, "")],
    [("hard", tarfile.LNKTYPE, "/etc/passwd")],
    [("null", tarfile.CHRTYPE, "")],
    [("fifo", tarfile.FIFOTYPE, "")],
])
def test_a_guest_cannot_write_outside_of_the_target(rogue, local, members):
    """The operator may be root, and the guest's archive may name any path, link or device."""
    body = archive(*members)
    rogue_host = rogue(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ENTRY), ENTRY),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body))
    done = rogue_host.run("cp", "guest:/tree", f"{local}/in")
    assert done.returncode == 1
    assert done.stderr.startswith(b"envd cp: cannot unpack '")
    assert os.listdir(local) == ["in"]
    assert not [name for name in os.listdir(local / "in") if name in ("null", "fifo", "hard")]
    assert not os.path.exists("/etc/escaped") and not os.path.exists("/tmp/escaped")


def entry(path, kind):
    """The answer to Stat: FILE (1) or DIRECTORY (2)."""
    name = path.rpartition("/")[2].encode()
    body = b"\x0a%c%b\x10%c\x1a%c%b" % (len(name), name, kind, len(path), path.encode())
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n\x0a%c%b" % (len(body) + 2, len(body), body)


def tar(body):
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body), body)


REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


def test_a_refused_download_changes_nothing_here(rogue, local):
    """The file was truncated before the guest had answered: a refusal, or a guest that was away, left
    it empty."""
    (local / "kept").write_text("kept")
    away = b""
    for answer in REFUSED, away:
        for name in "kept", "new":
            done = rogue(entry("/x", 1), answer).run("cp", "guest:/x", f"{local}/{name}")
            assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert os.listdir(local) == ["kept"]
    assert (local / "kept").read_text() == "kept"


def test_an_existing_file_keeps_its_inode_and_mode(host, guest, local):
    """As with cp(1) and scp(1): somebody may have it open, or may have given it a mode."""
    (guest / "file").write_text("new")
    (local / "file").write_text("old, and longer")
    (local / "file").chmod(0o640)
    before = (local / "file").stat()
    host.ok("cp", f"guest:{guest}/file", f"{local}/file")
    after = (local / "file").stat()
    assert (local / "file").read_text() == "new"
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


NAMELESS = ["guest:", "guest:.", "guest:..", "guest:x/.", "guest:/", "guest:x/../"]


@pytest.mark.parametrize("source", NAMELESS)
def test_a_guest_cannot_choose_the_local_name(rogue, local, source):
    """The name came from the path in the guest's answer: a guest could have put its files into ~/.ssh,
    as the servers of CVE-2019-6111 did."""
    host = rogue(entry("/x/.ssh", 2), tar(archive(("authorized_keys", tarfile.REGTYPE, ""))),
                 entry("/x/.ssh", 1))
    host.ok("cp", source, str(local))
    assert os.listdir(local) == ["authorized_keys"]
    done = host.run("cp", source, str(local))
    assert done.returncode == 1 and done.stderr.endswith(b": not a directory\n")
    assert os.listdir(local) == ["authorized_keys"]


@pytest.mark.beyond
def test_the_contents_of_a_directory(host, guest, local):
    """As with `cp -r`: "x/." gives the contents, "x/" gives x."""
    (guest / "tree" / "sub").mkdir(parents=True)
    (guest / "tree" / "file").write_text("x")
    host.ok("cp", f"guest:{guest}/tree/.", str(local))
    assert sorted(os.listdir(local)) == ["file", "sub"]
    host.ok("cp", f"guest:{guest}/tree/", str(local))
    assert sorted(os.listdir(local)) == ["file", "sub", "tree"]
    host.ok("cp", ".", f"guest:{guest}/up", cwd=local)
    assert sorted(os.listdir(guest / "up")) == ["file", "sub", "tree"]


@pytest.mark.beyond
def test_the_umask_holds_for_trees(host, guest, local):
    """The guest's modes were taken as they were, and opened files to users whom the operator's umask
    shuts out."""
    (guest / "tree" / "sub").mkdir(parents=True)
    (guest / "tree" / "file").write_text("x")
    for path in "tree/sub", "tree/file":
        (guest / path).chmod(0o777)
    host.ok("cp", f"guest:{guest}/tree", f"{local}/masked", umask=0o027)
    host.ok("cp", "-p", f"guest:{guest}/tree", f"{local}/kept", umask=0o027)
    for top, mode in ("masked", 0o750), ("kept", 0o777):
        assert {(local / top / name).stat().st_mode & 0o777 for name in ("sub", "file")} == {mode}


# ---- connections that break ----

def test_a_download_goes_on_where_it_was_cut(proxy, tmp_path, guest):
    between = proxy()
    between.limit = 500_000
    (guest / "file").write_bytes(DATA)
    host = Host(f"unix:{tmp_path}/proxy")
    host.ok("cp", f"guest:{guest}/file", f"{tmp_path}/back")
    assert (tmp_path / "back").read_bytes() == DATA
    assert between.cuts > 3


def test_an_upload_goes_on_where_it_was_cut(proxy, tmp_path, guest):
    between = proxy()
    between.limit_up = 1_000_000
    (tmp_path / "file").write_bytes(DATA)
    host = Host(f"unix:{tmp_path}/proxy")
    host.ok("cp", f"{tmp_path}/file", f"guest:{guest}/file")
    assert (guest / "file").read_bytes() == DATA
    assert between.cuts > 1


def test_an_upload_whose_answer_is_lost(proxy, tmp_path, guest):
    """The daemon had the whole file. The command asked for the rest, an empty range, which the daemon
    refused."""
    between = proxy()
    between.swallow = b"POST /files?"
    (tmp_path / "file").write_bytes(DATA)
    host = Host(f"unix:{tmp_path}/proxy")
    host.ok("cp", f"{tmp_path}/file", f"guest:{guest}/file")
    assert ((guest / "file").read_bytes() == DATA, between.cuts) == (True, 1)


def test_an_upload_that_is_cut_before_the_file_exists(proxy, tmp_path, guest):
    """The command waited for a file that nobody was going to make, and failed then."""
    between = proxy()
    between.once, between.instead = True, {b"POST /files?": (b"\r\n\r\n", b"")}
    (tmp_path / "file").write_bytes(DATA)
    host = Host(f"unix:{tmp_path}/proxy")
    host.ok("cp", f"{tmp_path}/file", f"guest:{guest}/file")
    assert ((guest / "file").read_bytes() == DATA, between.cuts) == (True, 1)


def test_a_file_that_changes_between_the_parts(proxy, tmp_path, guest):
    """The first part of the old file and the rest of the new one are no file."""
    between = proxy()
    between.limit = 500_000
    path = guest / "file"
    path.write_bytes(DATA)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    host = Host(f"unix:{tmp_path}/proxy")
    with host.start("cp", f"guest:{path}", "-") as process:
        process.stdout.read(100_000)
        path.write_bytes(b"other" + DATA)
        process.stdout.read()
        assert process.wait() == 1
        assert process.stderr.read() == b"envd cp: the file has changed meanwhile\n"


# ---- listing and removing ----

def test_ls(host, guest):
    (guest / "file").write_bytes(b"12345")
    (guest / "sub").mkdir()
    (guest / "sub" / "below").touch()
    (guest / "link").symlink_to("file")
    assert host.ok("ls", str(guest)) == "file\nlink\nsub/\n"
    assert host.ok("ls", "--depth", "2", str(guest)) == "file\nlink\nsub/\nsub/below\n"
    lines = host.ok("ls", "-l", str(guest)).splitlines()
    assert lines[0].startswith("-rw-r--r-- root root            5 20") and lines[0].endswith(" file")
    assert lines[1].endswith(f" link -> {guest}/file")
    assert host.ok("ls", f"{guest}/file", f"{guest}/sub") == f"file\n{guest}/sub:\nbelow\n"
    entries = json.loads(host.ok("ls", "--json", str(guest)))["entries"]
    assert [entry["name"] for entry in entries] == ["file", "link", "sub"]


def test_a_file_name_cannot_command_the_terminal(host, guest):
    (guest / "a\x1b]0;title\x07\nb\u202e").touch()
    assert host.ok("ls", str(guest)) == "a\\x1b]0;title\\x07\\nb\\xe2\\x80\\xae\n"
    done = host.run("cat", f"{guest}/\x1b[2J")
    assert b"\x1b" not in done.stderr and b"\\x1b[2J" in done.stderr


def test_rm(host, guest):
    (guest / "sub" / "deep").mkdir(parents=True)
    (guest / "file").touch()
    (guest / "link").symlink_to("sub")
    host.ok("rm", f"{guest}/file", f"{guest}/link")
    assert os.listdir(guest) == ["sub"]
    done = host.run("rm", f"{guest}/sub")
    assert done.returncode == 1 and b"-r removes it" in done.stderr
    assert os.listdir(guest) == ["sub"]
    host.ok("rm", "-r", f"{guest}/sub")
    assert os.listdir(guest) == []
    host.ok("rm", "-f", f"{guest}/sub")


@pytest.mark.parametrize("args", [
    ["cp"], ["cp", "a"], ["cp", "a", "b"], ["cp", "guest:a", "guest:b"], ["cp", "a", "guest:b", "c"],
    ["cat"], ["rm"], ["rm", "-x", "a"], ["ls", "--depth", "0", "a"], ["ls", "-x"],
])
def test_wrong_arguments(host, args):
    done = host.run(*args)
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"envd {args[0]}: ") and line.endswith(f"(see envd {args[0]} --help)")
