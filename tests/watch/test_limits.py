# SPDX-License-Identifier: Apache-2.0
"""Limits: many events, watchers and directories, and readers that do not read."""

import os
import subprocess
import threading

import pytest

from conftest import ENVD, new_directory, queue_of, sh, wait_for
from picture import Lister, difference

BURST = 20000  # more events than the queue of a watcher holds
SANITIZED = "asan" in ENVD


def make_files(directory, count, first=0):
    for i in range(first, first + count):
        os.close(os.open(f"{directory}/{i}", os.O_CREAT | os.O_WRONLY))


def follow(watch, picture, right):
    """Applies events until the picture is right."""
    def step():
        watch.more(0.05)
        for event in watch.take():
            picture.apply(event)
        return not difference(picture, right())

    wait_for(step, 60)


# ---- the kernel's queue ----

@pytest.mark.parametrize("queue", [1, 16, 1024])
@pytest.mark.parametrize("how", ["watch", "poll"])
def test_a_small_queue(envd, directory, queue, how):
    """The watch continues after the overflow, and in the end the client's picture is right."""
    with queue_of(queue):
        watch = getattr(envd, how)(directory, True)
    picture = Lister(directory, True)
    sh(directory, "mkdir d; for i in 1 2 3 4 5 6; do cp -r /etc/default d/$i; done")
    make_files(directory, 2000)
    for i in range(0, 2000, 2):
        os.remove(f"{directory}/{i}")
    for i in range(1, 2000, 20):
        with open(f"{directory}/{i}", "wb") as f:
            f.write(b"x")
    follow(watch, picture, lambda: Lister(directory, True))
    sh(directory, ":>last; mkdir d/last")
    watch.until("CREATE last", "CREATE d/last")


def test_a_burst_is_told_entirely(envd, directory):
    """If the kernel's queue is long enough, no event is lost, repeated or out of order."""
    with queue_of(BURST * 2):
        stream, poller = envd.watch(directory), envd.poll(directory)
    make_files(directory, BURST)
    assert [str(e) for e in stream.sync()] == [f"CREATE {i}" for i in range(BURST)]
    # The queue of the polled watcher may be shorter. Then its last event is "look again".
    told = [str(e) for e in poller.get()]
    assert len(told) > BURST or told[-1] == "WRITE ."


# ---- clients ----

def read_names(watch, directory, names):
    """Applies events to the set of names in a directory until the set is right."""
    right = set(os.listdir(directory))

    def step():
        watch.more(0.05)
        for event in watch.take():
            if event.name == ".":
                names.clear()
                names.update(os.listdir(directory))
            elif event.kind == "CREATE":
                names.add(event.name)
            elif event.kind in ("REMOVE", "RENAME"):
                names.discard(event.name)
        return names == right

    wait_for(step, lambda: f"missing {sorted(right - names)[:9]}, too many {sorted(names - right)[:9]}")


def test_a_reader_that_does_not_read(envd, daemon, directory):
    """Its memory is bounded, and other clients are not affected. When it reads on, it learns all
    changes."""
    slow = envd.client.open(directory, receive_bytes=4096)
    other, names = envd.watch(directory), set()
    before = daemon.memory_kib()
    for i in range(3):
        make_files(directory, BURST, i * BURST)
        read_names(other, directory, names)
        if i % 2:
            for name in range(i * BURST, i * BURST + BURST - 10):
                os.remove(f"{directory}/{name}")
    assert daemon.memory_kib() - before < 32 * 1024 or SANITIZED
    assert slow.next_message() == {"start": {}}
    read_names(slow, directory, set())
    slow.close()


def test_a_poller_that_nobody_asks(envd, daemon, directory):
    """No client fetches its events, so its queue is bounded. The answer after a loss ends with "look
    again"."""
    poller = envd.poll(directory)
    stream = envd.watch(directory)
    before = daemon.memory_kib()
    for i in range(3):
        make_files(directory, BURST, i * BURST)
        stream.until(f"CREATE {(i + 1) * BURST - 1}")
    assert daemon.memory_kib() - before < 24 * 1024 or SANITIZED
    events = poller.get()
    assert str(events[-1]) == "WRITE ." and len(events) < 3 * BURST
    # Afterwards the watcher returns events again.
    make_files(directory, 1, 4 * BURST)
    assert poller.texts() == [f"CREATE {4 * BURST}"]


