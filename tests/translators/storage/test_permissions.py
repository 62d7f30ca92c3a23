"""A brick that runs as root refuses an ordinary caller what the kernel would: held against the kernel itself."""

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.translators.storage.permission_table import (
    CALLER,
    FOREIGN_GROUP,
    GROUP,
    LIST,
    LONG_AGO,
    OPEN,
    PLAIN,
    SECOND_GROUP,
    SECURITY,
    STRANGER,
    TRUSTED,
    USER,
    Case,
    State,
    Thing,
    Verdict,
    cases,
    kernel_verdicts,
)
from volgraph.graph import NOW_NS, Call, Fd, Gfid, Graph, Loc, NewAttributes, Translator
from volgraph.testing.fop_bench import FopBench, at
from volgraph.translators import Memory, Posix
from volgraph.translators.storage import acl as acls
from volgraph.translators.storage import permission

pytestmark = pytest.mark.anyio

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
CASES = 700
CASES_IN_SOAK = 5000

BRICKS: dict[str, Callable[[Path], Translator]] = {
    "memory": lambda _: Memory("brick"),
    "posix-xattr": lambda folder: Posix("brick", directory=str(folder), metadata="xattr"),
    "posix-sidecar": lambda folder: Posix("brick", directory=str(folder), metadata="sidecar"),
}


class Bench(FopBench):
    """Its gfids begin alike, so that the handles of a brick stand in few directories."""

    def new_gfid(self) -> Gfid:
        return Gfid(b"\xab\xcd" + super().new_gfid()[2:])


