"""One fop to many children: all are started before any is waited for, and every answer is an outcome."""

from __future__ import annotations

import errno

import anyio
import anyio.lowlevel
import attrs
import pytest

from tests.graph.leaf import Both, Leaf, attributes
from volgraph.graph import (
    ROOT_LOC,
    Answers,
    Attributes,
    Call,
    Done,
    Fd,
    Graph,
    Loc,
    Translator,
    fail,
    fan_out,
    wind,
)

pytestmark = pytest.mark.anyio


@attrs.define(eq=False)
class Slow(Translator):
    """A plugin's fop: a coroutine that waits for the leaf's `later`."""

    begun: bool = False

    async def stat(self, call: Call, loc: Loc) -> Attributes:
        self.begun = True
        return await self.child.fstat(call, Fd())


@attrs.define(eq=False)
class Refusing(Translator):
    error: BaseException = attrs.field(factory=lambda: fail(errno.EIO, "refused"))

    def stat(self, call: Call, loc: Loc) -> Done[Attributes]:
        raise self.error


async def test_answers_come_in_the_order_of_the_children() -> None:
    top = Both("top", (Leaf("a", size=1), Leaf("b", size=2)))
    async with Graph(top):
        outcomes = await fan_out(top.children, Translator.stat, Call(), ROOT_LOC)

        assert [outcome.reply.iatt.size for outcome in outcomes] == [1, 2]


async def test_an_oserror_is_an_outcome_and_does_not_keep_the_others_from_answering() -> None:
    top = Both("top", (Refusing("r", (Leaf("a"),)), Leaf("b", size=2)))
    async with Graph(top):
        refused, answered = await fan_out(top.children, Translator.stat, Call(), ROOT_LOC)

        assert (refused.ok, refused.errno) == (False, errno.EIO)
        assert answered.reply.iatt.size == 2
        with pytest.raises(OSError):
            _ = refused.reply


async def test_any_other_exception_is_a_bug_and_surfaces_after_all_have_answered() -> None:
    later = Leaf("a")
    broken = Slow("broken", (Refusing("r", (Leaf("b"),), error=ZeroDivisionError()),))
    top = Both("top", (broken, Slow("s", (later,))))
    broken.child.__dict__["fstat"] = lambda call, fd: broken.child.stat(call, ROOT_LOC)
    async with Graph(top):
        broken.child.__dict__["fstat"] = lambda call, fd: broken.child.stat(call, ROOT_LOC)
        answers = wind(top.children, Translator.stat, Call(), ROOT_LOC)
        later.later.resolve(attributes(1))
        with pytest.raises(ZeroDivisionError):
            await answers.all()

        assert answers.outcomes[1].ok


async def test_a_bug_at_the_call_itself_does_not_keep_the_others_from_being_asked() -> None:
    top = Both("top", (Refusing("r", (Leaf("a"),), error=ZeroDivisionError()), Leaf("b", size=2)))
    async with Graph(top):
        answers = wind(top.children, Translator.stat, Call(), ROOT_LOC)
        with pytest.raises(ZeroDivisionError):
            await answers.all()

        broken, answered = answers.outcomes
        assert (broken.errno, answered.reply.iatt.size) == (errno.EIO, 2)


async def test_every_child_is_started_before_any_is_waited_for() -> None:
    first, second = Leaf("a"), Leaf("b")
    top = Both("top", (Slow("s", (first,)), Slow("t", (second,))))
    async with Graph(top), anyio.create_task_group() as group:

        async def ask() -> None:
            await fan_out(top.children, Translator.stat, Call(), ROOT_LOC)

        group.start_soon(ask)
        while not (top.children[0].begun and top.children[1].begun):  # type: ignore[attr-defined]
            await anyio.lowlevel.checkpoint()
        second.later.resolve(attributes(2))
        first.later.resolve(attributes(1))


async def test_a_cancelled_caller_leaves_the_work_running_and_may_ask_again() -> None:
    leaf = Leaf("a")
    top = Both("top", (Slow("s", (leaf,)), Leaf("b")))
    async with Graph(top):
        answers: Answers[Attributes] = wind(top.children, Translator.stat, Call(), ROOT_LOC)
        with anyio.move_on_after(0) as scope:
            await answers.all()
        assert scope.cancelled_caught
        leaf.later.resolve(attributes(7))

        assert [outcome.reply.iatt.size for outcome in await answers.all()] == [7, 0]


async def test_an_answer_on_its_way_wakes_all_who_wait_and_keeps_its_first_value() -> None:
    leaf = Leaf("a")
    got: list[int] = []
    async with Graph(leaf), anyio.create_task_group() as group:

        async def ask() -> None:
            got.append((await leaf.fstat(Call(), Fd())).iatt.size)

        group.start_soon(ask)
        group.start_soon(ask)
        await anyio.lowlevel.checkpoint()
        leaf.later.resolve(attributes(3))
        leaf.later.resolve(attributes(4))

    assert got == [3, 3]
