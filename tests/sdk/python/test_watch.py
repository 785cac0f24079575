# SPDX-License-Identifier: Apache-2.0
"""Watches through the SDK: its synchronous half polls, the asynchronous one is called back."""

import asyncio
import os
import time

import pytest
from e2b import (
    AuthenticationException,
    FileNotFoundException,
    FileType,
    FilesystemEventType,
    InvalidArgumentException,
    SandboxException,
    TimeoutException,
)

CREATE, WRITE, REMOVE, RENAME, CHMOD = (
    FilesystemEventType.CREATE, FilesystemEventType.WRITE, FilesystemEventType.REMOVE,
    FilesystemEventType.RENAME, FilesystemEventType.CHMOD,
)
SECONDS = 30


def pairs(events):
    return [(e.type, e.name) for e in events]


def gather(handle, done):
    """Polls until what was told satisfies the test: while a directory is looked at, events wait."""
    events, end = [], time.monotonic() + SECONDS
    while not done(events):
        assert time.monotonic() < end, events
        time.sleep(0.01)
        events += handle.get_new_events()
    return events


def gather_pairs(handle, *wanted):
    return pairs(gather(handle, lambda events: {*wanted} <= {*pairs(events)}))


@pytest.fixture
def files(sandbox):
    return sandbox.files


# ---- synchronous ----

def test_what_happened_is_known_at_once(files, tmp_path):
    """No waiting: what was done before the call is in its answer."""
    handle = files.watch_dir(str(tmp_path))
    for i in range(20):
        files.write(f"{tmp_path}/{i}", "x" * 1000)
        assert (WRITE, f"{i}") in pairs(handle.get_new_events())
    handle.stop()


def test_upload(files, tmp_path):
    handle = files.watch_dir(str(tmp_path))
    files.write(f"{tmp_path}/a", "one")
    assert pairs(handle.get_new_events()) == [(CREATE, "a"), (CHMOD, "a"), (WRITE, "a")]
    assert handle.get_new_events() == []
    files.rename(f"{tmp_path}/a", f"{tmp_path}/b")
    files.remove(f"{tmp_path}/b")
    files.make_dir(f"{tmp_path}/d")
    wanted = [(RENAME, "a"), (CREATE, "b"), (REMOVE, "b"), (CREATE, "d"), (CHMOD, "d")]
    assert gather_pairs(handle, *wanted) == wanted
    handle.stop()


def test_recursive(files, tmp_path):
    files.make_dir(f"{tmp_path}/old")
    flat = files.watch_dir(str(tmp_path))
    tree = files.watch_dir(str(tmp_path), recursive=True)
    files.write(f"{tmp_path}/old/a", "x")
    files.make_dir(f"{tmp_path}/new/deep")
    files.write(f"{tmp_path}/new/deep/b", "x")
    wanted = [(CREATE, "new"), (CHMOD, "new")]
    assert gather_pairs(flat, *wanted) == wanted
    gather_pairs(tree, (CREATE, "old/a"), (WRITE, "old/a"), (CREATE, "new"), (CREATE, "new/deep"),
                 (CREATE, "new/deep/b"), (WRITE, "new/deep/b"))
    flat.stop()
    tree.stop()


def test_entries(files, tmp_path):
    handle = files.watch_dir(str(tmp_path), include_entry=True)
    files.write(f"{tmp_path}/a", "hello", user="user")
    files.remove(f"{tmp_path}/a")
    plain = files.watch_dir(str(tmp_path))
    files.write(f"{tmp_path}/b", "hello", user="user")
    assert [e.entry for e in gather(plain, lambda told: len(told) >= 3)] == [None] * 3
    events = gather(handle, lambda told: (WRITE, "b") in pairs(told))
    assert [e.entry for e in events if e.type == REMOVE] == [None]
    entry = [e for e in events if e.name == "b"][-1].entry
    assert (entry.name, entry.path, entry.type) == ("b", f"{tmp_path}/b", FileType.FILE)
    assert (entry.size, entry.owner, entry.permissions) == (5, "user", "-rw-r--r--")
    handle.stop()
    plain.stop()


def test_network_mounts_allowed(files, tmp_path):
    handle = files.watch_dir(str(tmp_path), allow_network_mounts=True)
    files.write(f"{tmp_path}/a", "x")
    gather_pairs(handle, (WRITE, "a"))
    handle.stop()


def test_relative_to_home(files):
    for user in "root", "user":
        files.make_dir("watched", user=user)
        handle = files.watch_dir("watched", user=user)
        files.write("watched/a", "x", user=user)
        gather_pairs(handle, (CREATE, "a"))
        handle.stop()
        files.remove("watched", user=user)


def test_refusals(files, tmp_path):
    files.write(f"{tmp_path}/file", "")
    with pytest.raises(FileNotFoundException):
        files.watch_dir(f"{tmp_path}/absent")
    with pytest.raises(InvalidArgumentException):
        files.watch_dir(f"{tmp_path}/file")
    with pytest.raises(AuthenticationException):
        files.watch_dir(str(tmp_path), user="nobody-of-this-name")


