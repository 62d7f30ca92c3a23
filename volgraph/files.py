"""Open files: binary and unbuffered. A write returns when the top translator has answered."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from operator import index
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from .caller import Caller
from .errors import StrPath, at_path
from .graph import (
    SEEK_DATA,
    SEEK_HOLE,
    Buffer,
    Call,
    Fd,
    Flock,
    LockCommand,
    LockType,
    NewAttributes,
    Translator,
    fail,
)
from .listing import stat_result

P = ParamSpec("P")
R = TypeVar("R")

IO_BYTES_MAX = 1 << 20
"""One fop reads or writes at most this much."""
OFFSET_MAX = (1 << 63) - 1
"""Of a byte in a file."""

KEEP_SIZE = 1
"""The flag of fallocate."""


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
    """One open file of a volume, with its own position and its own lock owner. Errors are OSError and name the path;
    ValueError once it is closed.

    `async with vol.open(path, mode) as file`; or `file = await vol.open(path, mode)` and `await file.close()`. One that
    is forgotten unclosed is given back by the volume, with a ResourceWarning.
    """

    closed = True  # of a file whose making failed

    def __init__(self, caller: Caller, fd: Fd, path: StrPath, mode: Mode) -> None:
        self.name = path
        self.closed = False
        self._caller = caller
        self._fd = fd
        self._mode = mode
        self._call: Call = caller.call.owned_by(caller.new_owner())
        self._call.attributes = mode.append  # nobody looks at them but for where an append has ended
        self._position = 0
        self._end = 0  # of the file, after the last append
        self._must_flush = mode.writable

    def __repr__(self) -> str:
        return f"<{'closed' if self.closed else 'open'} File {self.name!r}>"

    async def __aenter__(self) -> File:
        self._check(True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- reading and writing ---------------------------------------------------------------------------------------

    async def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`; fewer only at the end of the file. EINVAL below 0."""
        return _joined(await self._pieces(size, offset))

    async def pread_buffer(self, size: int, offset: int) -> Buffer:
        """As pread, of bytes or of a bytearray: whatever makes no copy."""
        pieces = await self._pieces(size, offset)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pwrite(self, data: Buffer, offset: int) -> int:
        """Write all of `data` at `offset` (at the end, if the file was opened for appending); gives its length."""
        self._check(self._mode.writable, offset)
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            piece = view[done : done + IO_BYTES_MAX]
            reply = await self._wind(self._top.writev, self._fd, piece, offset + done, self._fd.flags)
            if not 0 < reply.count <= len(piece):
                raise self._named(fail(errno.EIO, f"{reply.count} of {len(piece)} bytes written"))
            done += reply.count
            if self._mode.append and reply.post is not None:
                self._end = reply.post.size
        return len(view)

    async def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes from the position on, or all that follows."""
        data = _joined(await self._pieces(None if size is None or size < 0 else size, self._position))
        self._position += len(data)
        return data

    async def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill `buffer` from the position on; gives the number of bytes read."""
        view = memoryview(buffer).cast("B")
        done = 0
        for piece in await self._pieces(len(view), self._position):
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._position += done
        return done

    async def write(self, data: Buffer) -> int:
        """Write all of `data` at the position; gives its length."""
        count = await self.pwrite(data, self._position)
        if not self._mode.append:
            self._position += count
        elif count:
            self._position = self._end
        return count

    async def _pieces(self, size: int | None, offset: int) -> list[Buffer]:
        """What readv answers, fop by fop; `size` None: up to the end."""
        self._check(self._mode.readable, 0 if size is None else size, offset)
        pieces: list[Buffer] = []
        while size is None or size > 0:
            wanted = IO_BYTES_MAX if size is None else min(size, IO_BYTES_MAX)
            reply = await self._wind(self._top.readv, self._fd, wanted, offset)
            if len(reply.data) > wanted:
                raise self._named(fail(errno.EIO, f"{len(reply.data)} bytes where {wanted} were asked for"))
            pieces.append(reply.data)
            offset += len(reply.data)
            if size is not None:
                size -= len(reply.data)
            if reply.end or not reply.data:
                break
        return pieces

    # --- position and size -----------------------------------------------------------------------------------------

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; also to the next data (`os.SEEK_DATA`) or hole (`os.SEEK_HOLE`). EINVAL below 0,
        or behind `OFFSET_MAX`; ENXIO."""
        self._check(True)
        offset = index(offset)
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
        if not 0 <= target <= OFFSET_MAX:
            raise self._named(fail(errno.EINVAL))
        self._position = target
        return target

    async def tell(self) -> int:
        self._check(True)
        return self._position

    async def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file to `size`, or to the position, which stays where it is."""
        self._check(self._mode.writable)
        wanted = self._position if size is None else index(size)
        await self._wind(self._top.ftruncate, self._fd, wanted)
        return wanted

    async def allocate(self, offset: int, length: int, keep_size: bool = False) -> None:
        """Reserve space for a range, so that writing there finds room: zeros where nothing was. The file is extended if
        the range goes beyond its end, unless `keep_size`. ENOSPC EFBIG EINVAL; EOPNOTSUPP where a brick cannot."""
        self._check(self._mode.writable, offset, length)
        await self._wind(self._top.fallocate, self._fd, KEEP_SIZE if keep_size else 0, offset, length)

    async def stat(self) -> os.stat_result:
        self._check(True)
        return stat_result((await self._wind(self._top.fstat, self._fd)).iatt)

    async def set_attributes(self, new: NewAttributes) -> None:
        """Change mode, owner or times of the open file."""
        self._check(True)
        await self._wind(self._top.fsetattr, self._fd, new)

    async def xattrs(self) -> Mapping[str, bytes]:
        """All extended attributes of the open file."""
        self._check(True)
        return (await self._wind(self._top.fgetxattr, self._fd, None)).values

    async def set_xattrs(self, values: Mapping[str, bytes]) -> None:
        self._check(True)
        await self._wind(self._top.fsetxattr, self._fd, values)

    # --- durability and locks --------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Report what went wrong so far; nothing is buffered here, a translator below may. The file's locks stay."""
        self._check(True)
        caller = self._caller
        try:  # not as the owner of the locks: a flush ends those of its owner
            await caller.wind(self._top.flush, caller.call, self._fd)
        except OSError as error:
            raise self._named(error)  # noqa: B904 (it is the same error)

    async def fsync(self, datasync: bool = False) -> None:
        """What was written survives a power loss once this has returned."""
        self._check(True)
        await self._wind(self._top.fsync, self._fd, int(datasync))

    def lock(self, start: int = 0, length: int = 0, shared: bool = False, wait: bool = True) -> Locking:
        """Hold an fcntl lock on a range (`length` 0: to the end): `async with file.lock(0, 100)`. EAGAIN held by
        another, without `wait`; EDEADLK; EOVERFLOW it would go beyond `OFFSET_MAX`.

        The locks of one open file have one owner: where they overlap, the later replaces the earlier, and given back is
        what both cover. Whoever is cancelled while waiting, or while holding, leaves nothing behind.
        """
        self._check(True, start, length)
        if start + max(length, 1) - 1 > OFFSET_MAX:
            raise self._named(fail(errno.EOVERFLOW))
        flock = Flock(LockType.READ if shared else LockType.WRITE, start, length, self._call.pid, self._call.lk_owner)
        return Locking(self, flock, LockCommand.WAIT if wait else LockCommand.SET)

    async def _change_lock(self, command: LockCommand, flock: Flock) -> None:
        self._must_flush = True
        await self._wind(self._top.lk, self._fd, command, flock)

    def _start(self, work: Coroutine[Any, Any, R]) -> Awaitable[R]:
        """Run what is to go on even if we are cancelled."""
        return self._caller.graph.tasks.start(work)

    # --- closing ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Flush, and give the fd back, whatever the flush says. Closing twice is no error; a cancellation leaves
        nothing open."""
        if self.closed:
            return
        self.closed = True
        try:
            if self._must_flush:
                await self._wind(self._top.flush, self._fd)
        except Exception:
            self._top.release(self._fd)
            raise
        except BaseException:  # a cancellation of any kind: it is flushed without us
            self._start(self._ended())
            raise
        self._top.release(self._fd)

    async def _ended(self) -> None:
        try:
            await self._wind(self._top.flush, self._fd)
        finally:
            self._top.release(self._fd)

    def drop(self) -> None:
        """Give the fd back without a word to the bricks: the volume is being closed."""
        if not self.closed:
            self.closed = True
            self._top.release(self._fd)

    def __del__(self) -> None:
        if not self.closed:
            message = f"unclosed {self!r}"
            self.closed = True
            self._caller.forgotten.append((self._call, self._fd))  # any thread may collect it: the volume gives it back
            warnings.warn(message, ResourceWarning, stacklevel=1)

    # --- inside ----------------------------------------------------------------------------------------------------

    @property
    def _top(self) -> Translator:
        return self._caller.top

    def _check(self, allowed: bool, *amounts: int) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not allowed:
            raise self._named(fail(errno.EBADF))
        for amount in amounts:
            if index(amount) < 0:
                raise self._named(fail(errno.EINVAL))

    def _named(self, error: OSError) -> OSError:
        return at_path(error, self._caller.named(self.name))

    async def _wind(self, fop: Callable[Concatenate[Call, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._caller.wind(fop, self._call, *args, **kwargs)
        except OSError as error:
            raise self._named(error)  # noqa: B904 (it is the same error)


class Locking:
    """A lock of a file, held inside an `async with`."""

    def __init__(self, file: File, flock: Flock, command: LockCommand) -> None:
        self._file = file
        self._flock = flock
        self._unlock = attrs.evolve(flock, type=LockType.UNLOCK)
        self._command = command

    async def __aenter__(self) -> None:
        try:
            await self._file._change_lock(self._command, self._flock)
        except OSError:
            raise
        except BaseException:  # a cancellation of any kind
            self._file._start(self._withdraw())
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file.closed:  # that gave it back
            return
        try:
            await self._file._start(self._file._change_lock(LockCommand.SET, self._unlock))
        except OSError:
            if error is None:  # the holder's own error says more
                raise

    async def _withdraw(self) -> None:
        """The first unlock gives back what was granted meanwhile, or was held where the ranges overlap; then one that
        finds nothing held withdraws the request itself."""
        with suppress(OSError):
            for _ in range(2):
                await self._file._change_lock(LockCommand.SET, self._unlock)


def _joined(pieces: list[Buffer]) -> bytes:
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)


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
