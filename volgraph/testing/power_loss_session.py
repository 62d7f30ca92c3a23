"""A brick at work on a recording disk: what it looked like after each fop, and what each fop promised to keep."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Loc, Seams, XattropKind
from ..graph.disk import Disk
from ..translators.storage.posix import Posix
from .by_hand import opened_by_hand
from .power_loss_model import Image, Log
from .power_loss_rebuild import rebuild
from .power_loss_recorder import RecordingDisk, recording
from .power_loss_view import View, done, view
from .seams import simulated

BOOT = "first boot"
PENDING = "trusted.afr.mirror-1"
ONE = b"\0\0\0\1" * 3
MINUS_ONE = b"\xff" * 12


def seams_on(disk: Disk) -> Seams:
    seams = simulated(0)
    seams.blocking.disk = disk
    return seams


@contextmanager
def opened(directory: str, mode: str, disk: Disk) -> Iterator[Posix]:
    brick = Posix("brick", directory=directory, metadata=mode, reserve="0")  # type: ignore[arg-type]
    with opened_by_hand(brick, seams_on(disk)):
        yield brick


@attrs.frozen
class Step:
    """A fop that was answered: after so many calls, with the brick looking so."""

    calls: int
    view: View
    promised: tuple[str, Gfid] | None = None
    """("object", gfid), ("data", gfid) or ("names", gfid of the directory) is on the disk; ("all", ...) everything."""


def gfid_of(name: str) -> Gfid:
    """Of a name in a workload. Half of them share the folder of their handles."""
    first = b"\xab\xcd" if len(name) % 2 else bytes((ord(name[0]), ord(name[-1])))
    return Gfid(first + b"\x11" * 6 + name.encode().rjust(8, b"_"))


class Session:
    """Fops in the words of a workload: objects are named by the letters under which they were made.

    A fop that fails is a step too: it must have changed nothing. Without a recording disk no steps are kept.
    """

    def __init__(self, brick: Posix, disk: RecordingDisk | None = None) -> None:
        self.brick = brick
        self.disk = disk
        self.steps: list[Step] = []
        self._open: dict[str, Fd] = {}

    def step(self, fop: Callable[[], Any], promised: tuple[str, Gfid] | None = None) -> bool:
        try:
            done(fop())
            good = True
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            good = False
        self._stepped(promised if good else None)
        return good

    def _stepped(self, promised: tuple[str, Gfid] | None = None) -> None:
        if self.disk is not None:
            self.steps.append(Step(self.disk.log.calls, view(self.brick), promised))

    def loc(self, path: str) -> Loc:
        """`a` in the root, `d/x` in the directory made as `d`."""
        above, _, name = path.rpartition("/")
        return Loc(parent=gfid_of(above) if above else ROOT_GFID, name=name.encode())

    # --- fops --------------------------------------------------------------------------------------------------------

    def create(
        self, path: str, gfid: str, data: bytes = b"", keep: bool = False, marked: bool = False, mode: int = 0o640
    ) -> None:
        """`marked`: with a counter of afr from the start. `keep`: it stays open."""
        fd = Fd(flags=os.O_RDWR)
        call = self._making(gfid, {PENDING: ONE} if marked else {})
        if self.step(lambda: self.brick.create(call, self.loc(path), os.O_RDWR | os.O_EXCL, mode, 0, fd)):
            fd.gfid = gfid_of(gfid)
            if data:
                self.step(lambda: self.brick.writev(Call(), fd, data, 0))
            self._open[gfid] = fd
            if not keep:
                self.release(gfid)

    def mkdir(self, path: str, gfid: str) -> None:
        self.step(lambda: self.brick.mkdir(self._making(gfid, {}), self.loc(path), 0o750, 0))

    def symlink(self, path: str, gfid: str) -> None:
        self.step(lambda: self.brick.symlink(self._making(gfid, {}), b"target", self.loc(path), 0))

    def mkfifo(self, path: str, gfid: str) -> None:
        self.step(lambda: self.brick.mknod(self._making(gfid, {}), self.loc(path), 0o010600, 0, 0))

    def _making(self, gfid: str, xattrs: dict[str, bytes]) -> Call:
        return Call(gid=8, xdata={"gfid-req": gfid_of(gfid), **xattrs})

    def open(self, gfid: str) -> None:
        fd = self._open[gfid] = Fd(gfid_of(gfid), os.O_RDWR)
        self.step(lambda: self.brick.open(Call(), Loc(gfid_of(gfid)), os.O_RDWR, fd))

    def release(self, gfid: str) -> None:
        fd = self._open.pop(gfid, None)
        if fd is not None:
            self.brick.release(fd)
            self._stepped()

    def write(self, gfid: str, data: bytes, offset: int) -> None:
        self.step(lambda: self.brick.writev(Call(), self._fd(gfid), data, offset))

    def heal(self, gfid: str, data: bytes) -> None:
        """A write of the system's own: an ordinary user's brick has to lend the file a mode that allows it."""
        self.step(lambda: self.brick.writev(Call(pid=-6), Fd(gfid_of(gfid)), data, 0))

    def truncate(self, gfid: str, size: int) -> None:
        self.step(lambda: self.brick.truncate(Call(), Loc(gfid_of(gfid)), size))

    def rename(self, old: str, new: str) -> None:
        self.step(lambda: self.brick.rename(Call(), self.loc(old), self.loc(new)))

    def link(self, gfid: str, new: str) -> None:
        self.step(lambda: self.brick.link(Call(), Loc(gfid_of(gfid)), self.loc(new)))

    def unlink(self, path: str) -> None:
        self.step(lambda: self.brick.unlink(Call(), self.loc(path)))

    def rmdir(self, path: str, tree: bool = False) -> None:
        self.step(lambda: self.brick.rmdir(Call(), self.loc(path), int(tree)))

    def blame(self, gfid: str, amount: bytes = ONE) -> None:
        """An xattrop of afr's."""
        self.step(lambda: self.brick.xattrop(Call(), Loc(gfid_of(gfid)), XattropKind.ADD_ARRAY, {PENDING: amount}))

    def setxattr(self, gfid: str, key: str, value: bytes) -> None:
        self.step(lambda: self.brick.setxattr(Call(), Loc(gfid_of(gfid)), {key: value}))

    # --- to the disk -------------------------------------------------------------------------------------------------

    def fsync(self, gfid: str, data_only: bool = False) -> None:
        promised = ("data" if data_only else "object", gfid_of(gfid))
        self.step(lambda: self.brick.fsync(Call(), self._fd(gfid), int(data_only)), promised)

    def fsyncdir(self, gfid: str = "") -> None:
        where = gfid_of(gfid) if gfid else ROOT_GFID
        self.step(lambda: self.brick.fsyncdir(Call(), Fd(where)), ("names", where))

    def _fd(self, gfid: str) -> Fd:
        return self._open.get(gfid) or Fd(gfid_of(gfid))


