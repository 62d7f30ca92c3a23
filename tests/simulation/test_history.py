"""The checks of a history: each finds what is wrong in a history made up for it, and lets a right one pass."""

import attrs
import pytest

from volgraph.graph import Gfid
from volgraph.testing.history import Event, History, violations
from volgraph.testing.tree import Tree, afr, brick, unify
from volgraph.testing.workload import Do
from volgraph.translators.storage.memory import Item

G, H = Gfid(b"g" * 16), Gfid(b"h" * 16)
MIRROR = afr("mirror", brick("a"), brick("b"))
UNIFY = unify("one", brick("a"), brick("b"), namespace=brick("n"))
ROOT = Item("directory", 0o755, 0, 0, b"", {}, Gfid(b"r" * 16))
FILE = Item("file", 0o644, 0, 0, b"text", {}, G)
ENTRY = Item("file", 0o644, 0, 0, b"", {}, G)


def happened(*events: Event, tree: Tree = MIRROR, **fields: object) -> list[str]:
    history = History(1, "asyncio", tree, [], [], list(events), **fields)  # type: ignore[arg-type]
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
    assert happened(locks={"a": 1, "b": 0}) == ["I21"]


def test_copies_that_differ_marks_and_unfinished_heals_are_reported() -> None:
    same = {"a": {"/": ROOT, "/x": FILE}, "b": {"/": ROOT, "/x": FILE}}

    assert not happened(images=same)
    assert happened(images={**same, "b": {"/": ROOT}}) == ["I07"]
    assert happened(images=same, marks={"a": {G: {"trusted.afr.b": (1, 0, 0)}}}) == ["I07"]
    assert happened(images=same, heal_left="a is down") == ["I07"]


def test_a_file_of_a_unify_has_one_place_and_an_entry() -> None:
    right = {"a": {"/": ROOT, "/x": FILE}, "b": {"/": ROOT}, "n": {"/": ROOT, "/x": ENTRY}}

    assert not happened(tree=UNIFY, images=right)
    assert happened(tree=UNIFY, images={**right, "b": {"/": ROOT, "/x": FILE}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "a": {"/": ROOT}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "n": {"/": ROOT}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "n": {"/": ROOT, "/x": FILE._replace(gfid=H)}}) == ["I17"]
    assert happened(tree=UNIFY, images={**right, "b": {}}) == ["I17"]
