# SPDX-License-Identifier: Apache-2.0
"""The watch methods: errors, entries, keepalives, deadlines, and polled watchers."""

import json
import os
import re
import socket
import threading
import time

import pytest

from client import Failed, envelope
from conftest import sh, wait_for


@pytest.fixture(params=["watch", "poll"])
def opening(request, envd):
    """As open_watch, but for a call that must fail. Returns the error's code."""
    def code(*options, **more):
        with pytest.raises(Failed) as failed:
            getattr(envd, request.param)(*options, **more)
        assert failed.value.message
        return failed.value.code

    return code


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("before, path, code", [
    ("", "{0}/absent", "not_found"),
    ("", "{0}/absent/below", "not_found"),
    (":>file", "{0}/file", "invalid_argument"),
    (":>file", "{0}/file/below", "internal"),
    ("ln -s nowhere link", "{0}/link", "not_found"),
    ("ln -s b a; ln -s a b", "{0}/a", "internal"),
    ("mkfifo pipe", "{0}/pipe", "invalid_argument"),
    (":>file; ln -s file link", "{0}/link", "invalid_argument"),
    ("", "{0}/" + "n" * 256, "internal"),
    ("", "{0}" + "/n" * 2100, "internal"),
    ("", "~nobody-of-this-name/x", "invalid_argument"),
], ids=["absent", "absent-parent", "file", "below-file", "dangling", "loop", "pipe", "link-to-file",
        "long-name", "long-path", "other-home"])
def test_paths_that_can_not_be_watched(opening, directory, recursive, before, path, code):
    sh(directory, before)
    assert opening(path.format(directory), recursive) == code


def test_a_nul_in_the_path(opening, directory):
    assert opening(f"{directory}\0x") == "internal"


def test_unknown_user(opening, envd, directory):
    """HTTP Basic is checked before the call: for a unary call the result is a plain 401."""
    assert opening(directory, user="nobody-of-this-name") == "unauthenticated"


def test_refusals_leave_nothing(envd, daemon, directory):
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    for _ in range(50):
        for open_watch in (envd.watch, envd.poll):
            with pytest.raises(Failed):
                open_watch(f"{directory}/absent", True)
    wait_for(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= before)


@pytest.mark.parametrize("body, code", [
    (b"", "unimplemented"),
    (envelope({}, 2), "unimplemented"),
    (envelope({"path": "/"}) * 2, "unimplemented"),
    (envelope({"path": "/"})[:7], "invalid_argument"),
    (b"\0\0\0\0\1{", "invalid_argument"),
    (envelope({"path": 5}), "invalid_argument"),
    (envelope({"path": "/"}, 1), "internal"),
], ids=["none", "only-the-end", "two", "cut", "no-json", "wrong-type", "compressed"])
def test_bodies(envd, body, code):
    with pytest.raises(Failed) as failed:
        envd.open("", body=body).next_message()
    assert failed.value.code == code


def test_both_spellings_of_a_field(envd, directory):
    for message in ({"include_entry": True}, {"includeEntry": True}):
        stream = envd.open(directory, body=envelope({"path": directory, **message}))
        stream.next_message()
        sh(directory, "rm -f a; :>a")
        assert stream.until("CREATE a")[-1].entry["name"] == "a"
        stream.close()


# ---- entries ----

def entry_of(path, **more):
    stat = os.lstat(path)
    kind = {0o100000: "FILE", 0o040000: "DIRECTORY", 0o120000: "SYMLINK"}[stat.st_mode & 0o170000]
    entry = {"name": os.path.basename(path), "type": f"FILE_TYPE_{kind}", "path": path,
             "mode": stat.st_mode & 0o777, "owner": "root", "group": "root"}
    if stat.st_size:
        entry["size"] = str(stat.st_size)
    return {key: value for key, value in (entry | more).items() if value}


def without(entry, *keys):
    return {key: value for key, value in entry.items() if key not in keys}


