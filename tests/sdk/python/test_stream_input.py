# SPDX-License-Identifier: Apache-2.0
"""StreamInput with the SDK's own methods: commands.stream_input and pty.stream_input, both clients."""

import hashlib

import pytest
from e2b import NotFoundException
from e2b.sandbox.commands.command_handle import PtySize

NO_SUCH_PID = 4194305
SIZE = PtySize(rows=24, cols=80)
PIECES = [b"x" * n for n in (1, 4096, 65536, 1 << 20)] + [b"\x00\xff", "text\n"]
DIGEST = hashlib.sha256(b"".join(p if isinstance(p, bytes) else p.encode() for p in PIECES))


def test_stdin(sandbox):
    handle = sandbox.commands.run("sha256sum", background=True, stdin=True)
    sandbox.commands.stream_input(handle.pid, PIECES)
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout.split()[0] == DIGEST.hexdigest()


def test_the_input_of_a_terminal(sandbox):
    terminal = sandbox.pty.create(SIZE)
    sandbox.pty.stream_input(terminal.pid, ["stty -echo\n", "echo ", b"$((6*7))\n", "exit\n"])
    out = []
    terminal.wait(on_pty=out.append)
    assert b"42" in b"".join(out)


def test_no_such_process(sandbox):
    with pytest.raises(NotFoundException):
        sandbox.commands.stream_input(NO_SUCH_PID, ["x"])


async def send(handle, pieces):
    for piece in pieces:
        await handle.send(piece)
    await handle.close()


async def test_stdin_async(async_sandbox):
    handle = await async_sandbox.commands.run("sha256sum", background=True, stdin=True)
    await send(async_sandbox.commands.stream_input(handle.pid), PIECES)
    await async_sandbox.commands.close_stdin(handle.pid)
    assert (await handle.wait()).stdout.split()[0] == DIGEST.hexdigest()


async def test_the_input_of_a_terminal_async(async_sandbox):
    out = []
    terminal = await async_sandbox.pty.create(SIZE, on_data=out.append)
    keys = ["stty -echo\n", "echo $((6*7))\n", "exit\n"]
    await send(async_sandbox.pty.stream_input(terminal.pid), keys)
    await terminal.wait()
    assert b"42" in b"".join(out)


async def test_no_such_process_async(async_sandbox):
    with pytest.raises(NotFoundException):
        await send(async_sandbox.commands.stream_input(NO_SUCH_PID), ["x"])
