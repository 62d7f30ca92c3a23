"""How problems look."""

import pickle

import pytest

from volgraph.volspec import Problem, SpecError, Word, nearest, parse

TEXT = "volume a\n\ttype t\n\toption k\tv w\nend-volume\n"


def problems(text: str, filename: str = "mirror.vol") -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        parse(text, filename)
    return caught.value.problems


def test_a_problem_shows_its_line_a_caret_the_volume_and_what_to_write() -> None:
    (problem,) = problems(TEXT)

    assert str(problem) == "mirror.vol:3:13: expected `option`, `subvolumes` or `end-volume`, found 'w'"
    assert problem.render() == (
        "mirror.vol:3:13: expected `option`, `subvolumes` or `end-volume`, found 'w'\n"
        "     option k v w\n"
        "                ^\n"
        "  in volume 'a'\n"
        '  hint: a value with blanks must be in quotes: "v w"'
    )
    assert (problem.file, problem.volume, problem.source_line) == ("mirror.vol", "a", "\toption k\tv w")


def test_a_spec_error_is_a_value_error_that_shows_all_and_survives_pickling() -> None:
    with pytest.raises(ValueError) as caught:
        parse(TEXT.replace("v w", "`v`") + TEXT)

    error = caught.value
    assert isinstance(error, SpecError)
    assert str(error) == "\n".join(problem.render() for problem in error.problems)
    assert len(error.problems) == 3
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems


def test_nothing_that_a_terminal_would_act_on_is_shown() -> None:
    (problem,) = problems("volume a type t \x1b[31m\udcff end-volume", "a\x1b.vol")

    shown = problem.render()

    assert "\x1b" not in shown
    assert shown.encode().isascii()
    assert shown.splitlines()[0].startswith("a?.vol:1:17: ")
    assert shown.splitlines()[1] == "    volume a type t ?[31m? end-volume"


def test_a_long_line_is_shown_around_the_place() -> None:
    (problem,) = problems("volume a type t option k " + "x" * 300 + " " + "y" * 300 + " end-volume")

    line, caret = problem.render().splitlines()[1:3]

    assert line == "    ..." + "x" * 49 + " " + "y" * 50 + "..."
    assert caret.index("^") == line.index("y")


def test_a_caret_stands_under_its_column_in_a_line_that_ends_in_crlf() -> None:
    (problem,) = problems("volume a\r\n  type t\r\n  option k v w\r\nend-volume\r\n")

    assert problem.render().splitlines()[1:3] == ["      option k v w", "                 ^"]


def test_whoever_checks_a_spec_further_reports_at_its_words() -> None:
    spec = parse("volume a\n  type t\nend-volume", "m.vol")

    at_type = spec.problem("no such type", spec.volumes["a"].type.position, volume="a", hint="write another")

    assert str(at_type) == "m.vol:2:8: no such type"
    assert at_type.source_line == "  type t"
    assert str(spec.problem("nowhere")) == "m.vol: nowhere"


@pytest.mark.parametrize(
    ("word", "candidates", "expected"),
    [
        ("naer", ["far", "near"], "near"),
        ("optoin", ["type", "option"], "option"),
        ("x", ["type", "option"], None),
        ("x", [], None),
        ("a", [f"name{i}" for i in range(5000)], None),
        ("y" * 3_000_000, ["y" * 2_999_999], None),
    ],
)
def test_the_nearest_name_is_found_for_a_hint(word: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(word, candidates) == expected


def test_words_are_equal_if_their_texts_are() -> None:
    spec = parse("volume a\n type a\nend-volume")

    assert spec.volumes["a"].name == spec.volumes["a"].type == Word("a") != Word("b")
    assert str(Word("a")) == "a"