def test_entries(open_watch, directory):
    sh(directory, "mkdir d; :>d/old; chmod 640 d/old")
    watch = open_watch(directory, True, True)
    sh(directory, "chown user:user d/old")
    chmod, = watch.sync()
    old = entry_of(f"{directory}/d/old", owner="user", group="user")
    assert without(chmod.entry, "modifiedTime") == {**old, "permissions": "-rw-r-----"}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", chmod.entry["modifiedTime"])

    sh(directory, "echo hello >d/a; mkdir -m 700 d/e")
    events = watch.sync()
    assert [e.kind for e in events if e.name == "d/e"] == ["CREATE"]
    a = entry_of(f"{directory}/d/a", permissions="-rw-r--r--")
    assert without([e for e in events if e.name == "d/a"][-1].entry, "modifiedTime") == a
    e = entry_of(f"{directory}/d/e", permissions="drwx------")
    assert without(events[-1].entry, "modifiedTime", "size") == without(e, "size")

    sh(directory, "mv d/a d/b; rm d/old")
    rename, create, remove = watch.sync()
    assert (str(rename), rename.entry) == ("RENAME d/a", None)
    assert (str(remove), remove.entry) == ("REMOVE d/old", None)
    assert create.entry["path"] == f"{directory}/d/b" and create.entry["size"] == "6"


def test_entry_of_a_link(open_watch, directory):
    sh(directory, "echo hello >../beside/a; chmod 600 ../beside/a")
    watch = open_watch(directory, False, True)
    sh(directory, "ln -s ../beside/a l; ln -s nowhere m")
    link, broken = watch.sync()
    assert link.entry["symlinkTarget"] == os.path.realpath(f"{directory}/l")
    assert (link.entry["type"], link.entry["mode"]) == ("FILE_TYPE_FILE", 0o600)
    assert link.entry["permissions"] == "Lrwxrwxrwx" and link.entry["size"] == "11"
    assert broken.entry["symlinkTarget"] == f"{directory}/m"
    assert "type" not in broken.entry and "mode" not in broken.entry


def test_entry_of_the_directory_itself(open_watch, directory):
    watch = open_watch(directory, True, True)
    sh(directory, "chmod 711 .")
    event, = watch.sync()
    assert str(event) == "CHMOD ." and event.entry["mode"] == 0o711
    assert event.entry["path"] == directory and event.entry["type"] == "FILE_TYPE_DIRECTORY"


def test_entries_by_the_path_that_was_asked_for(open_watch, directory):
    sh(directory, "ln -s watched ../link; mkdir d")
    link = os.path.join(os.path.dirname(directory), "link")
    watch = open_watch(f"{link}//.", True, True)
    sh(directory, ":>d/a")
    event, = watch.sync()
    assert (event.name, event.entry["path"]) == ("d/a", f"{link}/d/a")


def test_no_entry_unless_asked(open_watch, directory):
    watch = open_watch(directory)
    sh(directory, "echo x >a; chmod 600 a")
    assert [e.entry for e in watch.sync()] == [None] * 3


def test_an_entry_that_is_gone(open_watch, directory):
    """The file is removed before the daemon can read its entry. The event is sent without an entry."""
    watch = open_watch(directory, False, True)
    for i in range(200):
        with open(f"{directory}/{i}", "wb"):
            pass
        os.remove(f"{directory}/{i}")
    events = watch.sync()
    assert [str(e) for e in events] == [f"{kind} {i}" for i in range(200)
                                        for kind in ("CREATE", "REMOVE")]
    for event in events:
        assert event.entry is None or event.kind == "CREATE"


def test_an_old_client(envd, directory):
    """An SDK with the user agent connect-python fails if a message has a field that it does not know.
    Therefore its events have no entries."""
    headers = {"User-Agent": "connect-python"}
    stream = envd.watch(directory, False, True, headers=headers)
    assert stream.headers["X-E2B-Legacy-SDK"] == "true"
    sh(directory, ":>a")
    assert [e.entry for e in stream.sync()] == [None]
    for headers, marked in ((headers, "true"), (None, None)):
        status, answer, body = envd.send("POST", "/filesystem.Filesystem/CreateWatcher",
                                         json.dumps({"path": directory}), headers=headers)
        assert status == 200 and answer["X-E2B-Legacy-SDK"] == marked
        envd.call("RemoveWatcher", json.loads(body))


# ---- changes made by other calls ----

def upload(envd, path, data, **headers):
    status, _, body = envd.send("POST", f"/files?path={path}", data, "application/octet-stream",
                                headers=headers)
    assert status == 200, body


def test_upload(open_watch, envd, directory):
    """Clients wait for the WRITE of an upload."""
    watch = open_watch(directory)
    upload(envd, f"{directory}/a", b"x" * 100000)
    assert watch.texts() == ["CREATE a", "CHMOD a", "WRITE a"]
    upload(envd, f"{directory}/b", b"")
    assert watch.texts() == ["CREATE b", "CHMOD b"]
    upload(envd, f"{directory}/a", b"y")
    assert watch.texts() == ["CHMOD a", "WRITE a"]


