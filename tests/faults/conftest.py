# SPDX-License-Identifier: Apache-2.0
"""A daemon whose system calls and allocations fail, and the file that says which (faults.h)."""

import contextlib
import mmap
import os
import struct

import pytest

import daemon as base

WORLD = os.environ["WORLD"]
KINDS = {"EINTR": 1, "short": 2, "ENOSPC": 4, "EMFILE": 8, "EAGAIN": 16, "ENOMEM": 32, "EIO": 64}
LAYOUT = struct.Struct("QIIQQQ")


class Daemon(base.Daemon):
    more_descriptors = 2  # spare inotify instances

    def __init__(self, *flags):
        path = os.path.join(WORLD, f"faults-{os.urandom(4).hex()}")
        with open(path, "wb+") as f:
            f.truncate(LAYOUT.size)
            self.control = mmap.mmap(f.fileno(), LAYOUT.size)
        self.environment = base.Daemon.environment | {
            "ENVD_FAULTS": path,
            "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1"}
        super().__init__(*flags)

    @contextlib.contextmanager
    def faults(self, seed=0, rate=0, kinds=KINDS, number=0):
        """Calls of the daemon fail while the block runs: one of `rate`, or the one of the number."""
        mask = sum(KINDS[kind] for kind in kinds)
        self.control[:] = LAYOUT.pack(seed, rate, mask, number, 0, 0)
        try:
            yield
        finally:
            calls, failed = self.counts()
            self.control[:] = LAYOUT.pack(0, 0, 0, 0, calls, failed)

    def counts(self):
        """(calls that could have failed, calls that did) since faults() began."""
        return LAYOUT.unpack(self.control)[4:]


def pytest_addoption(parser):
    parser.addoption("--seeds", default="1-10", metavar="FROM-TO", help="of test_seed")


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        first, _, last = metafunc.config.getoption("--seeds").partition("-")
        metafunc.parametrize("seed", range(int(first), int(last or first) + 1))


class Keeper:
    """The daemon of all seeds. After a test that failed there is a new one: what the test has left is
    not the fault of the next."""

    def __init__(self):
        self.current = None

    def get(self):
        if self.current is None or self.current.process.poll() is not None:
            self.current = Daemon()
        return self.current


@pytest.fixture(scope="session")
def keeper():
    keeper = Keeper()
    yield keeper
    if keeper.current and keeper.current.process.poll() is None:
        keeper.current.stop()


@pytest.fixture
def daemon(keeper):
    daemon = keeper.get()
    daemon.is_clean = False  # a test says otherwise at its end
    yield daemon
    if not daemon.is_clean:
        keeper.current = None
        daemon.process.kill()
        daemon.process.wait()
