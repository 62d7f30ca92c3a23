"""Copies of trees: into a volume, out of it, or from one to another.

As `cp -a` makes them: modes, times (to the nanosecond), extended attributes, symlinks, hard links within the tree,
holes, fifos, sockets and devices are kept, and where root copies, owners. Of a file that cannot be copied whole nothing
is left, if the copy has made it; one that stood there before stays, incomplete, and the error says so. Paths are str; a
name that is no text is in it as `os.fsdecode` has it.
"""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Protocol

import anyio
import attrs

from .files import IO_BYTES_MAX
from .graph import Buffer

Choose = Callable[[str], bool]
Progress = Callable[[str, int], None]
OnError = Callable[[OSError], object]

Identity = tuple[int, int]
"""st_dev and st_ino. A volume has no st_dev, so that nothing in it is taken for something local."""

TOLD_BYTES = 16 << 20
"""The progress of a file is told whenever so much has come."""

TAKE_AWAY_SECONDS = 5.0
"""How long whoever is cancelled waits for half a file to be removed."""

NO_LINK = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV))
"""The target can make no hard link: the file gets contents of its own."""


@attrs.define
class CopyCount:
    """What a copy made. `links`: further names of files that it had copied; `specials`: fifos, sockets and devices;
    `bytes`: data, without holes; `failed`: names that could not be copied."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    links: int = 0
    specials: int = 0
    bytes: int = 0
    failed: int = 0


class Reader(Protocol):
    """An open file of the source."""

    async def read(self, size: int, offset: int) -> Buffer:
        """At most `size` bytes; none at the end."""
        ...

    async def data_after(self, offset: int) -> tuple[int, int] | None:
        """Where the next data begin and end; None: there is only a hole."""
        ...

    async def xattrs(self) -> Mapping[str, bytes]: ...


class Writer(Protocol):
    """A new, or emptied, file of the target. Until it is finished only its owner may use a new one."""

    made: Identity | None
    """Of a new one; None of one that was there before."""

    async def write(self, data: Buffer, offset: int) -> None: ...

    async def finish(self, st: os.stat_result, size: int | None, xattrs: Mapping[str, bytes]) -> None:
        """Owner, xattrs, mode and times; `size` where the file ends in a hole, or may."""
        ...


class Tree(Protocol):
    """One side of a copy. Names that stand in the way are refused with EEXIST; only `writing` takes what is there."""

    def named(self, path: str) -> str:
        """What an error calls a path of this side."""
        ...

    def bricks(self) -> frozenset[Identity]:
        """The local directories in which a volume keeps what it holds."""
        ...

    async def stat(self, path: str, follow: bool) -> os.stat_result: ...
    async def entries(self, path: str) -> list[tuple[str, os.stat_result]]: ...
    async def readlink(self, path: str) -> str: ...
    async def xattrs(self, path: str, follow: bool) -> Mapping[str, bytes]: ...
    def reading(self, path: str, follow: bool) -> AbstractAsyncContextManager[Reader]: ...

    def writing(self, path: str, follow: bool) -> AbstractAsyncContextManager[Writer]: ...
    async def mkdir(self, path: str) -> None: ...
    async def symlink(self, target: str, path: str) -> None: ...
    async def mknod(self, path: str, mode: int, device: int) -> None: ...
    async def link(self, old: str, new: str) -> None: ...
    async def unlink(self, path: str) -> None: ...
    async def finish(self, path: str, st: os.stat_result, xattrs: Mapping[str, bytes]) -> None:
        """Owner, xattrs, mode and times of anything but a file."""
        ...


@attrs.frozen
class _Item:
    """What is to be copied where; `filled` of a directory whose contents have been copied."""

    here: str
    there: str
    st: os.stat_result
    is_top: bool = False
    filled: bool = False


@attrs.define(eq=False)
class Copy:
    """One copy under way. With `on_error` a name that cannot be copied is told, and the rest is copied all the same;
    without, the first error ends it. `progress` is told each path when it is done, with the bytes that came since it
    was last told: of a long file several times."""

    source: Tree
    target: Tree
    choose: Choose | None = None
    progress: Progress | None = None
    on_error: OnError | None = None
    count: CopyCount = attrs.field(init=False, factory=CopyCount)
    _first: dict[Identity, tuple[str, int]] = attrs.field(init=False, factory=dict)
    """Of each file with several names: where the first was copied to, and how many are still to come."""
    _bricks: frozenset[Identity] = attrs.field(init=False, default=frozenset())
    _told_bytes: int = attrs.field(init=False, default=0)

    async def run(self, path: str, goal: str) -> CopyCount:
        """Copy what stands at `path`, with all below it, to `goal`. EINVAL onto or into itself."""
        top = _Item(path, goal, await self.source.stat(path, True), is_top=True)
        await self._refuse_into_itself(top)
        self._bricks = self.target.bricks()
        todo = [top]
        while todo:
            item = todo.pop()
            try:
                if item.filled:
                    await self.target.finish(item.there, item.st, await self.source.xattrs(item.here, True))
                elif mode_bits.S_ISDIR(item.st.st_mode):
                    todo += await self._directory(item)
                else:
                    await self._other(item)
            except OSError as error:
                self.count.failed += 1
                if self.on_error is None:
                    raise
                self.on_error(error)
        return self.count

    async def _directory(self, item: _Item) -> list[_Item]:
        """Make it, or fill the one that is there; answers what is to be done next, the last first. The goal itself may
        be a link to one, as whoever copies has named it."""
        if _identity(item.st) in self._bricks:
            raise self._in_a_brick(self.source, item.here)
        try:
            await self.target.mkdir(item.there)
        except FileExistsError:
            if not mode_bits.S_ISDIR((await self.target.stat(item.there, item.is_top)).st_mode):
                raise
        self.count.directories += 1
        self._tell(item)
        todo = [attrs.evolve(item, filled=True)]
        for name, st in sorted(await self.source.entries(item.here), reverse=True):
            here = os.path.join(item.here, name)
            if self.choose is None or self.choose(here):
                todo.append(_Item(here, os.path.join(item.there, name), st))
        return todo

    async def _other(self, item: _Item) -> None:
        st, mode = item.st, item.st.st_mode
        if await self._linked(item):
            self.count.links += 1
        elif mode_bits.S_ISREG(mode):
            await self._refuse_same_file(item)
            await self._file(item)
            self.count.files += 1
        elif mode_bits.S_ISLNK(mode):
            target = await self.source.readlink(item.here)
            await self._replacing(item.there, lambda: self.target.symlink(target, item.there))
            await self.target.finish(item.there, st, await self.source.xattrs(item.here, False))
            self.count.symlinks += 1
        else:
            await self._replacing(item.there, lambda: self.target.mknod(item.there, mode, st.st_rdev))
            await self.target.finish(item.there, st, await self.source.xattrs(item.here, False))
            self.count.specials += 1
        if st.st_nlink > 1:
            self._remember(item)
        self._tell(item)

    async def _replacing(self, path: str, make: Callable[[], Awaitable[None]]) -> None:
        """Make a name; one that stands there already goes, unless it is a directory."""
        try:
            await make()
        except FileExistsError:
            await self.target.unlink(path)
            await make()

    # --- hard links --------------------------------------------------------------------------------------------------

    async def _linked(self, item: _Item) -> bool:
        """Was it a further name of a file that has been copied?"""
        first = self._first.get(_identity(item.st))
        if first is None:
            return False
        try:
            await self._replacing(item.there, lambda: self.target.link(first[0], item.there))
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            return False
        return True

    def _remember(self, item: _Item) -> None:
        key = _identity(item.st)
        path, left = self._first.get(key, (item.there, item.st.st_nlink))
        if left > 1:
            self._first[key] = (path, left - 1)
        else:
            del self._first[key]

    # --- files -------------------------------------------------------------------------------------------------------

    async def _file(self, item: _Item) -> None:
        st = item.st
        source = self.source.reading(item.here, item.is_top)
        target = self.target.writing(item.there, item.is_top)
        begun: Writer | None = None
        try:
            async with source as reader, target as writer:
                begun, size = writer, None
                if st.st_blocks * 512 < st.st_size:
                    size = await self._with_holes(item, reader, writer)
                else:
                    await self._range(item, reader, writer, 0, None)
                await writer.finish(st, size, await reader.xattrs())
        except BaseException as error:  # a cancellation of any kind
            if begun is not None and await self._is_left(item, begun.made):
                self._say_left(item, error)
            raise

    async def _is_left(self, item: _Item, made: Identity | None) -> bool:
        """Take away a file that is not whole, which under its name would look so, if this copy has made it. What was
        there before is not ours to remove: it is left, as is what cannot be reached any more."""
        with anyio.move_on_after(TAKE_AWAY_SECONDS, shield=True), suppress(OSError):
            there = await _found(self.target, item.there, item.is_top and made is None)
            if made is None:
                return there is not None and mode_bits.S_ISREG(there.st_mode)  # a device is as it was
            if there is not None and _identity(there) == made:
                await self.target.unlink(item.there)
            return False
        return True

    def _say_left(self, item: _Item, error: BaseException) -> None:
        """In the error itself; whoever is cancelled shows none."""
        name = self.target.named(item.there)
        error.add_note(f"{name} is left incomplete")
        if self.on_error is not None and not isinstance(error, Exception):
            self.on_error(OSError(errno.EINTR, "Is left incomplete: the copy was interrupted", name))

    async def _with_holes(self, item: _Item, reader: Reader, writer: Writer) -> int:
        """Only what is between the holes; answers the size."""
        at = 0
        while (found := await reader.data_after(at)) is not None:
            at = await self._range(item, reader, writer, *found)
            if at < found[1]:  # it has become shorter meanwhile
                return at
        return max(at, item.st.st_size)

    async def _range(self, item: _Item, reader: Reader, writer: Writer, start: int, end: int | None) -> int:
        """Copy the bytes up to `end`, or to the end of the file; answers where it ended."""
        offset = start
        while end is None or offset < end:
            size = IO_BYTES_MAX if end is None else min(end - offset, IO_BYTES_MAX)
            data = await reader.read(size, offset)
            if not data:
                break
            await writer.write(data, offset)
            offset += len(data)
            self.count.bytes += len(data)
            if self.count.bytes - self._told_bytes >= TOLD_BYTES:
                self._tell(item)
        return offset

    def _tell(self, item: _Item) -> None:
        if self.progress is not None:
            size, self._told_bytes = self.count.bytes - self._told_bytes, self.count.bytes
            self.progress(item.there, size)

    # --- onto itself -------------------------------------------------------------------------------------------------

    async def _refuse_into_itself(self, top: _Item) -> None:
        """Before anything is made: neither the goal nor a directory above it is what is copied, or a brick of the
        volume that is copied; nor does what is copied lie in a brick of the volume that it is copied to."""
        if self.source == self.target and await _lies_in(self.target, top.there, {_identity(top.st)}):
            raise self._itself(top)
        if await _lies_in(self.target, top.there, self.source.bricks()):
            raise self._in_a_brick(self.target, top.there)
        if await _lies_in(self.source, top.here, self.target.bricks()):
            raise self._in_a_brick(self.source, top.here)

    async def _refuse_same_file(self, item: _Item) -> None:
        """Another name of it, in the way of its copy, would be emptied before it was read."""
        if item.st.st_nlink > 1 and self.source == self.target:
            there = await _found(self.target, item.there, item.is_top)
            if there is not None and _identity(there) == _identity(item.st):
                raise self._itself(item)

    def _itself(self, item: _Item) -> OSError:
        return OSError(errno.EINVAL, "Cannot be copied onto or into itself", self.source.named(item.here))

    def _in_a_brick(self, tree: Tree, path: str) -> OSError:
        return OSError(errno.EINVAL, "Is a brick of the volume, or lies in one", tree.named(path))


def _identity(st: os.stat_result) -> Identity:
    return st.st_dev, st.st_ino


async def _found(tree: Tree, path: str, follow: bool) -> os.stat_result | None:
    try:
        return await tree.stat(path, follow)
    except FileNotFoundError:
        return None


async def _lies_in(tree: Tree, path: str, places: Collection[Identity]) -> bool:
    """Is it, or a directory above it, one of these?"""
    if not places:
        return False
    st = await _found(tree, path, True)
    if st is not None and _identity(st) in places:
        return True
    is_dir = st is not None and mode_bits.S_ISDIR(st.st_mode)
    above = path if is_dir else os.path.dirname(path.rstrip("/")) or "."
    last: os.stat_result | None = None
    while (st := await _found(tree, above, True)) is not None:
        if _identity(st) in places:
            return True
        if last is not None and _identity(st) == _identity(last):  # the root is above itself
            return False
        last, above = st, os.path.join(above, "..")
    return False
