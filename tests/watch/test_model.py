# SPDX-License-Identifier: Apache-2.0
"""The model test: processes change a tree at random while clients watch it. After the last change, each
client's picture (picture.py), which its events have built, must equal the tree.

One test is one seed in one situation. --seeds chooses the seeds (make watch-model).
"""

import contextlib
import os
import random
import select
import shutil
import time

import pytest

import change
from client import SECONDS, Stream
from conftest import Daemon, new_directory, queue_of
from picture import Carrier, Lister, difference

SMALL_QUEUE = 16
REMEMBERED = 60  # events of each client, for the report

# name: (kind of client, events in the kernel's queue, other options)
SITUATIONS = {
    "lister": (Lister, None, {}),
    "carrier": (Carrier, None, {}),
    "overflow": (Lister, SMALL_QUEUE, {}),
    "late": (Lister, None, {"late": True}),
    "few-watches": (Lister, None, {"limits": {"max_inotify_watches": 12}}),
}


class Reader:
    """A client: a watch, its picture, and the longest pause between two reads."""

    def __init__(self, watch, picture, pause_seconds):
        self.watch, self.picture = watch, picture
        self.pause_seconds = pause_seconds
        self.next_time = 0
        self.last = []

    def read(self, hurry=False):
        if not hurry and time.monotonic() < self.next_time:
            return
        self.next_time = time.monotonic() + random.random() * self.pause_seconds
        self.watch.more(0)
        for event in self.watch.take():
            self.picture.apply(event)
            self.last = self.last[1 - REMEMBERED:] + [event]


def settle(readers, truth):
    """Reads until every picture is right. Fails after SECONDS."""
    end = time.monotonic() + SECONDS
    while True:
        for reader in readers:
            reader.read(hurry=True)
        if all(reader.picture == truth for reader in readers):
            return
        if time.monotonic() > end:
            break
        streams = [r.watch for r in readers if isinstance(r.watch, Stream)]
        select.select([s.connection.sock for s in streams], [], [], 0.005)
    wrong = next(r for r in readers if r.picture != truth)
    raise AssertionError(
        f"{type(wrong.watch).__name__}'s picture is wrong:\n{difference(wrong.picture, truth)}\n"
        f"after {wrong.last}")


def run(client, seed, kind, queue, late=False):
    choose = random.Random(seed)
    directory = new_directory()
    top, outside = os.path.join(directory, "watched"), os.path.join(directory, "outside")
    os.mkdir(top)
    os.mkdir(outside)
    few_names = kind is Lister
    recursive = choose.random() < 0.85
    change.Changer(top, outside, -1 - seed, few_names).run(choose.choice((0, 30, 200)), 0)
    pids, readers = [], []

    def start_changes():
        pause_seconds = choose.choice((0, 0, 0.001, 0.02))
        pids.extend(change.start(top, outside, seed << 4 | i, few_names,
                                 choose.choice((20, 100, 300)), pause_seconds)
                    for i in range(choose.choice((1, 2, 3, 4))))

    try:
        if late:
            start_changes()
        with queue_of(queue) if queue else contextlib.nullcontext():
            for _ in range(choose.choice((1, 1, 2, 3))):
                how = choose.choice((client.watch, client.poll))
                watch = how(top, recursive, choose.random() < 0.2)
                readers.append(Reader(watch, kind(top, recursive),
                                      choose.choice((0, 0, 0.03))))
        if not late:
            start_changes()
        while pids:
            for reader in readers:
                reader.read()
            pid, status = os.waitpid(pids[-1], os.WNOHANG)
            if pid:
                pids.pop()
                assert status == 0
        settle(readers, Lister(top, recursive))
    finally:
        for pid in pids:
            os.waitpid(pid, 0)
        for reader in readers:
            reader.watch.close()
        shutil.rmtree(directory)


def pytest_generate_tests(metafunc):
    first, _, last = metafunc.config.getoption("--seeds").partition("-")
    seeds = range(int(first), int(last or first) + 1)
    metafunc.parametrize("situation, seed", [(s, i) for s in SITUATIONS for i in seeds])


@pytest.fixture(scope="module")
def limited_daemon():
    """A function that returns a daemon whose user has these limits. Tests share it."""
    started = {}

    def get(limits):
        key = str(limits)
        if key not in started:
            started[key] = Daemon(user_limits=limits)
        return started[key]

    yield get
    for daemon in started.values():
        daemon.stop()


def test_model(daemon, limited_daemon, situation, seed):
    kind, queue, more = SITUATIONS[situation]
    more = dict(more)
    limits = more.pop("limits", None)
    run((limited_daemon(limits) if limits else daemon).client, seed, kind, queue, **more)
