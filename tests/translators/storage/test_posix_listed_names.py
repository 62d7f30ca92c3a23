"""The names of one listing, kept as one text."""

from hypothesis import given
from hypothesis import strategies as st

from volgraph.translators.storage.posix.listed_names import ListedNames

names = st.binary(min_size=1, max_size=255).filter(lambda name: not {0, ord("/")} & set(name))
listings = st.dictionaries(names, st.sampled_from([0, 4, 8, 10]), max_size=50)


@given(listings, st.integers(0, 60))
def test_names_come_back_sorted_with_their_kinds_from_any_number_on(listing: dict[bytes, int], number: int) -> None:
    assert list(ListedNames(listing.items()).behind(number)) == sorted(listing.items())[number:]


def test_a_name_comes_before_those_that_it_begins() -> None:
    assert [name for name, _ in ListedNames([(b"a\x01", 8), (b"a", 8), (b"a\xff", 4)]).behind(0)] == [
        b"a",
        b"a\x01",
        b"a\xff",
    ]
