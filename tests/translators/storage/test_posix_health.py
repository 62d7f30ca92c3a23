"""storage/posix: the health check takes a brick down and up again; and what a power loss leaves in doubt."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.translators.storage.bricks import Hand, fails, in_both_modes, running
from tests.translators.storage.sick import SECONDS, outcomes, seams_with, told, until
from volgraph.graph import ROOT_GFID, Call, Flock, Graph, Loc, LockCommand, LockType, State, XattropKind
from volgraph.graph.disk import Disk
from volgraph.testing.failing_disk import HangingDisk, SickDisk
from volgraph.translators import Afr, Posix

pytestmark = pytest.mark.anyio


# --- the health check -------------------------------------------------------------------------------------------------


class Failing(SickDisk):
    """Fails calls on the file of the health check while it is told to."""

    def __init__(self, code: int = 0) -> None:
        self._code = code

    def fail(self, code: int) -> None:
        self._code = code

    def called(self, name: str, call: Any, args: Any, more: Any) -> Any:
        if self._code and name == "open" and args[0] == b"health_check":
            raise OSError(self._code, os.strerror(self._code))
        return call(*args, **more)


OFTEN: dict[str, Any] = {"health_check_interval": 0.02}


@in_both_modes
@pytest.mark.parametrize("io_mode", ["inline", "worker"])
async def test_a_check_that_fails_takes_the_brick_down_until_one_passes(
    tmp_path: Path, mode: str, io_mode: str
) -> None:
    disk = Failing()
    async with running(tmp_path, mode, seams_with(disk), io_mode=io_mode, **OFTEN) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"data")
        fd, closed = await hand.opened(gfid), await hand.opened(gfid)
        await brick.lk(Call(client="a", lk_owner=b"a"), fd, LockCommand.SET, Flock())
        disk.fail(errno.EIO)
        await told(brick, State.DOWN)
        assert "Input/output error" in brick.down_reason
        assert brick.health == f"down: {brick.down_reason}"
        fops: list[Callable[[], Any]] = [
            lambda: brick.readv(Call(), fd, 4, 0),
            lambda: brick.writev(Call(), fd, b"x", 0),
            lambda: brick.fsync(Call(), fd),
            lambda: brick.flush(Call(lk_owner=b"a"), fd),
            lambda: brick.fstat(Call(), fd),
            lambda: brick.lk(Call(client="b", lk_owner=b"b"), fd, LockCommand.SET, Flock()),
            lambda: brick.stat(Call(), Loc(gfid)),
            lambda: brick.lookup(Call(), Loc(parent=ROOT_GFID, name=b"f")),
            lambda: brick.mkdir(hand.call(), Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0),
        ]
        for fop in fops:
            with fails(errno.ENOTCONN):
                await fop()
        brick.release(closed)
        brick.disconnect("a")
        disk.fail(0)
        await told(brick, State.UP)
        assert bytes((await brick.readv(Call(), fd, 4, 0)).data) == b"data"
        assert await hand.names() == [b"f"]
        await brick.lk(Call(client="b", lk_owner=b"b"), fd, LockCommand.SET, Flock())
    async with running(tmp_path, mode) as hand:
        assert not hand.brick.suspect


@in_both_modes
@pytest.mark.parametrize("io_mode", ["inline", "worker"])
async def test_an_fd_through_which_a_lock_was_held_when_the_brick_went_down_is_good_for_nothing_until_it_is_closed(
    tmp_path: Path, mode: str, io_mode: str
) -> None:
    """The lock is forgotten, and may be somebody else's by now."""
    disk, own, third = Failing(), Call(client="a", lk_owner=b"a"), Call(client="a", lk_owner=b"c")
    other = Call(client="b", lk_owner=b"b")
    async with running(tmp_path, mode, seams_with(disk), io_mode=io_mode, **OFTEN) as hand:
        brick, gfid = hand.brick, await hand.file(b"f", b"data")
        held, closed, given_back, of_other = [await hand.opened(gfid) for _ in range(4)]
        for fd, call, start in ((held, own, 0), (closed, own, 1), (given_back, third, 2), (of_other, other, 3)):
            await brick.lk(call, fd, LockCommand.SET, Flock(LockType.WRITE, start, 1))
        await brick.lk(third, given_back, LockCommand.SET, Flock(LockType.UNLOCK))
        disk.fail(errno.EIO)
        await told(brick, State.DOWN)
        with fails(errno.ENOTCONN):
            await brick.readv(own, held, 4, 0)
        brick.release(closed)
        brick.disconnect("b")
        disk.fail(0)
        await told(brick, State.UP)

        fops: list[Callable[[], Any]] = [
            lambda: brick.readv(own, held, 4, 0),
            lambda: brick.writev(own, held, b"x", 0),
            lambda: brick.ftruncate(own, held, 0),
            lambda: brick.fsync(own, held),
            lambda: brick.fstat(own, held),
            lambda: brick.fxattrop(own, held, XattropKind.ADD_ARRAY, {"trusted.afr.x": bytes(12)}),
            lambda: brick.lk(own, held, LockCommand.GET, Flock()),
            lambda: brick.flush(own, held),
        ]
        for fop in fops:
            with fails(errno.EBADFD):
                await fop()
        for fd in (given_back, of_other):
            assert bytes((await brick.readv(other, fd, 4, 0)).data) == b"data"
        await brick.lk(other, of_other, LockCommand.SET, Flock(LockType.WRITE))
        brick.release(held)
        again = await hand.opened(gfid)
        await brick.writev(own, again, b"D", 0)
        assert await hand.read(gfid) == b"Data"
        for fd in (again, given_back, of_other):
            brick.release(fd)
        await until(lambda: not brick._open_slots)