def test_stopped(files, tmp_path):
    handle = files.watch_dir(str(tmp_path))
    handle.stop()
    with pytest.raises(SandboxException):
        handle.get_new_events()
    again = files.watch_dir(str(tmp_path))
    again.stop()
    with pytest.raises(SandboxException):
        again.stop()


def test_commands(sandbox, tmp_path):
    """What commands do, names of all kinds among it."""
    handle = sandbox.files.watch_dir(str(tmp_path), recursive=True)
    sandbox.commands.run("mkdir -p 'ü 世界/🦊'; echo x >'ü 世界/🦊/a b'; mv 'ü 世界' n; rm -r n",
                         cwd=str(tmp_path))
    gather_pairs(handle, (CREATE, "ü 世界"), (RENAME, "ü 世界"), (CREATE, "n"), (REMOVE, "n"))
    handle.stop()


# ---- asynchronous ----

class Events:
    """A callback that collects, and lets a test wait."""

    def __init__(self):
        self.all = []
        self.seen = set()
        self.more = asyncio.Event()
        self.exits = []

    def __call__(self, event):
        self.all.append(event)
        self.seen.add((event.type, event.name))
        self.more.set()

    def on_exit(self, error):
        self.exits.append(error)
        self.more.set()

    async def expect(self, condition):
        async with asyncio.timeout(SECONDS):
            while not condition():
                self.more.clear()
                await self.more.wait()

    async def event(self, kind, name):
        await self.expect(lambda: (kind, name) in self.seen)


async def test_called_back(async_sandbox, tmp_path):
    files = async_sandbox.files
    events = Events()
    handle = await files.watch_dir(str(tmp_path), events, on_exit=events.on_exit)
    await files.write(f"{tmp_path}/a", "one")
    await events.event(WRITE, "a")
    await files.remove(f"{tmp_path}/a")
    await events.event(REMOVE, "a")
    assert pairs(events.all) == [(CREATE, "a"), (CHMOD, "a"), (WRITE, "a"), (REMOVE, "a")]
    assert events.exits == []
    await handle.stop()
    assert events.exits == [None]
    await files.write(f"{tmp_path}/b", "x")
    assert len(events.all) == 4


async def test_recursive_and_entries_called_back(async_sandbox, tmp_path):
    files = async_sandbox.files
    events = Events()
    handle = await files.watch_dir(str(tmp_path), events, recursive=True, include_entry=True)
    await files.make_dir(f"{tmp_path}/d/e")
    await events.event(CREATE, "d/e")
    await files.write(f"{tmp_path}/d/e/a", "hello")
    await events.event(WRITE, "d/e/a")
    entry = events.all[-1].entry
    assert (entry.path, entry.size) == (f"{tmp_path}/d/e/a", 5)
    await handle.stop()


async def test_many_files_called_back(async_sandbox, tmp_path):
    events = Events()
    handle = await async_sandbox.files.watch_dir(str(tmp_path), events)
    for i in range(5000):
        with open(tmp_path / str(i), "wb"):
            pass
    await events.event(CREATE, "4999")
    assert pairs(events.all) == [(CREATE, str(i)) for i in range(5000)]
    await handle.stop()


async def test_a_callback_that_waits(async_sandbox, tmp_path):
    """While it does, events wait; none is lost."""
    events = Events()

    async def slowly(event):
        await asyncio.sleep(0.001)
        events(event)

    handle = await async_sandbox.files.watch_dir(str(tmp_path), slowly)
    for i in range(1000):
        with open(tmp_path / str(i), "wb"):
            pass
    await events.event(CREATE, "999")
    assert len(events.all) == 1000
    await handle.stop()


async def test_timeout_ends_the_watch(async_sandbox, tmp_path):
    events = Events()
    began = time.monotonic()
    # In a task of its own: from Python 3.12 on the SDK's own timeout cancels whoever called. And the
    # handle is kept, with the task that calls back.
    handle = await asyncio.create_task(async_sandbox.files.watch_dir(
        str(tmp_path), events, on_exit=events.on_exit, timeout=1))
    await events.expect(lambda: events.exits)
    assert handle
    assert isinstance(events.exits[0], TimeoutException)
    assert time.monotonic() - began > 0.9


async def test_timeout_of_zero_is_none(async_sandbox, tmp_path):
    events = Events()
    handle = await async_sandbox.files.watch_dir(str(tmp_path), events, timeout=0,
                                                 request_timeout=1)
    await asyncio.sleep(1.5)
    os.mkdir(tmp_path / "d")
    await events.event(CREATE, "d")
    await handle.stop()


async def test_refusals_called_back(async_sandbox, tmp_path):
    files = async_sandbox.files
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundException):
        await files.watch_dir(f"{tmp_path}/absent", print)
    with pytest.raises(InvalidArgumentException):
        await files.watch_dir(f"{tmp_path}/file", print)


async def test_many_watches(async_sandbox, tmp_path):
    files = async_sandbox.files
    all_events = [Events() for _ in range(50)]
    handles = await asyncio.gather(*(files.watch_dir(str(tmp_path), e) for e in all_events))
    await files.write(f"{tmp_path}/a", "x")
    for events in all_events:
        await events.event(WRITE, "a")
    await asyncio.gather(*(h.stop() for h in handles))
