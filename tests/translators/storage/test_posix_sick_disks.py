"""storage/posix: a disk that hangs or fails takes its own brick down, and nothing else; and the brick comes back."""

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences, marks
from tests.translators.storage.bricks import Hand, fails, running
from tests.translators.storage.sick import (
    ROUNDS,
    SECONDS,
    SLACK,
    TIMEOUT,
    hangs,
    outcome,
    outcomes,
    seams_with,
    seconds_since,
    told,
)
from volgraph.graph import (
    ROOT_GFID,
    Call,
    Coming,
    EntryLockCommand,
    Fd,
    Flock,
    Graph,
    Loc,
    LockCommand,
    LockType,
    Seams,
    State,
)
from volgraph.graph.pool import Pool
from volgraph.testing.failing_disk import HangingDisk, SickDisk
from volgraph.translators import Afr, Posix

pytestmark = pytest.mark.anyio


# --- a disk that hangs ------------------------------------------------------------------------------------------------


async def test_a_mirror_goes_on_when_one_disk_hangs_and_heals_it_when_it_is_back(tmp_path: Path) -> None:
    for name in ("sick", "well", "other"):
        (tmp_path / name).mkdir()
    disk = HangingDisk(tmp_path / "sick")
    sick = Posix("sick", directory=str(tmp_path / "sick"), io_mode="worker", io_timeout=TIMEOUT)
    well = Posix("well", directory=str(tmp_path / "well"))
    other = Posix("other", directory=str(tmp_path / "other"))
    async with (
        volgraph.open(Afr("mirror", [sick, well]), seams=seams_with(disk)) as volume,
        volgraph.open(other) as unrelated,
    ):
        for number in range(ROUNDS):
            await volume.write_bytes("/f", b"%d" % number)
            first, later, elsewhere = await _while_it_hangs(disk, volume, unrelated)
            assert sick.state is State.DOWN
            assert "io-timeout" in sick.health
            assert first >= TIMEOUT
            await told(sick, State.UP)
            assert (await volume.heal()).clean
            assert differences(*(contents(tmp_path / name) for name in ("sick", "well"))) == []
            assert marks(tmp_path / "sick") == marks(tmp_path / "well") == []
            if first < TIMEOUT + SLACK and max(later, elsewhere) < SLACK:
                break
        else:
            pytest.fail(f"the write took {first:.3f} s, the next {later:.3f} s, another brick {elsewhere:.3f} s")
    assert sick.health == "down: stopped"


async def _while_it_hangs(
    disk: HangingDisk, volume: volgraph.Volume, unrelated: volgraph.Volume
) -> tuple[float, float, float]:
    """Seconds that the first write takes, a later one, and at most one to another brick meanwhile."""
    slowest, over = [0.0], anyio.Event()

    async def use_the_other_brick() -> None:
        while not over.is_set():
            start = time.monotonic()
            await unrelated.write_bytes("/g", b"g")
            await anyio.sleep(0.005)
            slowest[0] = max(slowest[0], seconds_since(start) - 0.005)

    with disk.hanging():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use_the_other_brick)
            start = time.monotonic()
            await volume.write_bytes("/f", b"while it hangs")
            first = seconds_since(start)
            start = time.monotonic()
            await volume.write_bytes("/more", b"more")
            later = seconds_since(start)
            over.set()
    return first, later, slowest[0]


async def test_whatever_waits_is_answered_and_what_has_not_begun_is_never_done(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path)
    async with running(tmp_path, "auto", seams_with(disk), io_mode="worker", io_timeout=TIMEOUT) as hand:
        brick = hand.brick
        fd = await hand.opened(await hand.file(b"f", b"----"))
        came: list[object] = []
        with disk.hanging("pwrite"):
            answers = [brick.writev(Call(), fd, b"x", at) for at in range(4)]
            came = await outcomes(answers)
            assert came == [errno.ENOTCONN] * 4
            with fails(errno.ENOTCONN):
                brick.readv(Call(), fd, 4, 0)
        await told(brick, State.UP)
        assert bytes((await brick.readv(Call(), fd, 4, 0)).data) == b"x---"  # what had begun ran to its end