class Scene:
    """One case on a brick: built by root, tried by the caller."""

    def __init__(self, bench: FopBench) -> None:
        self.top, self.bench = bench.top, bench
        self.gfids: dict[str, Gfid] = {}

    def caller(self) -> Call:
        return Call(CALLER, GROUP, (SECOND_GROUP,), 77, xdata={"gfid-req": self.bench.new_gfid()})

    async def build(self, number: int, case: Case) -> None:
        scene = await self.bench.directory(b"%d" % number)
        for path in ("d", "e"):
            self.gfids[path] = await self.bench.directory(path.encode(), scene)
        for path in ("d/s", "e/t"):
            self.gfids[path] = await self.bench.directory(path[2:].encode(), self.gfids[path[0]])
        for path in ("d/f", "e/g"):
            self.gfids[path] = await self.bench.file(path[2:].encode(), b"0123456789", self.gfids[path[0]])
        dressed = {"d/f": case.f, "d/s": case.s, "e/g": PLAIN, "e/t": PLAIN, "e": OPEN, "d": case.d}
        for path, thing in dressed.items():
            await self.dress(Loc(self.gfids[path]), thing)

    async def dress(self, loc: Loc, thing: Thing) -> None:
        root = Call()
        await self.top.setxattr(root, loc, {USER: b"1", TRUSTED: b"1"})
        await self.top.setattr(root, loc, NewAttributes(uid=thing.owner, gid=thing.group))
        await self.top.setattr(root, loc, NewAttributes(mode=thing.mode))
        value = thing.access_list()
        if value is not None:
            await self.top.setxattr(root, loc, {acls.ACCESS: value})

    async def state(self) -> State:
        found: State = {}
        for directory in ("d", "e"):
            for entry in await self.bench.listed(self.gfids[directory], plus=True):
                assert entry.iatt is not None
                found[f"{directory}/{entry.name.decode()}"] = (entry.iatt.mode, entry.iatt.uid, entry.iatt.gid)
        return found

    async def error(self, operation: str) -> str:
        kind, colon, on_object = operation.partition(": ")
        try:
            if colon:
                await self.on_an_object(on_object, self.gfids["d/f" if kind == "file" else "d/s"], kind == "directory")
            else:
                await self.in_a_directory(operation)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return ""

    async def opened(self, gfid: Gfid, flags: int, is_dir: bool = False) -> Fd:
        fd = self.bench.new_fd(gfid, flags)
        if is_dir and not flags & os.O_NOATIME:
            await self.top.opendir(self.caller(), Loc(gfid), fd)
        else:
            await self.top.open(self.caller(), Loc(gfid), flags, fd)
        return fd

    async def on_an_object(self, operation: str, gfid: Gfid, is_dir: bool) -> None:
        top, call, loc = self.top, self.caller(), Loc(gfid)
        open_flags = {
            "open to read": os.O_RDONLY,
            "open to write": os.O_WRONLY,
            "open for both": os.O_RDWR,
            "open and empty": os.O_WRONLY | os.O_TRUNC,
            "open without access time": os.O_RDONLY | os.O_NOATIME,
        }
        masks = {"may read": 4, "may write": 2, "may execute": 1, "may all": 7}
        changes = {
            "chmod": NewAttributes(mode=0o640),
            "chmod with set-group-id": NewAttributes(mode=0o2770),
            "chown to itself": NewAttributes(uid=CALLER),
            "chown to a stranger": NewAttributes(uid=STRANGER),
            "chgrp to a group of its own": NewAttributes(gid=SECOND_GROUP),
            "chgrp to a foreign group": NewAttributes(gid=FOREIGN_GROUP),
            "touch": NewAttributes(atime_ns=NOW_NS, mtime_ns=NOW_NS),
            "set times": NewAttributes(atime_ns=LONG_AGO, mtime_ns=LONG_AGO),
        }
        xattrs: dict[str, Callable[[], Awaitable[Any]]] = {
            "get user xattr": lambda: top.getxattr(call, loc, USER),
            "set user xattr": lambda: top.setxattr(call, loc, {USER: b"2"}),
            "remove user xattr": lambda: top.removexattr(call, loc, USER),
            "get trusted xattr": lambda: top.getxattr(call, loc, TRUSTED),
            "set trusted xattr": lambda: top.setxattr(call, loc, {TRUSTED: b"2"}),
            "remove trusted xattr": lambda: top.removexattr(call, loc, TRUSTED),
            "set security xattr": lambda: top.setxattr(call, loc, {SECURITY: b"2"}),
            "set access list": lambda: top.setxattr(call, loc, {acls.ACCESS: LIST}),
        }
        if operation in open_flags:
            await self.opened(gfid, open_flags[operation], is_dir)
        elif operation == "write":
            fd = await self.opened(gfid, os.O_WRONLY)
            await top.writev(call, fd, b"x", 0)
        elif operation == "truncate":
            await top.truncate(call, loc, 1)
        elif operation in masks:
            await top.access(call, loc, masks[operation])
        elif operation in changes:
            await top.setattr(call, loc, changes[operation])
        else:
            await xattrs[operation]()

    async def in_a_directory(self, operation: str) -> None:
        top, call = self.top, self.caller()
        d, e = self.gfids["d"], self.gfids["e"]
        f, s, n = at(d, b"f"), at(d, b"s"), at(d, b"n")
        exclusive = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        fd = self.bench.new_fd()
        tries: dict[str, Callable[[], Awaitable[Any]]] = {
            "look up": lambda: top.lookup(call, f),
            "look up nothing": lambda: top.lookup(call, n),
            "list": lambda: top.opendir(call, Loc(d), fd),
            "create": lambda: top.create(call, n, exclusive, 0o2755, 0, fd),
            "create over": lambda: top.create(call, f, os.O_CREAT | os.O_RDWR, 0o644, 0, fd),
            "create what is there": lambda: top.create(call, f, exclusive, 0o644, 0, fd),
            "mkdir": lambda: top.mkdir(call, n, 0o755, 0),
            "mkdir what is there": lambda: top.mkdir(call, f, 0o755, 0),
            "symlink": lambda: top.symlink(call, b"t", n, 0),
            "make a fifo": lambda: top.mknod(call, n, stat.S_IFIFO | 0o644, 0, 0),
            "make a device": lambda: top.mknod(call, n, stat.S_IFCHR | 0o644, os.makedev(1, 3), 0),
            "unlink": lambda: top.unlink(call, f),
            "unlink nothing": lambda: top.unlink(call, n),
            "unlink a directory": lambda: top.unlink(call, s),
            "rmdir": lambda: top.rmdir(call, s),
            "rmdir a file": lambda: top.rmdir(call, f),
            "rename": lambda: top.rename(call, f, n),
            "rename to itself": lambda: top.rename(call, f, f),
            "rename nothing": lambda: top.rename(call, n, at(e, b"n")),
            "move out": lambda: top.rename(call, f, at(e, b"n")),
            "move in": lambda: top.rename(call, at(e, b"g"), n),
            "move in over": lambda: top.rename(call, at(e, b"g"), f),
            "move a directory out": lambda: top.rename(call, s, at(e, b"n")),
            "move a directory in": lambda: top.rename(call, at(e, b"t"), n),
            "rename a directory": lambda: top.rename(call, s, n),
            "link out": lambda: self.link("d/f", at(e, b"n")),
            "link in": lambda: self.link("e/g", n),
            "link over": lambda: self.link("e/g", f),
        }
        await tries[operation]()

    async def link(self, path: str, new: Loc) -> None:
        """A link begins with finding the old name, as the kernel's does."""
        await self.top.lookup(self.caller(), at(self.gfids[path[0]], path[2:].encode()))
        await self.top.link(self.caller(), Loc(self.gfids[path]), new)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """What a brick decides does not depend on the loop."""
    return "asyncio"


