"""Open files: binary and unbuffered. A write returns when the top translator has answered."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from .caller import Caller
from .errors import StrPath, at_path
from .graph import SEEK_DATA, SEEK_HOLE, Buffer, Call, Fd, Flock, LockCommand, LockType, NewAttributes, Translator, fail
from .listing import stat_result

P = ParamSpec("P")
R = TypeVar("R")

IO_BYTES_MAX = 1 << 20
"""One fop reads or writes at most this much."""


@attrs.frozen
class Mode:
    """What an open mode such as `r+b` means. Files are binary: the `b` may be left out, a `t` is an error."""

    readable: bool
    writable: bool
    create: bool
    exclusive: bool
    truncate: bool
    append: bool

    @classmethod
    def parse(cls, mode: str) -> Mode:
        kinds = [letter for letter in mode if letter in "rwax"]
        if len(kinds) != 1 or len(set(mode)) != len(mode) or set(mode) - set("rwaxb+"):
            raise ValueError(f"invalid mode: {mode!r}; write r, w, a or x, with + and b as needed")
        kind, plus = kinds[0], "+" in mode
        return cls(kind == "r" or plus, kind != "r" or plus, kind != "r", kind == "x", kind == "w", kind == "a")

    @property
    def flags(self) -> int:
        """The flags of the fd; a truncation is wound as a fop of its own."""
        access = os.O_RDWR if self.readable and self.writable else os.O_WRONLY if self.writable else os.O_RDONLY
        return access | (os.O_APPEND if self.append else 0)


class File:
    """One open file of a volume, with its own position and its own lock owner. Errors are OSError and name the path.

    `async with vol.open(path, mode) as file`; or `file = await vol.open(path, mode)` and `await file.close()`.
    """

    def __init__(self, caller: Caller, fd: Fd, path: StrPath, mode: Mode, dropped: Callable[[File], object]) -> None:
        self.name = path
        self.closed = False
        self._caller = caller
        self._fd = fd
        self._mode = mode
        self._dropped = dropped
        self._call: Call = caller.call.owned_by(caller.new_owner())
        self._call.attributes = mode.append  # nobody looks at them but for where an append has ended
        self._position = 0
        self._must_flush = mode.writable

    async def __aenter__(self) -> File:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- reading and writing ---------------------------------------------------------------------------------------

    async def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`; fewer only at the end of the file. EINVAL below 0."""
        self._check(self._mode.readable, size, offset)
        parts: list[Buffer] = []
        left = size
        while left > 0:
            reply = await self._wind(self._top.readv, self._fd, min(left, IO_BYTES_MAX), offset)
            parts.append(reply.data)
            left -= len(reply.data)
            offset += len(reply.data)
            if reply.end or not reply.data:
                break
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    async def pwrite(self, data: Buffer, offset: int) -> int:
        """Write all of `data` at `offset` (at the end, if the file was opened for appending); gives its length."""
        self._check(self._mode.writable, offset)
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            piece = view[done : done + IO_BYTES_MAX]
            reply = await self._wind(self._top.writev, self._fd, piece, offset + done, self._fd.flags)
            if not 0 < reply.count <= len(piece):
                error = fail(errno.EIO, f"{reply.count} of {len(piece)} bytes written")
                raise at_path(error, self._caller.named(self.name))
            done += reply.count
            if self._mode.append and reply.post is not None:
                self._position = reply.post.size
        return len(view)

    async def read(self, size: int = -1) -> bytes:
        """At most `size` bytes from the position on, or all that follows."""
        if size is not None and size >= 0:
            data = await self.pread(size, self._position)
            self._position += len(data)
            return data
        parts = []
        while data := await self.read(IO_BYTES_MAX):
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill `buffer` from the position on; gives the number of bytes read."""
        view = memoryview(buffer).cast("B")
        data = await self.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def write(self, data: Buffer) -> int:
        """Write all of `data` at the position; gives its length."""
        count = await self.pwrite(data, self._position)
        if not self._mode.append:
            self._position += count
        return count

    # --- position and size -----------------------------------------------------------------------------------------

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; also to the next data (`os.SEEK_DATA`) or hole (`os.SEEK_HOLE`). EINVAL below 0; ENXIO."""
        self._check(True)
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            what = SEEK_DATA if whence == os.SEEK_DATA else SEEK_HOLE
            target = (await self._wind(self._top.seek, self._fd, offset, what)).offset
        elif whence == os.SEEK_SET:
            target = offset
        elif whence == os.SEEK_CUR:
            target = self._position + offset
        elif whence == os.SEEK_END:
            target = (await self.stat()).st_size + offset
        else:
            raise ValueError(f"invalid whence: {whence}")
        if target < 0:
            raise at_path(fail(errno.EINVAL), self._caller.named(self.name))
        self._position = target
        return target

    async def tell(self) -> int:
        self._check(True)
        return self._position

    async def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file to `size`, or to the position, which stays where it is."""
        self._check(self._mode.writable)
        wanted = self._position if size is None else size
        await self._wind(self._top.ftruncate, self._fd, wanted)
        return wanted

    async def stat(self) -> os.stat_result:
        self._check(True)
        return stat_result((await self._wind(self._top.fstat, self._fd)).iatt)

    async def set_attributes(self, new: NewAttributes) -> None:
        """Change mode, owner or times of the open file."""
        self._check(True)
        await self._wind(self._top.fsetattr, self._fd, new)

    # --- durability and locks --------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Report what went wrong so far; nothing is buffered here, a translator below may."""
        self._check(True)
        await self._wind(self._top.flush, self._fd)

    async def fsync(self, datasync: bool = False) -> None:
        """What was written survives a power loss once this has returned."""
        self._check(True)
        await self._wind(self._top.fsync, self._fd, int(datasync))

    @asynccontextmanager
    async def lock(
        self, start: int = 0, length: int = 0, shared: bool = False, wait: bool = True
    ) -> AsyncIterator[None]:
        """Hold an fcntl lock on a range (`length` 0: to the end). EAGAIN held by another, without `wait`; EDEADLK."""
        self._check(True)
        flock = Flock(LockType.READ if shared else LockType.WRITE, start, length, self._call.pid, self._call.lk_owner)
        await self._wind(self._top.lk, self._fd, LockCommand.WAIT if wait else LockCommand.SET, flock)
        self._must_flush = True
        try:
            yield
        finally:
            if not self.closed:  # closing the file gave it back
                flock = attrs.evolve(flock, type=LockType.UNLOCK)
                await self._wind(self._top.lk, self._fd, LockCommand.SET, flock)

    async def close(self) -> None:
        """Flush, and give the fd back, whatever the flush says. Closing twice is no error."""
        if self.closed:
            return
        try:
            if self._must_flush:
                await self._wind(self._top.flush, self._fd)
        finally:
            self.drop()

    def drop(self) -> None:
        """Give the fd back without a word to the bricks: the volume is being closed."""
        if not self.closed:
            self.closed = True
            self._top.release(self._fd)
            self._dropped(self)

    # --- inside ----------------------------------------------------------------------------------------------------

    @property
    def _top(self) -> Translator:
        return self._caller.top

    def _check(self, allowed: bool, *amounts: int) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not allowed:
            raise at_path(fail(errno.EBADF), self._caller.named(self.name))
        if min(amounts, default=0) < 0:
            raise at_path(fail(errno.EINVAL), self._caller.named(self.name))

    async def _wind(self, fop: Callable[Concatenate[Call, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._caller.wind(fop, self._call, *args, **kwargs)
        except OSError as error:
            raise at_path(error, self._caller.named(self.name))  # noqa: B904 (it is the same error)


class Opening:
    """A file about to be opened: awaited, or entered with `async with`, which also closes it."""

    def __init__(self, start: Callable[[], Coroutine[Any, Any, File]]) -> None:
        self._start = start
        self._file: File | None = None

    def __await__(self) -> Generator[Any, Any, File]:
        return self._start().__await__()

    async def __aenter__(self) -> File:
        self._file = await self
        return self._file

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        await self._file.close()
