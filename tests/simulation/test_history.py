"""The checks of a history: each finds what is wrong in a history made up for it, and lets a right one pass."""

import random

import attrs
import pytest

from volgraph.graph import Gfid
from volgraph.testing.history import HEALER, Event, History, LeftBehind, registers, violations
from volgraph.testing.linearizable import search, zones
from volgraph.testing.tree import Tree, afr, brick, unify
from volgraph.testing.workload import Do, Fault, Go
from volgraph.translators.storage.memory import Item

G, H = Gfid(b"g" * 16), Gfid(b"h" * 16)
MIRROR = afr("mirror", brick("a"), brick("b"))
UNIFY = unify("one", brick("a"), brick("b"), namespace=brick("n"))
ROOT = Item("directory", 0o755, 0, 0, b"", {}, Gfid(b"r" * 16))
FILE = Item("file", 0o644, 0, 0, b"text", {}, G)
ENTRY = Item("file", 0o644, 0, 0, b"", {}, G)


def happened(*events: Event, tree: Tree = MIRROR, **fields: object) -> list[str]:
    history = History(1, "asyncio", tree, [], fields.pop("faults", []), list(events), **fields)  # type: ignore[arg-type]
    return [wrong[:3] for wrong in violations(history)]


def did(do: Do, called: float, returned: float, value: bytes | None = None, **fields: object) -> Event:
    event = Event("c", do, b"x", called, returned=returned, gfid=G, value=value, tried=True)
    return attrs.evolve(event, **fields)  # type: ignore[arg-type]


def test_a_right_history_passes() -> None:
    assert not happened(
        did(Do.CREATE, 0, 1),
        did(Do.WRITE, 2, 3, b"1"),
        did(Do.READ, 4, 5, b"1"),
        did(Do.UNLINK, 6, 7),
        did(Do.LOOKUP, 8, 9, error="ENOENT", gfid=None),
    )


def test_a_stale_read_is_found() -> None:
    assert happened(did(Do.WRITE, 0, 1, b"1"), did(Do.WRITE, 2, 3, b"2"), did(Do.READ, 4, 5, b"1")) == ["I02"]


def test_a_write_that_failed_may_have_happened_unless_it_was_never_tried() -> None:
    read = did(Do.READ, 4, 5, b"1")

    assert not happened(did(Do.WRITE, 0, 1, b"1", error="ENOTCONN"), read)
    assert happened(did(Do.WRITE, 0, 1, b"1", error="ENOTCONN", tried=False), read) == ["I02"]


def test_a_write_that_failed_may_be_seen_and_then_not_be_seen_but_not_with_strict_reads_or_after_the_heal() -> None:
    failed, seen = did(Do.WRITE, 0, 1, b"1", error="EIO"), did(Do.READ, 2, 3, b"1")
    unseen = did(Do.READ, 4, 5, None)

    assert not happened(failed, seen, unseen)
    assert happened(attrs.evolve(failed, error=""), seen, unseen) == ["I02"]
    assert happened(failed, seen, unseen, tree=attrs.evolve(MIRROR, strict=True)) == ["I02"]
    assert happened(failed, attrs.evolve(seen, client=HEALER), unseen) == ["I02"]


def test_a_write_that_failed_on_a_disk_that_writes_short_may_be_seen_in_part() -> None:
    events = did(Do.WRITE, 2, 3, b"12345678", error="EIO"), did(Do.READ, 6, 7, b"1234\0\0\0\0")
    short = [Fault(1.0, Go.SICK, "a", code=0), Fault(4.0, Go.CURED, "a")]

    assert not happened(*events, faults=short)
    assert happened(*events) == ["I02"]
    assert happened(*events, faults=[attrs.evolve(short[0], code=5), short[1]]) == ["I02"]
    assert happened(*events, faults=[attrs.evolve(short[0], when=3.5), short[1]]) == ["I02"]
    assert happened(attrs.evolve(events[0], error=""), events[1], faults=short) == ["I02"]
    for value in (b"5678\0\0\0\0", b"1234abcd"):
        assert happened(events[0], attrs.evolve(events[1], value=value), faults=short) == ["I02"]
    before = did(Do.WRITE, 0, 1, b"abcdabcd")
    assert not happened(before, events[0], attrs.evolve(events[1], value=b"1234abcd"), faults=short)


def test_blocks_and_files_are_judged_each_by_itself() -> None:
    write = did(Do.WRITE, 0, 1, b"1")

    assert not happened(write, did(Do.READ, 2, 3, None, block=1), did(Do.READ, 2, 3, None, gfid=H))
    assert happened(write, did(Do.READ, 2, 3, None)) == ["I02"]


