"""How changed names are marked, so that healers of GlusterFS understand it, and how their marks are understood."""

import struct
from collections.abc import AsyncIterator

import attrs
import pytest

import volgraph
from tests.translators.cluster.bench import Switch
from volgraph.graph import ROOT_GFID, Call, Gfid, Loc, XattropKind
from volgraph.translators import Afr, Memory

pytestmark = pytest.mark.anyio

BLAME = "trusted.afr.b"


@attrs.define
class Mirror:
    volume: volgraph.Volume
    a: Switch
    b: Switch

    async def gfid(self, path: str) -> Gfid:
        gfid = ROOT_GFID
        for name in path.strip("/").split("/"):
            gfid = (await self.a.lookup(Call(), Loc(parent=gfid, name=name.encode()))).iatt.gfid
        return gfid

    async def blame(self, path: str) -> tuple[int, ...] | None:
        """What `a` says of `b`: data, metadata, entry; None where it says nothing."""
        values = (await self.a.getxattr(Call(), Loc(await self.gfid(path)), None)).values
        return struct.unpack(">3I", values[BLAME]) if BLAME in values else None


@pytest.fixture
async def mirror(anyio_backend: str) -> AsyncIterator[Mirror]:
    a, b = (Switch(name, [Memory(f"{name}-brick")]) for name in "ab")
    async with volgraph.open(Afr("mirror", [a, b], self_heal_daemon=False)) as volume:
        yield Mirror(volume, a, b)


async def test_names_are_blamed_in_the_data_counter_too(mirror: Mirror) -> None:
    await mirror.volume.mkdir("/d")
    mirror.b.turn(False)
    await mirror.volume.write_bytes("/d/f", b"x")
    await mirror.volume.mkdir("/d/e")

    assert await mirror.blame("/d") == (2, 0, 2)
    assert await mirror.blame("/d/e") == (1, 1, 1)


async def test_a_new_symlink_bears_no_mark(mirror: Mirror) -> None:
    mirror.b.turn(False)
    await mirror.volume.symlink("target", "/link")

    assert not any(await mirror.blame("/link") or ())


async def test_a_symlink_without_a_mark_is_made_where_it_is_missing(mirror: Mirror) -> None:
    mirror.b.turn(False)
    await mirror.volume.symlink("target", "/link")
    mirror.b.turn(True)

    report = await mirror.volume.heal()

    assert (report.pending, report.split_brain, report.failed) == ([], [], [])
    gfid = await mirror.gfid("/link")
    assert (await mirror.b.readlink(Call(), Loc(gfid), 100)).target == b"target"


@pytest.mark.parametrize("counters", [(1, 1, 1), (0, 0, 1), (1, 0, 0), (3, 0, 1)])
async def test_every_mark_that_a_directory_can_bear_is_taken_back(mirror: Mirror, counters: tuple[int, ...]) -> None:
    """A client of GlusterFS marks a directory in the data counter too when it is new."""
    await mirror.volume.mkdir("/d")
    loc = Loc(await mirror.gfid("/d"))
    await mirror.a.xattrop(Call(), loc, XattropKind.ADD_ARRAY, {BLAME: struct.pack(">3I", *counters)})

    await mirror.volume.heal()

    assert not any(await mirror.blame("/d") or ())
    assert (await mirror.volume.pending()).pending == []


async def test_a_heal_that_is_asked_for_waits_for_the_one_in_the_background() -> None:
    """Two healers at once would find each other's locks, and the second would report everything as pending."""
    a, b = (Switch(name, [Memory(f"{name}-brick")]) for name in "ab")
    async with volgraph.open(Afr("mirror", [a, b])) as volume:
        b.turn(False)
        for number in range(30):
            await volume.write_bytes(f"/{number}", b"x" * 1000)
        b.turn(True)
        report = await volume.heal()

        assert (report.pending, report.split_brain, report.failed) == ([], [], [])
        assert len(await Mirror(volume, a, b).volume.listdir("/")) == 30
        for number in range(30):
            await b.lookup(Call(), Loc(parent=ROOT_GFID, name=b"%d" % number))
