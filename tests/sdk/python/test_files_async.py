# SPDX-License-Identifier: Apache-2.0
"""Files through the SDK's asynchronous half: its own ways to send and read, and much at once."""

import asyncio
import io
import os

import pytest
from e2b import (
    AuthenticationException,
    FileNotFoundException,
    FileType,
    InvalidArgumentException,
)

MEBIBYTE = 1 << 20
WAYS = {
    "multipart": {},
    "octet-stream": {"use_octet_stream": True},
    "gzip": {"gzip": True},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


@pytest.fixture
def files(async_sandbox):
    return async_sandbox.files


@ways
async def test_round_trip(files, tmp_path, way):
    data = os.urandom(2 * MEBIBYTE + 7)
    info = await files.write(f"{tmp_path}/a/f", data, user="user", metadata={"k": "v"}, **way)
    assert (info.path, info.name, info.type) == (f"{tmp_path}/a/f", "f", FileType.FILE)
    assert info.metadata == {"k": "v"}
    assert (tmp_path / "a" / "f").stat().st_uid == 1000
    for zipped in False, True:
        assert await files.read(f"{tmp_path}/a/f", format="bytes", gzip=zipped) == data


@ways
async def test_text(files, tmp_path, way):
    await files.write(f"{tmp_path}/f", "Grüße, 世界! 🦊\n", **way)
    assert await files.read(f"{tmp_path}/f") == "Grüße, 世界! 🦊\n"


@pytest.mark.parametrize("way", [WAYS["octet-stream"], WAYS["gzip"]], ids=["octet-stream", "gzip"])
async def test_open_file(files, tmp_path, way):
    data = os.urandom(9 * MEBIBYTE)
    await files.write(f"{tmp_path}/f", io.BytesIO(data), **way)
    assert (tmp_path / "f").read_bytes() == data


async def test_chunks_that_come_slowly(files, tmp_path):
    async def chunks():
        for i in range(20):
            yield b"%d\n" % i
            await asyncio.sleep(0.005)

    await files.write(f"{tmp_path}/f", chunks())
    assert (tmp_path / "f").read_bytes() == b"".join(b"%d\n" % i for i in range(20))


@pytest.mark.parametrize("zipped", [False, True])
async def test_stream(files, tmp_path, zipped):
    data = os.urandom(MEBIBYTE) + b"text that compresses\n" * 200_000
    (tmp_path / "f").write_bytes(data)
    async with await files.read(f"{tmp_path}/f", format="stream", gzip=zipped) as stream:
        assert b"".join([chunk async for chunk in stream]) == data


async def test_stream_that_is_given_up(files, tmp_path):
    (tmp_path / "f").write_bytes(b"x" * (64 * MEBIBYTE))
    async with await files.read(f"{tmp_path}/f", format="stream") as stream:
        async for chunk in stream:
            assert chunk.startswith(b"x")
            break
    assert await files.exists(f"{tmp_path}/f")


@ways
async def test_many(files, tmp_path, way):
    entries = [{"path": f"{tmp_path}/{i}", "data": str(i) * i} for i in range(60)]
    infos = await files.write_files(entries, **way)
    assert [info.path for info in infos] == [entry["path"] for entry in entries]
    texts = await asyncio.gather(*(files.read(entry["path"]) for entry in entries))
    assert texts == [entry["data"] for entry in entries]


async def test_large_ones_at_once(files, tmp_path):
    async def one(index):
        data = os.urandom(MEBIBYTE) * (index + 1)
        await files.write(f"{tmp_path}/{index}", data, **list(WAYS.values())[index % 3])
        return await files.read(f"{tmp_path}/{index}", format="bytes", gzip=index % 2 == 0) == data

    assert all(await asyncio.gather(*(one(i) for i in range(12))))


async def test_entries(files, tmp_path):
    assert await files.make_dir(f"{tmp_path}/d/e", user="user") is True
    assert await files.make_dir(f"{tmp_path}/d/e", user="user") is False
    await files.write(f"{tmp_path}/d/f", "12345")
    entries = await files.list(str(tmp_path), depth=2)
    assert [(e.path, e.type) for e in entries] == [
        (f"{tmp_path}/d", FileType.DIR),
        (f"{tmp_path}/d/e", FileType.DIR),
        (f"{tmp_path}/d/f", FileType.FILE),
    ]
    assert (entries[1].owner, entries[2].owner, entries[2].size) == ("user", "root", 5)
    assert (await files.get_info(f"{tmp_path}/d/f")).permissions == "-rw-r--r--"
    assert (await files.rename(f"{tmp_path}/d/f", f"{tmp_path}/g/f")).path == f"{tmp_path}/g/f"
    assert await files.exists(f"{tmp_path}/g/f") is True
    await files.remove(f"{tmp_path}/g")
    assert await files.exists(f"{tmp_path}/g") is False


async def test_many_entries_at_once(files, tmp_path):
    paths = [f"{tmp_path}/{i}/x/y" for i in range(100)]
    assert all(await asyncio.gather(*(files.make_dir(path) for path in paths)))
    infos = await asyncio.gather(*(files.get_info(path) for path in paths))
    assert [info.path for info in infos] == paths
    await asyncio.gather(*(files.remove(f"{tmp_path}/{i}") for i in range(100)))
    assert await files.list(str(tmp_path)) == []


async def test_refusals(files, tmp_path):
    with pytest.raises(FileNotFoundException):
        await files.read(f"{tmp_path}/absent")
    with pytest.raises(FileNotFoundException):
        await files.list(f"{tmp_path}/absent")
    with pytest.raises(FileNotFoundException):
        await files.rename(f"{tmp_path}/absent", f"{tmp_path}/f")
    with pytest.raises(InvalidArgumentException):
        await files.write(str(tmp_path), "x")
    with pytest.raises(AuthenticationException):
        await files.write(f"{tmp_path}/f", "x", user="nobody-of-this-name")
