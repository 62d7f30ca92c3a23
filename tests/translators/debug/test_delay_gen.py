"""debug/delay-gen: the chosen fops reach the child late, by the clock seam; all others at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import attrs
import pytest

from volgraph.graph import ROOT_LOC, Attributes, Call, Coming, Done, Graph, Seams, link
from volgraph.graph.options import read_text
from volgraph.graph.seams import Clock
from volgraph.testing.seams import simulated
from volgraph.translators import DelayGen, Memory
from volgraph.volspec import SpecError, parse

pytestmark = pytest.mark.anyio


class Alarm(Clock):
    """Sleepers wait until they are woken, and what they asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.wake: Coming[None] = Coming()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.wake


@asynccontextmanager
async def running(node: DelayGen, seed: int = 0) -> AsyncIterator[Alarm]:
    alarm = Alarm()
    seams: Seams = attrs.evolve(simulated(seed), clock=alarm)
    async with Graph(node, seams):
        yield alarm


async def test_a_chosen_fop_waits_before_the_child_sees_it() -> None:
    node = DelayGen("slow", [Memory("brick")], delay_percentage=100, delay_duration=250_000)
    answers: list[Attributes] = []
    async with running(node) as alarm, anyio.create_task_group() as tasks:

        async def ask() -> None:
            answers.append(await node.stat(Call(), ROOT_LOC))

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert (alarm.asked, answers) == ([0.25], [])
        alarm.wake.resolve(None)

    assert [answer.iatt.is_dir for answer in answers if answer.iatt] == [True]


async def test_the_real_clock_delays_by_the_microseconds_asked_for() -> None:
    node = DelayGen("slow", [Memory("brick")], delay_percentage=100, delay_duration=20_000)
    async with Graph(node):
        began = anyio.current_time()
        await node.stat(Call(), ROOT_LOC)
        assert anyio.current_time() - began >= 0.019


async def test_a_fop_that_is_not_chosen_is_answered_at_once() -> None:
    node = DelayGen("slow", [Memory("brick")], delay_percentage=100, enable="writev,fsync")
    async with running(node):
        assert isinstance(node.stat(Call(), ROOT_LOC), Done)


async def test_an_error_of_the_child_comes_through() -> None:
    node = DelayGen("slow", [Memory("brick")], delay_percentage=100)
    async with running(node) as alarm:
        alarm.wake.resolve(None)
        with pytest.raises(OSError):
            await node.getxattr(Call(), ROOT_LOC, "user.none")


async def test_delays_follow_the_seed_and_each_fops_own_rate() -> None:
    async def drawn(seed: int) -> list[bool]:
        node = DelayGen("slow", [Memory("brick")], enable={"stat": 30, "statfs": 0})
        async with running(node, seed) as alarm:
            alarm.wake.resolve(None)
            assert isinstance(node.statfs(Call(), ROOT_LOC), Done)
            late = []
            for _ in range(1000):
                before = len(alarm.asked)
                await node.stat(Call(), ROOT_LOC)
                late.append(len(alarm.asked) > before)
            return late

    first = await drawn(1)
    assert await drawn(1) == first
    assert await drawn(2) != first
    assert 240 < sum(first) < 360


async def test_fops_wait_only_while_the_trigger_file_exists(tmp_path: Path) -> None:
    trigger = tmp_path / "slow-now"
    node = DelayGen("slow", [Memory("brick")], delay_percentage=100, trigger_file=str(trigger))
    async with running(node) as alarm:
        alarm.wake.resolve(None)
        await node.stat(Call(), ROOT_LOC)
        assert alarm.asked == []
        trigger.touch()
        await node.stat(Call(), ROOT_LOC)
        assert alarm.asked == [0.1]
        trigger.unlink()
        assert isinstance(node.stat(Call(), ROOT_LOC), Done)


async def test_a_caller_that_gives_up_leaves_the_fop_undone() -> None:
    brick = Memory("brick")
    node = DelayGen("slow", [brick], delay_percentage=100, enable="setxattr")
    async with running(node) as alarm:
        async with anyio.create_task_group() as tasks:

            async def change() -> None:
                await node.setxattr(Call(), ROOT_LOC, {"user.k": b"v"})

            tasks.start_soon(change)
            await anyio.wait_all_tasks_blocked()
            assert alarm.asked == [0.1]
            tasks.cancel_scope.cancel()
        alarm.wake.resolve(None)
        assert (await brick.getxattr(Call(), ROOT_LOC, None)).values.get("user.k") is None


def test_the_defaults_are_those_of_glusterfs_and_a_spec_gives_others() -> None:
    usual = DelayGen("slow", [Memory("brick")])
    fields, wrong = read_text(DelayGen, {"delay-percentage": "5", "delay-duration": "7", "enable": "WRITE,stat:1.5"})

    assert (usual.delay_percentage, usual.delay_duration, usual.enable) == (10, 100_000, ())
    assert wrong == {}
    assert fields == {"delay_percentage": 5, "delay_duration": 7, "enable": ("writev", "stat:1.5")}


def test_an_unknown_fop_is_told_at_its_place_with_the_nearest_one() -> None:
    brick = "volume brick\n type storage/memory\nend-volume\n"
    with pytest.raises(SpecError) as caught:
        link(parse(f"{brick}volume v\n type debug/delay-gen\n option enable stet\n subvolumes brick\nend-volume\n"))

    (problem,) = caught.value.problems
    assert problem.message == "option 'enable': no fop is called 'stet': did you mean 'stat'?"
    assert problem.position is not None
    assert (problem.position.line, problem.position.column) == (6, 16)