async def test_a_check_that_is_late_takes_the_brick_down_and_is_waited_for(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path)
    async with running(tmp_path, "auto", seams_with(disk), health_check_timeout=0.05, **OFTEN) as hand:
        with disk.hanging("fdatasync"):
            await told(hand.brick, State.DOWN)
            assert "health-check-timeout" in hand.brick.health
            checks = [each for each in threading.enumerate() if each.name.startswith("volgraph-pool")]
        await told(hand.brick, State.UP)
        assert hand.brick.health == "up"
    assert len(checks) == 1


async def test_an_fsync_that_hangs_is_answered_when_the_brick_goes_down(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path)
    seams = seams_with(disk)
    async with running(tmp_path, "auto", seams, io_mode="inline", health_check_timeout=0.1, **OFTEN) as hand:
        fd = await hand.opened(await hand.file(b"f"))
        came: list[object] = []
        with disk.hanging("fsync", "fdatasync"):
            answers = [hand.brick.fsync(Call(), fd) for _ in range(6)]
            with anyio.fail_after(SECONDS):
                came = await outcomes(answers)
            assert hand.brick.state is State.DOWN
        assert came == [errno.ENOTCONN] * 6
        await told(hand.brick, State.UP)
        await hand.brick.fsync(Call(), fd)


async def test_a_full_disk_is_well(tmp_path: Path) -> None:
    class Full(SickDisk):
        def __init__(self) -> None:
            self.refused = 0

        def called(self, name: str, call: Any, args: Any, more: Any) -> Any:
            if name == "pwrite" and len(args[1]) == 31:
                self.refused += 1
                raise OSError(errno.ENOSPC, "full")
            return call(*args, **more)

    disk = Full()
    async with running(tmp_path, "auto", seams_with(disk), **OFTEN) as hand:
        await until(lambda: disk.refused >= 3)
        assert hand.brick.health == "up"


async def test_what_is_read_back_must_be_what_was_written(tmp_path: Path) -> None:
    class Lying(SickDisk):
        def called(self, name: str, call: Any, args: Any, more: Any) -> Any:
            data = call(*args, **more)
            return bytes(len(data)) if name == "pread" and args[1] == 31 else data

    async with running(tmp_path, "auto", seams_with(Lying()), **OFTEN) as hand:
        await told(hand.brick, State.DOWN)
        assert "not what is read" in hand.brick.health


async def test_interval_0_means_no_check(tmp_path: Path) -> None:
    async with running(tmp_path, "auto", seams_with(Failing(errno.EIO)), health_check_interval=0) as hand:
        await anyio.sleep(0.05)
        assert hand.brick.health == "up"
    assert not (tmp_path / ".glusterfs" / "health_check").exists()


async def test_a_check_leaves_no_descriptor_and_writes_where_glusterfs_does(tmp_path: Path) -> None:
    async with running(tmp_path, **OFTEN) as hand:
        file = tmp_path / ".glusterfs" / "health_check"
        await until(lambda: hand.brick.space is not None)
        descriptors, first = len(os.listdir("/proc/self/fd")), file.read_bytes()
        await until(lambda: file.read_bytes() != first)
        second = file.read_bytes()
        await until(lambda: file.read_bytes() != second)
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # those of the check under way


