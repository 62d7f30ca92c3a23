"""Per-inode contexts are bounded, and none is lost while it is in use."""

from __future__ import annotations

from volgraph.graph import Gfid, Inodes


def gfid(number: int) -> Gfid:
    return Gfid(number.to_bytes(16, "big"))


def test_the_least_recently_used_goes_first() -> None:
    inodes: Inodes[list[int]] = Inodes(list, limit=3)
    for number in range(3):
        inodes[gfid(number)].append(number)
    _ = inodes[gfid(0)]
    _ = inodes[gfid(3)]

    assert inodes.known(gfid(1)) is None
    assert inodes.known(gfid(0)) == [0]
    assert len(inodes) == 3


def test_a_pinned_context_outlives_any_number_of_others() -> None:
    inodes: Inodes[list[int]] = Inodes(list, limit=2)
    with inodes.pinned(gfid(0)) as context:
        context.append(1)
        for number in range(1, 50):
            _ = inodes[gfid(number)]
        inodes.forget(gfid(0))

        assert inodes.known(gfid(0)) is context
    inodes.forget(gfid(0))
    assert inodes.known(gfid(0)) is None


def test_contexts_in_use_may_exceed_the_limit_rather_than_be_lost() -> None:
    inodes: Inodes[list[int]] = Inodes(list, limit=2)
    for number in range(5):
        inodes.pin(gfid(number)).append(number)

    assert [inodes.known(gfid(number)) for number in range(5)] == [[0], [1], [2], [3], [4]]
