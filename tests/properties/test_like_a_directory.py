"""Every stack answers like a plain directory: twenty thousand random steps, as root and as an ordinary user."""

import errno
import itertools
import os
import zlib
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest

from tests.properties.directory_mutants import (
    ForgetsTheReplaced,
    ForgetsTheTime,
    KeepsOldBytes,
    LosesTheUnlinked,
    MovesTheOffset,
    SkipsWhenGoingOn,
)
from tests.translators.protocol.wired import wired
from tests.translators.storage.bricks import AS_ROOT, MODES
from tests.translators.storage.ordinary_user import IN_MEMORY, USER, in_a_process_of_its_own, users_folder
from volgraph import testing
from volgraph.graph import Call, ChildDown, Coming, Translator, fail
from volgraph.testing.like_a_directory_machine import Tally
from volgraph.translators import Afr, Index, Locks, Memory, Posix, Trace, Unify

STEPS = 920
"""Of each stack on each event loop; there are twenty-two."""
STEPS_OF_A_SOAK = 10_000

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
Say = Callable[[str, object], None]


@attrs.define(eq=False, repr=False)
class Falling(Translator):
    """A child that goes down after so many fops, and stays down."""

    fops_left: int = 60

    def relay(self, fop: Any, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        if self.fops_left == 1:
            self.rise(ChildDown(self, "fallen"))
        self.fops_left = max(0, self.fops_left - 1)
        if not self.fops_left:
            raise fail(errno.ENOTCONN, self.name)
        return super().relay(fop, *args, **kwargs)


class Bricks:
    """Directories for bricks, each a new one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()

    def posix(self, **options: Any) -> Posix:
        number = next(self._numbers)
        directory = self.folder / f"brick-{number}"
        directory.mkdir()
        return Posix(f"brick-{number}", directory=str(directory), **options)


Stack = Callable[[Bricks], Translator]

STACKS: dict[str, Stack] = {
    "memory": lambda bricks: Memory("brick"),
    **{f"posix, {mode}": (lambda bricks, mode=mode: bricks.posix(metadata=mode)) for mode in MODES},  # type: ignore[misc]
    "posix, threads": lambda bricks: bricks.posix(io_mode="worker"),
    "posix below locks, index and trace": lambda bricks: Trace("t", [Locks("l", [Index("i", [bricks.posix()])])]),
    "posix behind client and server": lambda bricks: wired(bricks.posix()),
    "afr of two": lambda bricks: Afr("mirror", [bricks.posix(), bricks.posix()]),
    "afr of three, one falls": lambda _: Afr("m", [Memory("a"), Falling("fall", [Memory("b")]), Memory("c")]),
    "unify": lambda _: Unify("all", [Memory("a"), Memory("b")], namespace=Memory("names")),
}


def seed_of(*parts: str) -> int | None:
    """Another one for each test, and always the same; a soak looks somewhere new."""
    soaking = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
    return None if soaking else zlib.crc32("".join(parts).encode())


def play(stack: Stack, folder: Path, backend: str, steps: int, seed: int | None, **more: Any) -> Tally:
    bricks = Bricks(folder)
    given = dict(backend=backend, seed=seed, folder=folder, **more)
    return testing.like_a_directory(lambda brick: brick, brick=lambda: stack(bricks), steps=steps, **given)


@pytest.fixture
def folder(backend: str) -> Iterator[Path]:
    """On a disk, or (trio) in memory, where there is such a file system: bricks live on both."""
    with users_folder(IN_MEMORY if backend == "trio" else None) as folder:
        yield folder


# --- without a difference --------------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize("name", STACKS)
def test_a_stack_answers_like_a_plain_directory(name: str, backend: str, folder: Path, record_property: Say) -> None:
    tally = play(STACKS[name], folder, backend, STEPS, seed_of(name, backend))

    record_property("model steps", f"{name}, {backend}: {tally}")
    assert tally.total >= STEPS


@pytest.mark.soak
@on_both
@pytest.mark.parametrize("name", STACKS)
def test_a_stack_answers_like_a_plain_directory_for_long(
    name: str, backend: str, folder: Path, record_property: Say
) -> None:
    tally = play(STACKS[name], folder, backend, STEPS_OF_A_SOAK, seed_of(name, backend))

    record_property("model steps", f"{name}, {backend}: {tally}")


@pytest.mark.soak
@pytest.mark.parametrize("fops", [20, 40, 80, 160])
@pytest.mark.parametrize("copy", range(3))
def test_a_mirror_answers_like_a_plain_directory_whenever_one_of_three_falls(
    copy: int, fops: int, tmp_path: Path, record_property: Say
) -> None:
    def stack(_: Bricks) -> Translator:
        copies: list[Translator] = [Memory(name) for name in "abc"]
        copies[copy] = Falling("fall", [copies[copy]], fops_left=fops)
        return Afr("mirror", copies)

    tally = play(stack, tmp_path, "asyncio", STEPS_OF_A_SOAK // 4, None)

    record_property("model steps", f"afr of three, copy {copy} falls after {fops} fops: {tally}")


# --- with planted defects ---------------------------------------------------------------------------------------------

MUTANTS: dict[str, tuple[Callable[[], Translator], int]] = {
    "a cut file keeps its old bytes": (lambda: KeepsOldBytes("m"), 0),
    "a rename forgets what it replaces": (lambda: ForgetsTheReplaced("m"), 5),
    "a listing leaves out a name when it goes on": (lambda: SkipsWhenGoingOn("s", [Memory("m")]), 2),
    "an open file is lost with its name": (lambda: LosesTheUnlinked("l", [Memory("m")]), 5),
    "cutting a file leaves its time as it was": (lambda: ForgetsTheTime("f", [Memory("m")]), 6),
    "appending heeds the offset": (lambda: MovesTheOffset("o", [Memory("m")]), 3),
}
"""Each with a seed that finds it soon."""


@pytest.mark.parametrize("defect", MUTANTS)
def test_a_planted_defect_is_found_and_shown_by_a_short_list_of_steps(defect: str, tmp_path: Path) -> None:
    mutant, seed = MUTANTS[defect]
    with pytest.raises(AssertionError) as caught:
        play(lambda _: mutant(), tmp_path, "asyncio", 20_000, seed)

    told = str(caught.value)
    steps = eval(told[told.index("replay=") + len("replay=") : -1])
    assert 2 <= len(steps) <= 8, told
    with pytest.raises(AssertionError):
        testing.like_a_directory(lambda brick: brick, brick=mutant, folder=tmp_path, replay=steps)
    testing.like_a_directory(lambda brick: brick, folder=tmp_path, replay=steps)


def test_what_a_translator_raises_that_is_no_oserror_is_a_difference(tmp_path: Path) -> None:
    class Buggy(Translator):
        def statfs(self, call: Call, loc: Any) -> Any:
            raise ZeroDivisionError

    with pytest.raises(AssertionError, match="the stack raised ZeroDivisionError"):
        testing.like_a_directory(lambda brick: Buggy("b", [brick]), folder=tmp_path, replay=[("statvfs", b"")])


def test_a_translator_that_never_answers_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Translator):
        def statfs(self, call: Call, loc: Any) -> Any:
            return Coming()

    monkeypatch.setattr("volgraph.testing.like_a_directory_runs.SECONDS_MAX", 0.05)
    with pytest.raises(AssertionError, match="no end after"):
        testing.like_a_directory(lambda brick: Stuck("b", [brick]), folder=tmp_path, replay=[("statvfs", b"")])


# --- as an ordinary user ---------------------------------------------------------------------------------------------


@cache
def _load_all(backend: str) -> None:
    """What the ordinary user's process may need and not be able to read."""
    with TemporaryDirectory() as folder:
        play(lambda bricks: bricks.posix(metadata="sidecar"), Path(folder), backend, 100, 1)
        with pytest.raises(AssertionError):
            play(lambda _: KeepsOldBytes("m"), Path(folder), backend, 20_000, 7)


def as_user(stack: Stack, folder: Path, backend: str, steps: int, seed: int | None, **more: Any) -> str:
    """Play as the ordinary user; gives the tally as text."""
    _load_all(backend)
    return in_a_process_of_its_own(lambda: str(play(stack, folder, backend, steps, seed, **more)))


def fill(directory: Path, owner: tuple[int, int], foreign: tuple[int, int]) -> None:
    """What a directory may hold that becomes a brick: of its user and of others, in every mode."""
    directory.mkdir()
    for who, whose in (("mine", owner), ("theirs", foreign)):
        for mode in (0o644, 0o444, 0o400, 0o600, 0o000):
            file = directory / f"{who} {mode:o}"
            file.write_bytes(b"0123456789")
            os.chown(file, *whose)
            file.chmod(mode)
        os.link(directory / f"{who} 644", directory / f"{who} twin")
        for mode in (0o755, 0o555, 0o777, 0o700):
            folder = directory / f"{who} folder {mode:o}"
            folder.mkdir()
            (folder / "a").write_bytes(b"INSIDE")
            os.chown(folder / "a", *whose)
            os.chown(folder, *whose)
            folder.chmod(mode)
        os.symlink("a", directory / f"{who} link")
        os.mkfifo(directory / f"{who} fifo")
        for name in ("link", "fifo"):
            os.chown(directory / f"{who} {name}", *whose, follow_symlinks=False)
    os.chown(directory, *owner)


def filled(folder: Path, pairs: int) -> dict[str, Any]:
    """A brick and a directory for each list of steps: both hold the same, some of it another owner's."""
    foreign = (0, 0) if AS_ROOT else (USER.pw_uid, USER.pw_gid)
    for number in range(pairs):
        for side in ("plain", "brick"):
            fill(folder / f"{side}-{number}", (USER.pw_uid, USER.pw_gid), foreign)
    plain, bricks = iter(range(pairs)), iter(range(pairs))
    return {
        "stack": lambda _: Posix("brick", directory=str(folder / f"brick-{next(bricks)}")),
        "directory": lambda: folder / f"plain-{next(plain)}",
    }


@on_both
def test_a_brick_of_an_ordinary_user_answers_like_that_users_directory(
    backend: str, folder: Path, record_property: Say
) -> None:
    told = as_user(lambda bricks: bricks.posix(), folder, backend, STEPS, seed_of("user", backend))

    record_property("model steps", f"posix, ordinary user, {backend}: {told}")


@on_both
def test_a_directory_with_files_of_other_owners_is_served_as_it_is(
    backend: str, folder: Path, record_property: Say
) -> None:
    more = filled(folder, 40)
    told = as_user(folder=folder, backend=backend, steps=STEPS, seed=seed_of("filled", backend), **more)

    record_property("model steps", f"posix, ordinary user, files of others, {backend}: {told}")


@pytest.mark.soak
@on_both
def test_a_brick_of_an_ordinary_user_for_long(backend: str, folder: Path, record_property: Say) -> None:
    told = as_user(lambda bricks: bricks.posix(), folder, backend, STEPS_OF_A_SOAK, None)

    record_property("model steps", f"posix, ordinary user, {backend}: {told}")


@pytest.mark.soak
@on_both
def test_a_directory_with_files_of_other_owners_for_long(backend: str, folder: Path, record_property: Say) -> None:
    more = filled(folder, 300)
    told = as_user(folder=folder, backend=backend, steps=STEPS_OF_A_SOAK, seed=None, **more)

    record_property("model steps", f"posix, ordinary user, files of others, {backend}: {told}")