def test_pollers_that_nobody_asks_lock_nobody_out(other_daemon, directory):
    """200 polled watchers whose clients never fetched events held all the memory for waiting data.
    Every other call failed, even the RemoveWatcher that would have freed it."""
    _, client = other_daemon()
    top = new_directory()
    pollers = []
    for i in range(200):
        os.mkdir(f"{top}/{i}")
        pollers.append(client.poll(f"{top}/{i}", False, True))
    stream, poller = client.watch(directory), client.poll(directory)
    for name in range(600):
        for i in range(200):
            os.close(os.open(f"{top}/{i}/{name}{'x' * 200}", os.O_CREAT | os.O_WRONLY))
    # 600 events of this size are more than the memory for waiting events holds.
    sh(directory, ":>a; echo x >a; rm a")
    for watch in (stream, poller):
        assert watch.texts() == ["CREATE a", "WRITE a", "REMOVE a"]
    answers = [p.get() for p in pollers[::50]]
    assert any(str(events[-1]) == "WRITE ." for events in answers)
    for p in pollers:
        assert p.remove() == {}
    # The memory is free again.
    late = client.poll(directory, False, True)
    make_files(directory, 5000)
    assert len(late.until("CREATE 4999")) >= 5000


def test_a_thousand_watchers(other_daemon, directory):
    """Half of them are streams. All watch the same tree, and share the kernel's watches."""
    daemon, client = other_daemon()
    sh(directory, "mkdir -p a/b c/d")
    watches = [(client.watch if i % 2 else client.poll)(directory, i % 4 < 2) for i in range(1000)]
    assert sum(daemon.instances()) <= 6
    sh(directory, ":>x; :>a/b/y; rm x")
    for i, watch in enumerate(watches):
        below = ["CREATE a/b/y"] if i % 4 < 2 else []
        told = [str(e) for e in watch.until("REMOVE x")]
        assert told == ["CREATE x", *below, "REMOVE x"]
    for watch in watches:
        watch.close()
    wait_for(lambda: not daemon.instances())


def test_many_directories_watched(other_daemon):
    """More watched directories than a user has inotify instances."""
    daemon, client = other_daemon()
    top = new_directory()
    watches = []
    for i in range(300):
        os.mkdir(f"{top}/{i}")
        watches.append(client.poll(f"{top}/{i}"))
    assert len(daemon.instances()) <= 128 and sum(daemon.instances()) == 300
    for i in range(300):
        make_files(f"{top}/{i}", 1)
    for watch in watches:
        assert watch.texts() == ["CREATE 0"]


# ---- the user's limits ----

@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_none_left_at_all(other_daemon, directory, limit):
    """Other programs of the user had taken all inotify instances, and every watch failed. Now the
    directories are read every two seconds."""
    daemon, client = other_daemon(user_limits={limit: 0})
    sh(directory, "mkdir d; :>d/a")
    watches = [(watch, Lister(directory, True))
               for watch in (client.watch(directory, True), client.poll(directory, True))]
    assert daemon.instances() == []
    sh(directory, "mkdir d/e; echo x >>d/a; :>d/e/b; :>c")
    for watch, picture in watches:
        follow(watch, picture, lambda: Lister(directory, True))
    # The limit is raised: at the next reading, the directories get watches.
    subprocess.run(["nsenter", "--user", "-t", str(daemon.pid), "sh", "-c",
                    f"echo 100 >/proc/sys/user/{limit}"], check=True)
    wait_for(lambda: daemon.instances() == [3])
    sh(directory, "rm d/e/b; :>e")
    for watch, picture in watches:
        follow(watch, picture, lambda: Lister(directory, True))