def test_a_name_that_was_made_and_is_not_found_is_reported() -> None:
    absent = did(Do.LOOKUP, 2, 3, error="ENOENT", gfid=None)

    assert happened(did(Do.CREATE, 0, 1), absent) == ["I02"]
    assert not happened(did(Do.CREATE, 0, 1), did(Do.UNLINK, 1.5, 4, error="ENOTCONN"), absent)
    assert not happened(did(Do.CREATE, 0, 2.5), absent)
    assert not happened(did(Do.CREATE, 0, 1, error="EEXIST"), absent)


@pytest.mark.parametrize("removal", [did(Do.UNLINK, 2, 3), did(Do.RENAME, 2, 3, target=b"y")])
def test_what_was_taken_away_and_is_seen_again_is_reported(removal: Event) -> None:
    create, seen = did(Do.CREATE, 0, 1), did(Do.LOOKUP, 4, 5)

    assert happened(create, removal, seen) == ["I11"]
    assert not happened(create, removal, did(Do.LOOKUP, 2.5, 5))
    assert not happened(create, removal, did(Do.LOOKUP, 4, 5, gfid=H))


def test_what_was_moved_back_may_be_seen_again() -> None:
    away, back = did(Do.RENAME, 2, 3, target=b"y"), did(Do.RENAME, 4, 5, name=b"y", target=b"x")

    assert not happened(did(Do.CREATE, 0, 1), away, back, did(Do.LOOKUP, 6, 7))


def test_an_operation_that_does_not_end_is_reported() -> None:
    assert happened(did(Do.LOOKUP, 0, 301)) == ["I22"]
    assert happened(Event("c", Do.LOOKUP, b"x", 0.0)) == ["I22"]


def test_a_lock_that_is_left_is_reported() -> None:
    assert happened(left={"a": LeftBehind(locks=1), "b": LeftBehind()}) == ["I21"]


def test_an_fd_that_is_left_is_reported() -> None:
    assert happened(left={"a": LeftBehind(open_fds=1), "b": LeftBehind()}) == ["I23"]


def test_a_brick_that_blames_itself_is_reported() -> None:
    assert not happened(left={"a": LeftBehind(marks={G: {"trusted.afr.b": (1, 0, 0)}}), "b": LeftBehind()})
    assert happened(left={"a": LeftBehind(marks={G: {"trusted.afr.a": (1, 0, 0)}}), "b": LeftBehind()}) == ["I05"]


def test_differences_that_no_mark_and_no_index_tells_of_are_reported() -> None:
    here, there = {"/": ROOT, "/x": FILE}, {"/": ROOT, "/x": ENTRY}
    blame = {G: {"trusted.afr.b": (1, 0, 0)}}

    assert happened(left={"a": LeftBehind(image=here), "b": LeftBehind(image=there)}) == ["I06"]
    assert not happened(left={"a": LeftBehind(image=here, marks=blame), "b": LeftBehind(image=there)})
    unlisted = LeftBehind(image=here, marks=blame, unlisted=frozenset([G]))
    assert happened(left={"a": unlisted, "b": LeftBehind(image=there)}) == ["I06"]
    lost = [Fault(1.0, Go.KILL, "b", keep="synced")]
    assert not happened(left={"a": LeftBehind(image=here), "b": LeftBehind(image=there)}, faults=lost)


def test_copies_that_differ_marks_and_unfinished_heals_are_reported() -> None:
    same = {"a": {"/": ROOT, "/x": FILE}, "b": {"/": ROOT, "/x": FILE}}

    assert not happened(images=same)
    assert happened(images={**same, "b": {"/": ROOT}}) == ["I07"]
    assert happened(images=same, marks={"a": {G: {"trusted.afr.b": (1, 0, 0)}}}) == ["I07"]
    assert happened(images=same, heal_left="a is down") == ["I07"]


def test_split_brain_is_reported_unless_the_last_good_copy_may_have_lost_its_power() -> None:
    images = {"a": {"/": ROOT, "/x": FILE}, "b": {"/": ROOT, "/x": FILE._replace(content=b"TEXT")}}
    marks = {"a": {G: {"trusted.afr.b": (1, 0, 0)}}, "b": {G: {"trusted.afr.a": (1, 0, 0)}}}
    split = {"mirror": frozenset([G])}
    faults = [Fault(1.0, Go.SICK, "a"), Fault(2.0, Go.KILL, "b", keep="synced")]

    assert not happened(images=images, marks=marks, split=split, faults=faults)
    assert set(happened(images=images, marks=marks, split=split)) == {"I07"}
    assert set(happened(images=images, marks=marks, split=split, faults=faults[:1])) == {"I07"}
    assert set(happened(images=images, marks=marks, faults=faults)) == {"I07"}
    assert happened(images=images, marks=marks, split=split, faults=faults, heal_left="b is down") == ["I07"]


