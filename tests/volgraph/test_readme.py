"""The README's code does what the README says, as it is printed there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from volgraph.command import main

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS: list[tuple[str, str]] = FENCE.findall((ROOT / "README.md").read_text())


def run(command: str, folder: Path) -> str:
    """Run one shell block where the files of the README lie, with this Python's programs in front."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_run_exactly_as_printed(tmp_path: Path) -> None:
    shell = []
    for kind, text in BLOCKS:
        if name := re.match(r"# (\S+\.\w+)\n", text):
            (tmp_path / name[1]).write_text(text)
        elif kind == "sh":
            shell.append(text)
    make, use, plugin = shell
    run(make, tmp_path)
    used = run(use, tmp_path)

    assert used.startswith("b'hello, world\\n'\nmirror.vol: ok, 3 volumes, top mirror\n")
    assert "\nhello, world\nhello\nhello.py\nmirror (cluster/afr) up" in used
    assert re.search(r"^└── b \(storage/posix\) down: .*No such file or directory", used, re.MULTILINE)
    assert re.search(r"^healed +/new +blamed: b$", used, re.MULTILINE)
    assert used.endswith(" healed, 0 pending, 0 in split-brain, 0 failed\n")
    for file, held in (("hello", b"hello, world\n"), ("new", (tmp_path / "hello.py").read_bytes())):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() == held
    assert run(plugin, tmp_path) == "HELLO, WORLD\n"


def test_the_smallest_programs_are_as_small_as_they_are_said_to_be() -> None:
    python = [text.splitlines()[1:] for kind, text in BLOCKS if kind == "python"]

    assert [len([line for line in lines if line.strip()]) <= 11 for lines in python] == [True, True]
    assert len([line for line in python[1] if line.strip()]) <= 10


def test_the_entry_point_shown_is_that_of_the_example_package() -> None:
    (shown,) = (tomllib.loads(text) for kind, text in BLOCKS if kind == "toml")
    package = tomllib.loads((ROOT / "examples/plugin/pyproject.toml").read_text())

    assert shown["project"]["entry-points"] == package["project"]["entry-points"]


def test_every_command_is_named_and_every_link_leads_somewhere(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    main(["--help"])
    commands = re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)

    assert [name for name in commands if f"`{name}`" not in text] == []
    assert [path for path in re.findall(r"\]\(([^)]+)\)", text) if not (ROOT / path).is_file()] == []


def test_every_folder_that_is_named_is_there() -> None:
    text = (ROOT / "README.md").read_text()
    named = re.findall(r"`([a-z/]+/)`", text)

    assert "volgraph/" in named
    assert [name for name in named if not any((above / name).is_dir() for above in (ROOT, ROOT / "translators"))] == []
