"""Planted bugs in what is read, and from which copy."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from ..graph import ROOT_GFID, Acknowledged, Call, Entries, Fd, Gfid, Loc, Outcome, Renamed, Translator, fail
from ..translators.cluster.afr import Afr, reading, suspects, verdict
from ..translators.cluster.afr.changelog import Kind, packed
from ..translators.cluster.afr.openings import Openings
from ..translators.cluster.afr.replica_set import ReplicaSet
from .fated import failing
from .hunts import Mutant, by_scenario, must, refused
from .stage import Person, stage


async def blamed_by_each_other(one: Person, gfid: Gfid, kind: Kind) -> None:
    await one.mark(0, gfid, {"trusted.afr.b1": packed(kind, 1)})
    await one.mark(1, gfid, {"trusted.afr.b0": packed(kind, 1)})


# --- opening and looking up ------------------------------------------------------------------------------------------


def open_anywhere_will_do() -> AbstractContextManager[object]:
    def opened(self: Openings, outcomes: Any, good: Any) -> Acknowledged:
        return next(outcome for outcome in outcomes if outcome.ok).reply  # type: ignore[no-any-return]

    return mock.patch.object(Openings, "opened", opened)


async def an_open_that_most_refuse() -> None:
    async with stage(3) as (one,):
        await one.make(b"f", b"text")
        for connection in one.connections[1:]:
            connection.refuses["open"] = failing(errno.EIO)
        must(await refused(one.open(b"f")), "I04", "a file was opened on one copy of three")


def whoever_lacks_a_name_is_right() -> AbstractContextManager[object]:
    async def lacking(afr: Any, call: Any, loc: Any, outcomes: dict[int, Outcome[Any]]) -> dict[int, Outcome[Any]]:
        return {child: outcome for child, outcome in outcomes.items() if outcome.errno == errno.ENOENT}

    return mock.patch.object(reading, "_votes_that_count", lacking)


async def a_name_that_one_copy_missed() -> None:
    async with stage(2, clients=2, quorum_type="none") as (one, two):
        await one.make(b"known")
        await two.find(b"known")
        one.connections[0].go_down()
        await one.make(b"f")
        must(not await refused(two.find(b"f")), "I02", "a name that was made is not found")


def split_brain_is_no_error() -> AbstractContextManager[object]:
    return mock.patch.object(reading, "_none_is_good", lambda afr, gfid: frozenset(afr.up))


async def opening_what_is_split() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"text")
        await blamed_by_each_other(one, fd.gfid, Kind.DATA)
        must(await refused(one.open(b"f", os.O_RDWR | os.O_APPEND)), "I12", "a file in split-brain was opened")


def blame_for_attributes_does_not_count() -> AbstractContextManager[object]:
    def readable(copies: Any) -> frozenset[int]:
        clean = set(copies)
        for copy in copies.values():
            clean -= {child for child in clean if copy.record.blames(child, verdict.contents_of(copy.iatt)[:1])}
        return frozenset(clean)

    return mock.patch.object(suspects, "readable", readable)


async def reading_what_is_split_in_attributes() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"text")
        one.connections[1].go_down()
        one.connections[1].come_up()
        await blamed_by_each_other(one, fd.gfid, Kind.METADATA)
        must(await refused(one.read(fd)), "I12", "contents were read though nobody knows whose owner is right")


@contextmanager
def one_sick_disk_fails_all() -> Iterator[None]:
    copies_of = reading.copies_of

    def strict(keys: Any, outcomes: dict[int, Outcome[Any]]) -> Any:
        if any(outcome.errno == errno.EIO for outcome in outcomes.values()):
            raise fail(errno.EIO, "split-brain?")
        return copies_of(keys, outcomes)

    with mock.patch.object(reading, "copies_of", strict):
        yield


async def one_disk_that_is_sick() -> None:
    async with stage(3) as (one,):
        await one.make(b"f", b"text")
        one.connections[1].refuses["lookup"] = failing(errno.EIO)
        must(not await refused(one.find(b"f")), "I15", "two good copies of three are not enough to find a file")


# --- what is known of copies -----------------------------------------------------------------------------------------


def who_missed_a_write_is_read_on() -> AbstractContextManager[object]:
    return mock.patch.object(ReplicaSet, "missed", return_value=None)


async def a_write_that_the_read_child_missed() -> None:
    async with stage(2, quorum_type="none", read_subvolume="b0") as (one,):
        fd = await one.make(b"f", b"old")
        await one.read(fd)
        one.connections[0].refuses["writev"] = failing(errno.EIO)
        await one.write(fd, b"new")
        must(await one.read(fd) == b"new", "I02", "read from a copy that has just missed a write")


@contextmanager
def a_rename_makes_every_copy_good() -> Iterator[None]:
    rename = Afr.rename

    async def renamed(self: Afr, call: Call, old: Loc, new: Loc) -> Renamed:
        reply = await rename(self, call, old, new)
        state = self.inodes[reply.iatt.gfid]
        state.generation, state.readable = self.generation, frozenset(self.up)
        return reply

    with mock.patch.object(Afr, "rename", renamed):
        yield


async def a_stale_copy_that_is_renamed() -> None:
    async with stage(2, quorum_type="none", read_subvolume="b0") as (one,):
        fd = await one.make(b"f", b"old")
        one.connections[0].go_down()
        await one.write_and_flush(fd, b"new")
        one.connections[0].come_up()
        await one.rename(b"f", b"g")
        must(await one.read(fd) == b"new", "I02", "read from a copy that missed a write, after a rename")


@contextmanager
def who_cannot_be_asked_is_never_good_again() -> Iterator[None]:
    inspect = reading.inspect

    async def once(afr: ReplicaSet, call: Call, gfid: Gfid) -> reading.Inspection:
        try:
            return await inspect(afr, call, gfid)
        except OSError:
            state = afr.inodes[gfid]
            state.generation, state.readable = afr.generation, frozenset()
            raise

    with mock.patch.object(reading, "inspect", once):
        yield


async def a_moment_in_which_nobody_answers() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"text")
        one.connections[1].go_down()
        one.connections[1].come_up()
        for connection in one.connections:
            connection.refuses["lookup"] = failing(errno.EIO)
        await refused(one.read(fd))
        for connection in one.connections:
            connection.refuses.clear()
        must(not await refused(one.read(fd)), "I22", "one failed inspection makes a file unreadable for good")


def attributes_come_from_any_copy() -> AbstractContextManager[object]:
    async def fstat(self: Afr, call: Call, fd: Fd) -> Any:
        return await self.children[min(self.up)].fstat(call, fd)

    return mock.patch.object(Afr, "fstat", fstat)


async def a_copy_that_missed_an_extension() -> None:
    async with stage(2, quorum_type="none") as (one,):
        fd = await one.make(b"f", b"four")
        one.connections[0].go_down()
        await one.write_and_flush(fd, b"twelve bytes")
        one.connections[0].come_up()
        size = (await one.afr.fstat(one.call, fd)).iatt.size
        must(size == 12, "I02", f"the size is told as {size}, and it is 12")


# --- files without a name, and listings ------------------------------------------------------------------------------


def a_file_is_found_by_its_name_alone() -> AbstractContextManager[object]:
    async def readable_for(afr: ReplicaSet, call: Call, target: Any, fresh: bool = False) -> frozenset[int]:
        return await reading.readable_copies(afr, call, target.gfid, fresh)

    return mock.patch.object(reading, "readable_for", readable_for)


async def a_file_unlinked_while_open() -> None:
    async with stage(2, quorum_type="none") as (one,):
        await one.make(b"f", b"text")
        fd = await one.open(b"f")
        await one.unlink(b"f")
        one.connections[1].go_down()
        must(not await refused(one.read(fd)), "I15", "an open file that was unlinked cannot be read any more")


def any_copy_goes_on_with_a_listing() -> AbstractContextManager[object]:
    async def listed(
        self: Afr, call: Call, fd: Fd, offset: int, wind: Callable[[Translator], Awaitable[Entries]]
    ) -> Entries:
        return await reading.read(self, call, fd, wind)

    return mock.patch.object(Afr, "_list", listed)


async def a_listing_whose_child_goes_away() -> None:
    async with stage(2, quorum_type="none", read_subvolume="b0") as (one,):
        one.connections[1].go_down()
        for number in range(5):
            await one.make(b"%d" % number)
        await one.unlink(b"0")
        one.connections[1].come_up()
        must((await one.afr.heal()).clean, "I07", "the directory is not healed")
        fd = Fd(ROOT_GFID, is_dir=True)
        await one.afr.opendir(one.call, Loc(ROOT_GFID), fd)
        first = (await one.afr.readdir(one.call, fd, 1, 0)).entries[0]
        one.connections[0].go_down()
        try:
            rest = (await one.afr.readdir(one.call, fd, 1 << 16, first.offset)).entries
        except OSError:
            return
        names = sorted([first.name, *(entry.name for entry in rest)])
        must(names == [b"1", b"2", b"3", b"4"], "I15", f"listed: {names}")


READING = (
    Mutant("F06", "a file opens on a minority", open_anywhere_will_do, by_scenario(an_open_that_most_refuse)),
    Mutant(
        "F09",
        "a name is not found because one copy lacks it",
        whoever_lacks_a_name_is_right,
        by_scenario(a_name_that_one_copy_missed),
    ),
    Mutant(
        "F23", "a file in split-brain opens for appending", split_brain_is_no_error, by_scenario(opening_what_is_split)
    ),
    Mutant(
        "F24",
        "contents are read though attributes are in split-brain",
        blame_for_attributes_does_not_count,
        by_scenario(reading_what_is_split_in_attributes),
    ),
    Mutant(
        "F26",
        "one sick disk is taken for a split-brain",
        one_sick_disk_fails_all,
        by_scenario(one_disk_that_is_sick),
    ),
    Mutant(
        "F50",
        "a copy that has just missed a write is read on",
        who_missed_a_write_is_read_on,
        by_scenario(a_write_that_the_read_child_missed),
    ),
    Mutant(
        "F51",
        "a rename makes what is known of the copies of a file new again",
        a_rename_makes_every_copy_good,
        by_scenario(a_stale_copy_that_is_renamed),
    ),
    Mutant(
        "F52",
        "one failed inspection leaves no good copy for ever",
        who_cannot_be_asked_is_never_good_again,
        by_scenario(a_moment_in_which_nobody_answers),
    ),
    Mutant(
        "F54",
        "the size of a file is told by a copy that missed its growth",
        attributes_come_from_any_copy,
        by_scenario(a_copy_that_missed_an_extension),
    ),
    Mutant(
        "F55",
        "an open file that was unlinked is looked for by its name",
        a_file_is_found_by_its_name_alone,
        by_scenario(a_file_unlinked_while_open),
    ),
    Mutant(
        "F56",
        "a listing goes on where another copy has other offsets",
        any_copy_goes_on_with_a_listing,
        by_scenario(a_listing_whose_child_goes_away),
    ),
)
