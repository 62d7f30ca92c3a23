"""storage/posix: every system call fails once, in every fop and at the start, and each time all is well afterwards.

Call number N of a fop is failed, for N = 0, 1, ... until the fop is over before that call. After each failure:

- the fop has answered, with the error or without one; no descriptor is left open;
- done again it works, or says that it was done;
- names, handles and gfids agree, in this process and after a new start, and what was answered is there.
"""

import ctypes
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.translators.storage.bricks import MODES, running
from tests.translators.storage.posix_cases import CASES, Case, World, at
from volgraph.graph import (
    ROOT_GFID,
    Call,
    Gfid,
    Graph,
    Loc,
    Seams,
    State,
)
from volgraph.graph import disk as disk_module
from volgraph.graph.disk import Disk
from volgraph.testing.failing_disk import SHORT, FailingDisk
from volgraph.translators import Afr, Memory, Posix
from volgraph.translators.storage.posix.making import Making
from volgraph.translators.storage.posix.sidecar import SidecarMetadata

CALLS_MAX = 200
"""No fop here makes so many."""
CODES = (errno.EIO, errno.ENOSPC, errno.EDQUOT)


# --- the judge --------------------------------------------------------------------------------------------------------


async def judge(w: World) -> None:
    """Names, handles, gfids and the index agree."""
    assert w.leaked() == set(), f"descriptors left open: {w.leaked()}"
    handles = {path: os.lstat(path) for path in _handles(w.directory)}
    for folder, names, files in os.walk(w.directory):
        if ".glusterfs" in names:
            names.remove(".glusterfs")
        parent = await _gfid_of(w, Path(folder))
        for name in (*names, *files):
            found = await w.brick.lookup(Call(), at(parent, os.fsencode(name)))
            handle = w.handle(found.iatt.gfid)
            assert handle in handles, f"{name} has no handle"
            st = os.lstat(os.path.join(folder, name))
            if stat.S_ISDIR(st.st_mode):
                assert os.readlink(handle).endswith(f"{parent.text}/{name}"), f"{name}: the handle names another place"
            else:
                assert handles[handle].st_ino == st.st_ino, f"{name}: the handle is another object"
            again = await w.brick.lookup(Call(), Loc(found.iatt.gfid))
            assert again.iatt.st.st_size == found.iatt.st.st_size  # the object is found by its gfid too


async def judge_leftovers(w: World) -> None:
    """After a start nothing is left of objects that are gone, and nothing where objects come and go."""
    named = {w.handle(ROOT_GFID)}
    for folder, names, files in os.walk(w.directory):
        if ".glusterfs" in names:
            names.remove(".glusterfs")
        parent = await _gfid_of(w, Path(folder))
        named |= {w.handle(await w.find(os.fsencode(name), parent)) for name in (*names, *files)}
    orphans = set(_handles(w.directory)) - named
    assert not orphans, f"handles without a name: {[path.name for path in orphans]}"
    for folder in ("unlink", "landfill", "volgraph.new"):
        assert os.listdir(w.directory / ".glusterfs" / folder) == [], folder


def _handles(directory: Path) -> Iterator[Path]:
    for outer in (directory / ".glusterfs").iterdir():
        if len(outer.name) == 2:
            for inner in outer.iterdir():
                yield from inner.iterdir()


async def _gfid_of(w: World, folder: Path) -> Gfid:
    gfid = ROOT_GFID
    for name in folder.relative_to(w.directory).parts:
        gfid = await w.find(os.fsencode(name), gfid)
    return gfid


