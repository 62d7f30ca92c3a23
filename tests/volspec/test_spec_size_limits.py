"""Large specs: work grows in step with size, nothing recurses, and what is too large is refused."""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import yaml

from volgraph.volspec import SpecError, load, parse, parse_yaml, source

MANY = 100_000


def chain(count: int) -> str:
    """A volfile in which each volume stands on the one before."""
    volumes = ["volume v0\n  type storage/posix\n  option directory /srv/a\nend-volume\n"]
    volumes += [
        f"volume v{i}\n  type features/locks\n  option k v{i}\n  subvolumes v{i - 1}\nend-volume\n"
        for i in range(1, count)
    ]
    return "\n".join(volumes)


def wide(count: int) -> str:
    """A volfile in which one volume stands on all others."""
    volumes = [f"volume v{i}\n  type storage/memory\nend-volume\n" for i in range(count - 1)]
    names = " ".join(f"v{i}" for i in range(count - 1))
    return "\n".join([*volumes, f"volume top\n  type cluster/afr\n  subvolumes {names}\nend-volume\n"])


def undefined(count: int) -> str:
    """A volfile in which every child is unknown, but like a known one."""
    return "".join(f"volume v{i}\n type t\n subvolumes v{i}x\nend-volume\n" for i in range(count))


def reversed_chain(count: int) -> str:
    return "".join(f"volume v{i}\n type t\n subvolumes v{i - 1}\nend-volume\n" for i in range(count, 0, -1))


def garbage(count: int) -> str:
    return 'opton a `b "c\n' * (count // 2) + "volume a\n" + 'opton a\\ "d` `e"\n' * (count // 2)


def read(text: str) -> None:
    try:
        parse(text)
    except SpecError as error:
        str(error)


@contextmanager
def counting_calls() -> Iterator[list[int]]:
    """Counts every call, of Python and of C, while it lasts."""
    calls = [0]

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            calls[0] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("make", [chain, wide])
def test_ten_times_the_volumes_take_ten_times_the_calls(make: Callable[[int], str]) -> None:
    counts = []
    for count in (200, 2000):
        text = make(count)
        with counting_calls() as calls:
            spec = parse(text)
            spec.to_vol()
            parse_yaml(spec.to_yaml())
        counts.append(calls[0])

    assert counts[1] <= 10.5 * counts[0]


@pytest.fixture(autouse=True)
def no_garbage_collection() -> Iterator[None]:
    """Its passes over hundreds of thousands of words would be measured too."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def seconds(work: Callable[[], object]) -> float:
    """Processor time of the quickest of three runs."""
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("make", [chain, wide, undefined, reversed_chain, garbage])
def test_ten_times_the_volumes_take_far_less_than_a_hundred_times_the_time(make: Callable[[int], str]) -> None:
    small, large = make(1_000), make(10_000)

    assert seconds(lambda: read(large)) < 35 * seconds(lambda: read(small)) + 0.2


@pytest.mark.parametrize(
    "text",
    [
        "volume a type t option k " + '"a`" ' * 50_000,
        "volume a type t option k " + '"' * 100_001,
        "volume a type t option k " + "`\\" * 100_000,
        "volume a type t option k " + '"`\\"' * 50_000,
        "volume a type t option k " + "\\` " * 30_000,
        "volume a type t option k " + "${a" * 100_000,
        "volume a type t subvolumes " + "a " * 100_000,
        "volume a type t " + "x\n" * 50_000,
        "volume a type t subvolumes\n" + "opton\n" * 30_000,
        "volume " * 100_000,
        "end-volume\n" * 100_000,
        '"\n' * 100_000,
    ],
    ids=range(12),
)
def test_a_hostile_text_is_refused_in_time_in_step_with_its_size(text: str) -> None:
    half = text[: len(text) // 2]

    assert seconds(lambda: read(text)) < 4 * seconds(lambda: read(half)) + 0.5


@pytest.mark.parametrize("make", [chain, wide])
def test_a_hundred_thousand_volumes_are_read_and_printed_without_recursion(make: Callable[[int], str]) -> None:
    text = make(MANY)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len_of_stack() + 60)
    try:
        spec = parse(text)
        again = parse(spec.to_vol())
    finally:
        sys.setrecursionlimit(limit)

    assert len(spec.volumes) == MANY
    assert again == spec


def test_as_many_volumes_as_pyyaml_allows_are_read_from_yaml() -> None:
    count = MANY if hasattr(yaml, "CSafeLoader") else 2_000
    text = "volumes:\n  v0: {type: storage/posix}\n"
    text += "".join(f"  v{i}: {{type: debug/trace, subvolumes: [v{i - 1}]}}\n" for i in range(1, count))

    spec = parse_yaml(text)

    assert (len(spec.volumes), spec.top) == (count, f"v{count - 1}")


def len_of_stack() -> int:
    frame: FrameType | None = sys._getframe()
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def test_a_line_of_a_megabyte_is_read_and_its_error_shown_in_short() -> None:
    text = "volume a type t option k " + "x" * 500_000 + " " + "y" * 500_000 + " option l m end-volume"

    with pytest.raises(SpecError) as caught:
        parse(text)

    (problem,) = caught.value.problems
    assert problem.position == (1, 500_027)
    assert len(problem.render()) < 1_000


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.vol"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)

    with pytest.raises(SpecError, match=r"large\.vol:1:1: a spec of more than 67108864 bytes"):
        load(path)
    with pytest.raises(SpecError, match="a spec of more than 67108864 bytes"):
        parse_yaml("#" * (source.FILE_SIZE_MAX + 1))
