"""Changes of one directory's names share a lock and a pre-op; both are given back in time, and what was missed is on
record before anybody is answered."""

from __future__ import annotations

import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tests.translators.cluster import bench as benches
from tests.translators.cluster.bench import Bench, Gate, Switch, afr_of, awaiting, locks_left
from volgraph.graph import ROOT_GFID, Fd, Gfid, Graph, Loc, fail
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.storage.memory import Memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

FOR_EVER = 3600
DIRTY = {"trusted.afr.dirty": (0, 0, 1)}
EAGER: dict[str, Any] = {"eager_entry_lock": "on", "post_op_delay": FOR_EVER}


def mirror(count: int = 2, **options: Any) -> Any:
    return benches.mirror(count, **(EAGER | options))


def clients(**options: Any) -> Any:
    return benches.clients(**(EAGER | options))


@asynccontextmanager
async def pair_beside_a_brick() -> AsyncIterator[Bench]:
    """top over b2 and (pair over b0, b1, of which both are needed)."""
    bricks = [Memory(f"m{number}") for number in range(3)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    options: dict[str, Any] = {"self_heal_daemon": False, "known_children": False, "post_op_delay": FOR_EVER}
    pair = Afr("pair", switches[:2], quorum_type="fixed", quorum_count=2, **options)
    top = Afr("top", [switches[2], pair], quorum_type="none", **options)
    async with Graph(top) as graph:
        yield Bench(graph, top, switches, bricks)


async def given_back(bench: Bench) -> None:
    with anyio.fail_after(5):
        while locks_left(bench):
            await anyio.lowlevel.checkpoint()


async def fsyncdir(bench: Bench, path: str = "") -> None:
    fd = Fd((await bench.find(path)).gfid if path else ROOT_GFID, is_dir=True)
    await bench.top.opendir(bench.call, Loc(fd.gfid), fd)
    await bench.top.fsyncdir(bench.call, fd)
    bench.top.release(fd)


# --- one round each --------------------------------------------------------------------------------------------------


async def test_the_second_name_costs_one_round() -> None:
    async with mirror() as bench:
        await bench.mkdir("a")
        began = bench.moment()
        await bench.mkdir("b")
        await bench.create("c")
        await bench.unlink("c")

        assert bench.asked_since(began) == [["mkdir", "create", "unlink"]] * 2
        assert bench.marks() == [DIRTY, DIRTY]


class Far(Switch):
    """A child in another process."""

    remote = True


@pytest.mark.parametrize(("asked", "kept"), [("auto", False), ("on", True), ("off", False)])
async def test_a_directory_that_is_also_on_a_served_brick_is_kept_only_where_that_is_asked_for(
    asked: str, kept: bool
) -> None:
    bricks = [Memory("m0"), Memory("m1")]
    switches = [Switch("b0", (bricks[0],)), Far("b1", (bricks[1],))]
    top = Afr("top", switches, eager_entry_lock=asked, post_op_delay=FOR_EVER, quorum_type="none")
    async with Graph(top) as graph:
        bench = Bench(graph, top, switches, bricks)
        await bench.mkdir("a")

        assert bench.marks() == ([DIRTY, DIRTY] if kept else [{}, {}])
        assert locks_left(bench) == (2 if kept else 0)


async def test_a_directory_in_one_process_is_kept() -> None:
    async with mirror(eager_entry_lock="auto") as bench:
        await bench.mkdir("a")

        assert bench.marks() == [DIRTY, DIRTY]
        assert locks_left(bench) == 2


async def test_names_in_two_directories_do_not_wait_for_each_other() -> None:
    async with mirror() as bench:
        await bench.mkdir("a")
        await bench.mkdir("b")
        await bench.create("a/1")
        await bench.create("b/1")
        began = bench.moment()
        await bench.top.mkdir(bench.requesting(), await bench.loc("a/2"), 0o755, 0)
        await bench.top.mkdir(bench.requesting(), await bench.loc("b/2"), 0o755, 0)

        assert [[fop for fop in fops if fop != "lookup"] for fops in bench.asked_since(began)] == [["mkdir"] * 2] * 2


async def test_an_idle_directory_is_given_back_after_the_delay() -> None:
    async with mirror(post_op_delay=0.02) as bench:
        await bench.mkdir("a")
        assert locks_left(bench) == 2
        with anyio.fail_after(5):
            while locks_left(bench):  # noqa: ASYNC110 (nothing tells)
                await anyio.sleep(0.01)

        assert bench.marks() == [{}, {}]


async def test_after_fsyncdir_no_lock_and_no_mark_is_left() -> None:
    async with mirror() as bench:
        await bench.mkdir("a")
        await fsyncdir(bench)

        assert locks_left(bench) == 0
        assert bench.marks() == [{}, {}]


async def test_an_optimist_keeps_the_lock_and_marks_nothing() -> None:
    async with mirror(optimistic_change_log=True) as bench:
        await bench.mkdir("a")
        assert bench.marks() == [{}, {}]
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        await bench.mkdir("b")

        assert bench.bricks[0].marks()[ROOT_GFID] == {"trusted.afr.b1": (1, 0, 1)}
        assert "b" not in [path.strip("/") for path in bench.bricks[1].image()]


# --- others who want it ----------------------------------------------------------------------------------------------


async def test_another_client_gets_the_directory_at_once() -> None:
    async with clients() as (one, two):
        await one.mkdir("a")
        with anyio.fail_after(5):
            await two.mkdir("b")
            await one.mkdir("c")

        assert await two.names() == ["a", "b", "c"]
        assert one.images_equal()


async def test_two_clients_that_make_names_all_the_time_lock_single_names() -> None:
    async with clients() as both:
        locked: list[object] = []
        both[0].switches[0].refuse = lambda name, args: locked.append(args[3]) if name == "entrylk" else None

        async def make(bench: Bench, letter: str) -> None:
            for number in range(20):
                await bench.mkdir(f"{letter}{number}")
                await anyio.lowlevel.checkpoint()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for bench, letter in zip(both, "ab", strict=True):
                    group.start_soon(make, bench, letter)

        assert len(await both[0].names()) == 40
        assert both[0].images_equal()
        assert locked.count(None) <= 4
        for bench in both:
            await afr_of(bench).rest()
        assert both[0].marks() == [{}, {}]


async def test_a_directory_that_nobody_else_wants_any_more_is_locked_as_a_whole_again() -> None:
    async with clients(post_op_delay=0.01) as (one, two):
        await one.mkdir("a")
        await two.mkdir("b")
        assert not afr_of(one).streams.may_keep(ROOT_GFID)
        afr_of(one).streams._contended_at[ROOT_GFID] -= 60
        await one.mkdir("c")
        began = one.moment()
        await one.mkdir("d")

        assert one.asked_since(began) == [["mkdir"]] * 2


async def test_a_strict_reader_gets_the_directory_at_once() -> None:
    async with clients(strict_reads=True) as (one, two):
        await one.mkdir("a")
        with anyio.fail_after(5):
            assert await two.names() == ["a"]


async def test_a_healer_gets_the_directory_at_once() -> None:
    async with clients() as (one, two):
        one.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        await one.mkdir("a")
        one.switches[1].refuse = lambda name, args: None
        with anyio.fail_after(5):
            assert (await afr_of(two).heal()).clean

        assert one.images_equal()
        assert one.marks() == [{}, {}]


async def test_who_heals_itself_does_not_take_itself_for_another_client() -> None:
    async with mirror() as bench:
        with bench.without(1):
            await bench.mkdir("a")
        await bench.mkdir("b")
        assert (await afr_of(bench).heal(ROOT_GFID)).clean

        assert afr_of(bench).streams.may_keep(ROOT_GFID)


async def test_a_directory_may_be_removed_right_after_its_last_name() -> None:
    async with mirror() as bench:
        await bench.mkdir("d")
        await bench.create("d/f")
        await bench.unlink("d/f")
        with anyio.fail_after(5):
            await bench.rmdir("d")

        assert await bench.names() == []
        await given_back(bench)
        assert bench.marks() == [{}, {}]


async def test_a_file_moves_between_directories_that_are_both_kept() -> None:
    async with mirror() as bench:
        for name in ("a", "b"):
            await bench.mkdir(name)
            await bench.create(f"{name}/{name}")
        with anyio.fail_after(5):
            await bench.rename("a/a", "b/a")
            await bench.create("a/new")

        assert await bench.names("b") == ["a", "b"]
        assert await bench.names("a") == ["new"]
        assert bench.images_equal()


# --- what is missed --------------------------------------------------------------------------------------------------


async def test_each_name_that_a_copy_missed_is_counted_before_the_answer() -> None:
    async with mirror() as bench:
        await bench.mkdir("before")
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        for number in (1, 2, 3):
            await bench.mkdir(f"d{number}")
            assert bench.bricks[0].marks()[ROOT_GFID]["trusted.afr.b1"] == (number, 0, number)
        bench.switches[1].refuse = lambda name, args: None
        await afr_of(bench).rest()

        assert bench.bricks[0].marks()[ROOT_GFID] == {"trusted.afr.b1": (3, 0, 3)}
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()


async def test_a_copy_that_missed_a_name_is_not_read() -> None:
    async with mirror(read_subvolume="b1") as bench:
        await bench.mkdir("a")
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        await bench.mkdir("b")

        assert await bench.names() == ["a", "b"]


async def test_what_is_known_of_a_new_object_is_as_old_as_the_answers() -> None:
    """A child that went and came back while another's miss was put on record may have lost it."""
    async with mirror(3, quorum_type="none") as bench:
        await bench.mkdir("before")
        bench.switches[2].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        gate = Gate(bench.switches[0], "xattrop")
        made: list[Gfid] = []

        async def make() -> None:
            made.append(await bench.mkdir("d"))

        async with anyio.create_task_group() as group:
            group.start_soon(make)
            await gate.arrival()
            bench.switches[1].turn(False)
            bench.switches[1].turn(True)
            gate.open()

        assert afr_of(bench).known_readable(made[0]) == frozenset()


async def test_a_child_that_goes_ends_it_and_the_next_name_is_missed_by_it() -> None:
    async with mirror() as bench:
        await bench.mkdir("a")
        with bench.without(1):
            await bench.mkdir("b")
        await afr_of(bench).rest()

        assert bench.bricks[0].marks()[ROOT_GFID] == {"trusted.afr.b1": (1, 0, 1)}
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()
        assert bench.marks() == [{}, {}]


async def test_what_failed_everywhere_alike_leaves_nothing_behind() -> None:
    async with mirror() as bench:
        await bench.create("f")
        with pytest.raises(FileExistsError):
            await bench.create("f")
        with pytest.raises(FileNotFoundError):
            await bench.top.unlink(bench.call, Loc(parent=ROOT_GFID, name=b"none"))
        await afr_of(bench).rest()

        assert bench.marks() == [{}, {}]


async def test_a_change_in_the_dark_leaves_the_marks() -> None:
    async with mirror(quorum_type="fixed", quorum_count=2) as bench:
        await bench.mkdir("a")
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        with pytest.raises(OSError, match="Input/output error"):
            await bench.mkdir("b")
        bench.switches[1].refuse = lambda name, args: None
        await given_back(bench)

        assert bench.marks() == [DIRTY, DIRTY]
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()


async def test_changes_of_one_name_happen_in_the_same_order_on_all_copies() -> None:
    async with mirror() as bench:
        await bench.mkdir("before")
        gate = Gate(bench.switches[1], "mkdir")
        place = await bench.loc("d")
        async with gate.holding(bench.top.mkdir, bench.requesting(), place, 0o755, 0) as group:
            group.start_soon(awaiting, bench.top.rename, bench.call, place, await bench.loc("e"))
            await anyio.lowlevel.checkpoint()
            assert "rename" not in bench.switches[0].seen
            gate.open()

        assert await bench.names() == ["before", "e"]
        assert bench.images_equal()


async def test_who_is_cancelled_leaves_a_whole_name_and_no_lock() -> None:
    async with mirror() as bench:
        await bench.mkdir("before")
        gate = Gate(bench.switches[1], "create")
        async with anyio.create_task_group() as group:
            group.start_soon(bench.create, "f")
            await gate.arrival()
            group.cancel_scope.cancel()
        gate.open()
        await afr_of(bench).rest()
        with anyio.fail_after(5):
            while any(inode.open_fds for brick in bench.bricks for inode in brick.store.inodes.values()):
                await anyio.lowlevel.checkpoint()

        assert locks_left(bench) == 0
        assert bench.images_equal()
        assert bench.marks() == [{}, {}]


async def test_a_mark_of_a_name_in_what_is_no_directory_is_forgotten() -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        await afr_of(bench).rest()
        with pytest.raises(NotADirectoryError):
            await bench.top.mkdir(bench.requesting(), Loc(parent=fd.gfid, name=b"d"), 0o755, 0)
        bench.switches[1].turn(False)
        bench.switches[1].turn(True)
        assert (await afr_of(bench).heal()).clean

        assert bench.marks() == [{}, {}]
        assert (await afr_of(bench).pending()).clean


# --- clusters below --------------------------------------------------------------------------------------------------


async def test_locks_on_what_is_up_below_a_cluster_that_is_down_are_given_back() -> None:
    async with pair_beside_a_brick() as bench:
        await bench.write("f", b"text")
        fd = await bench.open("f")
        await bench.top.writev(bench.call, fd, b"T", 0)
        bench.switches[0].turn(False)
        await afr_of(bench).rest()

        assert bench.bricks[1].locks.held == 0
