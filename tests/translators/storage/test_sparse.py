"""Sparse contents against a plain bytearray."""

from hypothesis import given
from hypothesis import strategies as st

from volgraph.translators.storage.memory.sparse import PAGE, SparseBytes

offsets = st.one_of(
    st.integers(0, 4 * PAGE),
    st.sampled_from([0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE]),
)
Step = tuple[str, int, int]
steps = st.one_of(
    st.tuples(st.just("write"), offsets, offsets),
    st.tuples(st.just("resize"), offsets, st.just(0)),
    st.tuples(st.just("punch"), offsets, offsets),
    st.tuples(st.just("reserve"), offsets, offsets),
    st.tuples(st.just("zero"), offsets, offsets),
    st.tuples(st.just("read"), offsets, offsets),
)


def apply(step: str, offset: int, length: int, number: int, contents: SparseBytes, plain: bytearray) -> None:
    if step == "write":
        data = bytes([number % 255 + 1]) * length
        contents.write(offset, data)
        if length:
            plain += bytes(max(offset - len(plain), 0))
            plain[offset : offset + length] = data
    elif step == "resize":
        contents.resize(offset)
        plain[:] = plain[:offset].ljust(offset, b"\0")
    elif step == "punch":
        contents.punch(offset, length)
        end = min(offset + length, len(plain))
        plain[offset:end] = bytes(max(end - offset, 0))
    elif step == "reserve":
        contents.reserve(offset, length)
    elif step == "zero":
        contents.zero(offset, length)
        plain += bytes(max(offset + length - len(plain), 0))
        plain[offset : offset + length] = bytes(length)
    assert contents.read(offset, length) == plain[offset : offset + length]


@given(st.lists(steps, max_size=12))
def test_reading_answers_what_plain_bytes_would(given: list[Step]) -> None:
    contents, plain = SparseBytes(), bytearray()
    for number, (step, offset, length) in enumerate(given):
        if length or step in ("resize", "read"):
            missing = contents.missing(offset, length)
            pages = len(contents.pages)
            apply(step, offset, length, number, contents, plain)
            if step == "write":
                assert len(contents.pages) == pages + missing
        assert contents.size == len(plain)
        assert contents.read(0, 1 << 20) == plain


@given(st.lists(steps, max_size=8), offsets)
def test_holes_read_as_zeros_and_data_is_found(given: list[Step], offset: int) -> None:
    contents, plain = SparseBytes(), bytearray()
    for number, (step, at, length) in enumerate(given):
        if length or step == "resize":
            apply(step, at, length, number, contents, plain)
    if offset >= contents.size:
        return
    data, hole = contents.next_data(offset), contents.next_hole(offset)
    assert offset <= hole <= contents.size
    assert not any(plain[offset : contents.size if data is None else data])
    assert data is None or offset <= data < contents.size


@given(st.lists(steps, max_size=8), st.lists(steps, max_size=8))
def test_a_copy_is_not_touched_by_what_comes_after(before: list[Step], after: list[Step]) -> None:
    contents, plain = SparseBytes(), bytearray()
    for number, (step, offset, length) in enumerate(before):
        if length or step == "resize":
            apply(step, offset, length, number, contents, plain)
    twin, then = contents.copy(), bytes(plain)
    for number, (step, offset, length) in enumerate(after):
        if length or step == "resize":
            apply(step, offset, length, number, contents, plain)
    assert twin.read(0, 1 << 20) == then


def test_a_file_that_was_cut_and_grows_again_has_zeros_there() -> None:
    contents = SparseBytes()
    contents.write(0, b"X" * (2 * PAGE))
    contents.resize(PAGE + 5)
    contents.resize(2 * PAGE)

    assert contents.read(PAGE, PAGE) == b"XXXXX".ljust(PAGE, b"\0")