async def test_what_was_open_stays_open_and_locks_are_forgotten(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path)
    async with running(tmp_path, "auto", seams_with(disk), io_mode="worker", io_timeout=TIMEOUT) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"data")
        fd = await hand.opened(gfid)
        closed = await hand.opened(gfid)
        await brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"f"))
        await brick.lk(Call(client="a", lk_owner=b"a"), fd, LockCommand.SET, Flock())
        await brick.entrylk(
            Call(client="a", lk_owner=b"a"), "d", Loc(ROOT_GFID), b"n", EntryLockCommand.LOCK, LockType.WRITE
        )
        came: list[object] = []
        with disk.hanging():
            async with anyio.create_task_group() as tasks:
                waiting = brick.lk(Call(client="b", lk_owner=b"b"), fd, LockCommand.WAIT, Flock())
                tasks.start_soon(outcome, came, lambda: waiting)
                tasks.start_soon(outcome, came, lambda: brick.stat(Call(), Loc(ROOT_GFID)))
            assert came == [errno.ENOTCONN] * 2
            with fails(errno.ENOTCONN):
                brick.lk(Call(client="b", lk_owner=b"b"), fd, LockCommand.SET, Flock())
            brick.disconnect("a")
            brick.release(closed)
        await told(brick, State.UP)
        assert bytes((await brick.readv(Call(), fd, 4, 0)).data) == b"data"
        await brick.lk(Call(client="b", lk_owner=b"b"), fd, LockCommand.SET, Flock())
        await brick.entrylk(
            Call(client="b", lk_owner=b"b"), "d", Loc(ROOT_GFID), b"n", EntryLockCommand.TRY, LockType.WRITE
        )
        answer = await brick.fstat(Call(xdata={"glusterfs.open-fd-count": 1}), fd)
        assert answer.xdata == {"glusterfs.open-fd-count": 1}


async def test_a_lock_that_must_first_find_its_object_is_granted_afterwards(tmp_path: Path) -> None:
    async with running(tmp_path, io_mode="worker") as hand:
        gfid = await hand.file(b"f")
        await hand.brick.inodelk(Call(client="a", lk_owner=b"a"), "d", Loc(gfid), LockCommand.SET, Flock())
        came: list[object] = []
        async with anyio.create_task_group() as tasks:
            waiting = hand.brick.inodelk(Call(client="b", lk_owner=b"b"), "d", Loc(gfid), LockCommand.WAIT, Flock())
            tasks.start_soon(outcome, came, lambda: waiting)
            await hand.names()  # the thread has found the object before this
            assert came == []
            await hand.brick.inodelk(
                Call(client="a", lk_owner=b"a"), "d", Loc(gfid), LockCommand.SET, Flock(type=LockType.UNLOCK)
            )
        assert len(came) == 1
        with fails(errno.ESTALE):
            await hand.brick.inodelk(Call(client="a", lk_owner=b"a"), "d", Loc(hand.gfid()), LockCommand.SET, Flock())


async def test_a_long_queue_of_short_calls_is_no_hang(tmp_path: Path) -> None:
    class Slow(SickDisk):
        def called(self, name: str, call: Any, args: Any, more: Any) -> Any:
            if name == "fdatasync":
                time.sleep(TIMEOUT / 3)
            return call(*args, **more)

    async with running(tmp_path, "xattr" if os.geteuid() == 0 else "auto", seams_with(Slow()), **_WORKER) as hand:
        fd = await hand.opened(await hand.file(b"f"))
        came: list[object] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(5):  # longer than the time-out, all together
                tasks.start_soon(outcome, came, lambda: hand.brick.fsync(Call(attributes=False), fd, 1))
        assert errno.ENOTCONN not in came
        assert hand.brick.health == "up"


_WORKER: dict[str, Any] = {"io_mode": "worker", "io_timeout": TIMEOUT, "health_check_interval": 0}


async def test_an_fd_that_nobody_waits_for_is_closed_all_the_same(tmp_path: Path) -> None:
    """A caller that gives up an open releases the fd: the open that is on its way must not be left behind."""
    disk = HangingDisk(tmp_path)
    async with running(tmp_path, "auto", seams_with(disk), io_mode="worker") as hand:
        gfid = await hand.file(b"f")
        fd = Fd(gfid, os.O_RDONLY)
        with disk.hanging("open"):
            opening = hand.brick.open(Call(), Loc(gfid), os.O_RDONLY, fd)
            await hangs(disk)
            hand.brick.release(fd)
        await opening
        await hand.names()
        assert not hand.brick._open_slots


# --- starting and stopping while it hangs -----------------------------------------------------------------------------


