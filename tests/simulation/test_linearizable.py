"""The checkers of histories: each against histories whose verdict is known, and both against each other."""

import random

import pytest

from volgraph.testing.linearizable import NEVER, Operation, read, search, write, zones


def both(*operations: Operation) -> bool:
    """The verdict, on which the two checkers agree."""
    verdict = search(operations)

    assert (zones(operations) == "") == verdict

    return verdict


def test_a_read_gives_what_was_written_last() -> None:
    assert both(write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7))


def test_a_stale_read_is_found() -> None:
    assert not both(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5))


def test_a_value_read_during_its_write_may_not_be_unread() -> None:
    assert not both(write(1, 0, 10), read(1, 1, 2), read(None, 3, 4))


def test_reads_during_a_write_may_see_either() -> None:
    assert both(write(1, 0, 10), read(None, 1, 2), read(1, 3, 4))


def test_a_lost_write_is_found() -> None:
    assert not both(write(1, 0, 1), read(None, 2, 3))


def test_a_write_of_unknown_outcome_may_happen_late_or_never() -> None:
    assert both(write(1, 0, NEVER), read(None, 1, 2))
    assert both(write(1, 0, NEVER), read(None, 1, 2), read(1, 3, 4))
    assert not both(write(1, 0, NEVER), read(1, 1, 2), read(None, 3, 4))


def test_a_value_nobody_wrote_is_found() -> None:
    assert not both(read(7, 0, 1))


def test_a_value_read_before_its_write_is_found() -> None:
    assert not both(read(1, 0, 1), write(1, 2, 3))


def test_a_write_in_the_midst_of_another_value_is_found() -> None:
    assert not both(write(1, 0, 1), write(2, 2, 3), write(3, 4, 5), read(1, 6, 7))


def test_overlapping_writes_may_take_either_order_but_only_one() -> None:
    assert both(write(1, 0, 10), write(2, 0, 10), read(2, 11, 12), read(2, 13, 14))
    assert not both(write(1, 0, 10), write(2, 0, 10), read(2, 11, 12), read(1, 13, 14))


def test_values_must_be_unique_for_zones() -> None:
    with pytest.raises(ValueError, match="written twice"):
        zones([write(1, 0, 1), write(1, 2, 3)])


def random_history(rng: random.Random) -> list[Operation]:
    """A few clients on one register that is sometimes not what it should be: about a fifth of them illegal."""
    operations: list[Operation] = []
    free = [0.0] * rng.randint(1, 4)
    register: int | None = None
    past: list[int | None] = [None]
    for value in range(rng.randint(1, 12)):
        client = rng.randrange(len(free))
        called = free[client] + rng.randrange(3)
        returned = called + rng.randrange(1, 5)
        free[client] = returned + rng.randrange(2)
        if rng.random() < 0.5:
            unknown = rng.random() < 0.2
            if not unknown or rng.random() < 0.5:
                register = value
                past.append(value)
            operations.append(write(value, called, NEVER if unknown else returned))
        else:
            operations.append(read(rng.choice(past) if rng.random() < 0.3 else register, called, returned))
    return operations


def test_the_two_checkers_agree_on_random_histories() -> None:
    verdicts = []
    for seed in range(3000):
        verdicts.append(both(*random_history(random.Random(seed))))

    assert 300 < verdicts.count(False) < 2700  # the test means something only if it sees both


def test_zones_judges_many_operations_quickly() -> None:
    history = [
        operation for n in range(20_000) for operation in (write(n, 3 * n, 3 * n + 1), read(n, 3 * n + 1, 3 * n + 2))
    ]

    assert zones(history) == ""
    assert zones([*history, read(5, 100_000, 100_001)]) != ""
