"""No race of names leads a brick out of its directory (S04): not with programs that swap directories and symlinks on
the disk, not with a swap before any one system call. What lies outside, the canary, is neither changed nor told."""

import errno
import itertools
import os
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

import volgraph
from tests.translators.storage.bricks import AS_ROOT, MODES, Hand, in_both_modes, running
from tests.translators.storage.canary import CANARY, DANCES, EXCHANGES, exchange, make_canary, picture, swapping
from tests.translators.storage.ordinary_user import IN_MEMORY, users_folder
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Loc, NewAttributes, Seams, XattropKind
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool
from volgraph.translators import Posix

# --- a swap before any one system call -------------------------------------------------------------------------------


class Interfering(Disk):
    """The disk; before call number `at` of an action, and before the next one if `back`, `swap` comes in between."""

    def __init__(self) -> None:
        self.swap: Callable[[], None] | None = None
        self.at, self.back, self.calls, self.swapped = 0, False, 0, False
        for name in dir(Disk):
            if not name.startswith("_"):
                setattr(self, name, self._interfered(getattr(self, name)))

    def _interfered(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def interfered(*args: Any, **kwargs: Any) -> Any:
            swap, self.swap = self.swap, None  # not while one is under way
            if swap is not None:
                self.calls += 1
                if self.calls == self.at or (self.back and self.calls == self.at + 1):
                    swap()
                    self.swapped = not self.swapped
            self.swap = swap
            return call(*args, **kwargs)

        return interfered


class Careless(Interfering):
    """The planted defect: what is opened may be a symlink."""

    open = staticmethod(lambda path, flags, *args, **kwargs: os.open(path, flags & ~os.O_NOFOLLOW, *args, **kwargs))


@attrs.define
class Tree:
    """A directory `d` with the files `f` and `g`, a directory `s` with one, and beside each a symlink to the canary."""

    hand: Hand
    number: int
    gfids: dict[str, Gfid] = attrs.field(factory=dict)

    async def make(self) -> None:
        hand = self.hand
        self.gfids["top"] = top = await hand.dir(b"t%d" % self.number)
        self.gfids["d"] = d = await hand.dir(b"d", top)
        self.gfids["f"] = await hand.file(b"f", b"inside", d)
        self.gfids["g"] = await hand.file(b"g", b"inside", d)
        self.gfids["s"] = s = await hand.dir(b"s", d)
        self.gfids["deep"] = await hand.file(b"f", b"inside", s)
        await hand.dir(b"empty", d)
        await hand.file(b"h", b"inside", top)

    @property
    def place(self) -> Path:
        return self.hand.directory / f"t{self.number}"

    def at(self, name: bytes, parent: str = "d") -> Loc:
        return Loc(parent=self.gfids[parent], name=name)

    def by(self, key: str) -> Loc:
        return Loc(self.gfids[key])

    def fd(self, key: str) -> Fd:
        return Fd(self.gfids[key], os.O_RDWR)


async def opened(tree: Tree, loc: Loc, flags: int = os.O_RDWR) -> list[Any]:
    """Open, write, read, and change what was opened."""
    fd = Fd(loc.gfid, flags)
    brick = tree.hand.brick
    await brick.open(Call(), loc, flags, fd)
    try:
        return await used(tree, fd)
    finally:
        brick.release(fd)


async def created(tree: Tree, loc: Loc, flags: int = 0) -> list[Any]:
    fd = Fd(flags=os.O_RDWR)
    brick = tree.hand.brick
    made = await brick.create(tree.hand.call(), loc, os.O_RDWR | os.O_CREAT | flags, 0o600, 0, fd)
    fd.gfid = made.iatt.gfid
    try:
        return [made, *await used(tree, fd)]
    finally:
        brick.release(fd)


async def used(tree: Tree, fd: Fd) -> list[Any]:
    brick = tree.hand.brick
    read = await brick.readv(Call(), fd, 100, 0)
    await brick.writev(Call(), fd, b"written", 0)
    await brick.fsetattr(Call(), fd, NewAttributes(mode=0o611, mtime_ns=10**9))
    await brick.ftruncate(Call(), fd, 3)
    await brick.fsetxattr(Call(), fd, {"user.new": b"1"})
    return [bytes(read.data), (await brick.fgetxattr(Call(), fd, None)).values]


async def listed(tree: Tree, loc: Loc) -> list[Any]:
    brick, fd = tree.hand.brick, Fd(loc.gfid, os.O_RDONLY, is_dir=True)
    await brick.opendir(Call(), loc, fd)
    try:
        asked = tree.hand.call(**{"list-xattr": 1, "glusterfs.content": 100})
        return [(await brick.readdirp(asked, fd, 1 << 16, 0)).entries]
    finally:
        brick.release(fd)


ALL = NewAttributes(mode=0o612, mtime_ns=10**9, **({"uid": 12, "gid": 34} if AS_ROOT else {}))
Action = Callable[[Tree], Awaitable[Any]]

ACTIONS: dict[str, Action] = {
    "lookup": lambda t: t.hand.brick.lookup(t.hand.call(**{"glusterfs.content": 100, "list-xattr": 1}), t.at(b"f")),
    "lookup of a directory": lambda t: t.hand.brick.lookup(t.hand.call(**{"list-xattr": 1}), t.at(b"s")),
    "create": lambda t: created(t, t.at(b"new")),
    "create, exclusively": lambda t: created(t, t.at(b"new"), os.O_EXCL),
    "create over a file": lambda t: created(t, t.at(b"f")),
    "create over a file, emptied": lambda t: created(t, t.at(b"f"), os.O_TRUNC),
    "create deep": lambda t: created(t, t.at(b"new", "s")),
    "open": lambda t: opened(t, t.by("f")),
    "open by name": lambda t: opened(t, t.at(b"f")),
    "open deep": lambda t: opened(t, t.at(b"f", "s")),
    "use unopened": lambda t: used(t, t.fd("f")),
    "list": lambda t: listed(t, t.by("d")),
    "list by name": lambda t: listed(t, t.at(b"s")),
    "list the directory by name": lambda t: listed(t, t.at(b"d", "top")),
    "stat by name": lambda t: t.hand.brick.stat(Call(), t.at(b"f")),
    "access by name": lambda t: t.hand.brick.access(Call(), t.at(b"f"), 4),
    "setattr": lambda t: t.hand.brick.setattr(Call(), t.by("f"), ALL),
    "setattr by name": lambda t: t.hand.brick.setattr(Call(), t.at(b"f"), ALL),
    "setattr of a directory": lambda t: t.hand.brick.setattr(Call(), t.by("d"), ALL),
    "setattr of a directory by name": lambda t: t.hand.brick.setattr(Call(), t.at(b"d", "top"), ALL),
    "truncate": lambda t: t.hand.brick.truncate(Call(), t.by("f"), 1),
    "truncate by name": lambda t: t.hand.brick.truncate(Call(), t.at(b"f"), 1),
    "setxattr": lambda t: t.hand.brick.setxattr(Call(), t.by("d"), {"user.new": b"1"}),
    "setxattr by name": lambda t: t.hand.brick.setxattr(Call(), t.at(b"f"), {"user.new": b"1"}),
    "getxattr by name": lambda t: t.hand.brick.getxattr(Call(), t.at(b"f"), None),
    "xattrop by name": lambda t: t.hand.brick.xattrop(
        Call(), t.at(b"f"), XattropKind.ADD_ARRAY, {"trusted.afr.x": b"\0\0\0\1" * 3}
    ),
    "mkdir": lambda t: t.hand.brick.mkdir(t.hand.call(), t.at(b"new"), 0o755, 0),
    "mknod": lambda t: t.hand.brick.mknod(t.hand.call(), t.at(b"new"), stat.S_IFIFO | 0o600, 0, 0),
    "symlink": lambda t: t.hand.brick.symlink(t.hand.call(), b"anywhere", t.at(b"new"), 0),
    "link": lambda t: t.hand.brick.link(Call(), t.by("f"), t.at(b"new")),
    "link by name": lambda t: t.hand.brick.link(Call(), t.at(b"f"), t.at(b"new", "top")),
    "unlink": lambda t: t.hand.brick.unlink(Call(), t.at(b"f")),
    "rmdir": lambda t: t.hand.brick.rmdir(Call(), t.at(b"empty")),
    "rmdir with all that is in it": lambda t: t.hand.brick.rmdir(Call(), t.at(b"d", "top"), 1),
    "rmdir with all that is in it, deep": lambda t: t.hand.brick.rmdir(Call(), t.at(b"s"), 1),
    "rename": lambda t: t.hand.brick.rename(Call(), t.at(b"f"), t.at(b"new")),
    "rename over a file": lambda t: t.hand.brick.rename(Call(), t.at(b"f"), t.at(b"g")),
    "rename into the directory": lambda t: t.hand.brick.rename(Call(), t.at(b"h", "top"), t.at(b"f")),
    "rename out of the directory": lambda t: t.hand.brick.rename(Call(), t.at(b"f"), t.at(b"new", "top")),
    "rename a directory": lambda t: t.hand.brick.rename(Call(), t.at(b"s"), t.at(b"empty")),
}

SWAPS = {"the directory": "d", "the file": "d/f", "the inner directory": "d/s"}
"""What is exchanged for a symlink to its like in the canary."""


async def betrayals(folder: Path, mode: str, action: str, disk: Interfering) -> list[str]:
    """Do the action again and again, with a swap before its first system call, its second, ... What goes wrong."""
    canary = make_canary(folder)
    before = picture(canary)
    (folder / "brick").mkdir()
    found: list[str] = []
    numbers = itertools.count()
    async with running(folder / "brick", mode, Seams(blocking=Pool(disk=disk))) as hand:
        for (what, path), back in itertools.product(SWAPS.items(), (False, True) if mode == MODES[0] else (False,)):
            for at in itertools.count(1):
                tree = Tree(hand, next(numbers))
                await tree.make()
                link = hand.directory / f"link-{tree.number}"
                os.symlink(canary / path.removeprefix("d").removeprefix("/"), link)
                said = await _do(tree, ACTIONS[action], disk, at, back, tree.place / path, link)
                told = f"{action}: a swap of {what} before call {at}{', and back' if back else ''}"
                if CANARY.decode() in said:
                    found.append(f"{told} told of the canary: {said}")
                if picture(canary) != before:
                    found.append(f"{told} changed the canary")
                    return found
                if disk.calls < at:
                    break
    return found


async def _do(tree: Tree, action: Action, disk: Interfering, at: int, back: bool, path: Path, link: Path) -> str:
    """What the action answered, as text."""
    disk.at, disk.back, disk.calls, disk.swapped = at, back, 0, False

    def swap() -> None:
        with suppress(FileNotFoundError):  # the action has taken it away
            exchange(path, link)

    disk.swap = swap
    try:
        return repr(await action(tree))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        disk.swap = None


@in_both_modes
@pytest.mark.parametrize("action", ACTIONS)
def test_no_swap_before_any_system_call_leads_out(action: str, mode: str) -> None:
    with users_folder(IN_MEMORY) as folder:
        assert anyio.run(betrayals, folder, mode, action, Interfering()) == []


@pytest.mark.parametrize("action", ["create over a file", "open by name", "list by name"])
def test_a_brick_that_opens_symlinks_is_found_out(action: str) -> None:
    with users_folder(IN_MEMORY) as folder:
        assert anyio.run(betrayals, folder, MODES[0], action, Careless())


# --- programs that swap, and a brick that writes ---------------------------------------------------------------------

SECONDS = 10.0
SECONDS_OF_A_SOAK = 120.0


@attrs.define
class Race:
    """A volume over a brick whose names others swap; what it answers is kept, as far as it was an answer."""

    volume: volgraph.Volume
    gfids: dict[bytes, Gfid] = attrs.field(factory=dict)
    done: int = 0
    refused: int = 0
    betrayed: list[str] = attrs.field(factory=list)

    async def attempt(self, action: Awaitable[Any]) -> None:
        try:
            said = repr(await action)
        except OSError:
            self.refused += 1
            return
        self.done += 1
        if CANARY.decode() in said:
            self.betrayed.append(said)

    async def write(self, path: str) -> None:
        """By paths, everything that a volume can do below a directory that comes and goes."""
        vol = self.volume
        await self.attempt(vol.write_bytes(f"{path}/f", b"written"))
        await self.attempt(vol.write_bytes(f"{path}/new", b"written"))
        await self.attempt(vol.read_bytes(f"{path}/g"))
        await self.attempt(vol.listdir(path))
        await self.attempt(vol.chmod(f"{path}/f", 0o640))
        await self.attempt(vol.utime(f"{path}/g", (5, 5)))
        await self.attempt(vol.setxattr(f"{path}/f", "user.new", b"1"))
        await self.attempt(vol.truncate(f"{path}/f", 2))
        await self.attempt(vol.mkdir(f"{path}/made"))
        await self.attempt(vol.rmdir(f"{path}/made"))
        await self.attempt(vol.rename(f"{path}/new", f"{path}/newer"))
        await self.attempt(vol.unlink(f"{path}/newer"))

    async def write_by_gfid(self, call: Call, path: bytes) -> None:
        """By the gfid that the directory had: fops whose names are swapped under their hands."""
        top, parent = self.volume.graph.top, self.gfids[path]
        for name in (b"f", b"g"):
            loc, fd = Loc(parent=parent, name=name), Fd(flags=os.O_RDWR)
            making = call.with_xdata({"gfid-req": self.volume.graph.seams.new_gfid()})
            await self.attempt(_awaited(top.create, making, loc, os.O_RDWR, 0o600, 0, fd))
            await self.attempt(_awaited(top.writev, call, fd, b"by gfid", 0))
            top.release(fd)
            await self.attempt(_awaited(top.setattr, call, loc, NewAttributes(mtime_ns=5)))
            await self.attempt(_awaited(top.truncate, call, loc, 1))
            fd = Fd(flags=os.O_RDONLY, is_dir=True)
            await self.attempt(_awaited(top.opendir, call, Loc(parent=ROOT_GFID, name=path), fd))
            await self.attempt(_awaited(top.readdirp, call, fd, 1 << 16, 0))
            top.release(fd)

    async def swap_by_fops(self, one: str, other: str) -> None:
        """A client of the volume that swaps as the programs do."""
        for old, new in ((one, "away"), (other, one), (one, other), ("away", one)):
            await self.attempt(self.volume.rename(old, new))


async def _awaited(fop: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    return await fop(*args)


async def race(folder: Path, seconds: float) -> tuple[Race, list[str]]:
    canary = make_canary(folder)
    before = picture(canary)
    brick = folder / "brick"
    brick.mkdir()
    directories = ("d1", "d2", "d3", "d4", "d5")
    async with volgraph.open(Posix("brick", directory=str(brick))) as vol:
        run = Race(vol)
        for name in directories:
            await vol.mkdir(name)
            for file in ("f", "g"):
                await vol.write_bytes(f"{name}/{file}", b"inside")
            run.gfids[name.encode()] = (await vol._paths.find(name)).found.gfid
            os.symlink(canary, brick / f"{name}.link")
            os.symlink(canary / "f", brick / name / "f.link")
        # Directories are swapped in one place and files in another: below a symlink a program would swap the canary's.
        one, two, files, more = (brick / name for name in ("d1", "d2", "d4", "d5"))
        with (
            swapping(EXCHANGES, one, brick / "d1.link", files / "f", files / "f.link") as exchanged,
            swapping(DANCES, two, brick / "d2.link", more / "g", more / "f.link") as danced,
        ):
            with anyio.move_on_after(seconds):
                while not run.betrayed:
                    for name in directories:
                        await run.write(name)
                        await run.write_by_gfid(vol._caller.call, name.encode())
                    await run.swap_by_fops("d3", "d3.link")
    wrong = run.betrayed if picture(canary) == before else [*run.betrayed, "the canary has changed"]
    assert min(*exchanged, *danced) > 100
    return run, wrong


def raced(seconds: float, folder: Path, backend: str) -> str:
    run, wrong = anyio.run(race, folder, seconds, backend=backend)
    assert wrong == []
    assert run.done > 100
    assert run.refused > 10
    return f"{run.done} fops done, {run.refused} refused"


@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2")
def test_programs_that_swap_directories_and_symlinks_lead_no_brick_out(tmp_path: Path, record_property: Any) -> None:
    told = raced(SECONDS, tmp_path, "asyncio")

    record_property("path races", f"{SECONDS:g} s: {told}")


@pytest.mark.soak
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_programs_that_swap_lead_no_brick_out_for_long(tmp_path: Path, backend: str, record_property: Any) -> None:
    told = raced(SECONDS_OF_A_SOAK, tmp_path, backend)

    record_property("path races", f"{SECONDS_OF_A_SOAK:g} s, {backend}: {told}")
