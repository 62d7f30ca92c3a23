"""Every spec in examples/broken gives exactly the diagnostics of this table, in order of position."""

from pathlib import Path

import pytest

from volgraph.volspec import SpecError, load

FOLDER = Path(__file__).parents[2] / "examples" / "broken"

# file: what its text alone tells: (line, column, a part of the message), all of it, in order
BROKEN: dict[str, list[tuple[int, int, str]]] = {
    "alias.yaml": [(3, 6, "an alias (*), which a spec cannot have")],
    "back-tick-in-string.vol": [(3, 26, "a back-tick, which would run a command")],
    "back-tick.vol": [(4, 20, "a back-tick, which would run a command")],
    "backslash.vol": [(3, 27, "a backslash outside a string")],
    "carriage-return.vol": [(3, 26, "a carriage return in a word")],
    "cycle.vol": [(3, 14, "subvolume 'right' is not defined before its use")],
    "empty.vol": [(1, 1, "no volume in this spec")],
    "empty.yaml": [(1, 1, "no volume in this spec")],
    "end-volume-alone.vol": [(5, 1, "`end-volume` without a `volume`")],
    "end-volume-missing-before-the-next.vol": [(5, 1, "`volume` inside volume 'a', which has no `end-volume`")],
    "end-volume-missing.vol": [(6, 8, "volume 'b' has no `end-volume`")],
    "end-volume-misspelt-after-subvolumes.vol": [
        (14, 1, "expected `option`, `subvolumes` or `end-volume`, found 'end_volume'")
    ],
    "end-volume-misspelt.vol": [(4, 1, "expected `option`, `subvolumes` or `end-volume`, found 'endvolume'")],
    "key-misspelt.yaml": [(4, 5, "unknown key 'option' of a volume")],
    "key-twice.yaml": [(4, 5, "a second `type` of a volume")],
    "keyword-as-key.vol": [(4, 10, "`option` needs a key and a value; `type` is a keyword")],
    "keyword-as-name.vol": [(1, 8, "`volume` needs a name; `volume` is a keyword")],
    "keyword-in-capitals.vol": [(2, 3, "expected `type`, found 'Type'")],
    "keyword-misspelt.vol": [(3, 3, "expected `option`, `subvolumes` or `end-volume`, found 'opton'")],
    "line-end-in-value.yaml": [(5, 18, "a line feed in a word")],
    "name-with-blanks.vol": [(1, 11, "expected `type`, found 'files'")],
    "no-type.vol": [(1, 8, "volume 'a' has no type")],
    "no-type.yaml": [(2, 3, "volume 'a' has no type")],
    "not-a-mapping.yaml": [(1, 1, "a spec is a mapping")],
    "not-utf8.yaml": [(4, 32, "YAML: the byte 0xe9, which is no UTF-8, cannot stand in YAML")],
    "nul.vol": [(3, 25, "a NUL in a word")],
    "only-comments.vol": [(1, 1, "no volume in this spec")],
    "open-quote.vol": [(3, 20, "this quote is not closed on its line")],
    "option-outside-a-volume.vol": [(6, 1, "`option` outside a volume")],
    "option-twice.vol": [(5, 10, "option 'directory' is given twice")],
    "option-twice.yaml": [(4, 34, "option 'directory' is given twice")],
    "option-without-key.vol": [(3, 3, "`option` needs a key and a value")],
    "option-without-value.vol": [(3, 3, "`option` needs a value for 'directory'")],
    "parameter-not-closed.vol": [(3, 25, "'${' does not begin a parameter")],
    "parameter-not-given.vol": [(3, 20, "no value is given for the parameter 'dir'")],
    "parameter-not-given.yaml": [(4, 26, "no value is given for the parameter 'dir'")],
    "quote-over-two-lines.vol": [(3, 20, "this quote is not closed on its line")],
    "second-subvolumes.vol": [(14, 3, "a second `subvolumes` in one volume")],
    "second-type.vol": [(4, 3, "a second `type` in one volume")],
    "several.vol": [
        (3, 28, "expected `option`, `subvolumes` or `end-volume`, found 'files'"),
        (6, 8, "volume 'a' is defined again"),
        (8, 20, "this quote is not closed on its line"),
        (12, 8, "volume 'c' has no type"),
        (18, 16, "subvolume 'a' is named twice"),
        (18, 18, "subvolume 'd' is not defined before its use"),
        (18, 20, "volume 'mirror' has itself as a subvolume"),
        (19, 10, "a back-tick, which would run a command"),
        (20, 3, "a second `subvolumes` in one volume"),
    ],
    "subvolume-defined-later.vol": [(8, 16, "subvolume 'b' is not defined before its use")],
    "subvolume-is-itself.vol": [(8, 16, "volume 'mirror' has itself as a subvolume")],
    "subvolume-misspelt.vol": [(13, 14, "subvolume 'nera' is not defined before its use")],
    "subvolume-misspelt.yaml": [(6, 24, "subvolume 'fra' is not defined before its use")],
    "subvolume-twice.vol": [(8, 16, "subvolume 'a' is named twice")],
    "subvolumes-no-list.yaml": [(5, 17, "`subvolumes` is a list")],
    "subvolumes-without-names.vol": [(8, 3, "`subvolumes` needs the name of at least one volume")],
    "syntax.yaml": [(3, 4, "YAML:")],
    "tag.yaml": [(4, 26, "the tag 'tag:yaml.org,2002:python/name:os.getcwd', which a spec cannot have")],
    "text-between-volumes.vol": [(6, 1, "expected `volume`, found 'here'")],
    "too-deep.yaml": [(4, 26, "an option's value is one word")],
    "two-documents.yaml": [(3, 1, "a second document")],
    "type-after-option.vol": [(3, 3, "`type` must come first in a volume")],
    "type-without-word.vol": [(2, 3, "`type` needs a type, such as storage/posix")],
    "value-is-a-list.yaml": [(4, 26, "an option's value is one word")],
    "value-missing.yaml": [(5, 7, "an option's value is missing")],
    "value-with-blanks.vol": [(3, 28, "expected `option`, `subvolumes` or `end-volume`, found 'files'")],
    "volume-defined-twice.vol": [(6, 8, "volume 'a' is defined again")],
    "volume-inside-volume.vol": [(3, 3, "`volume` inside volume 'mirror', which has no `end-volume`")],
    "volume-misspelt.vol": [(6, 1, "expected `volume`, found 'volum'")],
    "volume-twice.yaml": [(3, 3, "volume 'a' is defined again")],
    "volume-without-name.vol": [(1, 1, "`volume` needs a name")],
    "volumes-misspelt.yaml": [(1, 1, "unknown key 'volume' at the top of a spec")],
    "yaml-in-a-volfile.vol": [(1, 1, "expected `volume`, found 'volumes:'")],
}

# Files whose text is sound: their error is found when they are linked, and stands in the tests of linking.
BROKEN_WHEN_LINKED = {path.name for path in FOLDER.glob("link-*")}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_spec_gives_exactly_its_diagnostics(name: str) -> None:
    path = FOLDER / name

    with pytest.raises(SpecError) as caught:
        load(path)

    problems = caught.value.problems
    places = [(problem.position.line, problem.position.column) for problem in problems if problem.position]
    assert places == [(line, column) for line, column, _ in BROKEN[name]]
    for problem, (line, column, fragment) in zip(problems, BROKEN[name], strict=True):
        assert fragment in problem.message
        assert str(problem) == f"{path}:{line}:{column}: {problem.message}"
        assert problem.hint


def test_every_broken_example_has_its_place_and_there_are_at_least_40() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(BROKEN) | BROKEN_WHEN_LINKED
    assert len(BROKEN) >= 40