def test_an_instance_is_kept(other_daemon, directory):
    """Between two watches, other programs may take all instances of the user. The daemon has kept one
    since its first watch, and the next watch shares it."""
    daemon, client = other_daemon(user_limits={"max_inotify_instances": 2})
    client.watch(directory).close()
    wait_for(lambda: not daemon.instances())
    taker = subprocess.Popen(
        ["nsenter", "--user", "-t", str(daemon.pid), "python3", "-c",
         "import ctypes, sys, time\n"
         "init = ctypes.CDLL(None).inotify_init\n"
         "for _ in range(1000):\n"
         "    first = init()\n"  # the kernel frees the closed instance a little later
         "    if first >= 0: break\n"
         "    time.sleep(0.01)\n"
         "print(first >= 0, init(), flush=True)\n"
         "sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert taker.stdout.readline().split() == [b"True", b"-1"]
        watch = client.watch(directory)
        assert daemon.instances() == [1]
        sh(directory, ":>a")
        watch.until("CREATE a")
    finally:
        taker.communicate(b"")


def test_one_inotify_instance(other_daemon):
    """All watched directories then share the instance. A file in a directory that is renamed at the
    same time is reported below its new name, or, if a listing found it before, below the old one. The
    test once accepted only the new name (tests/unit/test_watch_order.c has all orders)."""
    daemon, client = other_daemon(user_limits={"max_inotify_instances": 1})
    tops = [new_directory() for _ in range(10)]
    watches = [(client.watch if i % 2 else client.poll)(top, True) for i, top in enumerate(tops)]
    assert daemon.instances() == [10]
    for top in tops:
        sh(top, "mkdir a; mv a c; :>c/d; mkdir last")
    for watch in watches:
        told = [str(event) for event in watch.until("CREATE last")]
        assert "CREATE c" in told and {"CREATE a/d", "CREATE c/d"} & set(told), told


def test_fewer_watches_than_directories(other_daemon, directory):
    """Directories that can't be watched are polled."""
    daemon, client = other_daemon(user_limits={"max_inotify_watches": 20})
    sh(directory, "for i in 1 2 3 4 5 6 7 8; do mkdir -p $i/a/b/c; :>$i/a/b/c/f; done")
    stream, poller = client.watch(directory, True), client.poll(directory, True)
    assert sum(daemon.instances()) <= 20
    pictures = [(watch, Lister(directory, True)) for watch in (stream, poller)]
    sh(directory, "for i in 1 2 3 4 5 6 7 8; do echo x >>$i/a/b/c/f; mkdir $i/a/b/d; "
                  ":>$i/a/b/d/g; done; rm -r 3 5; mv 7 9; chmod 700 1/a/b/c")
    for watch, picture in pictures:
        follow(watch, picture, lambda: Lister(directory, True))


@pytest.mark.parametrize("kept, other", ["ab", "ba"])
def test_a_watch_that_comes_late(other_daemon, directory, kept, other):
    """The limit leaves no watch for one of two directories until the other one is removed. Files that were
    created before are reported as well."""
    daemon, client = other_daemon(user_limits={"max_inotify_watches": 2})
    sh(directory, "mkdir a b")
    watch = client.watch(directory, True)
    assert sum(daemon.instances()) == 2
    sh(directory, f":>{kept}/file; rmdir {other}; chmod 700 {kept}")
    watch.until(f"CREATE {kept}/file")
    sh(directory, f":>{kept}/later")
    watch.until(f"CREATE {kept}/later")


# ---- big trees ----

def test_a_big_tree(envd, daemon):
    """START comes when the whole tree is watched. Other requests do not wait for it."""
    top = new_directory()
    for i in range(60):
        for j in range(100):
            os.makedirs(f"{top}/{i}/{j}")
    stream = envd.client.open(top, True)
    started = threading.Event()

    def wait():
        stream.next_message()
        started.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while not started.is_set():
        assert envd.send("GET", "/health")[0] == 204
    thread.join()
    assert daemon.instances() == [6061]
    make_files(f"{top}/59/99", 1)
    assert [str(e) for e in stream.until("CREATE 59/99/0")] == ["CREATE 59/99/0"]
    subprocess.run(["mv", f"{top}/30", f"{top}/moved"], check=True)
    subprocess.run(["rm", "-r", f"{top}/moved"], check=True)
    told = [str(e) for e in stream.until("REMOVE moved")]
    assert told[:2] == ["RENAME 30", "CREATE moved"] and len(told) == 103
    stream.close()
    wait_for(lambda: not daemon.instances())
