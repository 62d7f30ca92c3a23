"""Objects that are taken back hold what they held, whatever was done to them, and are the same objects."""

import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial

import attrs
import pytest

from volgraph.testing.rewind import Rewind


class Plain:
    def __init__(self) -> None:
        self.name = "before"
        self.rest = [1, 2]


@attrs.define
class Slotted:
    value: object
    later: object = attrs.field(init=False)


def counter() -> Callable[[], int]:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return count

    return step


def test_attributes_come_back_and_new_ones_go() -> None:
    plain, slotted = Plain(), Slotted({"a": [1]})
    then = Rewind(plain, slotted)
    plain.name, plain.rest = "after", []
    plain.extra = 1  # type: ignore[attr-defined]
    slotted.value, slotted.later = None, 2
    then.back()

    assert vars(plain) == {"name": "before", "rest": [1, 2]}
    assert slotted.value == {"a": [1]}
    assert not hasattr(slotted, "later")


@pytest.mark.parametrize(
    ("found", "change"),
    [
        ([1, [2]], lambda it: (it[1].append(3), it.clear())),
        ({"a": {"b": 1}}, lambda it: (it["a"].update(b=2), it.update(c=3))),
        (OrderedDict(a=1, b=2), lambda it: it.move_to_end("a")),
        ({1, 2}, lambda it: it.add(3)),
        (deque([1, 2], maxlen=3), lambda it: it.extend([3, 4])),
        (bytearray(b"abc"), lambda it: it.extend(b"d")),
        (([1],), lambda it: it[0].append(2)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_contents_come_back_in_the_same_containers(found, change) -> None:  # type: ignore[no-untyped-def]
    before = repr(found)
    then = Rewind(found)
    for _ in range(2):
        change(found)
        assert repr(found) != before
        then.back()
        assert repr(found) == before


def test_what_functions_carry_comes_back() -> None:
    step, kept = counter(), Plain()
    then = Rewind(partial(step), kept.rest.append)

    assert [step(), step()] == [1, 2]
    kept.rest.append(3)
    then.back()
    assert step() == 1
    assert kept.rest == [1, 2]


def test_counters_and_random_numbers_come_back() -> None:
    holder, rng, slotted = {"ids": itertools.count(5)}, random.Random(1), Slotted(itertools.count(7))
    next(holder["ids"])
    then = Rewind(holder, rng, slotted)
    seen = []
    for _ in range(2):
        seen.append((next(holder["ids"]), rng.random(), next(slotted.value)))  # type: ignore[call-overload]
        then.back()

    assert seen[0] == seen[1]
    assert seen[0][::2] == (6, 7)


def test_identities_stay_where_objects_share_a_part() -> None:
    shared = [1]
    one, other = {"it": shared}, {"it": shared}
    then = Rewind(one, other)
    one["it"] = [2]
    then.back()

    assert one["it"] is other["it"] is shared


async def nothing() -> None:
    pass


def test_what_is_under_way_cannot_be_taken_back() -> None:
    work = nothing()
    with pytest.raises(TypeError, match="cannot be taken back"):
        Rewind({"work": work})
    work.close()
