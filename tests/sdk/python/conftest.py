# SPDX-License-Identifier: Apache-2.0
"""What every test gets: one daemon for the session, a sandbox object for the test.

A test that needs a daemon with other flags takes the fixture `other_daemon`.
"""

import asyncio
import inspect
import os
import time

import pytest
import pytest_asyncio
from e2b import AsyncSandbox, Sandbox

from cloud import Cloud
from daemon import GUEST, PORT, Daemon

# A test that takes one of these looks at the daemon's machine from beside it.
BESIDE_FIXTURES = {"daemon", "other_daemon", "tmp_path"}


@pytest.fixture(scope="session", autouse=True)
def daemon():
    """The daemon on the port that the SDK's debug mode uses. It must end as clean as it began."""
    daemon = Daemon()
    descriptors = daemon.descriptors()
    cloud = Cloud(PORT) if "E2B_API_URL" in os.environ else None
    yield daemon
    if cloud:
        cloud.close()
    complaints = []
    wait_for(lambda: not daemon.children(), 10, complaints, "children left: ", daemon.children)
    wait_for(
        # One inotify instance is kept from the first watch on.
        lambda: len(daemon.descriptors()) <= len(descriptors) + 1, 10,
        complaints, f"more descriptors than {descriptors}: ", daemon.descriptors,
    )
    complaints += daemon.stop()
    assert not complaints, "\n".join(complaints)


def wait_for(condition, seconds, complaints, text, detail):
    """Waits until the condition holds; adds to the complaints if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            complaints.append(f"{text}{detail()}")
            return
        time.sleep(0.02)


@pytest.fixture
def other_daemon():
    """A function that starts a daemon with more flags, `-port N` among them, for one test."""
    started = []

    def start(*flags, port):
        started.append(Daemon("-port", str(port), *flags, port=port,
                              log=f"build/log/sdk-envd-{port}.log"))
        return started[-1]

    yield start
    complaints = [text for daemon in started for text in daemon.stop()]
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def sandbox():
    """The SDK's sandbox; what the test left running is killed after it."""
    sandbox = Sandbox.create()
    yield sandbox
    for process in sandbox.commands.list():
        sandbox.commands.kill(process.pid)
    # A process that was told to end is listed until it has.
    while sandbox.commands.list():
        time.sleep(0.01)


@pytest_asyncio.fixture
async def async_sandbox():
    """The same, of the SDK's asynchronous half."""
    sandbox = await AsyncSandbox.create()
    yield sandbox
    for process in await sandbox.commands.list():
        await sandbox.commands.kill(process.pid)
    while await sandbox.commands.list():
        await asyncio.sleep(0.01)


def pytest_addoption(parser):
    parser.addoption("--reference", action="store_true",
                     help="leave out what goes beyond the compatible behaviour")


def pytest_collection_modifyitems(config, items):
    left_out = {"beyond"} if config.getoption("--reference") else set()
    left_out.add("tokenless" if "E2B_API_URL" in os.environ else "secure")
    if GUEST:
        left_out.add("beside")
        for item in items:
            if not BESIDE_FIXTURES.isdisjoint(inspect.signature(item.function).parameters):
                item.add_marker("beside")
    items[:] = [item for item in items
                if not any(item.get_closest_marker(name) for name in left_out)]
