"""storage/posix: a process that is killed, what the sweep after it finds, and what a sync brings to the disk."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.translators.storage.bricks import Hand, fails, in_both_modes, running
from tests.translators.storage.ordinary_user import IN_MEMORY, in_a_process_of_its_own, users_folder
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Loc, Seams
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool
from volgraph.testing.power_loss import scratch_folder
from volgraph.testing.power_loss_killed import kill_rounds
from volgraph.testing.power_loss_session import Session, gfid_of, opened
from volgraph.translators.storage.heal_index import XATTROP_INDEX_GFID
from volgraph.translators.storage.posix import settling
from volgraph.translators.storage.posix.settling import Unsettled
from volgraph.translators.storage.posix.sweeping import sweep

ONE = b"\0\0\0\1" * 3


class Watched(Disk):
    """Notes the calls that sync and list; `refused` fails."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refused = ""

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.refused:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fsync(self, fd: Any) -> None:
        self._note("fsync")
        os.fsync(fd)

    def fdatasync(self, fd: Any) -> None:
        self._note("fdatasync")
        os.fdatasync(fd)

    def syncfs(self, fd: int) -> None:
        self._note("syncfs")

    def scandir(self, fd: int) -> Any:
        self._note("scandir")
        return super().scandir(fd)


def seams_on(disk: Disk) -> Seams:
    return Seams(blocking=Pool(disk=disk))


def killed(directory: Path) -> None:
    """As if the last owner of this closed brick had been killed."""
    record = directory / ".glusterfs" / "volgraph.owner"
    record.write_bytes(record.read_bytes().replace(b"clean 1", b"clean 0"))


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not true():  # noqa: ASYNC110 (the brick tells nobody)
            await anyio.sleep(0.001)


# --- killed for real --------------------------------------------------------------------------------------------------


@pytest.fixture
def scratch() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        yield folder


@in_both_modes
def test_a_process_that_is_killed_leaves_each_fop_done_or_undone(mode: str, scratch: str) -> None:
    report = kill_rounds(mode, scratch, seed=1, seconds=5)
    print(f"killed [{mode}]: {report}")
    assert not report.violations, "\n".join(map(str, report.violations))
    assert report.distinct, "no round came to its end"