@pytest.mark.parametrize("io_mode", ["inline", "worker"])
async def test_a_brick_whose_disk_comes_later_comes_up(tmp_path: Path, io_mode: str) -> None:
    """Only one that is a brick: a new, empty one in its place would be a surprise."""
    (tmp_path / "well").mkdir()
    away, home = tmp_path / "away", tmp_path / "late"
    home.mkdir()
    async with running(home) as hand:
        await hand.file(b"f", b"data")
    home.rename(away)
    late = Posix("late", directory=str(home), io_mode=io_mode, **OFTEN)
    async with Graph(Afr("mirror", [late, Posix("well", directory=str(tmp_path / "well"))])):
        assert late.state is State.DOWN
        home.mkdir()
        await anyio.sleep(0.1)
        assert late.state is State.DOWN
        home.rmdir()
        away.rename(home)
        await told(late, State.UP)
        assert await Hand(late, home).read(await Hand(late, home).find(b"f")) == b"data"


class Dead(SickDisk):
    """What lies below a directory fails, by whatever name it was reached: a file system that was forced off."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)

    def called(self, name: str, call: Any, args: Any, more: Any) -> Any:
        by = more.get("dir_fd")
        if by is not None and os.readlink(f"/proc/self/fd/{by}").startswith(self._directory):
            raise OSError(errno.ENOTCONN, "gone")
        return call(*args, **more)


@pytest.mark.parametrize("io_mode", ["inline", "worker"])
async def test_a_brick_that_is_mounted_anew_is_opened_anew(tmp_path: Path, io_mode: str) -> None:
    home, gone, new = (tmp_path / name for name in ("home", "gone", "new"))
    new.mkdir()
    async with running(new) as hand:
        await hand.file(b"f", b"new")
    home.mkdir()
    async with running(home, "auto", seams_with(Dead(gone)), io_mode=io_mode, **OFTEN) as hand:
        brick = hand.brick
        fd = await hand.opened(await hand.file(b"f", b"old"))
        home.rename(gone)
        await told(brick, State.DOWN)
        assert str(home) in brick.health
        new.rename(home)
        await told(brick, State.UP)
        assert await hand.read(await hand.find(b"f")) == b"new"
        with fails(errno.EBADF):
            await brick.readv(Call(), fd, 4, 0)
        brick.release(fd)
        await hand.names()
        assert os.readlink(f"/proc/self/fd/{brick.brick.root_fd}") == str(home)
    assert not [fd for fd in os.listdir("/proc/self/fd") if _leads_below(fd, tmp_path)]


def _leads_below(fd: str, directory: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(str(directory))
    except FileNotFoundError:
        return False


# --- suspect ----------------------------------------------------------------------------------------------------------


class Booted(Disk):
    """The machine as it is after another boot."""

    def boot_id(self) -> str:
        return "another-boot"


@in_both_modes
@pytest.mark.parametrize("io_mode", ["inline", "worker"])
async def test_suspicion_lasts_until_a_healer_lifts_it(tmp_path: Path, mode: str, io_mode: str) -> None:
    record = tmp_path / ".glusterfs" / "volgraph.owner"
    async with running(tmp_path, mode) as hand:
        held = record.read_bytes()
    record.write_bytes(held)
    lift = {"volgraph.suspect": b"0"}
    for _ in range(2):  # a clean end alone changes nothing
        async with running(tmp_path, mode, seams_with(Booted()), io_mode=io_mode) as hand:
            assert hand.brick.health == "up, suspect"
            for call in (Call(), Call(pid=7), Call(pid=-6, uid=7)):
                with fails(errno.EPERM):
                    await hand.brick.setxattr(call, Loc(ROOT_GFID), lift)
            with fails(errno.EINVAL):
                await hand.brick.setxattr(Call(pid=-6), Loc(ROOT_GFID), {"volgraph.suspect": b"1"})
            with fails(errno.EINVAL):
                await hand.brick.setxattr(Call(pid=-6), Loc(await hand.dir(b"d%d" % hand.gfid()[-1])), lift)
    async with running(tmp_path, mode, seams_with(Booted()), io_mode=io_mode) as hand:
        await hand.brick.setxattr(Call(pid=-6), Loc(ROOT_GFID), lift)
        assert hand.brick.health == "up"
        assert (await hand.brick.lookup(Call(), Loc(ROOT_GFID))).xdata is None
        held = record.read_bytes()
    record.write_bytes(held)
    async with running(tmp_path, mode, seams_with(Booted())) as hand:
        assert hand.brick.health == "up", "lifted, whatever end it came to after that"


@pytest.mark.parametrize("io_mode", ["inline", "worker"])
async def test_a_full_disk_shows(tmp_path: Path, io_mode: str) -> None:
    async with running(tmp_path, reserve="100%", io_mode=io_mode) as hand:
        with fails(errno.ENOSPC):
            await hand.file(b"f")
        assert hand.brick.health == "up, full"
