# SPDX-License-Identifier: Apache-2.0
"""The events of each kind of change, and their names."""

import os
import socket

import pytest

from conftest import new_directory, sh, wait_for

# (case, shell commands before the watch begins, commands while it runs, expected events)
IN_ONE_DIRECTORY = [
    ("create", "", ":>a", ["CREATE a"]),
    ("create with data", "", "echo x >a", ["CREATE a", "WRITE a"]),
    ("write", ":>a", "echo x >>a", ["WRITE a"]),
    ("write often", ":>a", "for i in 1 2 3 4 5; do echo $i >>a; done", ["WRITE a"]),
    ("truncate", "echo x >a", ":>a", ["WRITE a"]),
    ("write nothing", ":>a", ":>>a", []),
    ("read", "echo x >a", "cat a >/dev/null; ls -l >/dev/null", []),
    ("mode", ":>a", "chmod 600 a", ["CHMOD a"]),
    ("owner", ":>a", "chown 1000:1000 a", ["CHMOD a"]),
    ("times", ":>a", "touch a", ["CHMOD a"]),
    ("remove", ":>a", "rm a", ["REMOVE a"]),
    ("rename", ":>a", "mv a b", ["RENAME a", "CREATE b"]),
    ("rename over another", ":>a; :>b", "mv a b", ["RENAME a", "CREATE b"]),
    ("rename to itself", ":>a", "python3 -c 'import os; os.rename(\"a\", \"a\")'", []),
    ("move out", ":>a", "mv a ../beside", ["RENAME a"]),
    ("move in", ":>../beside/a", "mv ../beside/a .", ["CREATE a"]),
    ("move in over another", ":>../beside/a; :>a", "mv ../beside/a .", ["CREATE a"]),
    ("hard link", ":>../beside/a", "ln ../beside/a a", ["CREATE a"]),
    ("symlink", "", "ln -s /etc/passwd a; ln -s nowhere b", ["CREATE a", "CREATE b"]),
    ("symlink's target", ":>../beside/a; ln -s ../beside/a b", "echo x >>b; chmod 600 b", []),
    ("pipe and device", "", "mkfifo p; mknod n c 1 3", ["CREATE p", "CREATE n"]),
    ("directory", "", "mkdir d; chmod 700 d; rmdir d", ["CREATE d", "CHMOD d", "REMOVE d"]),
    ("directory renamed", "mkdir d; :>d/x", "mv d e", ["RENAME d", "CREATE e"]),
    ("directory moved in", "mkdir -p ../beside/d/e", "mv ../beside/d .", ["CREATE d"]),
    ("directory moved out", "mkdir -p d/e", "mv d ../beside", ["RENAME d"]),
    ("inside a directory", "mkdir d; :>d/b", ":>d/a; echo x >>d/b; mkdir d/c; rm -r d/*", []),
    ("itself", "", "chmod 700 .; chown 1000 .", ["CHMOD ."]),
    ("beside", "", "echo x >../beside/a; rm ../beside/a", []),
    ("in its order", "", "echo x >a; chmod 600 a; mv a b; rm b",
     ["CREATE a", "WRITE a", "CHMOD a", "RENAME a", "CREATE b", "REMOVE b"]),
]

IN_A_TREE = [
    ("at the top", "", "echo x >a; rm a", ["CREATE a", "WRITE a", "REMOVE a"]),
    ("below", "mkdir -p d/e", "echo x >d/a; echo x >d/e/a; rm d/a d/e/a",
     ["CREATE d/a", "WRITE d/a", "CREATE d/e/a", "WRITE d/e/a", "REMOVE d/a", "REMOVE d/e/a"]),
    ("mode of a directory once", "mkdir -p d/e", "chmod 700 d; chmod 700 d/e",
     ["CHMOD d", "CHMOD d/e"]),
    ("itself", "mkdir d", "chmod 700 .", ["CHMOD ."]),
    ("remove a tree", "mkdir -p d/e; :>d/e/f", "rm d/e/f; rmdir d/e; rmdir d",
     ["REMOVE d/e/f", "REMOVE d/e", "REMOVE d"]),
    ("rename of a file between directories", "mkdir d e; :>d/a", "mv d/a e/b",
     ["RENAME d/a", "CREATE e/b"]),
    ("rename a directory", "mkdir -p d/x; :>d/x/y", "mv d e", ["RENAME d", "CREATE e"]),
    ("move a directory down", "mkdir -p d/x e; :>d/x/y", "mv d e/f", ["RENAME d", "CREATE e/f"]),
    ("move a directory out", "mkdir -p d/x; :>d/x/y", "mv d ../beside; :>../beside/d/x/z",
     ["RENAME d"]),
    ("symlink to a directory", "mkdir ../beside/d; ln -s ../beside/d l",
     ":>../beside/d/a; ln -s ../beside/d m; :>../beside/d/b", ["CREATE m"]),
]


