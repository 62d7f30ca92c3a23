"""new: the package it makes passes its own tests once it is installed, and is found by its type name."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from volgraph.command import main

ROOT = Path(__file__).parents[2]


def run(*arguments: str, site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_a_new_translator_passes_its_own_tests_and_is_found_once_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Callable[[Path], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my-cipher"]) == 0
    package = tmp_path / "volgraph-my-cipher"
    site = install(package)
    tested = run("pytest", "-q", "-p", "no:cacheprovider", site=site, folder=package)
    explained = run("volgraph", "explain", "features/my-cipher", site=site, folder=tmp_path)
    checked = run("volgraph", "check", "example.vol", site=site, folder=package)

    assert (tested.returncode, "3 passed" in tested.stdout) == (0, True), tested.stdout
    assert "largest" in explained.stdout
    assert checked.stdout == "example.vol: ok, 2 volumes, top my-cipher\n"


def test_its_readme_names_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(["new", "a1"])
    package = tmp_path / "volgraph-a1"
    text = (package / "README.md").read_text()

    assert [name for name in os.listdir(package) if name != "README.md" and f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "-a", "a-", "a--b", "../a", "a/b", "a b", "é", "a" * 61])
def test_a_name_that_cannot_be_one_is_a_wrong_command_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status = main(["new", "--", name])

    assert (status, os.listdir(tmp_path)) == (2, [])
    assert capsys.readouterr().err.startswith(f"volgraph: {name}: write a name in small letters")


def test_what_is_there_already_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "volgraph-mine").mkdir()

    assert main(["new", "mine"]) == 1
    assert capsys.readouterr().err == "volgraph: volgraph-mine: File exists\n"
    assert os.listdir(tmp_path / "volgraph-mine") == []
