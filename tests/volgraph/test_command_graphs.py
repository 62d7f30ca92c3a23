"""check, show and explain through `main`; help and bad command lines."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from volgraph import __version__, parse, volspec
from volgraph.command import main

GOOD = "volume a\n  type storage/memory\nend-volume\n\nvolume top\n  type debug/trace\n  subvolumes a\nend-volume\n"
BAD = "volume a\n  type storage/posix\n  option directry /srv/a\nend-volume\n"
PLUGIN = """
from volgraph import Translator

class LoudReader(Translator):
    '''Reads loudly.'''

class Named(Translator):
    '''Has a name of its own.'''
    type_name = "my/named"

NotOne = 5
"""

COMMANDS = [
    "cat",
    "check",
    "cp",
    "demo",
    "df",
    "explain",
    "heal",
    "ls",
    "mkdir",
    "mv",
    "new",
    "rm",
    "serve",
    "show",
    "stat",
    "status",
    "tree",
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "good.vol").write_text(GOOD)
    (tmp_path / "bad.vol").write_text(BAD)

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return call


def test_check_says_what_it_found_of_each_spec(run: Run) -> None:
    assert run("check", "good.vol") == (0, "good.vol: ok, 2 volumes, top top\n", "")
    status, out, error = run("check", "bad.vol", "missing.vol", "good.vol")

    assert (status, out) == (1, "good.vol: ok, 2 volumes, top top\n")
    lines = error.splitlines()
    assert lines[0].startswith("bad.vol:3:10: ")
    assert lines[1:] == [
        "      option directry /srv/a",
        "             ^",
        "  in volume 'a'",
        "  hint: did you mean 'directory'?",
        "volgraph: missing.vol: No such file or directory",
    ]


def test_check_tells_warnings_and_goes_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "w.vol").write_text(GOOD + "volume io\n  type performance/io-threads\n  subvolumes a\nend-volume\n")
    status, out, error = run("check", "w.vol")

    assert (status, out) == (0, "w.vol: ok, 2 volumes, top io\n")
    assert "w.vol: warning: volume io: performance/io-threads" in error
    assert "volume top: not used below io" in error


def test_check_touches_no_disk(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.vol").write_text(f"volume p\n  type storage/posix\n  option directory {tmp_path}/none\nend-volume\n")

    assert run("check", "p.vol")[0] == 0
    assert not (tmp_path / "none").exists()


def test_check_takes_the_looser_dialect_and_another_top_when_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.vol").write_text("volume m\n  option size-limit 1MB\n  type storage/memory\nend-volume\n")

    assert run("check", "old.vol")[0] == 1
    assert run("check", "--dialect", "1.3", "old.vol")[0] == 0
    assert run("check", "--top", "a", "good.vol")[1] == "good.vol: ok, 1 volume, top a\n"
    assert "no volume 'b'" in run("check", "--top", "b", "good.vol")[2]


def test_a_parameter_that_a_spec_does_not_have_is_a_warning(run: Run) -> None:
    """Whoever gives one thinks that the spec heeds it."""
    status, out, error = run("check", "--set", "dir=/mine", "good.vol")

    assert (status, out.startswith("good.vol: ok")) == (0, True)
    assert error == "good.vol: warning: parameter dir: no ${dir} in this spec\n"


def test_show_draws_every_form(run: Run) -> None:
    assert run("show", "good.vol")[1] == "top (debug/trace)\n└── a (storage/memory)\n"
    assert run("show", "--format", "mermaid", "good.vol")[1].startswith("graph TD\n")
    assert run("show", "--format", "dot", "good.vol")[1].startswith("digraph volume {\n")
    assert json.loads(run("show", "--format", "json", "good.vol")[1])["top"] == "top"
    assert parse(run("show", "--format", "vol", "good.vol")[1]) == parse(GOOD)
    assert volspec.parse_yaml(run("show", "--format", "yaml", "good.vol")[1]) == parse(GOOD)


def test_show_of_a_broken_spec_is_its_diagnosis(run: Run) -> None:
    status, out, error = run("show", "bad.vol")

    assert (status, out) == (1, "")
    assert error.startswith("bad.vol:3:10: ")


def test_explain_lists_all_types_and_tells_all_about_one(run: Run) -> None:
    status, listed, _ = run("explain")
    lines = listed.splitlines()

    assert status == 0
    assert lines[0].split() == ["TYPE", "WHAT", "IT", "DOES"]
    assert {"cluster/afr", "storage/posix", "protocol/server"} <= {line.split()[0] for line in lines}
    assert not [line for line in lines if "cannot load" in line]
    _, told, _ = run("explain", "storage/posix")
    for part in (
        "directory",
        "required",
        "option directory",
        "hard links",
        "every fop but ipc, getspec",
        "subvolumes  none",
    ):
        assert part in told


def test_every_type_can_be_explained(run: Run) -> None:
    for line in run("explain")[1].splitlines()[1:]:
        name = line.split()[0]
        status, told, error = run("explain", name)
        assert (status, error, told.startswith(f"{name}  (")) == (0, "", True)
        assert "end-volume" in told, "an example"


def test_an_unknown_type_has_a_nearest_one(run: Run) -> None:
    assert run("explain", "storage/posx") == (
        2,
        "",
        "volgraph: unknown type 'storage/posx'; did you mean 'storage/posix'?\n",
    )


def test_a_plugin_has_the_type_it_says_or_is_given_or_its_class_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my_plugin.py").write_text(PLUGIN)

    assert "Reads loudly." in run("explain", "--plugin", "my_plugin:LoudReader", "features/loud-reader")[1]
    assert "Has a name of its own." in run("explain", "--plugin", "my_plugin:Named", "my/named")[1]
    assert "Reads loudly." in run("explain", "--plugin", "x/y=my_plugin:LoudReader", "x/y")[1]
    listed = run("explain", "--plugin", "my_plugin:LoudReader")[1].splitlines()
    assert [line.split(maxsplit=1) for line in listed if "loud" in line] == [["features/loud-reader", "Reads loudly."]]


@pytest.mark.parametrize("reference", ["my_plugin:NotOne", "my_plugin:Nothing", "nowhere:Class", "my_plugin", ":", ""])
def test_a_plugin_that_is_none_is_a_wrong_command_line(run: Run, tmp_path: Path, reference: str) -> None:
    (tmp_path / "my_plugin.py").write_text(PLUGIN)
    status, out, error = run("explain", "--plugin", reference)

    assert (status, out) == (2, "")
    assert error.startswith(f"volgraph: --plugin {reference}: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def (", "cannot load broken:Broken: invalid syntax (broken.py, line 1)"),
        ("import nowhere", "cannot load broken:Broken: No module named 'nowhere'"),
        ("\nraise RuntimeError('first\\nsecond')", "cannot load broken:Broken: RuntimeError: first ("),
    ],
)
def test_a_plugin_that_breaks_is_one_line_that_says_where(run: Run, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    status, out, error = run("explain", "--plugin", "broken:Broken")

    assert (status, out) == (2, "")
    assert error.startswith(f"volgraph: --plugin broken:Broken: {told}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [(), ("no-such-command",), ("check",), ("show", "--format", "png", "x"), ("demo", "--files", "1")]
)
def test_a_wrong_command_line_has_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, error = run(*arguments)

    assert (status, out) == (2, "")
    assert error.startswith("volgraph")
    assert error.endswith(" --help tells more)\n")
    assert error.count("\n") == 1


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (0, f"volgraph {__version__}\n", "")


def test_names_are_not_broken_at_their_hyphens(run: Run) -> None:
    told = run("explain", "cluster/afr")[1]

    assert not [line for line in told.splitlines() if line.startswith(" " * 12) and line.endswith("-")]


def test_help_has_status_0_and_says_what_every_command_does(run: Run) -> None:
    status, out, _ = run("--help")

    assert status == 0
    assert sorted(re.findall(r"^    ([a-z]+) ", out, re.MULTILINE)) == COMMANDS
    for command in COMMANDS:
        assert f"\n    {command} " in out
        status, told, _ = run(command, "--help")
        assert status == 0
        assert re.search(r"\n\n[A-Z](.|\n.)+[.]\n\n", told), told
