"""`${name}`, back-ticks, and what no word may hold."""

import subprocess
from pathlib import Path

import pytest

from volgraph.volspec import CommandRunner, Params, SpecError, parse, parse_yaml

FORMATS = ["vol", "yaml"]


def volfile(value: str) -> str:
    return f"volume a\n  type t\n  option k {value}\nend-volume\n"


def yaml_text(value: str) -> str:
    return f"volumes:\n  a:\n    type: t\n    options:\n      k: {value}\n"


def value_of(
    text: str, params: Params | None = None, format: str = "vol", command_runner: CommandRunner | None = None
) -> str:
    """The value of the only option, written as `text`."""
    if format == "yaml":
        spec = parse_yaml(yaml_text(text), params=params)
    else:
        spec = parse(volfile(text), params=params, command_runner=command_runner)
    return spec.volumes["a"].option_map["k"]


def error_of(
    text: str, params: Params | None = None, format: str = "vol", command_runner: CommandRunner | None = None
) -> tuple[int, int, str, str]:
    """(line, column, message, hint) of the only problem."""
    with pytest.raises(SpecError) as caught:
        value_of(text, params, format, command_runner)
    (problem,) = caught.value.problems
    assert problem.position is not None
    return (*problem.position, problem.message, problem.hint or "")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${dir}", "/srv"),
        ("${dir}/a", "/srv/a"),
        ('"${dir}/a b"', "/srv/a b"),
        ("x${dir}${dir}", "x/srv/srv"),
        ("$${dir}", "$/srv"),
        ("${a.b-c_1}", "dotted"),
        ("'${dir}'", "'/srv'"),
        ("${odd}", 'a b" # `date` ${dir} \\'),
        ("${keyword}", "end-volume"),
        ("${none}", ""),
        ("${path}", "/from/a/path"),
    ],
)
def test_a_parameter_is_filled_in_as_it_is_and_never_read_again(text: str, expected: str, format: str) -> None:
    params: Params = {
        "dir": "/srv",
        "a.b-c_1": "dotted",
        "odd": 'a b" # `date` ${dir} \\',
        "keyword": "end-volume",
        "none": "",
        "path": Path("/from/a/path"),
    }
    if format == "yaml" and text.startswith("'"):
        expected = expected.strip("'")  # to YAML they are quotes

    assert value_of(text, params, format) == expected


def test_a_parameter_fills_names_and_types_too() -> None:
    params = {"x": "a b", "t": "debug/trace"}

    vol = parse(
        "volume ${x} type t end-volume volume top type ${t} option ${x} 1 subvolumes ${x} end-volume", params=params
    )
    yaml = parse_yaml(
        "volumes: {'${x}': {type: t}, top: {type: '${t}', options: {'${x}': 1}, subvolumes: ['${x}']}}", params=params
    )

    assert vol == yaml
    assert list(vol.volumes) == ["a b", "top"]
    assert vol.volumes["top"].option_map == {"a b": "1"}


@pytest.mark.parametrize(
    ("text", "format", "expected"),
    [
        (r'"\${dir}"', "vol", "${dir}"),
        (r'"\\${dir}"', "vol", "\\/srv"),
        (r'"\\\${"', "vol", "\\${"),
        (r'"$\{dir}"', "vol", "${dir}"),
        (r"\${dir}", "yaml", "${dir}"),
        (r"'\\${dir}'", "yaml", "\\/srv"),
        (r"'\\\${'", "yaml", "\\${"),
        (r'"\\${dir}"', "yaml", "${dir}"),
        (r"a\b\\c", "yaml", r"a\b\\c"),
    ],
)
def test_a_backslash_before_a_parameter_makes_it_text(text: str, format: str, expected: str) -> None:
    assert value_of(text, {"dir": "/srv"}, format) == expected


def test_a_parameter_without_a_value_is_an_error_at_its_place_that_says_how_to_give_it() -> None:
    assert error_of("/srv/${dir}/a", {"dirs": "x"}) == (
        3,
        17,
        "no value is given for the parameter 'dir'",
        "give it: --set dir=VALUE, or params={'dir': VALUE} in Python ('dirs' is given)",
    )
    assert error_of('"${dir}"')[:2] == (3, 13)
    assert error_of("${dir}", format="yaml")[:3] == (5, 10, "no value is given for the parameter 'dir'")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", ["${", "a${}", "${1}", "${dir", "${a/b}"])
def test_what_begins_like_a_parameter_and_is_none_is_an_error(text: str, format: str) -> None:
    assert "does not begin a parameter" in error_of(text, {"dir": "x"}, format)[2]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("value", "what"), [("a\nb", "a line feed"), ("a\0", "a NUL"), ("\r", "a carriage return")])
def test_a_parameter_cannot_bring_in_what_no_word_may_hold(value: str, what: str, format: str) -> None:
    assert error_of("x${p}", {"p": value}, format)[2] == f"the value of the parameter 'p' holds {what}"


def test_a_whole_number_stands_as_its_digits() -> None:
    assert parse(volfile("${port}"), params={"port": 24007}).volumes["a"].option_map["k"] == "24007"


def test_a_parameter_that_is_neither_text_nor_a_whole_number_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError):
        parse(volfile("x"), params={"port": None})  # type: ignore[dict-item]


