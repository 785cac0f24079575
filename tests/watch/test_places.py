# SPDX-License-Identifier: Apache-2.0
"""Watched directories that are removed or moved, several watchers of one directory, and mounts."""

import contextlib
import os
import subprocess
import time

import pytest

from client import Failed
from conftest import sh, wait_for
from fuse import Fuse


@contextlib.contextmanager
def mounted(*arguments):
    """Runs mount(8) with these arguments; the last one is the mount point. Unmounts at the end."""
    subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        if os.path.ismount(arguments[-1]):
            subprocess.run(["umount", "-l", arguments[-1]], check=True)


def stays_silent(watch, seconds=0.15):
    """Returns true if no event comes within `seconds`. There is no condition to wait for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.more(0.05)
    return not watch.take()


# ---- the watched directory itself ----

@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("act, told", [
    ("rmdir watched", ["REMOVE ."]),
    ("mv watched gone; :>gone/x; rm -r gone", ["RENAME ."]),
    ("mv watched beside/; mkdir watched; :>watched/x", ["RENAME ."]),
    ("rmdir watched; mkdir watched; :>watched/x", ["REMOVE ."]),
    ("mkdir other; mv -T other watched; :>watched/x", ["REMOVE ."]),
    (":>watched/a; rm -r watched", ["CREATE a", "REMOVE a", "REMOVE ."]),
], ids=["removed", "renamed", "moved-and-made-again", "removed-and-made-again", "replaced",
        "with-contents"])
def test_the_directory_goes(envd, open_watch, directory, recursive, act, told):
    watch = open_watch(directory, recursive)
    sh(os.path.dirname(directory), act)
    events = [str(e) for e in watch.until(told[-1])]
    # The kernel also reports a removal as IN_ATTRIB, because the number of links changes.
    assert [e for e in events if e != "CHMOD ."] == told
    assert stays_silent(watch)
    # Another directory at the same path can be watched.
    sh(os.path.dirname(directory), "mkdir -p watched; rm -rf watched/*")
    again = envd.watch(directory, recursive)
    sh(directory, ":>y")
    assert again.texts() == ["CREATE y"]
    assert stays_silent(watch, 0)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_tree_that_goes_with_the_directory(open_watch, directory, recursive):
    sh(directory, "mkdir -p a/b; :>a/b/c")
    watch = open_watch(directory, recursive)
    sh(directory, "rm -r ../watched")
    below = ["REMOVE a/b/c", "REMOVE a/b"] if recursive else []
    events = [str(e) for e in watch.until("REMOVE .")]
    assert [e for e in events if e != "CHMOD ."] == [*below, "REMOVE a", "REMOVE ."]
    assert stays_silent(watch)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_parent_that_is_moved(open_watch, directory, recursive):
    """The watch follows the directory to its new path."""
    top = os.path.dirname(directory)
    sh(directory, "mkdir d")
    watch = open_watch(directory, recursive)
    sh("/", f"mv {top} {top}-moved")
    moved = f"{top}-moved/watched"
    sh(moved, ":>a; :>d/b; rm a")
    below = ["CREATE d/b"] if recursive else []
    assert watch.texts(directory=moved) == ["CREATE a", *below, "REMOVE a"]


@pytest.mark.parametrize("recursive", [False, True])
def test_unmounted(open_watch, directory, recursive):
    with mounted("-t", "tmpfs", "none", directory):
        sh(directory, "mkdir -p d/e")
        watch = open_watch(directory, recursive)
        sh(directory, ":>a")
        watch.until("CREATE a")
        # The watch does not keep the file system busy.
        subprocess.run(["umount", directory], check=True)
        assert [str(e) for e in watch.until("REMOVE .")][-1] == "REMOVE ."
        assert stays_silent(watch)


def test_gone_while_others_stay(envd, daemon, directory):
    """A watcher whose directory was removed holds no watch of the kernel, and RemoveWatcher still works."""
    sh(directory, "mkdir -p d/e")
    watches = [envd.watch(directory, True), envd.poll(directory, True),
               envd.watch(f"{directory}/d", True)]
    sh(directory, "rm -r d; rmdir ../watched")
    assert str(watches[2].until("REMOVE .")[-1]) == "REMOVE ."
    for watch in watches[:2]:
        watch.until("REMOVE d", "REMOVE .")
    wait_for(lambda: sum(daemon.instances()) == 0)
    watches[1].remove()


# ---- several watchers ----

def test_watchers_share(envd, daemon, directory):
    sh(directory, "mkdir -p a/b/c")
    watches = [envd.watch(directory, True), envd.watch(directory + "/", True),
               envd.poll(directory, True), envd.watch(f"{directory}/../watched", True, True)]
    assert daemon.instances() == [4]
    sh(directory, ":>a/b/x; chmod 600 a/b/x")
    for watch in watches:
        assert watch.texts(directory=directory) == ["CREATE a/b/x", "CHMOD a/b/x"]
    watches.pop(0).close()
    sh(directory, "mv a/b/x y; mkdir z; :>z/w")
    for watch in watches:
        assert watch.texts(directory=directory) == ["RENAME a/b/x", "CREATE y", "CREATE z",
                                                    "CREATE z/w"]
    assert daemon.instances() == [5]


def test_watchers_of_different_kinds(envd, directory):
    sh(directory, "mkdir -p a/b")
    flat, tree, below = (envd.watch(directory), envd.watch(directory, True),
                         envd.watch(f"{directory}/a", True))
    entry = envd.watch(directory, False, True)
    sh(directory, ":>x; :>a/b/y; mv a/b c; :>c/z")
    assert flat.texts() == ["CREATE x", "CREATE c"]
    assert tree.texts() == ["CREATE x", "CREATE a/b/y", "RENAME a/b", "CREATE c", "CREATE c/z"]
    assert below.texts() == ["CREATE b/y", "RENAME b"]
    assert [(str(e), e.entry["path"]) for e in entry.sync()] == [
        ("CREATE x", f"{directory}/x"), ("CREATE c", f"{directory}/c")]


def test_one_who_comes_late(envd, directory):
    """A watcher gets no event of a change before its START, even while another watcher gets it."""
    first = envd.watch(directory, True)
    for i in range(100):
        sh_fast(directory, f"before-{i}")
        late = envd.watch(directory, True)
        sh_fast(directory, f"after-{i}")
        assert [str(e) for e in late.until(f"CREATE after-{i}")] == [f"CREATE after-{i}"]
        late.close()
    assert len(first.texts()) == 200


def sh_fast(directory, name):
    with open(os.path.join(directory, name), "wb"):
        pass


def test_removal_while_events_are_in_flight(envd, daemon, directory):
    sh(directory, "mkdir d")
    writer = subprocess.Popen(["sh", "-c", "while :; do :>d/a; echo x >>d/a; mkdir d/e; :>d/e/f; "
                                           "rm -r d/a d/e; done"], cwd=directory)
    try:
        for i in range(60):
            stream, poller = envd.watch(directory, True, i % 2 == 0), envd.poll(directory, True)
            stream.more(20)
            if i % 3 == 0:
                poller.more(20)
            poller.remove()
            stream.close()
    finally:
        writer.kill()
        writer.wait()
    wait_for(lambda: not daemon.instances())


# ---- mounts ----

def test_a_mount_inside(open_watch, directory):
    sh(directory, "mkdir d")
    with mounted("-t", "tmpfs", "none", f"{directory}/d"):
        sh(directory, "mkdir d/e")
        watch = open_watch(directory, True)
        sh(directory, ":>d/a; :>d/e/b; mkdir d/f; :>d/f/c")
        assert watch.texts() == ["CREATE d/a", "CREATE d/e/b", "CREATE d/f", "CREATE d/f/c"]
        # The watch does not keep the file system busy.
        subprocess.run(["umount", f"{directory}/d"], check=True)
    sh(directory, ":>x")
    watch.until("CREATE x")
    # When "CREATE x" has come, the daemon may still be reading the new directory d.
    wait_for(lambda: tells(watch, f"{directory}/d"))


def tells(watch, directory):
    """Creates a file in the directory. Returns true if its event comes."""
    tells.count = getattr(tells, "count", 0) + 1
    name = f"probe-{tells.count}"
    sh_fast(directory, name)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        watch.more(0.1)
        if any(e.name.endswith(f"/{name}") for e in watch.take()):
            return True
    return False


def test_something_mounted_over_a_watched_directory(open_watch, directory):
    """The mount hides the files below the directory. After the unmount, the watch reports changes there
    again."""
    sh(directory, "mkdir -p d/e")
    watch = open_watch(directory, True)
    with mounted("-t", "tmpfs", "none", f"{directory}/d"):
        sh(directory, ":>x")
        watch.until("CREATE x")
    sh(directory, ":>d/e/a")
    watch.until("CREATE d/e/a")


def test_a_bind_mount_inside(open_watch, directory):
    """The directory has two names. The kernel watches it once, and the daemon emits each event under both
    names."""
    sh(directory, "mkdir -p a/c b; :>a/old")
    with mounted("--bind", f"{directory}/a", f"{directory}/b"):
        watch = open_watch(directory, True)
        sh(directory, ":>a/x; echo >>b/x; rm b/old; :>b/c/y")
        events = watch.texts()
        assert sorted(events) == sorted(
            f"{kind} {way}/{name}" for way in "ab"
            for kind, name in (("CREATE", "x"), ("WRITE", "x"), ("REMOVE", "old"),
                               ("CREATE", "c/y")))
        sh(directory, "mkdir b/d; :>b/d/z")
        assert set(watch.texts()) == {f"CREATE {way}/{name}" for way in "ab"
                                      for name in ("d", "d/z")}


def test_a_bind_mount_of_a_parent(open_watch, directory):
    """The tree contains itself, but once only: a bind mount without --rbind does not contain the mounts below
    its source."""
    sh(directory, "mkdir -p a/b")
    with mounted("--bind", directory, f"{directory}/a/b"):
        watch = open_watch(directory, True)
        sh(directory, ":>x")
        assert set(watch.texts()) == {"CREATE x", "CREATE a/b/x"}


def test_the_kernels_own_file_systems(open_watch, directory, daemon):
    """They are not watched, because their directories come and go without events."""
    sh(directory, "mkdir p s")
    with mounted("-t", "proc", "none", f"{directory}/p"), \
            mounted("-t", "sysfs", "none", f"{directory}/s"):
        watch = open_watch(directory, True)
        assert sum(daemon.instances()) <= 3
        sh(directory, ":>a")
        assert watch.texts() == ["CREATE a"]


def test_overlayfs(open_watch, directory):
    """Changes through the merged directory are reported, for files of either layer."""
    layers = f"{directory}/../beside"
    sh(layers, "mkdir -p lower/d/e upper/u work; echo x >lower/a; echo x >lower/d/b; "
               "echo x >upper/u/c; :>lower/d/e/f")
    options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
    with mounted("-t", "overlay", "overlay", "-o", options, directory):
        watch = open_watch(directory, True)
        sh(directory, "echo y >>a; chmod 600 d/b; echo y >>u/c")
        assert set(watch.texts()) == {"WRITE a", "CHMOD d/b", "WRITE u/c"}
        # The kernel copies the directory to the upper layer. The watch stays on it.
        sh(directory, ":>d/e/g; rm d/e/f; mv d/b d/e/h; echo >>d/e/h")
        assert watch.texts() == ["CREATE d/e/g", "REMOVE d/e/f", "RENAME d/b", "CREATE d/e/h",
                                 "WRITE d/e/h"]
        sh(directory, "rm -r d; mkdir d; :>d/new")
        events = watch.texts()
        assert sorted(events[:3]) == ["REMOVE d/e", "REMOVE d/e/g", "REMOVE d/e/h"]
        assert events[3:] == ["REMOVE d", "CREATE d", "CREATE d/new"]


# ---- network file systems; FUSE represents them ----

@pytest.fixture
def network(directory):
    """A FUSE file system, mounted on the directory `net`."""
    sh(directory, "mkdir net")
    fuse = Fuse(f"{directory}/net")
    yield fuse.where
    fuse.close()


def refused(open_watch, *options):
    with pytest.raises(Failed) as failed:
        open_watch(*options)
    return failed.value.code


@pytest.mark.fuse
@pytest.mark.parametrize("recursive", [False, True])
def test_a_network_mount_is_refused(open_watch, network, recursive):
    os.mkdir(f"{network}/sub")
    assert refused(open_watch, network, recursive) == "invalid_argument"
    assert refused(open_watch, f"{network}/sub", recursive) == "invalid_argument"
    # The daemon refuses the path without accessing the file system, so the rest of the path is irrelevant.
    assert refused(open_watch, f"{network}/absent", recursive) == "invalid_argument"


@pytest.mark.fuse
@pytest.mark.parametrize("recursive", [False, True])
def test_a_network_mount_is_allowed(open_watch, network, recursive):
    os.mkdir(f"{network}/sub")
    watch = open_watch(network, recursive, False, True)
    os.mkdir(f"{network}/a")
    os.mkdir(f"{network}/sub/b")
    events = [str(e) for e in watch.until("CREATE sub/b" if recursive else "CREATE a")]
    assert events == (["CREATE a", "CREATE sub/b"] if recursive else ["CREATE a"])


@pytest.mark.fuse
def test_a_network_mount_inside(open_watch, network, directory, daemon):
    """A watch does not enter it, unless the client allows network mounts."""
    os.mkdir(f"{network}/sub")
    watch = open_watch(directory, True)
    os.mkdir(f"{network}/sub/a")
    sh(directory, ":>b")
    assert watch.texts() == ["CREATE b"]
    watch.close()
    watch = open_watch(directory, True, False, True)
    os.mkdir(f"{network}/sub/c")
    assert watch.texts() == ["CREATE net/sub/c"]


@pytest.mark.fuse
def test_a_server_that_does_not_answer(envd, open_watch, directory):
    """Neither the daemon nor a watch of the directories above waits for the server."""
    sh(directory, "mkdir net")
    fuse = Fuse(f"{directory}/net", served=False)
    try:
        watch = open_watch(directory, True)
        sh(directory, ":>a; mkdir b; :>b/c")
        assert watch.texts() == ["CREATE a", "CREATE b", "CREATE b/c"]
        assert refused(open_watch, f"{directory}/net") == "invalid_argument"
        assert refused(open_watch, f"{directory}/net/below", True) == "invalid_argument"
        assert envd.send("GET", "/health")[0] == 204
    finally:
        fuse.close()
