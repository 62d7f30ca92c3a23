"""Wrong volfiles: every error of its own is reported, at its place, and nothing that follows from it."""

import pytest

from volgraph.volspec import SpecError, build, parse

A = "volume a\n  type storage/posix\nend-volume\n"  # three lines


def diagnostics(text: str | bytes, **arguments: object) -> list[tuple[int, int, str]]:
    """(line, column, message) of all problems of a text."""
    with pytest.raises(SpecError) as caught:
        parse(text, **arguments)  # type: ignore[arg-type]
    return [(*p.position, p.message) for p in caught.value.problems if p.position is not None]


def places(text: str) -> list[tuple[int, int]]:
    return [(line, column) for line, column, _ in diagnostics(text)]


ALONE = {
    "type without a word": ("volume a\n  type\nend-volume", 2, 3, "`type` needs a type"),
    "subvolumes without names": ("volume a\n type t\n subvolumes\nend-volume", 3, 2, "`subvolumes` needs"),
    "option without a value": ("volume a\n type t\n option k\n option l m\nend-volume", 3, 2, "a value for 'k'"),
    "option without anything at the end": ("volume a\n type t\n option", 3, 2, "`option` needs a key"),
    "no type": ("\nvolume a\n option k v\nend-volume", 2, 8, "volume 'a' has no type"),
    "no type, no body": ("volume a end-volume", 1, 8, "volume 'a' has no type"),
    "defined again": (A + A, 4, 8, "volume 'a' is defined again"),
    "volume in a volume": ("volume b\n type t\n" + A, 3, 1, "`volume` inside volume 'b'"),
    "volume in a volume that goes on": (
        "volume b\n type t\n" + A + " option k v\n subvolumes a\nend-volume\n",
        3,
        1,
        "`volume` inside volume 'b'",
    ),
    "no end-volume": (A + "volume b\n type t\n", 4, 8, "volume 'b' has no `end-volume`"),
    "second type": ("volume a\n type t\n type u\nend-volume", 3, 2, "a second `type`"),
    "second subvolumes": (A + "volume b\n type t\n subvolumes a\n subvolumes a\nend-volume", 7, 2, "a second `subv"),
    "undefined child": ("volume b\n type t\n subvolumes a\nend-volume\n" + A, 3, 13, "'a' is not defined before its"),
    "itself": ("volume b\n type t\n subvolumes b\nend-volume", 3, 13, "volume 'b' has itself as a subvolume"),
    "child twice": (A + 'volume b\n type t\n subvolumes a "a"\nend-volume', 6, 15, "'a' is named twice"),
    "option twice": ("volume a\n type t\n option k v\n option k v\nend-volume", 4, 9, "option 'k' is given twice"),
    "keyword as a key": ("volume a\n type t\n option type x\nend-volume", 3, 9, "`type` is a keyword"),
    "keyword as a value": ("volume a\n type t\n option x volume\nend-volume", 3, 11, "`volume` is a keyword"),
    "keyword as a child": ("volume a\n type t\n subvolumes option\nend-volume", 3, 13, "`option` is a keyword"),
    "keyword as a name": ("volume type\n type t\nend-volume", 1, 8, "`type` is a keyword"),
    "no name": ("volume\n type t\nend-volume\nvolume b type t subvolumes x end-volume", 1, 1, "`volume` needs a name"),
    "no name, twice volume": ("volume\n" + A, 1, 1, "`volume` needs a name"),
    "text between": (A + 'hello `world` and "more\nwords\n' + A.replace("a", "b", 1), 4, 1, "found 'hello'"),
    "end-volume alone": (A + "end-volume\n", 4, 1, "`end-volume` without a `volume`"),
    "type outside": (A + "type t option k v end-volume\n", 4, 1, "`type` outside a volume"),
    "a value of two words": ("volume a\n type t\n option k v w x\n option l m\nend-volume", 3, 13, "found 'w'"),
    "misspelt volume": ("volum a\n type t\nend-volume\nvolume b type t subvolumes a end-volume", 1, 1, "found 'volum'"),
    "misspelt end": ("volume a\n type t\nendvolume\n" + A.replace("a", "b", 1), 3, 1, "found 'endvolume'"),
    "misspelt option after children": (
        A + "volume b\n type t\n subvolumes a\n opton k v\nend-volume",
        7,
        2,
        "found 'opton'",
    ),
    "open quote": ('volume a\n type t\n option k "v\nend-volume', 3, 11, "quote is not closed"),
    "open quote for all": ('volume a\n type t\n option "k v\nend-volume', 3, 9, "quote is not closed"),
    "open quote, CRLF": ('volume a\r\n type t\r\n option k "v\r\nend-volume\r\n', 3, 11, "quote is not closed"),
    "string over three lines": ('volume a\n type t\n option k "v\n w\n x" \nend-volume', 3, 11, "quote is not closed"),
    "backslash at the line's end": ('volume a\n type t\n option k "v\\\n"\nend-volume', 3, 11, "quote is not closed"),
    "backslash": ("volume a\n type t\n option k v\\w\\ x\nend-volume", 3, 12, "a backslash outside a string"),
    "backslash before quotes": ('volume a\n type t\n option k \\"v\\"\nend-volume', 3, 11, "a backslash outside"),
    "back-tick": ('volume a\n type t\n option k `ls -l "x"`MB\nend-volume', 3, 11, "a back-tick"),
    "back-tick in a name": ("volume `hostname`\n type t\nend-volume", 1, 8, "a back-tick"),
    "back-tick in a string": ('volume a\n type t\n option k "it`s"\nend-volume', 3, 14, "a back-tick"),
    "two back-ticks in strings": ('volume a\n type t\n option "it`s" "that`s"\nend-volume', 3, 12, "a back-tick"),
    "NUL": ("volume a\n type t\n option k v\0w\nend-volume", 3, 12, "a NUL in a word"),
    "NUL in a string": ('volume a\n type t\n option k "v\\\0"\nend-volume', 3, 14, "a NUL in a word"),
    "CR in a string": ('volume a\n type t\n option k "v\rw"\nend-volume', 3, 13, "a carriage return in a word"),
    "lone surrogate": ("volume a\n type t\n option k \ud800\nend-volume", 3, 11, "the lone surrogate U+D800"),
    "byte order mark": ("\ufeff" + A, 1, 1, "found '\\ufeffvolume'"),
    "empty": ("", 1, 1, "no volume"),
    "nothing but blanks and comments": (" \n\t# volume a\n", 1, 1, "no volume"),
}


