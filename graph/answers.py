"""How fops answer, and how one fop is wound to many children.

A fop returns something to await: a coroutine (an `async def`), a `Done` (a leaf that had the answer at once) or a
`Coming` (a leaf that has started and will answer later). `wind` starts a fop on every child before it waits for any.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import attrs

from .errors import fail

if TYPE_CHECKING:
    from .tasks import Tasks
    from .translator import Translator

R = TypeVar("R")
P = ParamSpec("P")
Fop = Callable[Concatenate[Any, P], Awaitable[R]]


class Done(Generic[R]):
    """An answer that was ready when the fop was called. Awaiting it never yields."""

    __slots__ = ("value",)

    def __init__(self, value: R) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, Any, R]:
        return self.value
        yield


class Coming(Generic[R]):
    """An answer on its way. Cancelling whoever awaits it does not touch the work, and it may be awaited again."""

    __slots__ = ("_error", "_settled", "_value", "_wakers")

    def __init__(self) -> None:
        self._settled = False
        self._value: R | None = None
        self._error: BaseException | None = None
        self._wakers: list[Callable[[], None]] = []

    @property
    def settled(self) -> bool:
        return self._settled

    def resolve(self, value: R) -> None:
        """Give the answer. A second answer is dropped: the first one counts."""
        if not self._settled:
            self._value = value
            self._settle()

    def reject(self, error: BaseException) -> None:
        if not self._settled:
            self._error = error
            self._settle()

    def _settle(self) -> None:
        self._settled = True
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def when_settled(self, callback: Callable[[], None]) -> None:
        """Call back (synchronously) once there is an answer; at once if there is one."""
        if self._settled:
            callback()
        else:
            self._wakers.append(callback)

    def result(self) -> R:
        """The answer of a settled one; raises what it was rejected with."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def __await__(self) -> Generator[Any, Any, R]:
        if not self._settled:
            yield from _parked(self._wakers)
        return self.result()


def _parked(wakers: list[Callable[[], None]]) -> Generator[Any, Any, None]:
    """Suspend the running task until a waker appended here is called; on asyncio and on trio."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        wakers.append(wake)
        try:
            yield from future
        finally:
            if wake in wakers:
                wakers.remove(wake)
        return
    import trio  # only where it runs: it is no dependency of asyncio programs

    task = trio.lowlevel.current_task()

    def reschedule() -> None:
        trio.lowlevel.reschedule(task)

    def abort(_: object) -> trio.lowlevel.Abort:
        wakers.remove(reschedule)
        return trio.lowlevel.Abort.SUCCEEDED

    wakers.append(reschedule)
    yield from trio.lowlevel.wait_task_rescheduled(abort).__await__()  # noqa: ASYNC105 (awaited by yield from)


@attrs.define(eq=False)
class Outcome(Generic[R]):
    """What one child answered: a value, or the OSError it raised."""

    child: Translator
    value: R | None = None
    error: OSError | None = None

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def reply(self) -> R:
        """The value of a fop that succeeded; raises what it raised otherwise."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]

    @property
    def errno(self) -> int:
        """0 where the fop succeeded."""
        return 0 if self.error is None else self.error.errno or 0


class Answers(Generic[R]):
    """The outcomes of one fop wound to several children, some still on their way.

    Already started: whoever waits in `all()` may be cancelled, and `all()` called again, without a fop being lost.
    """

    __slots__ = ("_bug", "_on_the_way", "outcomes")

    def __init__(self) -> None:
        self.outcomes: list[Outcome[R]] = []
        self._on_the_way: list[tuple[Outcome[R], Awaitable[R]]] = []
        self._bug: Exception | None = None

    @property
    def complete(self) -> bool:
        """Has every child answered, as far as `all` has looked?"""
        return not self._on_the_way

    @property
    def ready(self) -> bool:
        """Complete, and no child has raised anything but an OSError: nothing is left to wait for, or to raise."""
        return not self._on_the_way and self._bug is None

    def wind(self, children: Sequence[Translator], fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call the fop on each of these, too; nothing is awaited."""
        self._wind(children, fop.__name__, args, kwargs)

    def _wind(self, children: Sequence[Translator], name: str, args: Any, kwargs: Any) -> None:
        outcomes = self.outcomes
        for child in children:
            outcome: Outcome[R] = Outcome(child)
            outcomes.append(outcome)
            try:
                answer = getattr(child, name)(*args, **kwargs)
            except Exception as error:
                self._failed(outcome, error)
                continue
            if type(answer) is Done:
                outcome.value = answer.value
            else:
                self._on_the_way.append((outcome, started(answer, child.tasks)))

    def expect(self, child: Translator, answer: Awaitable[R]) -> None:
        """The same for a fop that was called already."""
        outcome: Outcome[R] = Outcome(child)
        self.outcomes.append(outcome)
        if isinstance(answer, Done):
            outcome.value = answer.value
        else:
            self._on_the_way.append((outcome, started(answer, child.tasks)))

    def missing(self) -> list[tuple[Outcome[R], Coming[R]]]:
        """Take in the answers that have come, and wait for none; those that have not are returned."""
        on_the_way, self._on_the_way = self._on_the_way, []
        missing: list[tuple[Outcome[R], Coming[R]]] = []
        for outcome, answer in on_the_way:
            coming = outcome.child.tasks.coming(answer)
            if not coming.settled:
                missing.append((outcome, coming))
                continue
            try:
                outcome.value = coming.result()
            except Exception as error:
                self._failed(outcome, error)
        self._on_the_way += missing
        return missing

    def give_up(self) -> list[tuple[Outcome[R], Coming[R]]]:
        """Wait no longer for what is missing: whoever gives up says what becomes of it, in its outcomes."""
        missing, self._on_the_way = self.missing(), []
        return missing

    async def all(self) -> list[Outcome[R]]:
        """Every outcome, in the order of the children. An OSError is an answer; anything else a child raises is a bug:
        it surfaces after all have answered, and counts as EIO in `outcomes`."""
        while self._on_the_way:
            outcome, answer = self._on_the_way[0]
            try:
                outcome.value = await answer
            except Exception as error:
                self._failed(outcome, error)
            del self._on_the_way[0]
        if self._bug is not None:
            raise self._bug
        return self.outcomes

    def _failed(self, outcome: Outcome[R], error: Exception) -> None:
        if isinstance(error, OSError):
            outcome.error = error
        else:
            self._bug = self._bug or error
            outcome.error = fail(errno.EIO, f"{type(error).__name__}: {error}")


def started(answer: Awaitable[R], tasks: Tasks) -> Awaitable[R]:
    """The same answer, its work under way: a coroutine runs in the graph's task group, everything else has begun."""
    if isinstance(answer, Coroutine):
        return tasks.start(answer)
    return answer


def wind(children: Sequence[Translator], fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs) -> Answers[R]:
    """Start one fop on every child, all with the same arguments."""
    answers: Answers[R] = Answers()
    answers._wind(children, fop.__name__, args, kwargs)
    return answers


async def fan_out(
    children: Sequence[Translator], fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs
) -> list[Outcome[R]]:
    """Wind one fop to every child at once; return, in the children's order, after the last has answered."""
    return await wind(children, fop, *args, **kwargs).all()
