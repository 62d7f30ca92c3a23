"""Copies of trees: into a volume, out of it, or from one to another. Modes, times (to the nanosecond) and symlinks are
kept; owners are not. Paths are str; a name that is no text is in it as `os.fsdecode` has it."""

from __future__ import annotations

import errno
import io
import os
import stat as mode_bits
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Protocol

import attrs

from .files import IO_BYTES_MAX
from .graph import NewAttributes

if TYPE_CHECKING:
    from .volume import Volume

Choose = Callable[[str], bool]
Progress = Callable[[str, int], None]
Read = Callable[[], Awaitable[bytes]]


@attrs.define
class CopyCount:
    """What a copy made."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    bytes: int = 0


class Tree(Protocol):
    """One side of a copy. What stands at a goal already is replaced if it is of the same kind; else it is an error."""

    async def stat(self, path: str) -> os.stat_result: ...
    async def entries(self, path: str) -> list[tuple[str, os.stat_result]]: ...
    async def readlink(self, path: str) -> str: ...
    def reader(self, path: str) -> AbstractAsyncContextManager[Read]: ...

    async def make_directory(self, path: str, is_goal: bool) -> None:
        """Make it, or find it: for now only its owner may use it. The goal of the copy may be a link to one."""
        ...

    async def write_file(self, path: str, read: Read, st: os.stat_result) -> int: ...
    async def make_symlink(self, path: str, target: str, st: os.stat_result) -> None: ...
    async def finish_directory(self, path: str, st: os.stat_result) -> None: ...

    def named(self, path: str) -> str:
        """What an error calls a path of this side."""
        ...


async def copy(
    source: Tree,
    path: str,
    target: Tree,
    goal: str,
    choose: Choose | None = None,
    progress: Progress | None = None,
) -> CopyCount:
    """Copy what stands at `path`, with all below it, to `goal`. EOPNOTSUPP special files; EINVAL into itself."""
    count = CopyCount()
    goal_inode = await _inode(target, goal) if source == target else None
    directories: list[tuple[str, os.stat_result]] = []
    todo = [(path, goal, await source.stat(path))]
    while todo:
        here, there, st = todo.pop()
        size = 0
        if st.st_ino == goal_inode:
            raise OSError(errno.EINVAL, "Cannot be copied onto or into itself", source.named(path))
        if mode_bits.S_ISDIR(st.st_mode):
            await target.make_directory(there, there == goal)
            if source == target and there == goal:
                goal_inode = await _inode(target, goal)
            directories.append((there, st))
            for name, below in sorted(await source.entries(here), reverse=True):
                if choose is None or choose(os.path.join(here, name)):
                    todo.append((os.path.join(here, name), os.path.join(there, name), below))
        elif mode_bits.S_ISLNK(st.st_mode):
            await target.make_symlink(there, await source.readlink(here), st)
            count.symlinks += 1
        elif mode_bits.S_ISREG(st.st_mode):
            async with source.reader(here) as read:
                size = await target.write_file(there, read, st)
            count.files += 1
            count.bytes += size
        else:
            raise OSError(errno.EOPNOTSUPP, "Not a file, directory or symlink: not copied", source.named(here))
        if progress is not None:
            progress(there, size)
    for there, st in reversed(directories):  # last, as filling a directory changes its times
        await target.finish_directory(there, st)
    count.directories = len(directories)
    return count


async def _inode(tree: Tree, path: str) -> int | None:
    try:
        return (await tree.stat(path)).st_ino
    except FileNotFoundError:
        return None


@attrs.define
class VolumeTree:
    volume: Volume

    def named(self, path: str) -> str:
        return os.fsdecode(self.volume._caller.named(path))

    async def stat(self, path: str) -> os.stat_result:
        return await self.volume.stat(path)

    async def entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        return [(entry.name, entry.stat()) async for entry in self.volume.scandir(path)]

    async def readlink(self, path: str) -> str:
        return await self.volume.readlink(path)

    @asynccontextmanager
    async def reader(self, path: str) -> AsyncIterator[Read]:
        async with self.volume.open(path, "rb") as file:
            yield lambda: file.read(IO_BYTES_MAX)

    async def make_directory(self, path: str, is_goal: bool) -> None:
        try:
            await self.volume.mkdir(path, 0o700)
        except FileExistsError:
            if not mode_bits.S_ISDIR((await self.volume.stat(path, follow_symlinks=is_goal)).st_mode):
                raise

    async def write_file(self, path: str, read: Read, st: os.stat_result) -> int:
        total = 0
        async with self.volume.open(path, "wb", 0o600) as file:
            while data := await read():
                total += await file.write(data)
            mode = mode_bits.S_IMODE(st.st_mode)
            await file.set_attributes(NewAttributes(mode=mode, atime_ns=st.st_atime_ns, mtime_ns=st.st_mtime_ns))
        return total

    async def make_symlink(self, path: str, target: str, st: os.stat_result) -> None:
        try:
            await self.volume.symlink(target, path)
        except FileExistsError:
            await self.volume.unlink(path)
            await self.volume.symlink(target, path)
        await self.volume.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)

    async def finish_directory(self, path: str, st: os.stat_result) -> None:
        await self.volume.chmod(path, mode_bits.S_IMODE(st.st_mode))
        await self.volume.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


class LocalTree:
    """The local file system. As a target, nothing is written through a link that stands in the way: names come from a
    volume, and a volume may lie. Nor does a fifo that stands there make anybody wait."""

    def named(self, path: str) -> str:
        return path

    async def stat(self, path: str) -> os.stat_result:
        return os.stat(path)

    async def entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        with os.scandir(path) as listed:
            return [(entry.name, os.lstat(entry.path)) for entry in listed]

    async def readlink(self, path: str) -> str:
        return os.readlink(path)

    @asynccontextmanager
    async def reader(self, path: str) -> AsyncIterator[Read]:
        with open(path, "rb", buffering=0) as file:

            async def read() -> bytes:
                with _naming(path):
                    return file.read(IO_BYTES_MAX)

            yield read

    async def make_directory(self, path: str, is_goal: bool) -> None:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not mode_bits.S_ISDIR(os.stat(path, follow_symlinks=is_goal).st_mode):
                raise

    async def write_file(self, path: str, read: Read, st: os.stat_result) -> int:
        total = 0
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        with open(fd, "wb", buffering=0) as file:
            while data := await read():
                with _naming(path):
                    _write_all(file, data)
                total += len(data)
            with _naming(path):
                os.fchmod(fd, mode_bits.S_IMODE(st.st_mode))
                os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
        return total

    async def make_symlink(self, path: str, target: str, st: os.stat_result) -> None:
        try:
            os.symlink(target, path)
        except FileExistsError:
            os.unlink(path)
            os.symlink(target, path)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)

    async def finish_directory(self, path: str, st: os.stat_result) -> None:
        os.chmod(path, mode_bits.S_IMODE(st.st_mode))
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def _write_all(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """A call on a descriptor fails without saying of which file."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
