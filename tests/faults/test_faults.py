# SPDX-License-Identifier: Apache-2.0
"""System calls and allocations of the daemon fail. It lives, it leaks nothing, and each answer is right
or an error."""

import json
import os
import random
import socket
import tempfile

import pytest

from connect import Failed
from conftest import KINDS, WORLD
from model import ERRORS, Model
from wait import wait_for

STEPS = 40


def everything_works(daemon, seed):
    """Without failures each action succeeds."""
    model = Model(daemon, random.Random(-seed), tempfile.mkdtemp(dir=WORLD))
    for action in (model.upload, model.download, model.archive, model.list, model.stat, model.move,
                   model.remove, model.command, model.terminal, model.input, model.kill,
                   model.list_processes):
        action()


def watchers_see(model):
    """The watchers that were made are told what happens now, or have ended with an error."""
    for watcher, directory in model.watchers:
        os.mkdir(os.path.join(directory, "last"))
        seen = []

        def told(watcher=watcher, seen=seen):
            answer = model.client.call("GetWatcherEvents", {"watcherId": watcher})
            seen.extend(event["name"] for event in answer.get("events", []))
            return "last" in seen

        model.client.service = "filesystem.Filesystem"
        try:
            wait_for(told, lambda seen=seen: f"an event among {seen}")
            model.client.call("RemoveWatcher", {"watcherId": watcher})
        except Failed as failed:
            assert failed.code == "not_found", failed


def settled(daemon):
    """Nothing is left of what the clients had, idle threads aside: they end by themselves."""
    daemon.kill_started()
    left = []

    def is_settled():
        left[:] = [text for text in daemon.leftovers().split("; ")
                   if text and not text.startswith("threads")]
        return not left

    wait_for(is_settled, lambda: f"an end of {left}", pause_seconds=0.05)
    daemon.is_clean = True


def test_seed(daemon, seed):
    """Random actions while random calls fail; afterwards all is as if nothing had been."""
    choice = random.Random(seed)
    rate = choice.choice((12, 40, 100, 300))
    kinds = choice.choice((list(KINDS), [choice.choice(list(KINDS))]))
    model = Model(daemon, choice, tempfile.mkdtemp(dir=WORLD))
    with daemon.faults(seed, rate, kinds):
        for _ in range(STEPS):
            model.step()
    calls, failed = daemon.counts()
    print(f"seed {seed}: {','.join(kinds)} 1/{rate}: {failed} of {calls} calls failed; "
          f"{model.errors} of {model.done} actions ended with an error")
    assert daemon.process.poll() is None, daemon.log()[-5000:]
    everything_works(daemon, seed)
    watchers_see(model)
    settled(daemon)


def test_calls_fail(daemon):
    """That the seeds mean something: where every second call fails, hardly an answer is right."""
    model = Model(daemon, random.Random(0), tempfile.mkdtemp(dir=WORLD))
    with daemon.faults(1, 2):
        for _ in range(10):
            model.step()
    calls, failed = daemon.counts()
    assert failed > calls / 4 > 0
    assert model.errors > 0
    everything_works(daemon, 0)
    watchers_see(model)
    settled(daemon)


def test_no_event_is_lost(daemon):
    """A connection that epoll_ctl did not register (ENOSPC: the user has max_user_watches) was accepted
    and never read: its client waited for ever. So did a process whose end nobody saw, and input that
    filled its pipe. The loop registers the event later: each action succeeds, however late."""
    model = Model(daemon, random.Random(0), tempfile.mkdtemp(dir=WORLD))
    with daemon.faults(1, 3, ["ENOSPC"]):
        for _ in range(10):
            for action in (model.list_processes, model.command, model.terminal, model.input, model.kill):
                action()
    settled(daemon)
    assert "fault: epoll_ctl ENOSPC" in daemon.log()
    everything_works(daemon, 0)


def test_reserve_is_for_libevent_too(daemon):
    """libevent's allocations had the reserve of memory (base/mem.h) only where the address space of its
    records could be mapped, and a realloc never had it: a single failed calloc of an evbuffer was
    "evbuffer_new failed", and the end of the daemon."""
    model = Model(daemon, random.Random(0), tempfile.mkdtemp(dir=WORLD))
    model.client.service = "process.Process"
    with daemon.faults(1, 3, ["ENOMEM"]):
        for _ in range(60):
            try:
                model.client.call("List", {})
            except ERRORS:
                pass
    assert daemon.process.poll() is None, daemon.log()[-2000:]
    settled(daemon)


def test_a_failed_look_is_not_an_absence(daemon):
    """CreateWatcher of a directory whose fstat had failed was `not_found: stale file handle`, as if
    another directory had taken its place."""
    model = Model(daemon, random.Random(0), tempfile.mkdtemp(dir=WORLD))
    model.client.service = "filesystem.Filesystem"
    codes = set()
    with daemon.faults(1, 3, ["EIO"]):
        for _ in range(60):
            try:
                answer = model.client.call("CreateWatcher", {"path": model.directory})
                model.watchers.append((answer["watcherId"], model.directory))
            except Failed as failed:
                codes.add(failed.code)
    assert codes and "not_found" not in codes, codes
    for watcher, _ in model.watchers:
        model.client.call("RemoveWatcher", {"watcherId": watcher})
    settled(daemon)


@pytest.mark.parametrize("kind", ["EMFILE", "EIO"])
def test_an_archive_that_ends_lacks_nothing(daemon, kind):
    """An archive left a file out if its open failed with EMFILE, and ended as if it were whole. Now it
    breaks off. So it does for EIO, an error of the disk: it counted as a mount whose server had died."""
    model = Model(daemon, random.Random(0), tempfile.mkdtemp(dir=WORLD))
    for name in "abcdefghij":
        with open(model.path(name), "wb") as f:
            f.write(name.encode())
        model.files[name] = name.encode()
    errors = 0
    with daemon.faults(1, 8, [kind]):
        for _ in range(40):
            try:
                model.archive()
                model.list()
            except ERRORS:
                errors += 1
    assert errors
    settled(daemon)


def test_a_listener_that_is_listed_has_its_process(daemon):
    """A listing of the ports left out the processes whose descriptors it could not look at for lack of its
    own: a listener looked as if no process had it. Now the listing fails with 503."""
    model = Model(daemon, random.Random(0), tempfile.mkdtemp(dir=WORLD))
    wrong, statuses = [], set()
    with socket.create_server(("127.0.0.1", 0)) as listener, daemon.faults(1, 100, ["EMFILE"]):
        for _ in range(40):
            try:
                answer = model.client.request("GET", "/ports")
            except ERRORS:
                continue
            statuses.add(answer.status)
            if answer.status == 200:
                wrong += [entry for entry in json.loads(answer.body)["ports"]
                          if entry["port"] == listener.getsockname()[1] and entry.get("pid") != os.getpid()]
    assert not wrong, wrong
    assert statuses <= {200, 503} and 503 in statuses, statuses
    settled(daemon)
