"""Healing names: what lives on under another name is moved with all it holds; what nobody was told is decided."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.translators.cluster.bench import Bench, afr_of, healed, mirror
from volgraph.graph import ROOT_GFID, Loc, fail

pytestmark = pytest.mark.anyio


async def all_healed(bench: Bench) -> None:
    for switch in bench.switches:
        switch.refuse = lambda name, args: None
    bench.all_on()
    await healed(bench)


async def only_the_last_copy_has(bench: Bench, path: str, content: bytes) -> None:
    """Two changes of a file, each of which misses another copy: only b2 has both."""
    await bench.write(path, b"first")
    fd = await bench.open(path)
    for missing, data in ((1, b"A"), (0, b"B")):
        with bench.without(missing):
            await bench.top.writev(bench.call, fd, data, missing)

    assert bench.bricks[2].image()["/" + path].content == content


@pytest.mark.parametrize("place", ["n", "d/n"])
async def test_the_only_good_copy_of_a_file_is_moved_where_it_missed_the_rename(place: str) -> None:
    async with mirror(3) as bench:
        await bench.mkdir("d")
        await bench.write(place, b"replaced")
        await only_the_last_copy_has(bench, "f", b"BArst")
        bench.switches[2].turn(False)
        await bench.rename("f", place)

        await all_healed(bench)
        assert await bench.read(place) == b"BArst"


async def test_a_directory_moved_meanwhile_keeps_the_only_good_copy_of_a_file_in_it() -> None:
    async with mirror(3) as bench:
        for path in ("a", "b", "a/d"):
            await bench.mkdir(path)
        await only_the_last_copy_has(bench, "a/d/f", b"BArst")
        bench.switches[2].turn(False)
        await bench.rename("a/d", "b/moved")

        await all_healed(bench)
        assert await bench.read("b/moved/f") == b"BArst"


async def test_what_was_moved_out_of_a_directory_before_it_was_removed_keeps_its_only_good_copy() -> None:
    async with mirror(3) as bench:
        await bench.mkdir("doomed")
        await only_the_last_copy_has(bench, "doomed/f", b"BArst")
        bench.switches[2].turn(False)
        await bench.rename("doomed/f", "saved")
        await bench.rmdir("doomed")

        await all_healed(bench)
        assert await bench.read("saved") == b"BArst"


async def test_names_exchanged_meanwhile_are_exchanged() -> None:
    async with mirror() as bench:
        await bench.write("a", b"1")
        await bench.mkdir("b")
        await bench.write("b/inside", b"2")
        bench.switches[1].turn(False)
        for old, new in (("a", "t"), ("b", "a"), ("t", "b")):
            await bench.rename(old, new)
        inodes = {bench.bricks[1].store.inodes[(await bench.find(name)).gfid] for name in ("a", "b", "a/inside")}

        await all_healed(bench)
        assert inodes == {
            bench.bricks[1].store.inodes[(await bench.find(name)).gfid] for name in ("a", "b", "a/inside")
        }


async def test_a_name_taken_away_meanwhile_leaves_the_other_names_of_the_file() -> None:
    async with mirror() as bench:
        await bench.write("a", b"x")
        await bench.top.link(bench.call, Loc((await bench.find("a")).gfid), await bench.loc("b"))
        bench.switches[1].turn(False)
        await bench.unlink("a")

        await all_healed(bench)
        assert await bench.names() == ["b"]


async def test_a_file_that_a_quorum_deleted_goes_though_the_copy_that_missed_it_blames_a_third() -> None:
    async with mirror(3) as bench:
        await bench.write("f", b"x")
        with bench.without(2):
            await bench.write("f", b"known to two")
        bench.switches[1].turn(False)
        await bench.unlink("f")

        await all_healed(bench)
        assert await bench.names() == []


async def test_one_name_with_two_objects_keeps_no_other_name_from_being_healed() -> None:
    async with mirror(3) as bench:
        for brick in bench.bricks[:2]:  # behind the back of the afr: no mark says that they differ
            await brick.mknod(bench.requesting(), Loc(parent=ROOT_GFID, name=b"n3"), 0o100644, 0, 0)
        with bench.without(2):
            for number in (1, 2, 4, 5):
                await bench.write(f"n{number}", b"x")
        report = await afr_of(bench).heal()

        assert [item.gfid for item in report.split_brain] == [ROOT_GFID]
        assert "n3" in report.split_brain[0].reason
        assert set(bench.bricks[2].image()) == {"/", "/n1", "/n2", "/n4", "/n5"}


# --- what nobody was told has succeeded ------------------------------------------------------------------------------


def in_the_dark(bench: Bench, done_on: int, fop: str) -> None:
    """The next such fop is done on one copy only, and then all connections are lost."""
    started: list[str] = []

    def lost(number: int, name: str) -> OSError | None:
        if name == fop:
            started.append(name)
            return None if number == done_on else fail(errno.ENOTCONN)
        return fail(errno.ENOTCONN) if started and name == "xattrop" else None

    for number, switch in enumerate(bench.switches):
        switch.refuse = lambda name, args, number=number: lost(number, name)  # type: ignore[misc]


@pytest.mark.parametrize("copies", [2, 3])
@pytest.mark.parametrize("done_on", [0, 1])
@pytest.mark.parametrize("what", ["file", "directory"])
@pytest.mark.parametrize("new", ["new", "there", "d/new"])
async def test_a_rename_of_unknown_outcome_has_happened_or_not(copies: int, done_on: int, what: str, new: str) -> None:
    async with mirror(copies, quorum_type="auto" if copies > 2 else "none") as bench:
        await bench.mkdir("d")
        if what == "file":
            await bench.write("old", b"x")
            await bench.write("there", b"replaced")
        else:
            await bench.mkdir("old")
            await bench.mkdir("there")
        in_the_dark(bench, done_on, "rename")
        moved, replaced = (await bench.find("old")).gfid, (await bench.find("there")).gfid
        with pytest.raises(OSError):
            await bench.rename("old", new)

        await all_healed(bench)
        found: dict[Any, str] = {}
        for path in ("old", "there", "d/new", "new"):
            try:
                found[(await bench.find(path)).gfid] = path
            except FileNotFoundError:
                continue
        happened = {moved: new} if new == "there" else {moved: new, replaced: "there"}
        assert found in ({moved: "old", replaced: "there"}, happened)


@pytest.mark.parametrize("fop", ["create", "unlink"])
async def test_a_name_made_or_removed_in_the_dark_is_there_afterwards(fop: str) -> None:
    async with mirror(3) as bench:
        await bench.write("f", b"x")
        in_the_dark(bench, 1, fop)
        with pytest.raises(OSError):
            await (bench.create("new") if fop == "create" else bench.unlink("f"))

        await all_healed(bench)
        assert await bench.names() == (["f", "new"] if fop == "create" else ["f"])
