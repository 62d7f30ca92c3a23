"""The decisions of replication, one by one and for every case of few children: nothing is wound here."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations, product

import pytest

from volgraph.graph import Gfid, Iatt, Outcome, Translator, Written, fail, in_doubt
from volgraph.translators.cluster.afr.changelog import Counters, Kind, Record
from volgraph.translators.cluster.afr.verdict import (
    Copy,
    Quorum,
    best_file,
    certain,
    combined_error,
    conflict,
    direction,
    judge,
    quorum_of,
    readable,
    shortest_fails,
    standing,
    symmetric_error,
    unanimous,
)

CHILD = Translator("child")
FILE, OTHER = Gfid(b"f" * 16), Gfid(b"o" * 16)
NOBODY: frozenset[int] = frozenset()


def only(*children: int) -> frozenset[int]:
    return frozenset(children)


def iatt(size: int = 0, gfid: Gfid = FILE, kind: int = stat.S_IFREG) -> Iatt:
    return Iatt(gfid, os.stat_result((kind | 0o644, 1, 0, 1, 0, 0, size, 0, 0, 0)))


def copies(*said: str, sizes: Sequence[int] = (), dirty: str = "") -> dict[int, Copy]:
    """Of each child in turn what it says of each: how many changes of the contents that one missed."""
    found = {}
    for child, counts in enumerate(said):
        pending: list[Counters] = [(int(count), 0, 0) for count in counts]
        unknown = (int(dirty[child]) if dirty else 0, 0, 0)
        found[child] = Copy(iatt(sizes[child] if sizes else 0), Record(pending, unknown))
    return found


def outcomes(*answers: int | str) -> dict[int, Outcome[Written]]:
    """By child: how many bytes it wrote, the name of an errno, one with a ? of which it may have happened all the
    same, or "" if it was not asked."""
    return {child: _outcome(answer) for child, answer in enumerate(answers) if answer != ""}


def _outcome(answer: int | str) -> Outcome[Written]:
    if isinstance(answer, int):
        return Outcome(CHILD, Written(count=answer))
    error = fail(getattr(errno, answer.rstrip("?")))
    return Outcome(CHILD, error=in_doubt(error) if answer.endswith("?") else error)


# --- quorum ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "count", "children", "enough", "too_few"),
    [
        ("none", 1, 2, [{0}, {1}], [NOBODY]),
        ("", 1, 2, [{0}, {1}], [NOBODY]),
        ("", 1, 3, [{0, 1}, {1, 2}], [{0}, {2}]),
        ("fixed", 2, 2, [{0, 1}], [{0}, {1}]),
        ("auto", 1, 2, [{0}, {0, 1}], [{1}]),
        ("auto", 1, 4, [{0, 3}, {1, 2, 3}], [{1, 2}, {0}]),
    ],
)
def test_a_quorum_is_what_was_asked_for(
    kind: str, count: int, children: int, enough: list[set[int]], too_few: list[set[int]]
) -> None:
    quorum = quorum_of(kind, count, children)

    assert all(map(quorum.met, enough))
    assert not any(map(quorum.met, too_few))


@pytest.mark.parametrize("children", range(1, 6))
def test_a_quorum_says_truly_that_any_two_of_it_share_a_child(children: int) -> None:
    for quorum in [Quorum(children, count) for count in range(1, children + 1)]:
        groups = [set(each) for size in range(children + 1) for each in combinations(range(children), size)]
        met = [group for group in groups if quorum.met(group)]
        assert quorum.overlaps == all(one & other for one in met for other in met)


# --- after the fop ---------------------------------------------------------------------------------------------------


def test_what_one_copy_missed_it_is_blamed_for() -> None:
    verdict = judge(outcomes(4, "ENOSPC"), {0, 1}, quorum_of("none", 1, 2))

    assert (verdict.error, verdict.succeeded, verdict.blame) == (None, only(0), only(1))


def test_a_child_that_was_not_asked_has_missed_it() -> None:
    assert judge(outcomes(4, ""), {0, 1}, quorum_of("none", 1, 2)).blame == {1}


def test_what_all_copies_refuse_alike_has_not_happened_and_nobody_is_to_blame() -> None:
    verdict = judge(outcomes("ENOSPC", "ENOSPC"), {0, 1}, quorum_of("none", 1, 2))

    assert verdict.error is not None
    assert (verdict.error.errno, verdict.blame, verdict.in_the_dark) == (errno.ENOSPC, NOBODY, False)


@pytest.mark.parametrize(
    "answers",
    [("ENOSPC", "EIO"), ("ENOTCONN?", "ENOTCONN?"), (4, "EIO", "EIO")],
    ids=lambda answers: " ".join(map(str, answers)),
)
def test_what_too_few_have_done_and_others_refused_in_other_ways_may_have_happened(
    answers: tuple[int | str, ...],
) -> None:
    verdict = judge(outcomes(*answers), range(len(answers)), quorum_of("", 1, len(answers)))

    assert verdict.error is not None
    assert verdict.in_the_dark
    assert not verdict.blame


def test_what_only_a_stale_copy_has_done_is_no_success() -> None:
    verdict = judge(outcomes("EIO", 4), {0}, quorum_of("none", 1, 2))

    assert verdict.error is not None
    assert (verdict.error.errno, verdict.in_the_dark) == (errno.EIO, True)


def test_that_a_stale_copy_lacks_a_name_says_nothing_about_the_name() -> None:
    verdict = judge(outcomes("", "ENOENT"), {0}, quorum_of("none", 1, 2))

    assert verdict.error is not None
    assert (verdict.error.errno, verdict.in_the_dark) == (errno.ENOTCONN, True)


def every_case() -> Iterator[tuple[tuple[int | str, ...], set[int], Quorum]]:
    """Two and three children, each good before or not, that did it, refused it, may have done it, or were not asked."""
    each_answer: tuple[int | str, ...] = (4, "ENOSPC", "EIO", "ENOTCONN?", "")
    for children in (2, 3):
        goods = [set(each) for size in range(1, children + 1) for each in combinations(range(children), size)]
        quorums = [
            quorum_of("none", 1, children),
            quorum_of("auto", 1, children),
            quorum_of("fixed", children, children),
        ]
        for answers in product(each_answer, repeat=children):
            yield from ((answers, good, quorum) for good in goods for quorum in quorums)


def test_success_needs_a_quorum_with_a_good_copy_in_it_and_blames_all_others() -> None:
    for answers, good, quorum in every_case():
        done = {child for child, answer in enumerate(answers) if answer == 4}
        verdict = judge(outcomes(*answers), good, quorum)

        assert verdict.succeeded == done
        if verdict.error is None:
            assert quorum.met(done)
            assert done & good
            assert verdict.blame == set(range(quorum.children)) - done
        else:
            assert not verdict.blame
            assert verdict.in_the_dark or not done


def test_an_error_that_leaves_copies_alike_was_everybodys() -> None:
    for answers, good, quorum in every_case():
        verdict = judge(outcomes(*answers), good, quorum)
        if verdict.error is not None and not verdict.in_the_dark:
            assert {answer for answer in answers if answer != ""} in ({"ENOSPC"}, {"EIO"})


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (("EIO", "ENOSPC"), "ENOSPC"),
        (("ENOSPC", "ENOENT"), "ENOENT"),
        (("EACCES", "EIO"), "EIO"),
        (("EIO", "ENOTCONN"), "EIO"),
        (("ENOTCONN", "ENOTCONN"), "ENOTCONN"),
    ],
)
def test_of_several_errors_the_most_telling_is_told(errors: tuple[str, ...], told: str) -> None:
    assert combined_error(outcomes(*errors).values()).errno == getattr(errno, told)


def test_errors_of_which_one_may_have_acted_unseen_are_not_alike() -> None:
    assert symmetric_error(outcomes("EIO", "EIO").values()) is not None
    assert symmetric_error(outcomes("EIO", "EIO?").values()) is None
    assert symmetric_error(outcomes("EIO", 4).values()) is None


def test_a_child_that_wrote_less_than_another_did_not_write() -> None:
    answers = outcomes(4, 3, "EIO")
    assert not unanimous(answers.values())
    shortest_fails(answers)

    assert [each.ok for each in answers.values()] == [True, False, False]


def test_what_all_wrote_alike_needs_no_judgement() -> None:
    assert unanimous(outcomes(4, 4).values())
    assert not unanimous(outcomes(4, "EIO").values())


# --- which copies may be read, and which heal which ------------------------------------------------------------------


def test_a_copy_is_read_unless_somebody_blames_it() -> None:
    assert readable(copies("00", "00")) == {0, 1}
    assert readable(copies("01", "00")) == {0}
    assert readable(copies("01", "10")) == NOBODY
    assert readable(copies("001", "000", "000")) == {0, 1}
    assert readable(copies("01", "00"), [Kind.METADATA]) == {0, 1}


def test_strict_readers_want_a_quorum_of_good_copies_that_are_alike() -> None:
    quorum = quorum_of("auto", 1, 3)
    alike = copies("000", "000", "000")
    good = {child: alike[child] for child in (0, 1)}

    assert certain(good, False, quorum) == {0, 1}
    assert certain(good, True, quorum) == NOBODY
    assert certain({0: alike[0]}, False, quorum) == NOBODY
    assert certain(copies("000", "000", "000", sizes=(1, 2, 1)), False, quorum) == NOBODY


def test_objects_of_other_gfids_or_types_are_no_copies_of_each_other() -> None:
    assert conflict([iatt(), iatt(5)]) == ""
    assert "gfids" in conflict([iatt(), iatt(gfid=OTHER)])
    assert "types" in conflict([iatt(), iatt(kind=stat.S_IFIFO)])


@pytest.mark.parametrize(
    ("said", "majority", "sources"),
    [
        (("00", "00"), None, {0, 1}),
        (("01", "00"), None, {0}),
        (("00", "10"), None, {1}),
        (("01", "10"), None, NOBODY),
        (("11", "00"), None, {0, 1}),
        (("001", "001", "110"), 2, {0, 1}),
        (("001", "001", "110"), None, NOBODY),
        (("010", "001", "100"), 2, NOBODY),
        (("001", "000", "100"), 2, {1}),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, tuple) else str(case),
)
def test_whoever_is_accused_by_none_or_outvotes_the_accuser_is_right(
    said: tuple[str, ...], majority: int | None, sources: set[int]
) -> None:
    found = direction(copies(*said), Kind.DATA, majority)

    assert found.sources == sources
    assert found.split is (not sources)


def every_accusation(children: int) -> Iterator[tuple[str, ...]]:
    rows = ["".join(row) for row in product("01", repeat=children)]
    yield from product(rows, repeat=children)


@pytest.mark.parametrize(("children", "majority"), [(2, None), (3, None), (3, 2)])
def test_each_copy_is_source_or_sink_and_nobody_heals_from_one_that_an_unblamed_copy_blames(
    children: int, majority: int | None
) -> None:
    for said in every_accusation(children):
        found = direction(copies(*said), Kind.DATA, majority)
        unblamed = {j for j in range(children) if not any(said[i][j] == "1" for i in range(children))}

        assert found.sources | found.sinks == set(range(children))
        assert not found.sources & found.sinks
        assert unblamed <= found.sources
        assert not any(said[one][source] == "1" for one in unblamed for source in found.sources)


@pytest.mark.parametrize(("children", "majority"), [(2, None), (3, None), (3, 2)])
def test_no_child_is_special_when_it_is_judged_who_heals_whom(children: int, majority: int | None) -> None:
    """I26."""
    for said in every_accusation(children):
        found = direction(copies(*said), Kind.DATA, majority)
        for order in permutations(range(children)):
            moved = ["".join(said[i][j] for j in order) for i in order]
            again = direction(copies(*moved), Kind.DATA, majority)
            assert {order[child] for child in again.sources} == found.sources


def test_of_files_that_nobody_blames_the_largest_is_best_then_the_one_that_saw_most() -> None:
    assert best_file(copies("00", "00", sizes=(1, 2)), {0, 1}) == 1
    assert best_file(copies("00", "00", sizes=(2, 2), dirty="01"), {0, 1}) == 1
    assert best_file(copies("00", "00", sizes=(2, 2)), {0, 1}) == 0


def moves(*said: str) -> dict[int, Copy]:
    """Of each child in turn what it says of each: whether that one missed the object's last move."""
    return {child: Copy(iatt(), Record([(0, int(count), 0) for count in counts])) for child, counts in enumerate(said)}


def test_where_nobody_is_right_about_a_name_what_one_copy_has_is_kept() -> None:
    assert standing({1: iatt()}, {FILE: {1: moves("00", "00")[1]}}, {0, 1}, None) == (FILE, only(1))


def test_an_object_that_is_known_to_have_gone_elsewhere_is_not_kept() -> None:
    assert standing({1: iatt()}, {FILE: moves("01", "00")}, {0, 1}, None) == (None, only(0))


def test_of_two_objects_at_one_name_that_of_more_copies_stands_and_of_as_many_that_of_the_first() -> None:
    found = {0: iatt(), 1: iatt(gfid=OTHER), 2: iatt(gfid=OTHER)}
    said = moves("000", "000", "000")
    each = {FILE: {0: said[0]}, OTHER: {1: said[1], 2: said[2]}}

    assert standing(found, each, {0, 1, 2}, 2) == (OTHER, only(1, 2))
    del found[2], each[OTHER][2]
    assert standing(found, each, {0, 1}, None) == (FILE, only(0))
