"""What our replication leaves on disk after a failure is what GlusterFS's leaves after the same, counter by counter."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import attrs
import pytest

from tests.interop.changelogs import NOTHING, Found, Left, left_on
from tests.interop.differences import ALL, DIFFERENCES, OTHER_ANSWERS, Difference, differences_of, names_twice, page
from tests.interop.gfapi import ROOT, require_gfapi
from tests.interop.histories import HISTORIES, History
from tests.interop.mirrors import Mirror, Play, mirror
from tests.interop.real_gluster import require_gluster
from tests.interop.sessions import Kind
from tests.interop.volfiles import Option

PLAYED = [(history, optimistic) for history in HISTORIES for optimistic in history.optimistic]

MirrorOf = Callable[[History], Mirror]


def name_of(played: tuple[History, bool]) -> str:
    history, optimistic = played
    shortcut = ", optimistic change log" if optimistic else ""
    return f"{history.name}, {history.copies} {'of ours' if history.troubled else 'real'}{shortcut}"


@pytest.fixture(scope="module")
def mirror_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorOf]:
    """One for each number and kind of bricks."""
    require_gluster(tmp_path_factory.mktemp("probe"))
    require_gfapi()
    made: dict[tuple[int, bool], Mirror] = {}
    with ExitStack() as running:

        def given(history: History) -> Mirror:
            key = history.copies, history.troubled
            if key not in made:
                folder = tmp_path_factory.mktemp("mirror") / "bricks"
                made[key] = running.enter_context(mirror(folder, history.copies, troubled=history.troubled))
            return made[key]

        yield given


@attrs.frozen
class Outcome:
    left: list[Left]
    answers: list[tuple[tuple[str | int, ...], str]]


def played(kind: Kind, history: History, optimistic: bool, where: Mirror) -> Outcome:
    where.mend()
    top = f"{history.name}-{kind}-{optimistic}"
    options: dict[str, Option] = {"optimistic-change-log": "on" if optimistic else "off", "self-heal-daemon": "off"}
    play = Play(kind, where, top, options)
    try:
        history.play(play)
        play.quiet()
    finally:
        play.leave()
    return Outcome(left_on(where.directories, top), play.answers)


@pytest.mark.interop
@pytest.mark.parametrize("case", PLAYED, ids=name_of)
def test_a_history_leaves_what_it_leaves_with_glusterfs(case: tuple[History, bool], mirror_of: MirrorOf) -> None:
    history, optimistic = case
    where = mirror_of(history)
    theirs, ours = (played(kind, history, optimistic, where) for kind in ("theirs", "ours"))
    known = differences_of(history, optimistic)

    differing: dict[str, Difference] = {}
    for number, (real, own) in enumerate(zip(theirs.left, ours.left, strict=True)):
        brick = where.directories[number].name
        differing |= check_objects(real, own, known, brick)
        check_indices(real, brick)
        check_indices(own, brick)
        check_changed_names(real, own, known)
    check_answers(theirs, ours, differing)
    check_all_differ(known, differing)
    found = [each for left in ours.left for each in left.objects.values()]
    print(f"\n{name_of(case)}: {len(found)} objects, {sum(bool(each.marks) for each in found)} of them marked")


def check_objects(theirs: Left, ours: Left, known: Mapping[str, Difference], brick: str) -> dict[str, Difference]:
    """Equal, or different in the way that is known. Gives what differs."""
    differing = {}
    for path in sorted(theirs.objects.keys() | ours.objects.keys()):
        real, own = names_twice(theirs.objects.get(path, NOTHING)), ours.objects.get(path, NOTHING)
        if real != own:
            difference = known.get(path) or known.get(ALL)
            assert difference is not None, f"{brick}: {path}: GlusterFS left {real}, ours {own}"
            assert difference.holds(real, own), f"{brick}: {path}: not just '{difference.name}': {real}, {own}"
            differing[path] = difference
    return differing


def check_indices(left: Left, brick: str) -> None:
    """Every mark can be found, and nothing else is listed: what somebody missed, and what ended in doubt."""
    blamed = {path for path, found in left.objects.items() if found.marks.keys() - {"dirty"}}
    doubtful = {path for path, found in left.objects.items() if "dirty" in found.marks}
    assert left.indices == {"xattrop": blamed, "dirty": doubtful}, brick


def check_changed_names(theirs: Left, ours: Left, known: Mapping[str, Difference]) -> None:
    """GlusterFS's list of names is not kept by us: the directories in it are to be compared as a whole."""
    assert not ours.changed_names
    for path in {path for path, names in theirs.changed_names.items() if names} - known.keys():
        blame = [counters for key, counters in ours.objects[path].marks.items() if key != "dirty"]
        assert blame
        assert all(data == entry for data, _, entry in blame)


def check_answers(theirs: Outcome, ours: Outcome, differing: Mapping[str, Difference]) -> None:
    places = {path.partition("/")[0] for path, difference in differing.items() if difference in OTHER_ANSWERS}
    for (step, real), (same_step, own) in zip(theirs.answers, ours.answers, strict=True):
        assert step == same_step
        assert real == own or step[0] in places, f"{step}: GlusterFS answered {real}, ours {own}"


def check_all_differ(known: Mapping[str, Difference], differing: Mapping[str, Difference]) -> None:
    """What is named as different is different: the page tells no tales."""
    assert set(known) - {ALL} <= set(differing)
    assert set(known.values()) == set(differing.values())


@pytest.mark.interop
def test_one_count_more_or_a_mark_that_is_listed_nowhere_is_found() -> None:
    """The comparison itself."""
    good = Left({"d": Found("directory", {"1": (1, 0, 1)})}, {"xattrop": {"d"}, "dirty": set()}, {})
    for marks in ({"1": (1, 0, 2)}, {"0": (1, 0, 1)}, {}, {"1": (1, 0, 1), "dirty": (0, 0, 1)}):
        bad = attrs.evolve(good, objects={"d": Found("directory", marks)})
        with pytest.raises(AssertionError):
            check_objects(good, bad, {}, "b0")
    for bad in (
        attrs.evolve(good, objects={"d": Found("directory")}),
        attrs.evolve(good, indices={**good.indices, "xattrop": set()}),
        attrs.evolve(good, indices={**good.indices, "dirty": {"d"}}),
    ):
        with pytest.raises(AssertionError):
            check_indices(bad, "b0")


def test_the_page_of_compared_histories_is_as_the_tests_have_it() -> None:
    assert (ROOT / "docs/changelogs.md").read_text() == page()
    used = {each for history, optimistic in PLAYED for each in differences_of(history, optimistic).values()}
    assert used == set(DIFFERENCES), "each difference is one of some history"
