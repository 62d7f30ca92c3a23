"""The table of docs/promises.md, cell by cell: what can happen is seen to happen, what cannot is seen to be refused."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable, Collection, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from volgraph.graph import Fd, Translator, link
from volgraph.testing.invariants import Majority
from volgraph.testing.loop import run
from volgraph.testing.operations import WRITEV
from volgraph.testing.operations_names import CREATE
from volgraph.testing.stage import Person, stage
from volgraph.testing.sweep import sweep
from volgraph.translators.cluster.afr import Afr
from volgraph.volspec import parse

TABLE = Path(__file__).parents[2] / "docs" / "promises.md"
TWO: dict[str, Any] = {"copies": 2, "quorum_type": "none"}
TWO_OF_TWO: dict[str, Any] = {"copies": 2, "quorum_type": "fixed", "quorum_count": 2}
THREE: dict[str, Any] = {"copies": 3, "quorum_type": "auto"}
STRICT: dict[str, Any] = {**THREE, "strict_reads": True}

OLD, NEW = b"old", b"new"


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(scene, seed=0)


async def code_of(work: Coroutine[Any, Any, object]) -> int:
    try:
        await work
    except OSError as error:
        return error.errno or -1
    return 0


def lose(person: Person, *children: int) -> None:
    for child in children:
        person.connections[child].go_down()


# --- is a stale read possible? ----------------------------------------------------------------------------------------


async def read_by_who_reaches_only_a_stale_copy(options: dict[str, Any]) -> tuple[int, int, bytes | None]:
    """One client writes while it does not reach the last copy; the other one reaches nothing but that."""
    async with stage(clients=2, **options) as (one, two):
        fd, other = await one.make(b"f", OLD), await two.open(b"f")
        last = options["copies"] - 1
        lose(one, last)
        lose(two, *range(last))
        wrote = await code_of(one.write_and_flush(fd, NEW))
        reading = await code_of(two.read(other))
        return wrote, reading, None if reading else await two.read(other)


async def read_by_who_knew_the_copies_before(options: dict[str, Any], away: int = 0) -> tuple[int, bytes]:
    """One client has the file open, and reaches all copies; the other one writes without one of them."""
    async with stage(clients=2, **options) as (one, two):
        fd, other = await one.make(b"f", OLD), await two.open(b"f")
        assert await two.read(other) == OLD
        lose(one, away)
        wrote = await code_of(one.write_and_flush(fd, NEW))
        return wrote, await two.read(other)


def test_two_copies_a_client_that_reaches_only_the_stale_one_reads_old_bytes() -> None:
    async def scene() -> None:
        assert await read_by_who_reaches_only_a_stale_copy(TWO) == (0, 0, OLD)

    play(scene)


def test_two_of_two_a_write_is_acked_only_where_no_copy_is_stale() -> None:
    async def scene() -> None:
        wrote, reading, _ = await read_by_who_reaches_only_a_stale_copy(TWO_OF_TWO)
        assert (wrote, reading) == (errno.ENOTCONN, errno.ENOTCONN)
        wrote, seen = await read_by_who_knew_the_copies_before(TWO_OF_TWO)
        assert (wrote, seen) == (errno.ENOTCONN, OLD)

    play(scene)
    nothing_acked_is_missed(2, lambda present: len(present) == 2, quorum_type="fixed", quorum_count=2)


def test_three_copies_a_client_with_an_open_file_reads_old_bytes_where_another_client_missed_a_copy() -> None:
    async def scene() -> None:
        seen = [await read_by_who_knew_the_copies_before(THREE, away) for away in range(3)]
        assert sorted(seen) == [(0, NEW), (0, NEW), (0, OLD)]  # old where the one that is read from was missed
        wrote, reading, _ = await read_by_who_reaches_only_a_stale_copy(THREE)
        assert (wrote, reading) == (0, errno.ENOTCONN)

    play(scene)


@pytest.mark.parametrize("away", range(3))
def test_three_copies_and_strict_reads_every_client_reads_what_was_acked(away: int) -> None:
    async def scene() -> None:
        assert await read_by_who_knew_the_copies_before(STRICT, away) == (0, NEW)
        wrote, reading, _ = await read_by_who_reaches_only_a_stale_copy(STRICT)
        assert (wrote, reading) == (0, errno.ENOTCONN)

    play(scene)


# --- can an acknowledged write be lost? -------------------------------------------------------------------------------


def nothing_acked_is_missed(copies: int, quorum: Callable[[Collection[int]], bool], **options: Any) -> None:
    """Under a fault at any step, every quorum of the copies gives what was acked."""

    def replicate(children: Sequence[Translator]) -> Translator:
        return Afr("mirror", children, self_heal_daemon=False, **options)

    for operation in (WRITEV, CREATE):
        report = sweep(replicate, operation, copies, quorum=quorum, faults_max=1, invariants=("I01", "I02", "I07"))
        assert not report.violations, str(report)
        assert report.acked > 0


async def read_without_the_copy_that_was_written_first(options: dict[str, Any]) -> tuple[int, bytes]:
    """The last copy is away during a write, and back; then the first one is lost for good."""
    async with stage(**options) as (one,):
        fd = await one.make(b"f", OLD)
        last = options["copies"] - 1
        lose(one, last)
        wrote = await code_of(one.write_and_flush(fd, NEW))
        one.connections[last].come_up()
        if options["copies"] > 2 or wrote:
            assert await one.read(fd) == (OLD if wrote else NEW)
        if wrote:
            return wrote, OLD
        lose(one, 0)
        return wrote, await one.read(fd)


def test_two_copies_a_write_is_lost_with_the_only_copy_that_took_it() -> None:
    async def scene() -> None:
        assert await read_without_the_copy_that_was_written_first(TWO) == (0, OLD)

    play(scene)


def test_two_of_two_a_write_that_only_one_copy_took_is_not_acked() -> None:
    async def scene() -> None:
        assert await read_without_the_copy_that_was_written_first(TWO_OF_TWO) == (errno.ENOTCONN, OLD)

    play(scene)
    nothing_acked_is_missed(2, lambda present: len(present) == 2, quorum_type="fixed", quorum_count=2)


def test_three_copies_a_write_outlives_any_one_copy() -> None:
    async def scene() -> None:
        assert await read_without_the_copy_that_was_written_first(THREE) == (0, NEW)

    play(scene)
    nothing_acked_is_missed(3, Majority(3), quorum_type="auto")


def test_three_copies_and_strict_reads_a_write_outlives_any_one_copy() -> None:
    """While one copy is stale and another is gone, nobody can tell for certain: EIO, and never the old bytes."""

    async def scene() -> None:
        async with stage(**STRICT) as (one,):
            fd = await one.make(b"f", OLD)
            lose(one, 2)
            await one.write_and_flush(fd, NEW)
            one.connections[2].come_up()
            lose(one, 0)
            assert await code_of(one.read(fd)) == errno.EIO
            one.connections[0].come_up()
            assert (await one.afr.heal()).clean
            lose(one, 0)
            assert await one.read(fd) == NEW

    play(scene)


@pytest.mark.parametrize("options", [THREE, STRICT], ids=["three", "strict"])
def test_three_copies_a_file_whose_only_whole_copy_is_away_is_refused_until_it_returns(options: dict[str, Any]) -> None:
    """A stale copy that waits for its heal counted for the quorum of what was acked last."""

    async def scene() -> None:
        async with stage(**options) as (one,):
            fd = await one.make(b"f", OLD)
            lose(one, 1)
            await one.write_and_flush(fd, NEW)
            one.connections[1].come_up()
            lose(one, 2)
            await one.write_and_flush(fd, b"now", 3)
            one.connections[2].come_up()
            lose(one, 0)
            assert await code_of(one.read(fd)) == errno.EIO
            one.connections[0].come_up()
            assert (await one.afr.heal()).clean
            lose(one, 0)
            assert await one.read(fd) == b"newnow"

    play(scene)


# --- is split-brain possible? -----------------------------------------------------------------------------------------


async def written_on_every_side(options: dict[str, Any]) -> tuple[list[int], int]:
    """As many clients as copies, each of which reaches only one, write; then one that reaches all reads."""
    copies = options["copies"]
    async with stage(clients=copies + 1, **options) as people:
        *writers, reader = people
        await reader.make(b"f", OLD)
        opened: list[Fd] = [await person.open(b"f") for person in writers]
        for number, person in enumerate(writers):
            lose(person, *(child for child in range(copies) if child != number))
        wrote = [
            await code_of(person.write_and_flush(fd, b"%d" % number))
            for number, (person, fd) in enumerate(zip(writers, opened, strict=True))
        ]
        return wrote, await code_of(reader.open(b"f"))


def test_two_copies_written_on_each_side_of_a_partition_are_in_split_brain() -> None:
    async def scene() -> None:
        assert await written_on_every_side(TWO) == ([0, 0], errno.EIO)

    play(scene)


def test_two_of_two_no_side_of_a_partition_writes() -> None:
    async def scene() -> None:
        assert await written_on_every_side(TWO_OF_TWO) == ([errno.ENOTCONN] * 2, 0)

    play(scene)


def test_three_copies_no_minority_writes() -> None:
    async def scene() -> None:
        assert await written_on_every_side(THREE) == ([errno.ENOTCONN] * 3, 0)

    play(scene)


def test_three_copies_and_strict_reads_no_minority_writes() -> None:
    async def scene() -> None:
        assert await written_on_every_side(STRICT) == ([errno.ENOTCONN] * 3, 0)

    play(scene)


# --- what goes on when copies are gone? -------------------------------------------------------------------------------


def available_without(options: dict[str, Any], *gone: int) -> bool:
    """Do reading and writing go on? They do, or do not, together."""
    found: list[bool] = []

    async def scene() -> None:
        async with stage(**options) as (one,):
            fd = await one.make(b"f", OLD)
            lose(one, *gone)
            read = await code_of(one.read(fd))
            wrote = await code_of(one.write_and_flush(fd, NEW))
            made = await code_of(one.make(b"g"))
            assert {read, wrote, made} in ({0}, {errno.ENOTCONN})
            found.append(not read)

    play(scene)
    return found[0]


@pytest.mark.parametrize("gone", [0, 1])
def test_two_copies_go_on_without_one(gone: int) -> None:
    assert available_without(TWO, gone)


def test_two_copies_stop_without_both() -> None:
    assert not available_without(TWO, 0, 1)


@pytest.mark.parametrize("gone", [(0,), (1,), (0, 1)])
def test_two_of_two_stop_without_one(gone: Sequence[int]) -> None:
    assert not available_without(TWO_OF_TWO, *gone)


@pytest.mark.parametrize("gone", range(3))
def test_three_copies_go_on_without_one(gone: int) -> None:
    assert available_without(THREE, gone)
    assert available_without(STRICT, gone)


@pytest.mark.parametrize("left", range(3))
def test_three_copies_stop_without_two(left: int) -> None:
    gone = [child for child in range(3) if child != left]

    assert not available_without(THREE, *gone)
    assert not available_without(STRICT, *gone)


# --- what `volgraph check` says of it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("copies", "options", "warned"),
    [
        (2, "", True),
        (2, "option quorum-type none", True),
        (2, "option quorum-type auto", False),
        (2, "option quorum-type fixed\n option quorum-count 2", False),
        (3, "", False),
        (3, "option quorum-type none", True),
        (1, "", False),
    ],
)
def test_copies_without_a_quorum_are_warned_of(copies: int, options: str, warned: bool) -> None:
    names = "abc"[:copies]
    bricks = "".join(f"volume {name}\n type storage/memory\nend-volume\n" for name in names)
    spec = parse(f"{bricks}volume m\n type cluster/afr\n {options}\n subvolumes {' '.join(names)}\nend-volume\n")
    warnings = link(spec).warnings

    assert len(warnings) == warned
    for warning in warnings:
        assert warning.startswith("volume m: ")
        assert "split-brain" in warning
        assert f"quorum-count {copies // 2 + 1}" in warning


# --- the table itself -------------------------------------------------------------------------------------------------


def test_every_cell_of_the_table_names_a_test_that_runs() -> None:
    module = sys.modules[__name__]
    rows = [line for line in TABLE.read_text().splitlines() if re.match(r"\| \*\*", line)]
    cells = [cell for row in rows for cell in row.strip("|").split("|")[1:]]
    named = [re.findall(r"`(test_\w+)`", cell) for cell in cells]

    assert len(rows) == 4
    assert len(cells) == 20
    assert all(named)
    for name in {name for names in named for name in names}:
        test = getattr(module, name, None)
        assert callable(test), name
        assert not {"skip", "skipif", "xfail"} & {mark.name for mark in getattr(test, "pytestmark", ())}, name


def test_every_promise_that_is_tested_stands_in_the_table() -> None:
    told = set(re.findall(r"`(test_\w+)`", TABLE.read_text()))
    tested = {name for name in vars(sys.modules[__name__]) if re.match(r"test_(two|three)_", name)}

    assert tested == told