@pytest.mark.soak
@in_both_modes
def test_a_process_is_killed_many_times(
    mode: str, scratch: str, record_property: Callable[[str, object], None]
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    report = kill_rounds(mode, scratch, seed, seconds=120)
    record_property("killed bricks", f"{mode}, seed {seed}: {report}")
    assert not report.violations, "\n".join(map(str, report.violations))


# --- the sweep --------------------------------------------------------------------------------------------------------


async def with_orphans(hand: Hand) -> list[Gfid]:
    """What a crash may leave: a handle whose file has no name, and one whose directory is not there."""
    file, folder = await hand.file(b"f", b"x"), await hand.dir(b"d")
    os.unlink(hand.directory / "f")
    os.rmdir(hand.directory / "d")
    return [file, folder]


@pytest.mark.anyio
@in_both_modes
@pytest.mark.parametrize("io_mode", ["inline", "worker"])
async def test_after_a_crash_handles_without_a_name_are_removed_while_the_brick_works(
    tmp_path: Path, mode: str, io_mode: str
) -> None:
    async with running(tmp_path, mode) as hand:
        orphans = await with_orphans(hand)
        kept = await hand.file(b"kept", b"y")
    killed(tmp_path)
    async with running(tmp_path, mode, io_mode=io_mode) as hand:
        assert await hand.read(kept) == b"y"
        await until(lambda: hand.brick.brick.owner.swept)
        assert [os.path.lexists(hand.handle(gfid)) for gfid in (*orphans, kept)] == [False, False, True]
    with opened(str(tmp_path), mode, Disk()) as brick:
        assert brick.brick.metadata.gfids(Gfid(), 10) == ([kept] if mode == "sidecar" else [])


@pytest.mark.anyio
@in_both_modes
async def test_a_sweep_that_the_end_of_the_brick_cuts_off_is_made_at_the_next_start(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        orphans = await with_orphans(hand)
    killed(tmp_path)
    with opened(str(tmp_path), mode, Disk()) as brick:  # here nothing runs beside the fops
        assert not brick.brick.owner.swept
    async with running(tmp_path, mode) as hand:
        await until(lambda: hand.brick.brick.owner.swept)
        assert not any(os.path.lexists(hand.handle(gfid)) for gfid in orphans)


@pytest.mark.anyio
async def test_a_start_after_a_clean_end_looks_at_no_handle(tmp_path: Path) -> None:
    async with running(tmp_path) as hand:
        await hand.file(b"f", b"x")
    disk = Watched()
    async with running(tmp_path, seams=seams_on(disk)) as hand:
        assert hand.brick.brick.owner.swept
        await anyio.lowlevel.checkpoint()
    assert "scandir" not in disk.calls


@pytest.mark.anyio
@in_both_modes
async def test_a_sweep_leaves_alone_what_is_open_and_has_no_name(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        open_file, removed = await hand.file(b"f", b"x"), await hand.file(b"g", b"y")
        fd, other = await hand.opened(open_file), await hand.opened(removed)
        os.unlink(tmp_path / "f")  # behind the brick's back
        await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"g"))
        for _ in sweep(hand.brick.brick):
            pass
        assert bytes((await hand.brick.readv(Call(), fd, 10, 0)).data) == b"x"
        assert bytes((await hand.brick.readv(Call(), Fd(removed), 10, 0)).data) == b"y"
        hand.brick.release(fd)
        hand.brick.release(other)


def test_a_sweep_keeps_what_an_ordinary_user_may_not_look_at() -> None:
    def kept() -> str:
        with opened(str(folder), "sidecar", Disk()) as brick:
            session = Session(brick)
            session.mkdir("d", "d")
            session.mkdir("d/k", "k")
            session.create("d/f", "f")
        os.chmod(folder / "d", 0)
        killed(folder)
        with opened(str(folder), "sidecar", Disk()) as brick:
            for _ in sweep(brick.brick):
                pass
            assert brick.brick.owner.swept
        os.chmod(folder / "d", 0o755)
        with opened(str(folder), "sidecar", Disk()) as brick:
            for name in "dkf":
                brick.brick.find(gfid_of(name))
        return "kept"

    with users_folder(IN_MEMORY) as folder:
        assert in_a_process_of_its_own(kept) == "kept"


@pytest.mark.anyio
@in_both_modes
async def test_an_object_with_marks_whose_entry_in_the_heal_index_is_lost_is_listed_again(
    tmp_path: Path, mode: str
) -> None:
    async with running(tmp_path, mode) as hand:
        blamed = [await hand.file(b"f"), await hand.dir(b"d")]
        for gfid in blamed:
            await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.afr.x": ONE})
            os.unlink(tmp_path / ".glusterfs" / "indices" / "xattrop" / gfid.text)
    killed(tmp_path)
    async with running(tmp_path, mode) as hand:
        await until(lambda: hand.brick.brick.owner.swept)
        assert {entry.name for entry in await hand.entries(XATTROP_INDEX_GFID)} == {g.text.encode() for g in blamed}


@pytest.mark.anyio
@in_both_modes
async def test_an_object_with_marks_that_lost_its_handle_too_is_listed_when_its_name_is_looked_up(
    tmp_path: Path, mode: str
) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.afr.x": ONE})
        os.unlink(tmp_path / ".glusterfs" / "indices" / "xattrop" / gfid.text)
        os.unlink(hand.handle(gfid))
    async with running(tmp_path, mode) as hand:
        assert await hand.entries(XATTROP_INDEX_GFID) == []
        assert await hand.find(b"f") == gfid
        assert [entry.name for entry in await hand.entries(XATTROP_INDEX_GFID)] == [gfid.text.encode()]


@pytest.mark.anyio
@in_both_modes
async def test_a_directory_that_was_not_put_in_its_place_goes_with_what_the_disk_kept_in_it(
    tmp_path: Path, mode: str
) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.dir(b"d")
        inner = await hand.file(b"f", b"x", parent=gfid)
    os.rename(tmp_path / "d", tmp_path / ".glusterfs" / "volgraph.new" / gfid.text)
    async with running(tmp_path, mode) as hand:
        assert await hand.names() == []
        assert not any(os.path.lexists(hand.handle(gone)) for gone in (gfid, inner))


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_brick_that_could_not_be_synced_at_its_end_did_not_end_cleanly(tmp_path: Path) -> None:
    disk = Watched()
    async with running(tmp_path, seams=seams_on(disk)) as hand:
        await hand.file(b"f", b"x")
        disk.refused = "syncfs"
    assert b"clean 0" in (tmp_path / ".glusterfs" / "volgraph.owner").read_bytes()
    async with running(tmp_path) as hand:
        await until(lambda: hand.brick.brick.owner.swept)
    assert b"clean 1" in (tmp_path / ".glusterfs" / "volgraph.owner").read_bytes()


@pytest.mark.anyio
async def test_a_torn_record_of_the_owner_is_none_of_a_clean_end(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    record = tmp_path / ".glusterfs" / "volgraph.owner"
    record.write_bytes(bytes(record.stat().st_size))
    async with running(tmp_path) as hand:
        assert hand.brick.suspect


# --- what is synced ---------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@in_both_modes
async def test_making_moving_and_removing_files_waits_for_no_disk(tmp_path: Path, mode: str) -> None:
    disk = Watched()
    async with running(tmp_path, mode, seams_on(disk)) as hand:
        disk.calls.clear()
        file = await hand.file(b"f", b"x")
        await hand.dir(b"d")
        await hand.symlink(b"s", b"target")
        await hand.brick.link(Call(), Loc(file), Loc(parent=ROOT_GFID, name=b"l"))
        await hand.brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"f"), Loc(parent=ROOT_GFID, name=b"g"))
        await hand.brick.setxattr(Call(), Loc(file), {"trusted.afr.x": ONE})
        await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"g"))
        await hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        assert not {"fsync", "fdatasync", "syncfs"} & set(disk.calls)