@pytest.mark.parametrize("case", ALONE)
def test_one_mistake_gives_one_diagnostic(case: str) -> None:
    text, line, column, fragment = ALONE[case]

    found = diagnostics(text)

    assert [(line, column)] == [(found_line, found_column) for found_line, found_column, _ in found]
    assert fragment in found[0][2]


NOT_ENDED = {"option without anything at the end", "no end-volume", "empty", "nothing but blanks and comments"}


@pytest.mark.parametrize("case", sorted(set(ALONE) - NOT_ENDED))
def test_a_mistake_does_not_hide_an_error_in_a_volume_after_it(case: str) -> None:
    text = ALONE[case][0].rstrip("\n") + "\n"
    end = text.count("\n")

    assert (end + 2, 2) in places(text + "volume zz\n type\nend-volume\n")


def test_errors_of_their_own_are_all_reported_in_order_of_position() -> None:
    text = """\
volume a
  type storage/posix
  option k v w
  opton l m
  option n "o
end-volume
volume b
  subvolumes c c b a
end-volume
end-volume
stray
volume a
  type t
  option k
  option k v
  option k w
"""

    assert diagnostics(text) == [
        (3, 14, "expected `option`, `subvolumes` or `end-volume`, found 'w'"),
        (4, 3, "expected `option`, `subvolumes` or `end-volume`, found 'opton'"),
        (5, 12, "this quote is not closed on its line"),
        (7, 8, "volume 'b' has no type"),
        (8, 14, "subvolume 'c' is not defined before its use"),
        (8, 16, "subvolume 'c' is named twice"),
        (8, 18, "volume 'b' has itself as a subvolume"),
        (10, 1, "`end-volume` without a `volume`"),
        (11, 1, "expected `volume`, found 'stray'"),
        (12, 8, "volume 'a' is defined again"),
        (14, 3, "`option` needs a value for 'k'"),
        (16, 10, "option 'k' is given twice"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "opton k v",
        'option k "v',
        "option k v\\w",
        "option k `date`",
        "option k ${missing}",
        "volume inner type t end-volume",
        "option",
    ],
)
def test_what_seems_absent_is_not_reported_in_a_volume_with_another_error(line: str) -> None:
    found = diagnostics(f"volume a\n{line}\n")

    assert [at for at, _, _ in found] == [2]


def test_a_child_may_be_a_volume_whose_name_was_lost() -> None:
    assert places("volume a\\b\n type t\nend-volume\nvolume top\n type t\n subvolumes ab\nend-volume") == [(1, 9)]


def test_the_nearest_name_or_the_later_definition_is_in_the_hint() -> None:
    with pytest.raises(SpecError) as caught:
        parse(
            "volume near type t end-volume volume far type t end-volume\n"
            "volume top type t subvolumes naer late qqqqqq end-volume\n"
            "volume late type t end-volume"
        )

    assert [problem.hint for problem in caught.value.problems] == [
        "did you mean 'near'?",
        "it is defined at line 3; move that volume above this one",
        "define that volume above this one",
    ]


def test_no_more_than_a_thousand_problems_are_kept_and_the_last_says_so() -> None:
    found = diagnostics("volume a\n type t\n" + "option k `x`\n" * 3000 + "end-volume")

    assert len(found) == 1001
    assert found[0][:2] == (3, 10)
    assert found[-1] == (1002, 10, "there are more errors; the first 1000 are shown")


def test_a_graph_built_in_python_is_checked_as_a_text_is() -> None:
    with pytest.raises(SpecError) as caught:
        build(
            [
                ("a", "t", {"k": "line\nend"}, []),
                ("b", "t", {}, ["c", "b", "a", "a"]),
                ("a", "t", {}, []),
                ("long", "t", {"k": "x" * (2 << 20)}, []),
            ]
        )

    assert [str(problem) for problem in caught.value.problems] == [
        "<python>: a line feed in 'line\\nend'",
        "<python>: subvolume 'c' is not defined before its use",
        "<python>: volume 'b' has itself as a subvolume",
        "<python>: subvolume 'a' is named twice",
        "<python>: volume 'a' is defined again",
        "<python>: a word of 2097152 characters; 1048576 at most",
    ]
    with pytest.raises(SpecError, match=r"^<python>: no volume in this spec"):
        build([])
