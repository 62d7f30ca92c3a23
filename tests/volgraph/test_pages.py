"""The page of each translator is what the code says, and its example is a volume that links."""

import re
from pathlib import Path

import pytest

from volgraph import Translator, link, parse
from volgraph.command import main
from volgraph.commands.pages import by_class, example_of, pages
from volgraph.graph import Types, options_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/translators"
CLASSES = {cls: names for cls, names in by_class(Types()).items() if cls.__module__.startswith("volgraph.")}


def test_the_pages_are_those_that_the_code_makes() -> None:
    committed = {path.name: path.read_text() for path in FOLDER.iterdir()}

    assert committed == pages(), "run: python -m volgraph.commands.pages docs/translators"


def test_every_type_has_a_page_and_every_page_is_in_the_index() -> None:
    index = (FOLDER / "README.md").read_text()
    linked = set(re.findall(r"\]\((\S+\.md)\)", index))

    assert linked == {path.name for path in FOLDER.iterdir()} - {"README.md"}
    for names in CLASSES.values():
        for name in names:
            assert f"`{name}`" in index
    assert "docs/translators/" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_docstring_has_an_example_that_parses_and_links(cls: type[Translator]) -> None:
    example = example_of(cls)
    given = set(" ".join(re.findall(r"(?:subvolumes|option namespace) (.+)", example)).split())
    below = given - set(re.findall(r"volume (\S+)\n", example))
    bricks = "".join(f"volume {name}\n  type storage/memory\nend-volume\n" for name in sorted(below))
    top = link(parse(bricks + example)).top

    assert type(top) is cls


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_option_says_what_it_means(cls: type[Translator]) -> None:
    assert [option.key for option in options_of(cls) if not option.help] == []


def test_explain_prints_the_page_of_one_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--format", "markdown", "storage/memory"]) == 0
    assert capsys.readouterr().out in pages()["storage-memory.md"]
    assert main(["explain", "--format", "markdown"]) == 2