async def test_a_brick_that_hangs_at_the_start_is_a_child_that_is_down_and_comes_up_later(tmp_path: Path) -> None:
    for name in ("sick", "well"):
        (tmp_path / name).mkdir()
    disk = HangingDisk(tmp_path / "sick")
    sick = Posix("sick", directory=str(tmp_path / "sick"), io_mode="worker", io_timeout=TIMEOUT)
    well = Posix("well", directory=str(tmp_path / "well"))
    with disk.hanging():
        graph = Graph(Afr("mirror", [sick, well]), seams_with(disk))
        start = time.monotonic()
        await graph.__aenter__()
        took = seconds_since(start)
        reason = sick.down_reason
    try:
        await told(sick, State.UP)
        await sick.stat(Call(), Loc(ROOT_GFID))
    finally:
        await graph.__aexit__(None, None, None)
    assert TIMEOUT <= took < TIMEOUT + 5
    assert f"{tmp_path}/sick" in reason
    assert "io-timeout" in reason


async def test_a_lone_brick_that_hangs_fails_the_start_and_its_directory_is_given_back_once_it_goes_on(
    tmp_path: Path,
) -> None:
    disk = HangingDisk(tmp_path)
    with disk.hanging(), pytest.raises(OSError, match="io-timeout") as caught:
        async with running(tmp_path, "auto", seams_with(disk), io_mode="worker", io_timeout=TIMEOUT):
            pass
    assert caught.value.errno == errno.ENOTCONN
    await _threads_end()
    async with running(tmp_path) as hand:
        assert await hand.names() == []


async def test_a_brick_that_hangs_stops_at_once_and_is_given_back_once_it_goes_on(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path)
    with disk.hanging("fsync"):
        async with running(tmp_path, "auto", Seams(), io_mode="inline"):
            pass  # the owner file is there now, and nothing else will hang at the start
    async with running(tmp_path, "auto", seams_with(disk), io_mode="worker", io_timeout=TIMEOUT) as hand:
        fd = await hand.opened(await hand.file(b"f", b"data"))
        came: list[object] = []
        hanging = disk.hanging()
        hanging.__enter__()
        await outcome(came, lambda: hand.brick.fsync(Call(), fd))
        start = time.monotonic()
    took = seconds_since(start)
    with fails(errno.EBUSY):
        async with running(tmp_path):
            pass
    hanging.__exit__(None, None, None)
    await _threads_end()
    assert came == [errno.ENOTCONN]
    assert took < 5
    async with running(tmp_path) as hand:
        assert await hand.read(await hand.find(b"f")) == b"data"
        assert not hand.brick.suspect


async def _threads_end() -> None:
    """What hung has gone on, and given everything back."""
    threads = [each for each in threading.enumerate() if each.name.startswith("volgraph-pool")]
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join, SECONDS)
        assert not thread.is_alive()


# --- inline: what blocks is a brick's own affair ----------------------------------------------------------------------


async def test_a_disk_that_hangs_in_fsync_stops_no_fsync_of_another_brick(tmp_path: Path) -> None:
    for name in ("sick", "well"):
        (tmp_path / name).mkdir()
    disk = HangingDisk(tmp_path / "sick")
    sick, well = (Posix(name, directory=str(tmp_path / name), io_mode="inline") for name in ("sick", "well"))
    async with Graph(Afr("mirror", [sick, well]), seams_with(disk)):
        hands = [Hand(brick, tmp_path / brick.name) for brick in (sick, well)]
        one, two = [await hand.opened(await hand.file(b"f")) for hand in hands]
        came: list[object] = []
        with disk.hanging("fsync"):
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(outcome, came, lambda: sick.fsync(Call(), one))
                await hangs(disk, 4)
                with anyio.fail_after(SECONDS):
                    await well.fsync(Call(), two)
                assert came == []
                disk.go_on()
        assert len(came) == 8


async def test_what_is_on_a_thread_when_a_brick_stops_is_waited_for(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path)
    async with running(tmp_path, "auto", seams_with(disk), io_mode="inline") as hand:
        fd = await hand.opened(await hand.file(b"f", b"data"))
        waits = disk.hanging("fdatasync")
        waits.__enter__()
        synced = hand.brick.fsync(Call(), fd, 1)
        await hangs(disk)
        threading.Timer(0.2, disk.go_on).start()
    assert isinstance(synced, Coming)
    assert synced.settled


async def test_no_signal_interrupts_what_runs_on_a_thread() -> None:
    """Some file systems end a call that a signal interrupts with EINTR, which Python does not retry for every call."""
    pool = Pool(1)
    blocked = await pool.run(signal.pthread_sigmask, signal.SIG_BLOCK, ())
    pool.close()
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD} <= blocked
    assert signal.SIGSEGV not in blocked