@pytest.mark.anyio
async def test_fsyncdir_syncs_the_handles_of_what_was_named_since_the_last_one(tmp_path: Path) -> None:
    disk = Watched()
    async with running(tmp_path, "auto", seams_on(disk)) as hand:
        folder = await hand.dir(b"d")

        async def syncs(gfid: Gfid) -> int:
            disk.calls.clear()
            await hand.brick.fsyncdir(Call(), Fd(gfid))
            return disk.calls.count("fsync")

        beside = 1 if hand.brick.brick.metadata.apart else 0
        assert await syncs(ROOT_GFID) == 4 + beside  # itself, and the three folders above a handle
        assert await syncs(ROOT_GFID) == 1 + beside
        await hand.file(b"f", parent=folder)
        assert await syncs(ROOT_GFID) == 1 + beside
        assert await syncs(folder) == 4 + beside


@pytest.mark.anyio
async def test_what_an_fsyncdir_that_failed_was_to_sync_is_synced_by_the_next(tmp_path: Path) -> None:
    disk = Watched()
    async with running(tmp_path, "auto", seams_on(disk)) as hand:
        await hand.dir(b"d")
        disk.refused = "fsync"
        with fails(errno.EIO):
            await hand.brick.fsyncdir(Call(), Fd(ROOT_GFID))
        disk.refused = ""
        disk.calls.clear()
        await hand.brick.fsyncdir(Call(), Fd(ROOT_GFID))
        assert disk.calls.count("fsync") >= 4


def gfid(number: int) -> Gfid:
    return Gfid(number.to_bytes(16, "big"))


def test_what_is_named_while_a_sync_is_under_way_is_left_to_the_next() -> None:
    unsettled = Unsettled()
    unsettled.named(ROOT_GFID, gfid(1))
    unsettled.named(ROOT_GFID, gfid(2))
    pending = unsettled.of(ROOT_GFID)
    assert pending is not None
    unsettled.named(ROOT_GFID, gfid(2))
    pending.synced = True
    unsettled.settled(pending)
    left = unsettled.of(ROOT_GFID)
    assert left is not None
    assert list(left.named) == [gfid(2)]


def test_beyond_the_limit_nothing_is_remembered_and_everything_is_synced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "NAMES_MAX", 10)
    disk, unsettled = Watched(), Unsettled()
    for number in range(1, 12):
        unsettled.named(gfid(number % 2 + 1), gfid(number))
    pending = unsettled.of(gfid(9))  # of any directory: it is not known which were named in
    assert pending is not None
    pending.sync(disk, -1)
    assert disk.calls == ["syncfs"]
    unsettled.settled(pending)
    assert unsettled.of(gfid(9)) is None
    unsettled.named(gfid(1), gfid(5))
    again = unsettled.of(gfid(1))
    assert again is not None
    assert (list(again.named), again.all) == ([gfid(5)], 0)