def names(cases):
    return pytest.mark.parametrize("before, act, told", [c[1:] for c in cases],
                                   ids=[c[0].replace(" ", "-") for c in cases])


@names(IN_ONE_DIRECTORY)
def test_one_directory(open_watch, directory, before, act, told):
    sh(directory, before)
    watch = open_watch(directory)
    sh(directory, act)
    assert watch.texts() == told


@names(IN_A_TREE)
def test_tree(open_watch, directory, before, act, told):
    sh(directory, before)
    watch = open_watch(directory, True)
    sh(directory, act)
    assert watch.texts() == told


# The last element lists the expected CREATE events for a new directory and its contents. Their order is
# the order of the listing, but a directory comes before its contents.
NEW_DIRECTORIES = [
    ("made", "", "mkdir -p d/e; :>d/a; :>d/e/b", ["d", "d/e", "d/a", "d/e/b"]),
    ("moved in", "mkdir -p ../beside/d/e/f; :>../beside/d/a; :>../beside/d/e/b",
     "mv ../beside/d .", ["d", "d/a", "d/e", "d/e/b", "d/e/f"]),
    ("copied", "mkdir -p ../beside/d/e/f; echo >../beside/d/a; :>../beside/d/e/b",
     "cp -r ../beside/d .", ["d", "d/a", "d/e", "d/e/b", "d/e/f"]),
    ("a link in it", "mkdir ../beside/d; ln -s / ../beside/d/l", "mv ../beside/d .", ["d", "d/l"]),
]


@names(NEW_DIRECTORIES)
def test_new_directories(open_watch, directory, before, act, told):
    sh(directory, before)
    watch = open_watch(directory, True)
    sh(directory, act)
    events = watch.sync()
    created = [e.name for e in events if e.kind == "CREATE"]
    assert sorted(created) == sorted(told)
    for name in created:
        parent = os.path.dirname(name)
        assert not parent or created.index(parent) < created.index(name)
    # A listing may find a file before or after its data is written. Other events are wrong.
    assert {e.kind for e in events} <= {"CREATE", "WRITE"}
    # The new directories are watched now.
    sh(directory, "for d in $(find * -type d); do :>$d/new; done")
    assert sorted(watch.texts()) == sorted(
        f"CREATE {name}/new" for name in told if os.path.isdir(os.path.join(directory, name))
        and not os.path.islink(os.path.join(directory, name)))


def test_moved_directory_reports_under_its_new_name(open_watch, directory):
    sh(directory, "mkdir -p a/b/c x; :>a/b/c/f")
    watch = open_watch(directory, True)
    sh(directory, "mv a x/y; echo >>x/y/b/c/f; mv x z; :>z/y/b/g; mv z/y .; rm y/b/c/f; "
                  "mkdir a; :>a/f")
    assert watch.texts() == [
        "RENAME a", "CREATE x/y", "WRITE x/y/b/c/f", "RENAME x", "CREATE z", "CREATE z/y/b/g",
        "RENAME z/y", "CREATE y", "REMOVE y/b/c/f", "CREATE a", "CREATE a/f"]


def test_replaced_directory(open_watch, directory):
    sh(directory, "mkdir -p d/e; :>d/e/f")
    watch = open_watch(directory, True)
    sh(directory, "mv d ../beside; mkdir d; :>d/x; :>../beside/d/e/g")
    assert watch.texts() == ["RENAME d", "CREATE d", "CREATE d/x"]
    sh(directory, "rm -r d; mv ../beside/d .; echo >>d/e/g")
    events = watch.texts()
    assert events[:2] == ["REMOVE d/x", "REMOVE d"]
    # For a file with content, a listing emits CREATE and WRITE. The write itself may cause another WRITE.
    assert sorted(e for e in events[2:] if e != "WRITE d/e/g") == \
        ["CREATE d", "CREATE d/e", "CREATE d/e/f", "CREATE d/e/g"]
    assert events[2:].count("WRITE d/e/g") <= 2


def test_directory_moved_over_an_empty_one(open_watch, directory):
    sh(directory, "mkdir -p d/x e; :>d/x/f")
    watch = open_watch(directory, True)
    sh(directory, "mv -T d e; :>e/x/g; mkdir d; :>d/h")
    assert watch.texts() == ["RENAME d", "CREATE e", "CREATE e/x/g", "CREATE d", "CREATE d/h"]


def test_a_file_written_through_an_old_descriptor(open_watch, directory):
    sh(directory, "mkdir d e")
    with open(os.path.join(directory, "d/a"), "wb", buffering=0) as f:
        watch = open_watch(directory, True)
        sh(directory, "mv d/a e/b")
        f.write(b"x")
        assert watch.texts() == ["RENAME d/a", "CREATE e/b", "WRITE e/b"]
        sh(directory, "rm e/b")
        f.write(b"y")
        assert watch.texts() == ["REMOVE e/b"]


