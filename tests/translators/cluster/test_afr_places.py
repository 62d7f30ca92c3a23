"""An object that is moved between two directories has one place, even where only one of them was told of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from itertools import chain, combinations

import pytest

from tests.translators.cluster.bench import Bench, afr_of, mirror
from volgraph.graph import Gfid, Iatt, fail
from volgraph.translators.cluster.afr.changelog import Counters, Record
from volgraph.translators.cluster.afr.verdict import Copy, knowing, standing

MOVED, OTHER = Gfid(b"m" * 16), Gfid(b"o" * 16)
ONE: Counters = (0, 1, 0)
NONE: Counters = (0, 0, 0)
MOVED_SUFFIX = ".volgraph-moved"


def iatt(gfid: Gfid) -> Iatt:
    return Iatt(gfid, os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, 0, 0, 0, 0)))


def copies(children: Collection[int], blame: dict[int, Collection[int]] | None = None) -> dict[int, Copy]:
    """The copies of one object on these children; `blame`: who says of whom that it missed a move."""
    blame = blame or {}
    size = max(children) + 1
    return {
        child: Copy(iatt(MOVED), Record([ONE if other in blame.get(child, ()) else NONE for other in range(size)]))
        for child in children
    }


def groups(children: Collection[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(sorted(children), size) for size in range(len(children) + 1))


def stands(here: Collection[int], wherever: dict[int, Copy], voters: Collection[int]) -> bool:
    """Does the object stand at a name where these voters have it, and nobody has anything else?"""
    found = {child: iatt(MOVED) for child in here if child in voters}
    if not found:
        return False
    gfid, by = standing(found, {MOVED: wherever}, voters, None)
    assert by <= set(voters)
    assert gfid is None or by <= set(here)
    return gfid == MOVED


# --- the rule --------------------------------------------------------------------------------------------------------


def test_nobody_knows_a_place_where_nothing_is_said_of_moves_or_two_contradict_each_other() -> None:
    assert knowing(copies({0, 1}), None) == frozenset()
    assert knowing(copies({0, 1}, {0: {1}, 1: {0}}), None) == frozenset()
    assert knowing(copies({0, 1}, {1: {0}}), None) == {1}
    assert knowing(copies({0, 1, 2}, {1: {0}, 2: {0}}), 2) == {1, 2}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_an_object_stands_at_one_of_two_places_whoever_moved_it_and_whoever_said_so(count: int) -> None:
    """Both directories are in doubt on all copies."""
    everyone = set(range(count))
    for new in groups(everyone):
        old = everyone - set(new)
        for witnesses in groups(new):
            wherever = copies(everyone, dict.fromkeys(witnesses, old))

            assert stands(old, wherever, everyone) != stands(new, wherever, everyone), (new, witnesses)
            if witnesses:
                assert stands(new, wherever, everyone), (new, witnesses)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_where_the_new_directory_was_told_the_old_one_agrees(count: int) -> None:
    """It is told after the object: so its sources are some of those that have said who missed the move."""
    everyone = set(range(count))
    for new in groups(everyone):
        old = everyone - set(new)
        for witnesses in filter(None, groups(new)):
            assert not old or not stands(old, copies(everyone, dict.fromkeys(witnesses, old)), everyone)


def test_a_moved_object_displaces_what_stood_at_its_new_name() -> None:
    """The first child missed a rename over another object, which it has still."""
    found = {0: iatt(OTHER), 1: iatt(MOVED)}

    told = {OTHER: copies({0}), MOVED: copies({0, 1}, {1: {0}})}
    untold = {OTHER: copies({0}), MOVED: copies({0, 1})}

    assert standing(found, told, {0, 1}, None) == (MOVED, frozenset({1}))
    assert standing(found, untold, {0, 1}, None) == (OTHER, frozenset({0}))


def test_what_moved_away_leaves_its_name_to_what_more_copies_have() -> None:
    found = {0: iatt(MOVED), 1: iatt(OTHER)}
    moved = copies({0, 1}, {1: {0}})

    assert standing(found, {OTHER: copies({1}), MOVED: moved}, {0, 1}, None) == (OTHER, frozenset({1}))


def test_a_copy_that_has_no_vote_decides_nothing() -> None:
    found = {0: iatt(MOVED)}

    assert standing(found, {MOVED: copies({0, 1}, {1: {0}})}, {0}, None) == (MOVED, frozenset({0}))


# --- the rule at work ------------------------------------------------------------------------------------------------


async def told_half(bench: Bench, lacking: int, old: str, new: str) -> None:
    """Move it; `lacking` misses that, and the connection to the other copy breaks once one directory was told."""
    told: list[str] = []

    def refuse(name: str, args: tuple[object, ...]) -> OSError | None:
        if name == "xattrop" and told:
            told.append(name)
        return fail(errno.ENOTCONN) if len(told) == 4 else None

    def renaming(name: str, args: tuple[object, ...]) -> OSError | None:
        if name == "rename":
            told.append(name)
        return refuse(name, args)

    bench.switches[lacking].refuse = lambda name, args: fail(errno.ENOTCONN) if name == "rename" else None
    bench.switches[1 - lacking].refuse = renaming
    with pytest.raises(OSError):
        await bench.rename(old, new)
    assert told == ["rename", "xattrop", "xattrop", "xattrop"]
    for switch in bench.switches:  # whose locks go with their connections
        switch.refuse = lambda name, args: None
        switch.turn(False)
    for switch in bench.switches:
        switch.turn(True)


async def a_file_or_directory(bench: Bench, what: str) -> None:
    await bench.mkdir("from")
    await bench.mkdir("to")
    await (bench.write("from/old", b"x") if what == "file" else bench.mkdir("from/old"))


async def places(bench: Bench) -> list[str]:
    return [f"from/{name}" for name in await bench.names("from")] + [f"to/{name}" for name in await bench.names("to")]


@pytest.mark.anyio
@pytest.mark.parametrize("lacking", [0, 1])
@pytest.mark.parametrize("what", ["file", "directory"])
async def test_a_move_that_only_the_new_directory_was_told_of_is_seen_and_healed_as_done(
    what: str, lacking: int
) -> None:
    async with mirror() as bench:
        await a_file_or_directory(bench, what)
        await told_half(bench, lacking, "from/old", "to/new")

        await bench.find("to/new")
        with pytest.raises(FileNotFoundError):
            await bench.find("from/old")
        report = await afr_of(bench).heal()
        assert report.clean, report
        assert await places(bench) == ["to/new"]
        assert bench.images_equal()
        assert not any(bench.marks())


@pytest.mark.anyio
@pytest.mark.parametrize("lacking", [0, 1])
@pytest.mark.parametrize("first", ["from", "to"])
async def test_directories_healed_one_by_one_agree_on_where_a_moved_file_stands(first: str, lacking: int) -> None:
    async with mirror() as bench:
        await a_file_or_directory(bench, "file")
        await told_half(bench, lacking, "from/old", "to/new")

        for path in (first, "from", "to", first):
            await afr_of(bench).heal((await bench.find(path)).gfid)
        assert any(key.endswith(MOVED_SUFFIX) for keys in bench.marks() for key in keys)
        assert (await afr_of(bench).heal()).clean
        assert await places(bench) == ["to/new"]
        assert bench.images_equal()
        assert not any(bench.marks())


@pytest.mark.anyio
async def test_what_is_said_of_a_move_stays_while_a_directory_cannot_be_healed() -> None:
    async with mirror() as bench:
        await a_file_or_directory(bench, "file")
        await told_half(bench, 0, "from/old", "to/new")
        gfid = (await bench.find("from")).gfid
        bench.switches[0].refuse = lambda name, args: (
            fail(errno.EIO) if name in ("unlink", "rename") and args[1].parent == gfid else None
        )
        report = await afr_of(bench).heal()
        assert not report.clean
        assert any(key.endswith(MOVED_SUFFIX) for keys in bench.marks() for key in keys)

        bench.switches[0].refuse = lambda name, args: None
        assert (await afr_of(bench).heal()).clean
        assert await places(bench) == ["to/new"]
        assert not any(bench.marks())


@pytest.mark.anyio
async def test_a_moved_file_that_was_removed_since_leaves_nothing_to_take_back() -> None:
    async with mirror() as bench:
        await a_file_or_directory(bench, "file")
        await told_half(bench, 0, "from/old", "to/new")
        with bench.without(0):
            await bench.unlink("to/new")

        report = await afr_of(bench).heal()
        assert report.clean, report
        assert bench.images_equal()
        assert not any(bench.marks())


@pytest.mark.anyio
async def test_applications_see_nothing_of_what_is_said_of_moves() -> None:
    async with mirror() as bench:
        await a_file_or_directory(bench, "file")
        await told_half(bench, 0, "from/old", "to/new")
        place = await bench.loc("to/new")
        place.gfid = (await bench.find("to/new")).gfid

        assert any(key.endswith(MOVED_SUFFIX) for keys in bench.marks() for key in keys)
        listed = (await bench.top.getxattr(bench.call, place, None)).values
        assert not [key for key in listed if key.startswith("trusted.afr.")]
        with pytest.raises(PermissionError):
            await bench.top.setxattr(bench.call, place, {f"trusted.afr.b0{MOVED_SUFFIX}": b"x" * 12})


@pytest.mark.anyio
async def test_nothing_is_said_of_a_move_once_both_directories_are_told() -> None:
    async with mirror() as bench:
        await a_file_or_directory(bench, "file")
        bench.switches[0].turn(False)
        await bench.rename("from/old", "to/new")

        assert any(bench.marks())
        assert not any(key.endswith(MOVED_SUFFIX) for keys in bench.marks() for key in keys)