def test_bytes_that_parameters_put_together_to_a_character_are_that_character() -> None:
    spec = parse(volfile("${a}${b}"), params={"a": "\udcc3", "b": "\udca9"})

    assert spec.volumes["a"].option_map["k"] == "é"


def test_without_the_opt_in_a_back_tick_is_an_error_that_names_it_and_nothing_runs() -> None:
    line, column, message, hint = error_of("x`touch /tmp/canary`")

    assert (line, column) == (3, 13)
    assert message == "a back-tick, which would run a command"
    assert "command_runner=" in hint


def test_yaml_knows_no_commands() -> None:
    assert value_of("'`date`'", format="yaml") == "`date`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`memory /2`", "<memory /2>"),
        ("x`a b`MB", "x<a b>MB"),
        ('"`a "b" # c`"', '<a "b" # c>'),
        ("`a``b`", "<a><b>"),
        (r'"`a \` b`"', r"<a \` b>"),
        (r'"\`a\`"', "`a`"),
        ("`${dir}`", "<${dir}>"),
        ("``", "<>"),
    ],
)
def test_the_callers_runner_gets_the_command_and_its_output_is_part_of_the_word(text: str, expected: str) -> None:
    assert value_of(text, {"dir": "/srv"}, command_runner=lambda command: f"<{command}>\n") == expected


def test_output_is_never_read_again() -> None:
    assert value_of("`x`", command_runner=lambda _: '" ${a} end-volume `y` \\') == '" ${a} end-volume `y` \\'


def test_a_command_in_a_comment_is_text() -> None:
    assert value_of("x # `y`", command_runner=lambda _: pytest.fail("run")) == "x"


@pytest.mark.parametrize("text", ["`a", "x`a b", '"it`s"', '"it`s" `a`'])
def test_a_back_tick_not_closed_on_its_line_is_an_error(text: str) -> None:
    found = error_of(text, command_runner=lambda _: "v")

    assert found[:3] == (3, 12 + text.index("`"), "a back-tick that is not closed on its line")


@pytest.mark.parametrize(
    ("output", "fragment"),
    [
        ("x" * 65537, "gave more than 65536 characters"),
        ("a\nb", "holds a line feed"),
        ("a\r\n", "holds a carriage return"),
        ("\0", "holds a NUL"),
    ],
)
def test_output_has_limits(output: str, fragment: str) -> None:
    assert fragment in error_of("`x`", command_runner=lambda _: output)[2]


@pytest.mark.parametrize(
    "error", [OSError("no such program"), subprocess.CalledProcessError(3, "x"), ValueError("bad")]
)
def test_a_command_that_fails_is_an_error_and_no_more_are_run(error: Exception) -> None:
    ran = []

    def fail(command: str) -> str:
        ran.append(command)
        raise error

    found = error_of("`x` option `y` z", command_runner=fail)

    assert found[:2] == (3, 12)
    assert found[2].startswith("the command '`x`' failed: ")
    assert ran == ["x"]


def test_a_word_is_at_most_a_mebibyte_in_every_form() -> None:
    size = 1 << 20

    for text in ("x" * size, '"' + "x" * size + '"', '"' + "x" * (size - 1) + '\\""'):
        assert len(value_of(text)) == size
        assert error_of("x" + text if text[0] == "x" else '"x' + text[1:])[:3] == (
            3,
            12,
            f"a word of {size + 1} characters; {size} at most",
        )
    assert len(value_of("x" * size, format="yaml")) == size
    assert "at most" in error_of("x" * (size + 1), format="yaml")[2]
    assert "at most" in error_of("${a}x", {"a": "x" * size})[2]


def test_parameters_add_no_more_than_the_size_of_a_file() -> None:
    text = "".join(f"volume a{i} type t option k ${{a}} end-volume\n" for i in range(65))

    with pytest.raises(SpecError, match="the parameters add more than") as caught:
        parse(text, params={"a": "x" * (1 << 20)})

    assert len(caught.value.problems) == 1