def test_upload_into_a_new_directory(open_watch, envd, directory):
    """The upload creates the directory. In half of the cases the scan of the directory found the file
    and emitted only CREATE, so clients that waited for the WRITE waited in vain."""
    watch = open_watch(directory, True)
    for i in range(20):
        upload(envd, f"{directory}/{i}/deep/a", b"x" * 1000)
        watch.until(f"CREATE {i}/deep/a", f"WRITE {i}/deep/a")


def test_operations(open_watch, envd, directory):
    watch = open_watch(directory, True)
    envd.call("MakeDir", {"path": f"{directory}/d/e"})
    watch.until("CREATE d/e")
    upload(envd, f"{directory}/d/a", b"x")
    watch.until("WRITE d/a")
    envd.call("Move", {"source": f"{directory}/d", "destination": f"{directory}/f"})
    envd.call("Remove", {"path": f"{directory}/f"})
    events = watch.texts()
    assert events[:2] == ["RENAME d", "CREATE f"] and events[-1] == "REMOVE f"
    assert sorted(events[2:-1]) == ["REMOVE f/a", "REMOVE f/e"]


# ---- streams ----

def test_keepalive(envd, directory):
    stream = envd.watch(directory, headers={"Keepalive-Ping-Interval": "1"})
    began = time.monotonic()
    while stream.keepalives < 2:
        stream.more(20)
    assert time.monotonic() - began > 1.5
    assert stream.take() == []
    quiet = envd.watch(directory)
    sh(directory, ":>a")
    assert quiet.texts() == ["CREATE a"] and quiet.keepalives == 0


def test_an_event_puts_the_keepalive_off(envd, directory):
    """No keepalive comes while the events are less than its interval of 1 s apart. A loaded machine may
    let more time pass between two events; such a round proves nothing, and is repeated."""
    stream = envd.watch(directory, headers={"Keepalive-Ping-Interval": "1"})

    def cause_event():
        sh(directory, ":>a; rm a")
        stream.until("REMOVE a")

    def prompt_round():
        cause_event()
        began = last = time.monotonic()
        longest = stream.keepalives = 0
        while last < began + 1.5:
            cause_event()
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        # Two events in a row are sent within two of these spans.
        return longest < 0.45

    wait_for(prompt_round)
    assert stream.keepalives == 0
    while not stream.keepalives:
        stream.more(20)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "99999999999999999999"])
def test_keepalive_intervals_that_make_no_sense(envd, directory, value):
    stream = envd.watch(directory, headers={"Keepalive-Ping-Interval": value})
    sh(directory, ":>a")
    assert stream.texts() == ["CREATE a"]


def test_deadline(envd, directory):
    """A stream ends at its deadline, and other streams of the directory continue. On a loaded machine,
    500 ms once passed before an event, or START, had come. Therefore the test demands neither."""
    other = envd.watch(directory)
    stream = envd.open(directory, headers={"Connect-Timeout-Ms": "500"})
    sh(directory, ":>a")
    with pytest.raises(Failed) as failed:
        while True:
            stream.next_message()
    assert failed.value.code == "deadline_exceeded"
    sh(directory, ":>b")
    assert other.texts() == ["CREATE a", "CREATE b"]


@pytest.mark.parametrize("value, code", [("0", "deadline_exceeded"), ("-1", "deadline_exceeded"),
                                         ("abc", "invalid_argument")])
def test_deadlines_that_open_nothing(envd, directory, value, code):
    with pytest.raises(Failed) as failed:
        envd.watch(directory, headers={"Connect-Timeout-Ms": value})
    assert failed.value.code == code


def test_a_deadline_that_is_no_limit_to_a_poller(envd, directory):
    poller = envd.poll(directory, headers={"Connect-Timeout-Ms": "10000"})
    sh(directory, ":>a")
    assert poller.texts() == ["CREATE a"]


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_client_that_goes(envd, daemon, directory, how):
    sh(directory, "mkdir -p a/b/c")
    stream = envd.watch(directory, True)
    assert sum(daemon.instances()) == 4
    sock = stream.connection.sock
    if how == "half-close":
        sock.shutdown(socket.SHUT_WR)
    elif how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    else:
        sock.close()
    wait_for(lambda: not daemon.instances())


