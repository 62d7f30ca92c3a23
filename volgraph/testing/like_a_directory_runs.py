"""The model machine: a stack answers like a plain directory.

    testing.like_a_directory(lambda child: Upper("upper", [child]))

Random steps are made on a volume over the stack and, by the same user, on a real directory. Results, errnos, contents,
attributes, listings and extended attributes must be equal, step by step; `like_a_directory_rules` declares what may
differ. A difference is told with the shortest list of steps that shows it, as Python to do it again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import anyio
import attrs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from ..graph import Translator
from ..opening import open as open_volume
from ..translators.storage.memory import Memory
from .like_a_directory_machine import Machine, Tally
from .like_a_directory_plain import PlainDirectory
from .like_a_directory_rules import Differs, shown
from .like_a_directory_stack import StackedDirectory
from .like_a_directory_steps import STEPS_OF_A_PLAN, Plan, Step, plans

SECONDS_MAX = 60.0
"""How long one list of steps may take."""
REPLAYS_MAX = 400
"""How often steps are left out to find the shortest list."""


def like_a_directory(
    factory: Callable[[Translator], Translator],
    *,
    brick: Callable[[], Translator] = lambda: Memory("brick"),
    steps: int = 2000,
    backend: str = "asyncio",
    seed: int | None = None,
    directory: Callable[[], str | os.PathLike[str]] | None = None,
    folder: str | os.PathLike[str] | None = None,
    replay: Iterable[Step] | None = None,
) -> Tally:
    """Make `steps` random steps, or a few more, on `factory(brick())` and on a directory, both anew for each sixty.

    `brick` gives an empty brick each time, and `directory` an empty directory; or both are filled alike. Without
    `directory`, one is made in `folder`. `seed`: None leaves the choice to Hypothesis's profile. `replay`: these steps
    alone.
    AssertionError tells the first difference, with the steps that lead to it.
    """
    place = directory or (lambda: tempfile.mkdtemp(prefix="like-", dir=folder))
    runner = _Runner(lambda: factory(brick()), backend, place)
    if replay is not None:
        _, differs = runner.run(_these(list(replay)))
        if differs is not None:
            raise differs
        return runner.tally
    found: list[tuple[list[Step], Differs]] = []

    def play(plan: Plan) -> None:
        """A difference does not fail the example: it is not Hypothesis that finds the shortest list."""
        if found or runner.tally.total >= steps:
            return
        history, differs = runner.run(lambda machine: plan.play(machine.possible, machine.scene(plan)))
        if differs is not None:
            found.append((history, differs))

    drawn = given(plans())(play)
    examples = 1 + 2 * steps // STEPS_OF_A_PLAN[0]  # some steps are passed over
    quiet = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    quiet(drawn if seed is None else seeded(seed)(drawn))()
    if found:
        raise _told(runner, *found[0])
    return runner.tally


def _told(runner: _Runner, history: list[Step], differs: Differs) -> AssertionError:
    shortest, difference = _shortest(runner, history, differs)
    lines = "".join(f"    {shown(step)},\n" for step in shortest)
    return AssertionError(
        f"{difference}\n\nTo do it again, with the same factory and brick:\n\n"
        f"testing.like_a_directory(factory, brick=brick, replay=[\n{lines}])"
    )


def _shortest(runner: _Runner, history: list[Step], differs: Differs) -> tuple[list[Step], Differs]:
    """Leave steps out, many at once and then one by one, as long as there is a difference."""
    shortest, size, left = history, len(history) // 2, REPLAYS_MAX
    while size and left:
        at, shorter = len(shortest) - size, False
        while at > -size and left:
            left -= 1
            rest = shortest[: max(at, 0)] + shortest[at + size :]
            try:
                done, again = runner.run(_these(rest))
            except StopIteration:  # of `directory`: there is no other one like it
                return shortest, differs
            if again is not None:
                shortest, differs, shorter = done, again, True
                at = min(at, len(shortest))
            at -= size
        if not (shorter and size == 1):
            size //= 2
    return shortest, differs


def _these(steps: list[Step]) -> Callable[[Machine], Iterator[Step]]:
    return lambda machine: iter(steps)


@attrs.define
class _Runner:
    """Makes the two sides, and lets a machine play on them."""

    make: Callable[[], Translator]
    backend: str
    directory: Callable[[], str | os.PathLike[str]]
    tally: Tally = attrs.field(factory=Tally)

    def run(self, source: Callable[[Machine], Iterator[Step]]) -> tuple[list[Step], Differs | None]:
        """The steps made, and the difference that ended them."""
        with _removed(self.directory()) as root, _umask(0o022):
            return anyio.run(self._run, os.fsencode(root), source, backend=self.backend)

    async def _run(self, root: bytes, source: Callable[[Machine], Iterator[Step]]) -> tuple[list[Step], Differs | None]:
        plain = PlainDirectory(root)
        differs: Differs | None = None
        async with open_volume(self.make()) as volume:
            machine = Machine(plain, StackedDirectory(volume), self.tally)
            try:
                with anyio.fail_after(SECONDS_MAX):
                    await machine.get_ready()
                    for step in source(machine):
                        await machine.make(step)
                    await machine.compare_all()
            except Differs as error:  # kept aside: a graph wraps what its body raises
                differs = error
            except TimeoutError:
                differs = Differs(f"no end after {SECONDS_MAX:g} s")
            finally:
                plain.close_all()
        return machine.history, differs


@contextmanager
def _removed(root: str | os.PathLike[str]) -> Iterator[str | os.PathLike[str]]:
    """In the end."""
    try:
        os.chmod(root, 0o755)
        yield root
    finally:
        for above, directories, _ in os.walk(root):  # top down: each is opened before it is entered
            for name in directories:
                with suppress(OSError):
                    os.chmod(os.path.join(above, name), 0o700)
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
