# SPDX-License-Identifier: Apache-2.0
"""Commands and terminals through the SDK's asynchronous half: what an event loop makes different,
many things at once above all."""

import asyncio
import hashlib
import os
import time

import pytest
from e2b import (
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    SandboxException,
    TimeoutException,
)
from e2b.sandbox.commands.command_handle import PtySize

NO_SUCH_PID = 4194304 + 1
SIZE = PtySize(rows=24, cols=80)


class Output:
    """A callback that collects chunks, and lets a test wait for what it expects in them."""

    def __init__(self):
        self.chunks = []
        self.more = asyncio.Event()

    def __call__(self, chunk):
        self.chunks.append(chunk if isinstance(chunk, bytes) else chunk.encode())
        self.more.set()

    def __bytes__(self):
        return b"".join(self.chunks)

    async def expect(self, text, seconds=30):
        """Waits until the text is in what came."""
        async with asyncio.timeout(seconds):
            while text.encode() not in bytes(self):
                self.more.clear()
                await self.more.wait()


async def test_run(async_sandbox):
    result = await async_sandbox.commands.run("echo out; echo err >&2")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0)


@pytest.mark.parametrize("code", [1, 3, 127, 255])
async def test_exit_code(async_sandbox, code):
    with pytest.raises(CommandExitException) as raised:
        await async_sandbox.commands.run(f"echo before; exit {code}")
    assert (raised.value.exit_code, raised.value.stdout) == (code, "before\n")
    assert raised.value.error == f"exit status {code}"


async def test_callbacks(async_sandbox):
    out, err = Output(), Output()

    async def on_stderr(text):
        await asyncio.sleep(0)
        err(text)

    handle = await async_sandbox.commands.run(
        "echo first; read line; echo $line; echo oops >&2",
        background=True, stdin=True, on_stdout=out, on_stderr=on_stderr,
    )
    await out.expect("first\n")
    await handle.send_stdin("second\n")
    await handle.wait()
    assert (bytes(out), bytes(err)) == (b"first\nsecond\n", b"oops\n")


async def test_unicode_and_large(async_sandbox):
    result = await async_sandbox.commands.run("yes '世界🦊é' | head -n 1000000")
    assert result.stdout == "世界🦊é\n" * 1_000_000


async def test_very_large(async_sandbox):
    size = 32 << 20
    result = await async_sandbox.commands.run(f"head -c {size} /dev/zero | tr '\\0' y")
    assert len(result.stdout) == size
    assert result.stdout.count("y") == size


async def test_large_input(async_sandbox):
    data = os.urandom(4 << 20)
    handle = await async_sandbox.commands.run("sha256sum", background=True, stdin=True)
    for start in range(0, len(data), 1 << 19):
        await handle.send_stdin(data[start : start + (1 << 19)])
    await handle.close_stdin()
    assert (await handle.wait()).stdout.split()[0] == hashlib.sha256(data).hexdigest()


async def test_timeout(async_sandbox):
    start = time.monotonic()
    with pytest.raises(TimeoutException):
        await async_sandbox.commands.run("sleep 30", timeout=1)
    assert time.monotonic() - start < 10


async def test_kill(async_sandbox):
    handle = await async_sandbox.commands.run("exec sleep 30", background=True)
    assert await handle.kill() is True
    with pytest.raises(CommandExitException) as raised:
        await handle.wait()
    assert (raised.value.exit_code, raised.value.error) == (-1, "signal: killed")
    assert await async_sandbox.commands.kill(handle.pid) is False
    assert await async_sandbox.commands.kill(NO_SUCH_PID) is False


async def test_connect(async_sandbox):
    handle = await async_sandbox.commands.run("read line; echo $line", background=True, stdin=True)
    await handle.disconnect()
    out = Output()
    again = await async_sandbox.commands.connect(handle.pid, on_stdout=out)
    await again.send_stdin("again\n")
    assert (await again.wait()).stdout == "again\n"
    assert bytes(out) == b"again\n"
    with pytest.raises(NotFoundException):
        await async_sandbox.commands.connect(NO_SUCH_PID)


async def test_list(async_sandbox):
    handles = await asyncio.gather(
        *(async_sandbox.commands.run(f"sleep 3{i}", background=True) for i in range(5))
    )
    processes = await async_sandbox.commands.list()
    assert {p.pid for p in processes} == {h.pid for h in handles}
    assert {p.args[2] for p in processes} == {f"sleep 3{i}" for i in range(5)}


async def test_options(async_sandbox):
    result = await async_sandbox.commands.run(
        "id -un; pwd; echo $X", user="user", cwd="/tmp", envs={"X": "世界"}
    )
    assert result.stdout == "user\n/tmp\n世界\n"


async def test_refusals(async_sandbox):
    commands = async_sandbox.commands
    with pytest.raises(InvalidArgumentException):
        await commands.run("true", cwd="/no/such/directory")
    with pytest.raises(AuthenticationException):
        await commands.run("true", user="nobody-of-this-name")
    handle = await commands.run("sleep 30", background=True)
    with pytest.raises(SandboxException):
        await handle.send_stdin("x")
    with pytest.raises(NotFoundException):
        await commands.send_stdin(NO_SUCH_PID, "x")