def test_a_client_that_does_not_wait_for_the_start(envd, daemon, directory):
    """The client closes the connection while the daemon is still reading the tree."""
    sh(directory, "for i in 1 2 3 4 5 6 7 8 9; do mkdir -p $i; for j in 1 2 3 4 5 6 7 8 9; do "
                  "mkdir -p $i/$j/a/b/c; done; done")
    for _ in range(20):
        envd.open(directory, True).close()
    wait_for(lambda: not daemon.instances())


def test_start_comes_first(envd, directory):
    """Changes after START are reported, and none before it."""
    sh(directory, "mkdir -p d/e; :>before")
    for i in range(50):
        stream = envd.watch(directory, True)
        open(f"{directory}/d/e/{i}", "wb").close()
        assert str(stream.until(f"CREATE d/e/{i}")[0]) == f"CREATE d/e/{i}"
        stream.close()


def test_in_protobuf(envd, directory):
    """The messages in protobuf. Fields: path = 1, filesystem = 2 {name = 1, type = 2}."""
    path = directory.encode()
    message = b"\x0a" + bytes([len(path)]) + path
    stream = envd.open(directory, body=b"\0" + len(message).to_bytes(4, "big") + message,
                       headers={"Content-Type": "application/connect+proto"})

    def read(size):
        while len(stream.buffer) < size:
            stream.buffer += stream.chunks.read()
        data = bytes(stream.buffer[:size])
        del stream.buffer[:size]
        return data

    assert read(7) == b"\0\0\0\0\2\x0a\0"
    sh(directory, ":>abc; rm abc")
    assert read(14) == b"\0\0\0\0\x09\x12\x07\x0a\x03abc\x10\x01"
    assert read(14) == b"\0\0\0\0\x09\x12\x07\x0a\x03abc\x10\x03"
    stream.close()


# ---- watchers that are polled ----

def test_events_are_given_once(envd, directory):
    poller = envd.poll(directory)
    sh(directory, ":>a; :>b")
    assert poller.texts() == ["CREATE a", "CREATE b"]
    assert poller.get() == []
    sh(directory, ":>c")
    assert poller.texts() == ["CREATE c"]


def test_empty_answer(envd, directory):
    poller = envd.poll(directory)
    assert envd.call("GetWatcherEvents", {"watcherId": poller.id}) == {}
    assert poller.remove() == {}


@pytest.mark.parametrize("method", ["GetWatcherEvents", "RemoveWatcher"])
@pytest.mark.parametrize("watcher_id", ["", "w", "wabc", "w" * 10000, "../x", "w\u00e9"])
def test_unknown_watchers(envd, method, watcher_id):
    with pytest.raises(Failed) as failed:
        envd.call(method, {"watcherId": watcher_id})
    assert failed.value.code == "not_found"


def test_a_removed_watcher_is_unknown(envd, daemon, directory):
    poller = envd.poll(directory, True)
    assert daemon.instances() == [1]
    sh(directory, ":>a")
    poller.remove()
    for method in ("GetWatcherEvents", "RemoveWatcher"):
        with pytest.raises(Failed) as failed:
            envd.call(method, {"watcherId": poller.id})
        assert failed.value.code == "not_found"
    wait_for(lambda: not daemon.instances())


def test_ids_can_not_be_guessed(envd, directory):
    ids = {envd.poll(directory).id for _ in range(100)}
    assert len(ids) == 100
    for position in range(1, len(min(ids))):
        assert len({i[position] for i in ids}) > 4, "a constant part"


def test_repeats_are_told_once(envd, directory):
    poller = envd.poll(directory)
    stream = envd.watch(directory)
    sh(directory, ":>a; i=0; while [ $i -lt 300 ]; do echo >>a; :>>b; echo >>b; i=$((i+1)); done")
    stream.sync()
    assert len(poller.sync()) < 50


def test_two_readers_of_one_poller(envd, directory):
    """Each event is returned to one of the readers."""
    poller = envd.poll(directory)
    got, over = [], threading.Event()

    def read():
        while not over.is_set():
            got.extend(poller.get())

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(500):
        open(f"{directory}/{i}", "wb").close()
    wait_for(lambda: len(got) >= 500)
    over.set()
    for thread in threads:
        thread.join()
    assert sorted(str(e) for e in got) == sorted(f"CREATE {i}" for i in range(500))