def test_beside_an_object_in_split_brain_the_others_are_judged_as_ever() -> None:
    other = FILE._replace(gfid=H)
    images = {"a": {"/": ROOT, "/x": FILE, "/y": other}, "b": {"/": ROOT, "/x": ENTRY}}
    faults = [Fault(1.0, Go.SICK, "a"), Fault(2.0, Go.KILL, "b", keep="synced")]

    assert happened(images=images, split={"mirror": frozenset([G])}, faults=faults) == ["I07"]
    assert not happened(images=images, split={"mirror": frozenset([G, ROOT.gfid])}, faults=faults)
    marks = {"a": {H: {"trusted.afr.b": (1, 0, 0)}}}
    assert set(happened(marks=marks, split={"mirror": frozenset([G])}, faults=faults)) == {"I07"}


def test_a_file_of_a_unify_has_one_place_and_an_entry() -> None:
    right = {"a": {"/": ROOT, "/x": FILE}, "b": {"/": ROOT}, "n": {"/": ROOT, "/x": ENTRY}}

    assert not happened(tree=UNIFY, images=right)
    assert happened(tree=UNIFY, images={**right, "b": {"/": ROOT, "/x": FILE}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "a": {"/": ROOT}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "n": {"/": ROOT}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "n": {"/": ROOT, "/x": FILE._replace(gfid=H)}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "b": {}}) == ["I17"]


def test_a_name_may_be_in_the_wrong_place_where_one_of_its_places_may_have_lost_what_was_not_fsynced() -> None:
    images = {"a": {"/": ROOT, "/x": FILE}, "b": {"/": ROOT}, "n": {"/": ROOT, "/y": ENTRY}}
    moved, lost = did(Do.RENAME, 2, 3, target=b"y"), [Fault(9.0, Go.KILL, "a", keep="synced")]

    assert not happened(moved, tree=UNIFY, images=images, faults=lost)
    assert set(happened(moved, tree=UNIFY, images=images)) == {"I17"}
    assert set(happened(moved, did(Do.SYNC, 4, 5), tree=UNIFY, images=images, faults=lost)) == {"I17"}
    assert set(happened(attrs.evolve(moved, target=b"z"), tree=UNIFY, images=images, faults=lost)) == {"I17"}
    assert set(happened(attrs.evolve(moved, tried=False), tree=UNIFY, images=images, faults=lost)) == {"I17"}


# --- histories with losses of power ----------------------------------------------------------------------------------


def random_history(seed: int, honest: bool) -> History:
    """Two clients on one block of a mirror whose first disk loses its power, more than once: what was not synced may be
    gone. One that is not `honest` now and then answers with any value it ever had."""
    rng = random.Random(seed)
    losses = sorted(rng.uniform(5, 40) for _ in range(rng.randint(1, 2)))
    events: list[Event] = []
    disk: bytes | None = None
    since: list[bytes] = []
    past: list[bytes | None] = [None]
    for number in range(rng.randint(4, 24)):
        now = 2.0 * number
        while losses and losses[0] < now:
            losses.pop(0)
            disk, since = rng.choice([disk, *since]), []
        do = rng.choice((Do.WRITE, Do.READ, Do.READ, Do.SYNC))
        value = since[-1] if since else disk
        if do is Do.WRITE:
            since.append(value := b"%d" % number)
            past.append(value)
        elif do is Do.SYNC:
            disk, since = value, []
        elif not honest and rng.random() < 0.2:
            value = rng.choice(past)
        events.append(
            did(do, now, now + rng.choice((1.0, 1.5)), None if do is Do.SYNC else value, client=f"{number % 2}")
        )
    rng = random.Random(seed)
    whens = sorted(rng.uniform(5, 40) for _ in range(rng.randint(1, 2)))
    faults = [Fault(when, Go.KILL, "a", keep="subset") for when in whens]
    return History(seed, "asyncio", MIRROR, [], faults, events)


def test_both_checkers_agree_on_random_histories_with_losses_of_power() -> None:
    """And what a loss of power may undo is never held against anybody."""
    verdicts: list[bool] = []
    parts = 0
    for seed in range(1500):
        for honest in (True, False):
            history = random_history(seed, honest)
            for _, operations in registers(history):
                right = zones(operations) == ""
                assert search(operations) == right
                assert right or not honest, history
                verdicts.append(right)
                parts += 1

    assert parts > 4000  # a third of the blocks have several parts
    assert 150 < verdicts.count(False) < len(verdicts) - 150
