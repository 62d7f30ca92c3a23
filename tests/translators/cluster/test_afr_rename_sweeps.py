"""Changes of names under every schedule of faults, and their healing."""

from __future__ import annotations

import pytest

from volgraph.graph import ROOT_GFID, Fd, Gfid, Loc, Translator
from volgraph.testing.mutants import majority, mirror
from volgraph.testing.operations import CALL, Operation
from volgraph.testing.sweep import SweepReport, sweep, sweep_heal

FILE, OTHER, HERE, THERE = (Gfid(bytes([number]) * 16) for number in range(2, 6))
SEEN = ("I01", "I02", "I04", "I05", "I07")
"""All but I06, whose oracle does not know that what is below a renamed directory moves with it."""

Place = tuple[Gfid, bytes]


def at(place: Place) -> Loc:
    return Loc(parent=place[0], name=place[1])


async def make(top: Translator, gfid: Gfid, place: Place, mode: int) -> None:
    call = CALL.with_xdata({"gfid-req": gfid})
    if mode & 0o040000:
        await top.mkdir(call, at(place), 0o755, 0)
    else:
        await top.mknod(call, at(place), mode, 0, 0)


def renaming(name: str, old: Place, new: Place, mode: int, over: bool) -> Operation:
    """Of FILE, over OTHER where something stands at the new name."""

    async def prepare(top: Translator) -> Fd:
        for gfid, directory in ((HERE, b"here"), (THERE, b"there")):
            await make(top, gfid, (ROOT_GFID, directory), 0o040755)
        await make(top, FILE, old, mode)
        if over:
            await make(top, OTHER, new, mode)
        return Fd()

    async def perform(top: Translator, fd: Fd) -> object:
        return await top.rename(CALL, at(old), at(new))

    async def look(top: Translator) -> bytes:
        found = b""
        for place in (old, new):
            try:
                found += bytes((await top.lookup(CALL, at(place))).iatt.gfid[:1])
            except FileNotFoundError:
                found += b"-"
        return found

    before = FILE[:1] + (OTHER[:1] if over else b"-")
    return Operation(name, prepare, perform, look, before, b"-" + FILE[:1])


REGULAR, DIRECTORY = 0o100644, 0o040755
WITHIN = [
    renaming("a file", (HERE, b"old"), (HERE, b"new"), REGULAR, over=False),
    renaming("a file over another", (HERE, b"old"), (HERE, b"new"), REGULAR, over=True),
    renaming("a directory", (HERE, b"old"), (HERE, b"new"), DIRECTORY, over=False),
]
ACROSS = [
    renaming("a file over another elsewhere", (HERE, b"old"), (THERE, b"new"), REGULAR, over=True),
    renaming("a directory to another place", (HERE, b"old"), (THERE, b"new"), DIRECTORY, over=False),
]


def nothing_broken(report: SweepReport) -> None:
    assert not report.violations, str(report)
    assert report.acked > 0


@pytest.mark.parametrize("operation", WITHIN, ids=lambda operation: operation.name)
def test_renaming_within_a_directory_bears_every_two_faults(operation: Operation) -> None:
    nothing_broken(sweep(mirror, operation, 2, faults_max=2, invariants=SEEN))


@pytest.mark.parametrize("operation", [*WITHIN, *ACROSS], ids=lambda operation: operation.name)
def test_renaming_with_a_quorum_of_three_bears_faults_drawn_at_random(operation: Operation) -> None:
    nothing_broken(sweep(majority, operation, 3, drawn=250, seed=1, invariants=SEEN))


@pytest.mark.parametrize("operation", [*WITHIN, *ACROSS], ids=lambda operation: operation.name)
@pytest.mark.parametrize("copies", [2, 3])
def test_the_heal_of_a_missed_rename_disturbed_at_any_fop_loses_nothing(operation: Operation, copies: int) -> None:
    nothing_broken(sweep_heal(mirror if copies == 2 else majority, operation, copies, invariants=("I02", "I05", "I07")))