# --- the sweep --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _statements_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sidecar's statements count as calls of its disk. (A rollback needs no disk.)"""
    for name in ("_do", "_one"):
        original = getattr(SidecarMetadata, name)

        def through(self: SidecarMetadata, statement: str, *values: object, _original: Any = original) -> Any:
            if statement == "ROLLBACK" or not isinstance(self.disk, FailingDisk):
                return _original(self, statement, *values)
            return self.disk.called("sqlite", partial(_original, self), (statement, *values), {})

        monkeypatch.setattr(SidecarMetadata, name, through)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory, where that keeps extended attributes: nothing here is about what survives a power loss."""
    if os.path.isdir("/dev/shm"):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as inside, suppress(OSError):
            os.setxattr(inside, "user.a", b"a")
            yield Path(inside)
            return
    yield tmp_path


async def one_failure(directory: Path, mode: str, one: Case, number: int, code: int, done: bool = False) -> str:
    """Fail one call of a fop that changes something, and judge; gives the name of that call, "" when there is none of
    this number."""
    directory.mkdir()
    disk, seams = FailingDisk(), Seams()
    seams.blocking.disk = disk
    assert one.effect is not None
    async with running(directory, mode, seams, health_check_interval=0, io_mode="inline") as hand:
        w = World(hand.brick, directory, disk)
        await w.fill()
        error = await tried(w, one, number, code, done)
        if not disk.failed:
            assert error is None
            return ""
        if error is not None:
            first, w.new = w.new, w.gfid()
            again = await answer_of(one, w)
            if again is not None:
                w.new = first
            known = again is None or again.errno in one.done_before
            assert known, f"{disk.failed} failed; done again: {again}"
        assert await one.effect(w), f"{disk.failed} failed, the answer was {error}, and it is not done"
        await judge(w)
    assert disk.open_now == set()
    async with running(directory, mode, health_check_interval=0, io_mode="inline") as hand:
        later = World(hand.brick, directory, disk)
        later.d, later.f, later.new = w.d, w.f, w.new
        await judge(later)
        await judge_leftovers(later)
        assert await one.effect(later)
    return disk.failed


async def tried(w: World, one: Case, number: int, code: int, done: bool = False) -> OSError | None:
    w.disk.arm(number, code, done)
    error = await answer_of(one, w)
    w.disk.disarm()
    sensible = error is None or (code != SHORT and error.errno in (code, errno.ESTALE))
    assert sensible, f"{w.disk.failed} fails with {os.strerror(code)}, the fop with {error}"
    return error


async def answer_of(one: Case, w: World) -> OSError | None:
    try:
        await one.act(w)
    except OSError as error:
        return error
    return None


async def read_failures(directory: Path, mode: str, one: Case, codes: Callable[[int], int]) -> list[str]:
    """Fail each call of a fop that changes nothing, all on one brick."""
    disk, seams = FailingDisk(), Seams()
    seams.blocking.disk = disk
    failed: list[str] = []
    async with running(directory, mode, seams, health_check_interval=0, io_mode="inline") as hand:
        w = World(hand.brick, directory, disk)
        await w.fill()
        for number in range(CALLS_MAX):
            hand.brick.brick._gfids.clear()
            await tried(w, one, number, codes(number))
            if not disk.failed:
                break
            failed.append(disk.failed)
            assert await answer_of(one, w) is None, f"{disk.failed} had failed, and it does not work any more"
            assert w.leaked() == set(), f"{disk.failed} fails, and leaves a descriptor"
        await judge(w)
    assert disk.open_now == set()
    return failed


async def failures(directory: Path, mode: str, one: Case, codes: Callable[[int], int], done: bool = False) -> list[str]:
    """Fail every call of a fop in turn; gives their names."""
    if one.effect is None:
        return await read_failures(directory, mode, one, codes)
    failed: list[str] = []
    for number in range(CALLS_MAX):
        try:
            name = await one_failure(directory / str(number), mode, one, number, codes(number), done)
        except BaseException as error:
            error.add_note(f"call number {number}, {os.strerror(codes(number))}")
            raise
        if not name:
            return failed
        failed.append(name)
    raise AssertionError(f"more than {CALLS_MAX} calls")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_a_call_that_fails_leaves_nothing_half_done(folder: Path, mode: str, name: str) -> None:
    """Of the errors a disk gives, each call fails with one; the next with the next."""
    assert anyio.run(failures, folder, mode, CASES[name], lambda number: CODES[number % len(CODES)])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [name for name, one in CASES.items() if one.effect is not None])
def test_a_call_that_is_done_and_says_it_failed_leaves_nothing_half_done(folder: Path, mode: str, name: str) -> None:
    assert anyio.run(failures, folder, mode, CASES[name], lambda _: errno.EIO, True)


@pytest.mark.soak
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("mode", MODES)
def test_every_call_fails_with_every_error(
    folder: Path, mode: str, code: int, record_property: Callable[[str, object], None]
) -> None:
    failed = 0
    for number, (name, one) in enumerate(CASES.items()):
        (folder / str(number)).mkdir()
        calls = anyio.run(failures, folder / str(number), mode, one, lambda _: code)
        assert calls, name
        failed += len(calls)
    told = f"{mode}, {errno.errorcode[code]}: {failed} calls of {len(CASES)} fops failed, nothing left half done"
    record_property("failing calls", told)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["readv", "readv anonymous", "writev", "rchecksum", "copy_file_range"])
def test_a_call_that_comes_short_does_not_show(folder: Path, mode: str, name: str) -> None:
    anyio.run(failures, folder, mode, CASES[name], lambda _: SHORT)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done all the same"])
def test_the_end_of_a_file_without_a_name_leaves_nothing_whatever_fails(folder: Path, mode: str, done: bool) -> None:
    async def run() -> int:
        for number in range(CALLS_MAX):
            directory = folder / str(number)
            directory.mkdir()
            disk, seams = FailingDisk(), Seams()
            seams.blocking.disk = disk
            async with running(directory, mode, seams, health_check_interval=0, io_mode="inline") as hand:
                gfid = await hand.file(b"f", b"data")
                fd = await hand.opened(gfid)
                await hand.brick.unlink(Call(), at(ROOT_GFID, b"f"))
                disk.arm(number, errno.EIO, done)
                hand.brick.release(fd)
                disk.disarm()
            assert disk.open_now == set()
            async with running(directory, mode, health_check_interval=0, io_mode="inline") as hand:
                await judge_leftovers(World(hand.brick, directory, disk))
                assert gfid not in hand.brick.brick.metadata.gfids(Gfid(), 10)
            if not disk.failed:
                return number
        raise AssertionError(f"more than {CALLS_MAX} calls")

    assert anyio.run(run) >= 2


def test_an_fallocate_that_is_interrupted_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself retries the calls that it makes; this one is made through the C library."""
    codes = [errno.EINTR, errno.EINTR, 0]

    class Library:
        @staticmethod
        def fallocate64(*_: int) -> int:
            ctypes.set_errno(code := codes.pop(0))
            return -1 if code else 0

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)
    disk_module._fallocate.cache_clear()
    try:
        Disk().fallocate(0, 0, 0, 1)
    finally:
        disk_module._fallocate.cache_clear()
    assert codes == []


