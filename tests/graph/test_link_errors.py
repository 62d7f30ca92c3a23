"""What link finds wrong with a spec whose text is sound: each problem once, where it stands, with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from volgraph.graph import all_that_is_wrong, link
from volgraph.volspec import SpecError, load, parse
from volgraph.volspec.errors import PROBLEMS_MAX

FOLDER = Path(__file__).parents[2] / "examples" / "broken"

BROKEN: dict[str, list[tuple[int, int, str]]] = {
    "link-beside-a-syntax-error.vol": [
        (3, 20, "quote is not closed"),
        (6, 8, "storage/posix needs option 'directory'"),
        (12, 22, "'most' is not one of none, fixed, auto"),
    ],
    "link-child-of-a-leaf.vol": [(5, 8, "storage/memory takes no subvolumes, not 1")],
    "link-distribute-over-two.vol": [(9, 8, "cluster/distribute takes one subvolume, not 2")],
    "link-known-to-glusterfs.vol": [(7, 8, "known to GlusterFS, not supported here")],
    "link-namespace-is-a-child.vol": [(11, 20, "the namespace is one of the subvolumes")],
    "link-namespace-unknown.vol": [(7, 20, "names no volume: 'names'")],
    "link-no-children.vol": [(1, 8, "takes at least 1 subvolume, not 0")],
    "link-one-mistake-is-told-once.vol": [(2, 8, "unknown type 'storage/memmory'")],
    "link-option-by-two-names.vol": [(8, 10, "another name of 'listen-port'")],
    "link-option-missing.vol": [(1, 8, "needs option 'directory'"), (5, 8, "needs option 'remote-subvolume'")],
    "link-option-misspelt.vol": [(3, 10, "unknown option 'directry'")],
    "link-option-misspelt.yaml": [(7, 7, "unknown option 'quorum-typ'")],
    "link-quorum-of-three.vol": [(12, 23, "a quorum of 3 needs more than 2 children")],
    "link-read-subvolume.vol": [(11, 25, "'c' is no child")],
    "link-two-children.vol": [(9, 8, "debug/trace takes one subvolume, not 2")],
    "link-unknown-type.vol": [(2, 8, "unknown type 'storage/posixx'")],
    "link-values.vol": [
        (3, 20, "'srv/a' is not an absolute path"),
        (9, 19, "'maybe' is not one of auto, xattr, sidecar"),
        (14, 23, "'none' is not a whole number"),
        (15, 27, "'perhaps' is not a boolean"),
    ],
}


def problems_of(path: Path) -> SpecError:
    with pytest.raises(SpecError) as caught:
        try:
            link(load(path))
        except SpecError as error:
            raise (all_that_is_wrong(error) if error.partial is not None else error) from None
    return caught.value


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_spec_that_cannot_be_linked_gives_exactly_its_problems(name: str) -> None:
    found = problems_of(FOLDER / name).problems

    places = [(problem.position.line, problem.position.column) for problem in found if problem.position]
    assert places == [(line, column) for line, column, _ in BROKEN[name]]
    for problem, (_, _, fragment) in zip(found, BROKEN[name], strict=True):
        assert fragment in problem.message
        assert problem.volume
        assert problem.hint


def test_every_such_example_stands_in_the_table() -> None:
    assert {path.name for path in FOLDER.glob("link-*")} == set(BROKEN)


def test_a_misspelt_word_is_answered_with_the_nearest_one() -> None:
    hints = {name: problems_of(FOLDER / name).problems[0].hint for name in BROKEN}

    assert hints["link-unknown-type.vol"] == "did you mean 'storage/posix'?"
    assert hints["link-option-misspelt.vol"] == "did you mean 'directory'?"


def test_another_top_is_chosen_by_name() -> None:
    spec = parse("volume a\n type storage/memory\nend-volume\nvolume b\n type debug/trace\n subvolumes a\nend-volume")

    assert link(spec, top="a").top.name == "a"
    with pytest.raises(SpecError, match="no volume 'c' in this spec"):
        link(spec, top="c")


def test_a_volume_that_is_not_used_is_a_warning() -> None:
    spec = parse("volume a\n type storage/memory\nend-volume\nvolume b\n type storage/memory\nend-volume")

    assert link(spec).warnings == ["volume a: not used below b"]


def test_a_stock_translator_is_passed_through_with_a_warning() -> None:
    text = "volume a\n type storage/memory\nend-volume\n"
    text += "volume b\n type performance/write-behind\n option cache-size 1MB\n subvolumes a\nend-volume"

    assert any("hands everything on" in warning for warning in link(parse(text)).warnings)


def test_of_very_many_problems_the_first_are_told() -> None:
    text = "".join(f"volume v{number}\n  type storage/poix\nend-volume\n" for number in range(3000))
    with pytest.raises(SpecError) as caught:
        link(parse(text))

    assert len(caught.value.problems) == PROBLEMS_MAX + 1
    assert "there are more errors" in caught.value.problems[-1].message
