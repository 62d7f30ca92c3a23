"""`Volume`: files, names and healing on top of an opened graph."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import healing
from .copying import CopyCount, LocalTree, VolumeTree, copy
from .errors import StrPath, fresh
from .files import File, Mode, Opening
from .graph import Fd, Gfid, Graph, Loc, fail
from .names import Names
from .paths import as_bytes, wants_directory
from .status import NodeStatus, status_of

if TYPE_CHECKING:
    from .translators.cluster.afr.report import HealReport


class Volume(Names):
    """An opened graph, as `volgraph.open` gives it. A path is str, bytes or PathLike, and begins at the volume's root.

    Errors are OSError with an errno and name the path. ENOTCONN: too few copies can be reached; EIO: no copy can be
    trusted, or a brick's disk failed. Any number of tasks may use one Volume.
    """

    def __init__(self, graph: Graph, umask: int | None = None, label: str = "") -> None:
        """`umask` None: that of the process. With a `label`, errors name `label:path`."""
        super().__init__(graph, umask, label)
        self._files: set[File] = set()
        self._reports: dict[str, HealReport] = {}

    # --- files -----------------------------------------------------------------------------------------------------

    async def write_bytes(self, path: StrPath, data: bytes | bytearray | memoryview) -> int:
        """Make the file, or replace its contents; gives the number of bytes. ENOENT EISDIR ENOSPC."""
        view = memoryview(data)  # what is no data must not make an empty file
        async with self.open(path, "wb") as file:
            return await file.write(view)

    async def read_bytes(self, path: StrPath) -> bytes:
        """The whole file. ENOENT EISDIR."""
        async with self.open(path, "rb") as file:
            return await file.read()

    def open(self, path: StrPath, mode: str = "rb", permissions: int = 0o666) -> Opening:
        """Open a file: `async with vol.open(path, "r+b") as file`. Modes as in `open`, binary and unbuffered;
        `permissions`, less the umask, are those of a file that is made. ENOENT EEXIST EISDIR EACCES."""
        parsed = Mode.parse(mode)
        return Opening(lambda: self._open(path, parsed, permissions))

    @fresh
    async def _open(self, path: StrPath, mode: Mode, permissions: int) -> File:
        place = await self._paths.place(path, follow=not mode.exclusive)
        if place.iatt is None and mode.create:
            if wants_directory(as_bytes(path)):
                raise fail(errno.EISDIR)
            try:
                return await self._create(path, place.loc, mode, permissions & ~self._caller.umask)
            except FileExistsError:
                if mode.exclusive:
                    raise
                place = await self._paths.place(path, follow=True)  # somebody was faster: open what they made
        elif mode.exclusive:
            raise fail(errno.EEXIST)
        if place.found.is_dir:
            raise fail(errno.EISDIR)
        if wants_directory(as_bytes(path)):
            raise fail(errno.ENOTDIR)
        return await self._open_found(path, place.found.gfid, mode)

    async def _create(self, path: StrPath, loc: Loc, mode: Mode, permissions: int) -> File:
        caller, fd, flags = self._caller, Fd(flags=mode.flags), mode.flags | os.O_CREAT | os.O_EXCL
        made = await caller.wind(caller.top.create, caller.making(), loc, flags, permissions, caller.umask, fd)
        fd.gfid = made.iatt.gfid
        return self._file(path, fd, mode)

    async def _open_found(self, path: StrPath, gfid: Gfid, mode: Mode) -> File:
        fd = Fd(gfid, mode.flags)
        await self._caller.wind(self._caller.top.open, self._caller.call, Loc(gfid), mode.flags, fd)
        file = self._file(path, fd, mode)
        if mode.truncate:
            try:
                await file.truncate(0)
            except BaseException:
                file.drop()
                raise
        return file

    def _file(self, path: StrPath, fd: Fd, mode: Mode) -> File:
        file = File(self._caller, fd, path, mode, self._files.discard)
        self._files.add(file)
        return file

    # --- trees -----------------------------------------------------------------------------------------------------

    async def copy_in(
        self,
        source: StrPath,
        path: StrPath,
        *,
        choose: Callable[[str], bool] | None = None,
        progress: Callable[[str, int], None] | None = None,
    ) -> CopyCount:
        """Copy a local file, or a directory with all below it, to `path`; modes, times and symlinks are kept.

        A directory that stands at `path` is filled, a file replaced. `choose` says of each local path below `source`
        whether it is copied; `progress` is told each path and its size when it is done. EOPNOTSUPP special files.
        """
        there = VolumeTree(self)
        return await copy(LocalTree(), os.fsdecode(source), there, os.fsdecode(path), choose, progress)

    async def copy_out(
        self, path: StrPath, target: StrPath, *, progress: Callable[[str, int], None] | None = None
    ) -> CopyCount:
        """Copy a file, or a directory with all below it, to a local path, as `copy_in`."""
        return await copy(VolumeTree(self), os.fsdecode(path), LocalTree(), os.fsdecode(target), None, progress)

    # --- state -----------------------------------------------------------------------------------------------------

    async def heal(
        self, path: StrPath = "/", full: bool = False, resolve: str | None = None, accept: str | None = None
    ) -> HealReport:
        """Heal what is marked at or below `path`, in every afr of the graph; return when nothing more can be healed.

        `full`: compare everything, marked or not. `resolve` and `accept`, decisions that only a person can make, are
        not built yet: EOPNOTSUPP.
        """
        if resolve is not None or accept is not None:
            raise fail(errno.EOPNOTSUPP, "heal: resolve and accept are not supported yet")
        report = await healing.heal(self, path, full)
        self._reports = await healing.pending(self.graph)
        return report

    async def pending(self) -> HealReport:
        """What is marked and not healed, with names; nothing is changed."""
        self._reports = await healing.pending(self.graph)
        return await healing.named(self, healing.together(self._reports.values()))

    def status(self) -> NodeStatus:
        """The graph from the top down, each node with its state. `pending` is what the last `pending()` or `heal()`
        found, None before."""
        return status_of(self.graph.top, self._reports)

    def close(self) -> None:
        """Give back every open file and lock. `volgraph.open` does it on the way out."""
        for file in list(self._files):
            file.drop()
        self.graph.top.disconnect(self._caller.client)