def test_deep(open_watch, directory):
    """A directory may lie so deep that its path is longer than PATH_MAX, the limit of system calls."""
    watch = open_watch(directory, True)
    name = "n" * 200
    top = os.open(directory, os.O_RDONLY)
    at = top
    made = []
    for _ in range(18):
        os.mkdir(name, dir_fd=at)
        made.append(name)
        at, last = os.open(name, os.O_RDONLY, dir_fd=at), at
        os.close(last)
    events = watch.until("CREATE " + "/".join(made))
    assert [e.name for e in events] == ["/".join(made[:i + 1]) for i in range(18)]
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    assert watch.texts() == ["CREATE " + "/".join([*made, "f"])]


NAMES = [b"plain", "Grüße 世界 🦊".encode(), b"with space", b" ", b"-rf", b"...", b".hidden",
         b"new\nline", b"tab\t\"quote\"\\", b"\x01\x7f", b"n" * 255, b"#%?&:*|<>",
         b"\xff", b"a\xffb", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x90x", b"\xc0\xaf"]


def shown(name):
    """Returns the name as events show it: U+FFFD replaces each byte that is invalid in UTF-8."""
    return "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c
                   for c in name.decode(errors="surrogateescape"))


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("entry", [False, True])
def test_names(open_watch, directory, recursive, entry):
    watch = open_watch(directory, recursive, entry)
    top = directory.encode()
    expected = []
    for name in NAMES:
        with open(os.path.join(top, name), "wb"):
            expected.append(("CREATE", shown(name)))
        os.remove(os.path.join(top, name))
        expected.append(("REMOVE", shown(name)))
    assert [(e.kind, e.name) for e in watch.sync()] == expected
    if recursive:
        expected = []
        for name in NAMES:
            os.mkdir(os.path.join(top, name))
            expected.append(("CREATE", shown(name)))
        for name in NAMES:
            with open(os.path.join(top, name, name), "wb"):
                expected.append(("CREATE", f"{shown(name)}/{shown(name)}"))
        assert sorted((e.kind, e.name) for e in watch.sync()) == sorted(expected)


def test_a_socket(open_watch, directory):
    watch = open_watch(directory)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.join(directory, "s"))
        s.listen()
    assert watch.texts() == ["CREATE s"]


def test_a_directory_of_no_permissions(open_watch, directory):
    """They do not prevent the watch, because the daemon is root."""
    sh(directory, "mkdir -m 0 d")
    watch = open_watch(directory, True)
    sh(directory, ":>d/a; mkdir -m 0 d/e; :>d/e/b")
    assert watch.texts() == ["CREATE d/a", "CREATE d/e", "CREATE d/e/b"]


def test_two_files_in_turn(envd, directory):
    """A stream that reads at once gets an event for each change. For a polled watcher, repeated events of a
    file count as one."""
    sh(directory, ":>a; :>b")
    stream, poller = envd.watch(directory), envd.poll(directory)
    sh(directory, "for i in 1 2 3; do echo >>a; echo >>b; done")
    assert stream.texts() == ["WRITE a", "WRITE b"] * 3
    assert set(poller.texts()) == {"WRITE a", "WRITE b"}


# ---- paths ----

def test_symlinked_start(open_watch, directory):
    sh(directory, "ln -s watched ../link; mkdir d")
    for recursive in (False, True):
        watch = open_watch(os.path.join(os.path.dirname(directory), "link"), recursive)
        sh(directory, ":>a; :>d/b; rm a d/b")
        below = ["CREATE d/b", "REMOVE d/b"] if recursive else []
        assert sorted(watch.texts(directory=directory)) == sorted(["CREATE a", "REMOVE a", *below])


@pytest.mark.parametrize("spelling", ["{0}/", "{0}//", "{0}/.", "{0}/../watched", "//{0}"])
def test_spellings(open_watch, directory, spelling):
    watch = open_watch(spelling.format(directory), True)
    sh(directory, "mkdir d; :>d/a")
    assert watch.texts(directory=directory) == ["CREATE d", "CREATE d/a"]


@pytest.mark.parametrize("user", ["root", "user"])
@pytest.mark.parametrize("path", ["", "~", "~/", ".", "sub"])
def test_relative_to_home(open_watch, user, path):
    home = os.path.join(os.environ["WORLD"], user)
    sh(home, "mkdir -p sub")
    watch = open_watch(path, user=user)
    directory = os.path.join(home, "sub") if path == "sub" else home
    sh(directory, ":>a; rm a")
    assert watch.texts(directory=directory) == ["CREATE a", "REMOVE a"]


def test_the_root_directory(open_watch):
    directory = new_directory()
    watch = open_watch("/")
    sh("/", f"mkdir {directory}/x; : >/envd-watch-test; rm /envd-watch-test")
    wait_for(lambda: watch.until("CREATE envd-watch-test", "REMOVE envd-watch-test"))
