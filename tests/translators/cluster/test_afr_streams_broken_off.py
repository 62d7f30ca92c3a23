"""Streams that are broken off, by bugs, cancellations, clusters below that lose a part, the end of the graph, or others
who want the lock, leave nothing behind; and what a copy missed is known."""

from __future__ import annotations

import errno
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from tests.translators.cluster import bench as benches
from tests.translators.cluster.bench import Bench, Gate, Switch, afr_of, awaiting, locks_left
from volgraph.graph import ROOT_GFID, Graph, Loc, NewAttributes, ParentDown, fail, tasks
from volgraph.translators.cluster.afr import Afr, streams
from volgraph.translators.cluster.afr import change as change_module
from volgraph.translators.cluster.afr.transaction import Transaction
from volgraph.translators.storage.memory import Memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

FOR_EVER = 3600
EAGER: dict[str, Any] = {"eager_entry_lock": "on", "post_op_delay": FOR_EVER}


def mirror(count: int = 2, **options: Any) -> Any:
    return benches.mirror(count, **(EAGER | options))


@asynccontextmanager
async def mirror_of_a_mirror() -> AsyncIterator[Bench]:
    """top over b2 and (pair over b0, b1, of which one is enough)."""
    bricks = [Memory(f"m{number}") for number in range(3)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    options: dict[str, Any] = {"self_heal_daemon": False, "known_children": False, "post_op_delay": FOR_EVER}
    pair = Afr("pair", switches[:2], quorum_type="none", **options)
    top = Afr("top", [switches[2], pair], quorum_type="none", **options)
    async with Graph(top) as graph:
        yield Bench(graph, top, switches, bricks)


@pytest.mark.parametrize("fop", ["entrylk", "xattrop"])
async def test_a_child_with_a_bug_while_a_directory_is_opened_for_changes_leaves_no_lock(fop: str) -> None:
    async with mirror() as bench:

        def bug(name: str, args: tuple[Any, ...]) -> OSError | None:
            if name == fop:
                bench.switches[1].refuse = lambda name, args: None
                raise ValueError("a bug")
            return None

        bench.switches[1].refuse = bug
        with pytest.raises(ValueError, match="a bug"):
            await bench.mkdir("a")
        with anyio.fail_after(5):
            await bench.mkdir("b")
        await afr_of(bench).rest()

        assert locks_left(bench) == 0


@pytest.mark.parametrize("eager", ["on", "off"])
async def test_who_looks_before_a_missed_name_is_on_record_does_not_take_the_copy_for_good(eager: str) -> None:
    async with mirror(optimistic_change_log=True, eager_entry_lock=eager) as bench:
        await bench.mkdir("a")
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        place, gate = await bench.loc("b"), Gate(bench.switches[0], "xattrop")
        async with gate.holding(bench.top.mkdir, bench.requesting(), place, 0o755, 0):
            await bench.names()
            gate.open()

        assert afr_of(bench).known_readable(ROOT_GFID) <= {0}
        bench.switches[1].refuse = lambda name, args: None
        await afr_of(bench).rest()
        for _ in range(4):
            assert await bench.names() == ["a", "b"]


async def test_a_child_that_failed_the_announcement_and_missed_a_name_is_not_taken_for_good() -> None:
    async with mirror() as bench:
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "xattrop" else None
        place, gate = await bench.loc("b"), Gate(bench.switches[0], "mkdir")
        async with gate.holding(bench.top.mkdir, bench.requesting(), place, 0o755, 0):
            second = Gate(bench.switches[0], "xattrop")
            gate.open()
            await second.arrival()
            await bench.names()
            second.open()

        assert afr_of(bench).known_readable(ROOT_GFID) <= {0}


async def test_who_is_cancelled_while_a_directory_is_locked_has_given_it_back_when_it_rests() -> None:
    async with mirror() as bench:
        gate = Gate(bench.switches[1], "entrylk")
        async with anyio.create_task_group() as group:
            group.start_soon(bench.mkdir, "a")
            await gate.arrival()
            group.cancel_scope.cancel()
        left: list[int] = []

        async def rest() -> None:
            await afr_of(bench).rest()
            left.append(locks_left(bench))

        async with anyio.create_task_group() as group:
            group.start_soon(rest)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            gate.open()

        assert left == [0]
        assert bench.marks() == [{}, {}]


async def test_a_part_of_a_cluster_that_comes_back_without_the_lock_is_locked_again() -> None:
    async with mirror_of_a_mirror() as bench:
        await bench.mkdir("a")
        bench.switches[0].turn(False)
        bench.switches[0].turn(True)
        await anyio.lowlevel.checkpoint()
        await bench.mkdir("b")

        held = {lock.domain for queue in bench.bricks[0].locks._entries.values() for lock in queue.held}
        assert "top" in held


async def test_a_copy_that_could_not_be_told_who_missed_a_name_keeps_its_mark() -> None:
    async with mirror(3, quorum_type="fixed", quorum_count=1) as bench:
        await bench.mkdir("a")
        bench.switches[2].refuse = lambda name, args: fail(errno.EIO) if name == "unlink" else None
        bench.switches[1].refuse = lambda name, args: fail(errno.EIO) if name == "xattrop" else None
        await bench.create("f")
        await bench.unlink("f")
        bench.switches[1].refuse = bench.switches[2].refuse = lambda name, args: None
        await afr_of(bench).rest()
        told = bench.bricks[1].marks()[ROOT_GFID]

        assert any(told.get("trusted.afr.dirty", ())) or any(told.get("trusted.afr.b2", ()))


async def test_a_miss_that_is_on_record_nowhere_that_counts_is_an_error_though_one_before_was_told() -> None:
    async with mirror(3) as bench:
        await bench.mkdir("before")
        bench.switches[0].refuse = lambda name, args: fail(errno.EIO) if name == "mkdir" else None
        await bench.mkdir("a")
        bench.switches[1].refuse = lambda name, args: (
            fail(errno.EIO) if name == "xattrop" and args[1].gfid == ROOT_GFID else None
        )
        with pytest.raises(OSError, match="Input/output error"):
            await bench.mkdir("b")
        bench.switches[1].refuse = lambda name, args: None
        await afr_of(bench).rest()

        assert locks_left(bench) == 0


async def test_what_is_finished_after_the_end_was_told_leaves_nothing_open() -> None:
    async with mirror() as bench:
        bench.top.notify(ParentDown(bench.top))
        await bench.mkdir("a")
        fd = await bench.create("f")
        await bench.top.writev(bench.call, fd, b"text", 0)

        assert locks_left(bench) == 0
        assert bench.marks() == [{}, {}]


@pytest.mark.parametrize("waiting", ["write", "flush", "truncate"])
async def test_who_waits_for_what_the_end_of_the_graph_breaks_off_is_told_so(
    waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child never answers what a caller that was cancelled has asked; others stand in line behind it."""
    monkeypatch.setattr(tasks, "DRAIN_SECONDS", 0.05)
    refused: list[int | None] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group, mirror() as bench:
            fd = await bench.create("f")
            gate = Gate(bench.switches[1], "writev")
            async with gate.holding(bench.top.writev, bench.call, fd, b"text", 0) as cancelled:
                cancelled.cancel_scope.cancel()
            call = bench.call
            fops: dict[str, Any] = {
                "write": lambda: bench.top.writev(call, fd, b"TEXT", 0),
                "flush": lambda: bench.top.flush(call, fd),
                "truncate": lambda: bench.top.truncate(call, Loc(fd.gfid), 0),
            }

            async def wait() -> None:
                try:
                    await fops[waiting]()
                except OSError as error:
                    refused.append(error.errno)

            group.start_soon(wait)
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()

    assert refused == [errno.ENOTCONN] * 2


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("change", ["write", "append", "mkdir", "setattr"])
async def test_a_bug_of_our_own_leaves_no_lock_and_keeps_the_mark(
    change: str, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mirror() as bench:
        fd = await bench.create("f")
        await bench.top.writev(bench.call, fd, b"text", 0)
        appending, directory, call = await bench.open("f", os.O_RDWR | os.O_APPEND), await bench.loc("a"), bench.call
        fops: dict[str, Any] = {
            "write": lambda: bench.top.writev(call, fd, b"TEXT", 0),
            "append": lambda: bench.top.writev(call, appending, b"more", 0),
            "mkdir": lambda: bench.top.mkdir(bench.requesting(), directory, 0o755, 0),
            "setattr": lambda: bench.top.setattr(call, Loc(fd.gfid), NewAttributes(mode=0o600)),
        }
        gate = Gate(bench.switches[1], "writev", "mkdir", "setattr")

        async def make() -> None:
            with pytest.raises(ZeroDivisionError, match="the bug"):
                await fops[change]()

        with monkeypatch.context() as patch, anyio.fail_after(5):
            patch.setattr(change_module, "unanimous", mock.Mock(side_effect=ZeroDivisionError("the bug")))
            if not late:
                gate.open()
            async with anyio.create_task_group() as group:
                group.start_soon(make)
                if late:
                    await gate.arrival()
                    gate.open()
            await afr_of(bench).rest()

        assert locks_left(bench) == 0
        assert any(bench.marks())
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()


@pytest.mark.parametrize("change", ["write", "mkdir"])
async def test_a_bug_of_our_own_before_a_stream_is_open_leaves_no_lock(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pre_op = Transaction._pre_op

    def buggy(self: Transaction, number: int, then: Any) -> Any:
        if number == len(self.marked):
            raise ZeroDivisionError("the bug")
        return pre_op(self, number, then)

    async with mirror() as bench:
        fd = await bench.create("f")
        await afr_of(bench).rest()
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError, match="the bug"):
            patch.setattr(Transaction, "_pre_op", buggy)
            await (bench.mkdir("a") if change == "mkdir" else bench.top.writev(bench.call, fd, b"text", 0))

        assert locks_left(bench) == 0
        assert any(bench.marks())
        with anyio.fail_after(5):
            await (bench.mkdir("a") if change == "mkdir" else bench.top.writev(bench.call, fd, b"text", 0))
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()


# --- others who want the lock, where the children do not tell --------------------------------------------------------


def untold(bench: Bench) -> None:
    for brick in bench.bricks:
        brick.set_notices(False, 0)


async def test_a_move_between_directories_does_not_wait_for_those_that_are_kept_open_meanwhile() -> None:
    async with mirror() as bench:
        untold(bench)
        for name in ("a", "b"):
            await bench.mkdir(name)
        await bench.create("a/f")
        directory, old, new = (await bench.find("a")).gfid, await bench.loc("a/f"), await bench.loc("b/f")
        first, second = await bench.loc("a/1"), await bench.loc("a/2")
        gate = Gate(bench.switches[1], "mkdir")

        async def in_line(group: anyio.abc.TaskGroup, fop: Any, *args: Any) -> None:
            group.start_soon(awaiting, fop, *args)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                await in_line(group, bench.top.mkdir, bench.requesting(), first, 0o755, 0)
                await in_line(group, afr_of(bench).streams.close, directory)
                await in_line(group, bench.top.mkdir, bench.requesting(), second, 0o755, 0)
                await in_line(group, bench.top.rename, bench.call, old, new)
                gate.open()

        assert afr_of(bench).streams.may_keep(directory)
        assert (await bench.names("a"), await bench.names("b")) == (["1", "2"], ["f"])
        assert bench.images_equal()


async def test_a_heal_that_nobody_asked_for_gets_what_is_kept_open() -> None:
    async with mirror() as bench:
        untold(bench)
        await bench.mkdir("a")
        with anyio.fail_after(5):
            assert (await afr_of(bench).crawler.heal(ROOT_GFID, False)).clean

        assert afr_of(bench).streams.may_keep(ROOT_GFID)
        assert bench.marks() == [{}, {}]


async def test_a_name_without_a_gfid_gets_one_though_its_directory_is_kept_open() -> None:
    async with mirror() as bench:
        untold(bench)
        await bench.mkdir("a")
        answers = iter([fail(errno.ENODATA)])
        bench.switches[0].refuse = lambda name, args: next(answers, None) if name == "lookup" else None
        with anyio.fail_after(5):
            assert (await bench.top.lookup(bench.requesting(), await bench.loc("a"))).iatt.is_dir


@pytest.mark.parametrize("contents", [False, True])
async def test_another_client_gets_its_turn_though_no_brick_tells_that_it_waits(
    contents: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "RENEWALS_MAX", 2)
    async with benches.clients(eager_entry_lock="on", post_op_delay=0.03) as (one, two):
        untold(one)
        fd, served = await one.create("f"), anyio.Event()
        there = await two.open("f")

        async def busy() -> None:
            number = 0
            while not served.is_set():
                number += 1
                if contents:
                    await one.top.writev(one.call, fd, b"1", 0)
                else:
                    await one.mkdir(f"d{number}")
                await anyio.lowlevel.checkpoint()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(busy)
                await anyio.sleep(0.01)
                await (two.top.writev(two.call, there, b"2", 1) if contents else two.mkdir("other"))
                served.set()

        assert one.images_equal()
