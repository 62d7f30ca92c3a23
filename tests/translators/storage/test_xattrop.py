"""How xattrop joins values, and which keys the heal index follows."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volgraph.graph import XattropKind
from volgraph.translators.storage.heal_index import DIRTY, XATTROP, index_of, marked
from volgraph.translators.storage.xattrop import join, join_all

counters = st.lists(st.integers(0, (1 << 32) - 1), min_size=3, max_size=3)
deltas = st.lists(st.integers(-(1 << 31), (1 << 31) - 1), min_size=3, max_size=3)


def refused(code: int, kind: XattropKind | int, stored: bytes | None, sent: bytes) -> None:
    with pytest.raises(OSError) as caught:
        join(kind, stored, sent)  # type: ignore[arg-type]
    assert caught.value.errno == code


@given(counters, deltas)
def test_sums_are_exact_or_refused(stored: list[int], added: list[int]) -> None:
    sums = [a + b for a, b in zip(stored, added, strict=True)]
    before, sent = struct.pack(">3I", *stored), struct.pack(">3i", *added)
    if all(0 <= each < 1 << 32 for each in sums):
        assert join(XattropKind.ADD_ARRAY, before, sent) == struct.pack(">3I", *sums)
    else:
        refused(errno.EOVERFLOW, XattropKind.ADD_ARRAY, before, sent)


@given(st.lists(deltas, max_size=8))
def test_what_was_added_and_is_taken_away_again_leaves_zero(steps: list[list[int]]) -> None:
    up = [[abs(each) % 1000 for each in step] for step in steps]
    value: bytes | None = None
    for step in up:
        value = join(XattropKind.ADD_ARRAY, value, struct.pack(">3i", *step))
    for step in up:
        value = join(XattropKind.ADD_ARRAY, value, struct.pack(">3i", *(-each for each in step)))

    assert value is None or not any(value)


def test_64_bit_counters_are_added_as_such() -> None:
    two = struct.pack(">q", 2)
    assert join(XattropKind.ADD_ARRAY64, struct.pack(">Q", 1 << 40), two) == struct.pack(">Q", (1 << 40) + 2)
    refused(errno.EOVERFLOW, XattropKind.ADD_ARRAY64, struct.pack(">Q", (1 << 64) - 1), two)


def test_bits_are_joined() -> None:
    assert join(XattropKind.OR, b"\x0f\x00", b"\xf0\x01") == b"\xff\x01"
    assert join(XattropKind.AND, b"\x0f\x00", b"\xfe\x01") == b"\x0e\x00"
    assert join(XattropKind.OR, None, b"\x01") == b"\x01"


@pytest.mark.parametrize(
    ("kind", "stored", "sent"),
    [
        (XattropKind.ADD_ARRAY, None, b""),
        (XattropKind.ADD_ARRAY, None, b"123"),
        (XattropKind.ADD_ARRAY, bytes(8), bytes(12)),
        (XattropKind.ADD_ARRAY64, None, bytes(12)),
        (XattropKind.OR, bytes(2), bytes(3)),
        (XattropKind.ADD_ARRAY_WITH_DEFAULT, None, bytes(9)),
        (XattropKind.ADD_ARRAY_WITH_DEFAULT, bytes(8), bytes(8)),
    ],
)
def test_lengths_that_do_not_fit_are_einval(kind: XattropKind, stored: bytes | None, sent: bytes) -> None:
    refused(errno.EINVAL, kind, stored, sent)


def test_an_unknown_kind_is_refused() -> None:
    refused(errno.EOPNOTSUPP, 99, None, bytes(4))


ZERO, ONE, MINUS = bytes(4), b"\0\0\0\1", b"\xff\xff\xff\xff"


def test_zeros_only_read_and_what_ends_at_zero_is_stored_last() -> None:
    stored = {"a": ONE, "b": ONE}
    answer, wanted = join_all(XattropKind.ADD_ARRAY, stored, {"a": MINUS, "b": ZERO, "c": ZERO, "d": ONE})
    assert answer == {"a": ZERO, "b": ONE, "c": ZERO, "d": ONE}
    assert list(wanted.items()) == [("d", ONE), ("a", ZERO)]


def test_get_and_set_answers_what_was_stored() -> None:
    answer, wanted = join_all(XattropKind.GET_AND_SET, {"a": ONE}, {"a": MINUS, "b": ONE, "c": ZERO})
    assert answer == {"a": ONE, "b": ZERO, "c": ZERO}
    assert wanted == {"a": MINUS, "b": ONE}


@pytest.mark.parametrize(
    ("key", "index"),
    [
        ("trusted.afr.volume-client-0", XATTROP),
        ("trusted.afr.dirty", DIRTY),
        ("trusted.afr.inner.dirty", DIRTY),
        ("trusted.afr.dirty.client", XATTROP),
        ("trusted.afr.mirror.volgraph-id", None),
        ("trusted.afrx", None),
        ("user.trusted.afr.dirty", None),
    ],
)
def test_each_counter_belongs_to_one_index(key: str, index: str | None) -> None:
    assert index_of(key) == index


def test_only_counters_that_are_not_zero_put_an_object_on_an_index() -> None:
    assert marked({"trusted.afr.a": bytes(12), "trusted.afr.dirty": b"\1", "user.a": b"1"}) == {DIRTY}
    assert marked({"trusted.afr.mirror.volgraph-id": b"\1"}) == set()
