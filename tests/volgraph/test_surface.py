"""One script over the whole Volume API, on all three faces: asyncio, trio and without a loop. All answer alike."""

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath
from typing import Any

import anyio
import pytest

import volgraph
from volgraph import NodeStatus, Volume
from volgraph.files import File
from volgraph.translators import Afr, Memory, Posix
from volgraph.volume_sync import FileSync, VolumeSync

Do = Callable[..., Awaitable[Any]]
"""Calls a method of a volume or a file: `await do(vol.stat, path)`."""

INNER = {"close", "graph", "drop", "pread_buffer", "set_attributes", "set_xattrs", "xattrs", "closed", "name"}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")} - INNER


class Called:
    """Which methods the script has called."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def add(self, method: Any) -> None:
        self.names.add(method.__name__)


async def names(do: Do, vol: Any) -> list[Any]:
    return [
        await do(vol.mkdir, "/d", 0o750),
        await do(vol.makedirs, b"/d/e/f"),
        await do(vol.write_bytes, PurePosixPath("/d/text"), b"some text"),
        await do(vol.read_bytes, "/d/text"),
        await do(vol.exists, "/d/text"),
        await do(vol.exists, "/d/none"),
        await do(vol.rename, "/d/text", "/d/moved"),
        await do(vol.link, "/d/moved", "/d/twin"),
        await do(vol.symlink, "moved", "/d/soft"),
        await do(vol.readlink, "/d/soft"),
        await do(vol.readlink, b"/d/soft"),
        await do(vol.mknod, "/d/fifo", stat.S_IFIFO | 0o600),
        sorted(await do(vol.listdir, "/d")),
        sorted(await do(vol.listdir, b"/d/e")),
        sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in await do(vol.scandir, "/d")),
        [(above, sorted(folders), sorted(files)) for above, folders, files in await do(vol.walk, "/d")],
        await do(vol.unlink, "/d/twin"),
        await do(vol.rmdir, "/d/e/f"),
        await do(vol.rmtree, "/d/e"),
        sorted(await do(vol.listdir, "/d")),
    ]


async def attributes(do: Do, vol: Any) -> list[Any]:
    await do(vol.write_bytes, "/f", b"0123456789")
    await do(vol.symlink, "f", "/soft")
    await do(vol.chmod, "/f", 0o604)
    await do(vol.utime, "/f", ns=(5, 7))
    await do(vol.chown, "/f", -1, -1)
    await do(vol.truncate, "/f", 4)
    await do(vol.setxattr, "/f", "user.k", b"v")
    st, link = await do(vol.stat, "/soft"), await do(vol.lstat, "/soft")
    answers = [
        (stat.S_IMODE(st.st_mode), st.st_size, st.st_atime_ns),
        stat.S_ISLNK(link.st_mode),
        await do(vol.listxattr, "/f"),
        await do(vol.getxattr, "/f", "user.k"),
        await do(vol.removexattr, "/f", "user.k"),
        await do(vol.listxattr, "/f"),
        (await do(vol.statvfs, "/")).f_namemax,
    ]
    for missing in (vol.stat, vol.listdir, vol.readlink, vol.unlink, vol.read_bytes):
        try:
            await do(missing, "/none")
        except OSError as error:
            answers.append((error.errno, error.filename))
    return answers


async def contents(do: Do, vol: Any, file: Any, hold: Callable[..., Awaitable[Any]]) -> list[Any]:
    buffer = bytearray(4)
    answers = [
        await do(file.write, b"0123456789"),
        await do(file.tell),
        await do(file.seek, 2),
        await do(file.read, 3),
        await do(file.readinto, buffer),
        bytes(buffer),
        await do(file.pwrite, b"ab", 1),
        await do(file.pread, 4, 0),
        await do(file.seek, 1, os.SEEK_DATA),
        await do(file.seek, 1, os.SEEK_HOLE),
        await do(file.truncate, 6),
        await do(file.allocate, 0, 8),
        (await do(file.stat)).st_size,
        await do(file.flush),
        await do(file.fsync),
        await hold(file, 0, 100, shared=False, wait=True),
        await do(file.close),
        file.closed,
        await do(vol.read_bytes, "/file"),
    ]
    for refused in (file.read, file.tell, file.stat):
        with pytest.raises(ValueError, match="closed file"):
            await do(refused)
    return answers


async def trees(do: Do, vol: Any, folder: Path) -> list[Any]:
    (folder / "t/d").mkdir(parents=True)
    (folder / "t/d/f").write_bytes(b"copied")
    into = await do(vol.copy_in, folder / "t", "/t")
    out = await do(vol.copy_out, "/t", folder / "back")
    report, pending, probed = await do(vol.heal), await do(vol.pending), await do(vol.probe)
    same = (folder / "back/d/f").read_bytes()
    return [into, out, same, report.clean, pending.clean, probed.state, [each.latency >= 0 for each in probed.children]]


def tops(kind: str, folder: Path) -> Any:
    if kind == "memory":
        return Afr("mirror", (Memory("a"), Memory("b")))
    for name in "ab":
        (folder / name).mkdir(parents=True)
    return Afr("mirror", [Posix(name, directory=str(folder / name)) for name in "ab"])


async def on_a_loop(kind: str, folder: Path, called: Called) -> list[Any]:
    async def do(method: Any, *args: Any, **kwargs: Any) -> Any:
        called.add(method)
        answer = method(*args, **kwargs)
        return await answer if hasattr(answer, "__await__") else [each async for each in answer]

    async def hold(file: File, *args: Any, **kwargs: Any) -> str:
        called.add(file.lock)
        async with file.lock(*args, **kwargs):
            return await held(do, vol)

    async with volgraph.open(tops(kind, folder)) as vol:
        called.names |= {"open", "status"}
        return await script(do, hold, vol, await vol.open("/file", "w+b"), folder)


def without_a_loop(kind: str, folder: Path, called: Called) -> list[Any]:
    async def do(method: Any, *args: Any, **kwargs: Any) -> Any:
        called.add(method)
        answer = method(*args, **kwargs)
        return list(answer) if hasattr(answer, "__next__") else answer

    async def hold(file: FileSync, *args: Any, **kwargs: Any) -> str:
        called.add(file.lock)
        with file.lock(*args, **kwargs):
            return await held(do, vol)

    with volgraph.open_sync(tops(kind, folder)) as vol:
        called.names |= {"open", "status"}
        running = script(do, hold, vol, vol.open("/file", "w+b"), folder)
        try:
            running.send(None)  # nothing in it waits
        except StopIteration as end:
            return list(end.value)
    raise AssertionError("it waited")


async def held(do: Do, vol: Any) -> str:
    """Another file cannot have the lock."""
    other = vol.open("/file", "r+b")
    other = await other if hasattr(other, "__await__") else other
    try:
        lock = other.lock(0, 1, wait=False)
        await lock.__aenter__() if hasattr(lock, "__aenter__") else lock.__enter__()
    except BlockingIOError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        await do(other.close)
    return "both hold it"


async def script(do: Do, hold: Any, vol: Any, file: Any, folder: Path) -> list[Any]:
    status: NodeStatus = vol.status()
    return [
        [status.state, *(child.name for child in status.children)],
        *await names(do, vol),
        *await attributes(do, vol),
        *await contents(do, vol, file, hold),
        *await trees(do, vol, folder),
    ]


@pytest.mark.parametrize("kind", ["memory", "posix"])
def test_the_three_faces_answer_alike_and_every_method_is_called(kind: str, tmp_path: Path) -> None:
    called = Called()
    by_asyncio = anyio.run(on_a_loop, kind, tmp_path / "1", called, backend="asyncio")
    by_trio = anyio.run(on_a_loop, kind, tmp_path / "2", called, backend="trio")
    assert called.names - {"close"} == public(Volume) | public(File)
    called = Called()
    by_none = without_a_loop(kind, tmp_path / "3", called)
    assert called.names - {"close"} == public(VolumeSync) | public(FileSync)

    assert by_asyncio == by_trio == by_none
    for answer in (b"some text", "EAGAIN", (errno.ENOENT, "/none"), b"0ab345\0\0", b"copied"):
        assert answer in by_none
