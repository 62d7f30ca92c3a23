"""Healing: a copy that missed something becomes equal to one that did not."""

from __future__ import annotations

import errno

import anyio
import pytest

from tests.translators.cluster.bench import Bench, afr_of, healed, mirror
from volgraph.graph import Loc, NewAttributes, fail
from volgraph.testing.fated import failing
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import Person, stage
from volgraph.translators.cluster.afr.crawl import PAUSE_SECONDS, PAUSE_SECONDS_MAX

pytestmark = pytest.mark.anyio


async def all_healed(bench: Bench) -> None:
    """All children on, heal, and nothing may be left."""
    bench.all_on()
    await healed(bench)
    assert (await afr_of(bench).heal()).healed == []


@pytest.mark.parametrize("away", [0, 1])
async def test_a_rewritten_file_is_copied_whole(away: int) -> None:
    async with mirror() as bench:
        await bench.write("f", b"a longer old content")
        bench.switches[away].turn(False)
        await bench.write("f", b"new")

        await all_healed(bench)
        assert bench.bricks[away].image()["/f"].content == b"new"


async def test_names_made_and_removed_meanwhile_are_made_and_removed() -> None:
    async with mirror() as bench:
        await bench.mkdir("gone")
        await bench.write("gone/inside", b"x")
        await bench.mkdir("kept")
        await bench.write("kept/old", b"y")
        bench.switches[1].turn(False)
        await bench.unlink("gone/inside")
        await bench.rmdir("gone")
        await bench.mkdir("new")
        await bench.mkdir("new/deep")
        await bench.write("new/deep/f", b"z")
        await bench.rename("kept/old", "new/moved")
        await bench.top.symlink(bench.requesting(), b"deep/f", await bench.loc("new/link"), 0)

        await all_healed(bench)


async def test_a_directory_renamed_meanwhile_stands_only_at_its_new_place() -> None:
    async with mirror() as bench:
        for path in ("a", "b", "a/d"):
            await bench.mkdir(path)
        await bench.write("a/d/f", b"x")
        bench.switches[0].turn(False)
        await bench.rename("a/d", "b/e")
        await bench.write("b/e/f", b"changed")

        await all_healed(bench)


async def test_attributes_set_meanwhile_are_set() -> None:
    async with mirror() as bench:
        await bench.write("f", b"x")
        loc = Loc((await bench.find("f")).gfid)
        await bench.top.setxattr(bench.call, loc, {"user.old": b"1"})
        bench.switches[1].turn(False)
        await bench.top.setattr(bench.call, loc, NewAttributes(mode=0o4751, uid=7, gid=8))
        await bench.top.setxattr(bench.call, loc, {"user.new": b"2"})
        await bench.top.removexattr(bench.call, loc, "user.old")

        await all_healed(bench)


async def test_a_file_replaced_by_a_directory_meanwhile_becomes_one() -> None:
    async with mirror() as bench:
        await bench.write("n", b"x")
        bench.switches[0].turn(False)
        await bench.unlink("n")
        await bench.mkdir("n")
        await bench.write("n/f", b"y")

        await all_healed(bench)


async def test_a_short_write_on_the_sink_leaves_the_blame() -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        with bench.without(1):
            await bench.write("f", b"new and longer")
        bench.switches[1].refuse = lambda name, args: fail(errno.ENOSPC) if name == "writev" else None
        report = await afr_of(bench).heal()

        assert len(report.failed) == 1
        assert bench.marks()[0]["trusted.afr.b1"][0] > 0
        assert await bench.read("f") == b"new and longer"


async def test_an_object_changed_on_one_copy_and_deleted_on_the_other_is_not_thrown_away() -> None:
    async with mirror() as bench:
        await bench.write("f", b"x")
        with bench.without(1):
            await bench.unlink("f")
        with bench.without(0):
            await bench.write("f", b"precious")
        report = await afr_of(bench).heal()

        assert report.split_brain
        assert bench.bricks[1].image()["/f"].content == b"precious"


async def test_the_healer_wakes_by_itself_when_a_child_comes_back() -> None:
    async with mirror(self_heal_daemon=True) as bench:
        await bench.write("f", b"old")
        with bench.without(1):
            await bench.write("f", b"new")
        await afr_of(bench).crawler.rest()

        assert bench.images_equal()
        assert bench.marks() == [{}, {}]


async def test_three_copies_heal_from_the_two_that_agree() -> None:
    async with mirror(3) as bench:
        await bench.mkdir("d")
        await bench.write("d/f", b"old")
        bench.switches[2].turn(False)
        await bench.write("d/f", b"new")
        await bench.write("d/g", b"more")

        await all_healed(bench)


# --- by itself -------------------------------------------------------------------------------------------------------


async def missed_by_a_copy(one: Person, sick: str) -> None:
    """A copy is back, and the other cannot tell what it missed."""
    fd = await one.make(b"f", b"old")
    one.connections[1].go_down()
    await one.write_and_flush(fd, b"new")
    one.connections[0].refuses[sick] = failing(errno.EIO)
    one.connections[1].come_up()
    await anyio.sleep(0.1)
    assert not one.alike


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sick", ["getxattr", "readdir"])
def test_the_healer_meets_an_error_tells_of_it_and_tries_again(sick: str, backend: str) -> None:
    async def play() -> None:
        async with stage(2, self_heal_daemon=True) as (one,):
            await missed_by_a_copy(one, sick)
            assert one.afr.health == "up, the healer has met: Input/output error"
            await anyio.sleep(10 * PAUSE_SECONDS_MAX)
            assert 10 <= one.connections[0].seen.count(sick) <= 30, "it goes on, and gives the disk time"
            assert one.afr.health == "up, the healer has met: Input/output error"

            one.connections[0].refuses.clear()
            await anyio.sleep(PAUSE_SECONDS_MAX + 1)

            assert one.alike
            assert not one.marked
            assert one.afr.health == "up"
            assert one.afr.crawler.pause == PAUSE_SECONDS

    run(play, seed=0, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_child_that_comes_back_is_healed_at_once_though_the_healer_pauses(backend: str) -> None:
    async def play() -> None:
        async with stage(2, self_heal_daemon=True) as (one,):
            await missed_by_a_copy(one, "getxattr")
            await anyio.sleep(10 * PAUSE_SECONDS_MAX)
            one.connections[0].refuses.clear()
            one.connections[0].go_down()
            one.connections[0].come_up()
            await anyio.sleep(1)

            assert one.alike
            assert one.afr.health == "up"

    run(play, seed=0, backend=backend)