@attrs.define(eq=False)
class Recorded:
    """A workload that was run: the log of the disk, and the steps, of which the first is what was there before. Crashes
    come after its first `first` calls."""

    name: str
    mode: str
    log: Log
    steps: list[Step]
    first: int


Workload = Callable[[Session], None]


def settled(session: Session) -> None:
    """A brick with something of everything in it."""
    session.mkdir("d", "d")
    session.create("d/x", "xxx", b"inner")
    session.mkdir("e", "e")
    session.create("a", "a", b"contents of a")
    session.create("b", "bb", b"contents of b")
    session.link("bb", "d/b2")
    session.setxattr("a", "user.colour", b"blue")
    session.blame("bb")
    session.create("d/r", "rr", b"read-only", mode=0o400)


def furnished(mode: str, scratch: str) -> Image:
    """What such a brick leaves on the disk when it is closed."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        disk = recording(directory, BOOT)
        with opened(directory, mode, disk) as brick:
            settled(Session(brick, disk))
        return disk.log.image(range(len(disk.log.effects)))


def record(name: str, mode: str, base: Image, scratch: str, before: Workload, then: Workload) -> Recorded:
    """Run both parts in a brick that was open, and all of it on the disk, when they began; crashes come in the second.
    With `stop` for it they come while the brick is closed."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        image = attrs.evolve(base.copy(), objects=dict(base.objects))
        objects = rebuild(image, directory)
        disk = RecordingDisk(Log(image), objects, BOOT)
        log = disk.log
        with opened(directory, mode, disk) as brick:
            session = Session(brick, disk)
            log.begin()
            log.sync_all()
            session.steps = [Step(log.calls, view(brick), ("all", ROOT_GFID))]
            before(session)
            first = log.calls
            then(session)
            last = log.calls
        if then is stop:
            session.steps.append(Step(log.calls, session.steps[-1].view, ("all", ROOT_GFID)))
        return Recorded(name, mode, log if then is stop else log.until(last), session.steps, first)


def stop(session: Session) -> None:
    """The brick is closed in good order."""