Table = tuple[list[Case], list[Verdict]]


def tried(base: Path, count: int, seed: int = 1) -> Table:
    drawn = cases(count, seed)
    return drawn, kernel_verdicts(base, drawn)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return tried(tmp_path_factory.mktemp("kernel"), CASES)


async def differences(top: Translator, drawn: list[Case], wanted: list[Verdict]) -> list[str]:
    found: list[str] = []
    async with Graph(top):
        bench = Bench(top)
        for number, (case, verdict) in enumerate(zip(drawn, wanted, strict=True)):
            scene = Scene(bench)
            await scene.build(number, case)
            mine = Verdict(await scene.error(case.operation), await scene.state())
            if mine != verdict:
                changed = {path: oct(st[0]) for path, st in mine.state.items() if verdict.state.get(path) != st}
                told = {path: oct(st[0]) for path, st in verdict.state.items() if mine.state.get(path) != st}
                found.append(f"{case}: {mine.error or 'done'} {changed}, the kernel: {verdict.error or 'done'} {told}")
            bench.close_all()
    return found


def said(found: list[str]) -> str:
    return f"{len(found)} differ:\n" + "\n".join(found[:20])


@needs_root
@pytest.mark.parametrize("brick", BRICKS)
async def test_a_brick_decides_as_the_kernel_does(table: Table, brick: str, tmp_path: Path) -> None:
    drawn, verdicts = table
    tried_here = len(drawn) if brick == "memory" else len(drawn) // 2
    found = await differences(BRICKS[brick](tmp_path), drawn[:tried_here], verdicts[:tried_here])
    assert not found, said(found)


@needs_root
@pytest.mark.soak
@pytest.mark.parametrize("brick", BRICKS)
async def test_a_brick_decides_many_more_cases_as_the_kernel_does(
    brick: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    (tmp_path / "plain").mkdir()
    (tmp_path / "brick").mkdir()
    found = await differences(BRICKS[brick](tmp_path / "brick"), *tried(tmp_path / "plain", CASES_IN_SOAK, seed))
    told = f"{brick}, seed {seed}: {CASES_IN_SOAK} cases, {len(found)} decided otherwise than by the kernel"
    record_property("permissions", told)
    assert not found, said(found)


def nothing(*_: object) -> None:
    """A check that never refuses."""


permitted = acls.permitted


def maskless(acl: acls.Acl) -> acls.Acl:
    return [entry for entry in acl if entry.tag != acls.MASK]


DEFECTS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "access is not checked": (permission, "check_access", nothing),
    "open is not checked": (permission, "check_open", nothing),
    "directories may be searched by all": (permission, "check_search", nothing),
    "names are made by all": (permission, "check_make", nothing),
    "names are removed by all": (permission, "check_remove", nothing),
    "names are moved by all": (permission, "check_rename", nothing),
    "links are made by all": (permission, "check_link", nothing),
    "xattrs are read by all": (permission, "check_get_xattr", nothing),
    "xattrs are set by all": (permission, "check_set_xattr", nothing),
    "attributes are changed by all": (permission, "check_attributes", lambda call, subject, new, *_: new),
    "supplementary groups are forgotten": (permission, "in_group", lambda call, gid: call.gid == gid),
    "lists are not looked at": (acls, "permitted", lambda *_: False),
    "the mask is forgotten": (acls, "permitted", lambda acl, *args: permitted(maskless(acl), *args)),
    "programs stay programs": (permission, "mode_after_write", lambda call, st: st.st_mode),
    "any sticky directory is like another": (stat, "S_ISVTX", lambda: None),
}


@needs_root
@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_planted_defect_is_found(table: Table, defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, instead = DEFECTS[defect]
    monkeypatch.setattr(module, name, 0 if isinstance(getattr(module, name), int) else instead)
    assert await differences(Memory("brick"), *table)