async def test_cancelled_wait_leaves_the_process(async_sandbox, tmp_path):
    handle = await async_sandbox.commands.run(
        f"read line; echo $line >{tmp_path}/line", background=True, stdin=True
    )
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(handle.wait()), 0.2)
    await async_sandbox.commands.send_stdin(handle.pid, "still here\n")
    await handle.wait()
    assert (tmp_path / "line").read_text() == "still here\n"


async def test_many_commands(async_sandbox):
    results = await asyncio.gather(
        *(async_sandbox.commands.run(f"echo {i}; seq 500 | tail -n 1") for i in range(200))
    )
    assert [r.stdout for r in results] == [f"{i}\n500\n" for i in range(200)]


async def test_many_streams_and_calls(async_sandbox):
    """While many large outputs flow, small commands and inputs get through."""
    big = [asyncio.create_task(async_sandbox.commands.run("seq 300000")) for _ in range(8)]
    cat = await async_sandbox.commands.run("cat", background=True, stdin=True)
    for index in range(20):
        assert (await async_sandbox.commands.run(f"echo {index}")).stdout == f"{index}\n"
        await cat.send_stdin(f"{index}\n")
    await cat.close_stdin()
    assert (await cat.wait()).stdout == "".join(f"{i}\n" for i in range(20))
    expected = "".join(f"{i}\n" for i in range(1, 300001))
    assert all(result.stdout == expected for result in await asyncio.gather(*big))


async def test_a_reader_that_stalls_holds_up_no_other_process(async_sandbox):
    gate = asyncio.Event()

    async def stall(_):
        await gate.wait()

    stalled = await async_sandbox.commands.run("seq 3000000", background=True, on_stdout=stall)
    for index in range(20):
        assert (await async_sandbox.commands.run(f"echo {index}")).stdout == f"{index}\n"
    gate.set()
    assert (await stalled.wait()).stdout.endswith("\n3000000\n")


class TestPty:
    async def test_session(self, async_sandbox):
        out = Output()
        handle = await async_sandbox.pty.create(
            SIZE, on_data=out, envs={"FOO": "bar"}, cwd="/", user="user"
        )
        pty = async_sandbox.pty
        await pty.send_stdin(handle.pid, b"echo $FOO-$PWD-$(id -un)\n")
        await out.expect("bar-/-user\r\n")
        await pty.resize(handle.pid, PtySize(rows=40, cols=111))
        await pty.send_stdin(handle.pid, b"stty size\n")
        await out.expect("40 111\r\n")
        await pty.send_stdin(handle.pid, b"bash -c 'trap \"exit 9\" INT; echo beg''un; "
                                 b"while :; do sleep 0.02; done'; echo status=$?\n")
        await out.expect("begun\r\n")
        await pty.send_stdin(handle.pid, b"\x03")
        await out.expect("status=9\r\n")
        await pty.send_stdin(handle.pid, b"exit 6\n")
        with pytest.raises(CommandExitException) as raised:
            await handle.wait()
        assert raised.value.exit_code == 6

    async def test_reconnect(self, async_sandbox):
        first, second = Output(), Output()
        handle = await async_sandbox.pty.create(SIZE, on_data=first)
        await async_sandbox.pty.send_stdin(handle.pid, b"echo o''ne\n")
        await first.expect("one\r\n")
        await handle.disconnect()
        again = await async_sandbox.pty.connect(handle.pid, on_data=second)
        await async_sandbox.pty.send_stdin(handle.pid, b"echo t''wo; exit\n")
        assert (await again.wait()).exit_code == 0
        assert b"two\r\n" in bytes(second)
        assert b"two\r\n" not in bytes(first)

    async def test_two_readers_see_the_same(self, async_sandbox):
        first, second = Output(), Output()
        handle = await async_sandbox.pty.create(SIZE, on_data=first, envs={"PS1": ""})
        await async_sandbox.pty.send_stdin(handle.pid, b"stty -echo; echo rea''dy\n")
        await first.expect("ready\r\n")
        other = await async_sandbox.pty.connect(handle.pid, on_data=second)
        await async_sandbox.pty.send_stdin(handle.pid, b"exec seq 20000\n")
        await asyncio.gather(handle.wait(), other.wait())
        lines = b"".join(b"%d\r\n" % i for i in range(1, 20001))
        assert bytes(first).endswith(lines)
        assert bytes(second).endswith(lines)

    async def test_kill(self, async_sandbox):
        handle = await async_sandbox.pty.create(SIZE, on_data=Output())
        assert await async_sandbox.pty.kill(handle.pid) is True
        with pytest.raises(CommandExitException):
            await handle.wait()
        assert await async_sandbox.pty.kill(NO_SUCH_PID) is False

    async def test_many(self, async_sandbox):
        async def one(index):
            out = Output()
            handle = await async_sandbox.pty.create(SIZE, on_data=out)
            await async_sandbox.pty.send_stdin(handle.pid, f"echo =$(({index}+100))=; exit\n".encode())
            await handle.wait()
            return f"={index + 100}=\r\n".encode() in bytes(out)

        assert all(await asyncio.gather(*(one(i) for i in range(32))))


async def test_is_running(async_sandbox):
    assert await async_sandbox.is_running() is True
