"""`Volume`: files, names and healing on top of an opened graph."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import healing
from .copy_local import LocalTree
from .copy_volume import VolumeTree
from .copying import Choose, Copy, CopyCount, OnError, Progress
from .errors import StrPath, fresh
from .files import File, Mode, Opening
from .graph import Fd, Gfid, Graph, Loc, fail
from .names import Names
from .paths import as_bytes, wants_directory
from .probing import Probe, probe
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
        self._files: WeakSet[File] = WeakSet()
        self._reports: dict[str, HealReport] = {}
        self._probes: dict[str, Probe] = {}

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
    async def _open(self, path: StrPath, mode: Mode, permissions: int, follow: bool = True) -> File:
        """ELOOP a symlink that is not to be followed."""
        if mode.exclusive and await self._paths.nameless(path):
            raise fail(errno.EEXIST)
        place = await self._paths.place(path, follow=follow and not mode.exclusive, file=mode.create)
        if place.iatt is None and mode.create:
            try:
                return await self._create(path, place.loc, mode, permissions & 0o7777 & ~self._caller.umask)
            except FileExistsError:
                if mode.exclusive:
                    raise
                place = await self._paths.place(path, follow=True)  # somebody was faster: open what they made
        elif mode.exclusive:
            raise fail(errno.EEXIST)
        if place.found.is_dir:
            raise fail(errno.EISDIR)
        if place.found.is_symlink:
            raise fail(errno.ELOOP)
        if wants_directory(as_bytes(path)):
            raise fail(errno.ENOTDIR)
        return await self._open_found(path, place.found.gfid, mode)

    async def _create(self, path: StrPath, loc: Loc, mode: Mode, permissions: int) -> File:
        caller, fd, flags = self._caller, Fd(flags=mode.flags), mode.flags | os.O_CREAT | os.O_EXCL
        making = caller.making()
        made = await caller.wind_open(fd, caller.top.create, making, loc, flags, permissions, caller.umask, fd)
        fd.gfid = made.iatt.gfid
        return self._file(path, fd, mode)

    async def _open_found(self, path: StrPath, gfid: Gfid, mode: Mode) -> File:
        fd = Fd(gfid, mode.flags)
        await self._caller.wind_open(fd, self._caller.top.open, self._caller.call, Loc(gfid), mode.flags, fd)
        file = self._file(path, fd, mode)
        if mode.truncate:
            try:
                await file.truncate(0)
            except BaseException:
                file.drop()
                raise
        return file

    def _file(self, path: StrPath, fd: Fd, mode: Mode) -> File:
        file = File(self._caller, fd, path, mode)
        self._files.add(file)
        return file

    # --- trees -----------------------------------------------------------------------------------------------------

    async def copy_in(
        self,
        source: StrPath,
        path: StrPath,
        *,
        choose: Choose | None = None,
        progress: Progress | None = None,
        on_error: OnError | None = None,
    ) -> CopyCount:
        """Copy a local file, or a directory with all below it, to `path`, as `cp -a` does: modes, times, extended
        attributes, symlinks, hard links within the tree, holes, fifos and devices are kept, and owners if root copies.

        A directory that stands at `path` is filled, a file overwritten. One that cannot be copied whole is removed
        again, for half of it would look whole, if the copy has made it; one that was there before is left incomplete,
        and the error has a note of that. `choose` says of each local path below `source` whether it is copied.
        `progress` is told each path when it is done, and the bytes since it was last told; of
        long files several times. With `on_error` what cannot be copied is told there, and the rest is copied all the
        same; without, the first error ends it. EINVAL onto or into itself, or its bricks.
        """
        copy = Copy(LocalTree(), VolumeTree(self), choose, progress, on_error)
        return await copy.run(os.fsdecode(source), os.fsdecode(path))

    async def copy_out(
        self,
        path: StrPath,
        target: StrPath,
        *,
        choose: Choose | None = None,
        progress: Progress | None = None,
        on_error: OnError | None = None,
    ) -> CopyCount:
        """Copy a file, or a directory with all below it, to a local path, as `copy_in`. Nothing is written through a
        local link that stands in the way."""
        copy = Copy(VolumeTree(self), LocalTree(), choose, progress, on_error)
        return await copy.run(os.fsdecode(path), os.fsdecode(target))

    # --- state -----------------------------------------------------------------------------------------------------

    async def heal(
        self, path: StrPath = "/", full: bool = False, resolve: str | None = None, accept: str | None = None
    ) -> HealReport:
        """Heal what is marked at or below `path`, in every afr of the graph; return when nothing more can be healed.

        `full`: compare everything, marked or not. `accept`: the name of a child to be filled from the others, as one
        that has nothing: one that is kept out (an emptied disk, another one's), or stands beside a directory that was
        full before. EINVAL no afr has it.
        `resolve`, which decides a split-brain, is not built yet: EOPNOTSUPP.
        """
        if resolve is not None:
            raise fail(errno.EOPNOTSUPP, "heal: resolve is not supported yet")
        if accept is not None:
            await healing.accept(self.graph, accept)
        report = await healing.heal(self, path, full or accept is not None)
        self._reports = await healing.pending(self.graph)
        return report

    async def pending(self) -> HealReport:
        """What is marked and not healed, with names; nothing is changed."""
        self._reports = await healing.pending(self.graph)
        return await healing.named(self, healing.together(self._reports.values()))

    async def probe(self) -> NodeStatus:
        """Ask every leaf that is up how it is; what one does not answer within five seconds stays None. `status`."""
        self._probes = await probe(self.graph)
        return self.status()

    def status(self) -> NodeStatus:
        """The graph from the top down, each node with its state. `pending` is what the last `pending()` or `heal()`
        found, latency and space are what the last `probe()` found: None before."""
        return status_of(self.graph.top, self._reports, self._probes)

    def close(self) -> None:
        """Give back every open file and lock. `volgraph.open` does it on the way out."""
        for file in list(self._files):
            file.drop()
        while self._caller.forgotten:
            self.graph.top.release(self._caller.forgotten.popleft()[1])
        self.graph.top.disconnect(self._caller.client)