def test_an_undo_left_out_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep itself: it must not pass a brick that leaves half an object behind."""
    monkeypatch.setattr(Making, "_undo", lambda self, remove: None)
    for name in ("create", "mknod", "symlink"):
        (folder / name).mkdir()
        with pytest.raises((AssertionError, OSError)):
            anyio.run(failures, folder / name, MODES[0], CASES[name], lambda _: errno.EIO)


# --- the start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done all the same"])
@pytest.mark.parametrize("used", [False, True], ids=["new brick", "used brick"])
def test_a_call_that_fails_at_the_start_names_the_brick_and_leaves_it_startable(
    folder: Path, mode: str, done: bool, used: bool
) -> None:
    """Alone the start fails; below a cluster the brick is a child that is down, for errors that a disk gives."""

    async def run() -> list[str]:
        failed: list[str] = []
        for number in range(CALLS_MAX):
            directory = folder / str(number)
            directory.mkdir()
            if used:
                async with running(directory, mode, io_mode="inline") as hand:
                    w = World(hand.brick, directory, FailingDisk())
                    await w.fill()
            code = (errno.EIO, errno.EROFS, errno.ENOSPC)[number % 3]
            name = await failed_start(directory, mode, number, code, done)
            async with running(directory, mode, io_mode="inline") as hand:
                w = World(hand.brick, directory, FailingDisk())
                await judge(w)
                await judge_leftovers(w)
                if used:
                    assert await hand.names() == [b"d", b"empty", b"s", b"second", b"tree"]
            if not name:
                return failed
            failed.append(name)
        raise AssertionError(f"more than {CALLS_MAX} calls")

    assert len(anyio.run(run)) > 20


async def failed_start(directory: Path, mode: str, number: int, code: int, done: bool) -> str:
    """Start a brick alone, and in a cluster, while a call fails; gives the name of that call."""
    disk, seams = FailingDisk(), Seams()
    seams.blocking.disk = disk
    disk.arm(number, code, done)
    said: OSError | None = None
    try:
        async with running(directory, mode, seams, io_mode="inline", health_check_interval=0):
            disk.disarm()
    except OSError as error:
        said = error
    told = said is None or (said.errno == code and str(directory) in str(said))
    assert told, f"{disk.failed} fails with {os.strerror(code)}, the start with {said}"
    assert disk.open_now == set(), f"{disk.failed} failed, and descriptors are left open"
    failed = disk.failed
    brick = Posix("brick", directory=str(directory), metadata=mode, io_mode="inline", health_check_interval=0)
    disk.arm(number, code, done)
    async with Graph(Afr("mirror", [brick, Memory("other")]), seams):
        disk.disarm()
        if brick.state is State.DOWN:
            assert str(directory) in brick.down_reason
            assert os.strerror(code) in brick.down_reason
    assert disk.open_now == set()
    return failed
