"""cp of trees and of several sources: what goes where, what fails, and what a person sees meanwhile."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import volgraph
from volgraph.command import main

MEMORY = "volume m\n  type storage/posix\n  option directory {directory}\nend-volume\n"
MEBI = 1 << 20

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brick").mkdir()
    (tmp_path / "m.vol").write_text(MEMORY.format(directory=tmp_path / "brick"))

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return call


def test_several_go_into_a_directory_and_into_nothing_else(run: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    os.mkdir("out")

    assert run("mkdir", "m.vol:/d") == (0, "", "")
    assert run("cp", "one", "two", "m.vol:/d") == (0, "", "")
    assert run("ls", "m.vol:/d") == (0, "one\ntwo\n", "")
    assert run("cp", "m.vol:/d/one", "m.vol:/d/two", "out") == (0, "", "")
    assert sorted(os.listdir("out")) == ["one", "two"]
    assert run("cp", "one", "two", "m.vol:/no") == (1, "", "volgraph: m.vol:/no: Not a directory\n")
    assert run("cp", "m.vol:/d/one", "m.vol:/d/two", "one") == (1, "", "volgraph: one: Not a directory\n")


def test_what_fails_in_the_middle_is_named_and_the_rest_is_copied(run: Run, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "t" / name).mkdir(parents=True)
        (tmp_path / "t" / name / "f").write_text(name)
    run("mkdir", "-p", "m.vol:/t", "m.vol:/t/b/f")
    status, out, error = run("cp", "-r", "t", "absent", "m.vol:/")

    assert (status, out) == (1, "")
    assert error == "volgraph: m.vol:/t/b/f: Is a directory\nvolgraph: absent: No such file or directory\n"
    assert run("cat", "m.vol:/t/a/f", "m.vol:/t/c/f") == (0, "ac", "")


def test_what_is_neither_file_nor_directory_is_copied_with_r_only(run: Run) -> None:
    os.mkfifo("fifo")

    assert run("cp", "fifo", "m.vol:/") == (1, "", "volgraph: fifo: Not a file (cp -r copies it)\n")
    assert run("cp", "-r", "fifo", "m.vol:/") == (0, "", "")
    assert run("ls", "-l", "m.vol:/")[1].startswith("prw")


def test_a_directory_goes_not_into_its_own_brick_nor_the_brick_into_itself(run: Run, tmp_path: Path) -> None:
    (tmp_path / "brick/d").mkdir()
    complaint = ": Is a brick of the volume, or lies in one\n"

    assert run("cp", "-r", "brick", "m.vol:/") == (1, "", f"volgraph: brick{complaint}")
    assert run("cp", "-r", "m.vol:/d", "brick/new") == (1, "", f"volgraph: brick/new{complaint}")


def test_progress_is_shown_to_a_person_and_to_nobody_else(run: Run, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(40 * MEBI))
    terminal, theirs = pty.openpty()
    code = "import sys; from volgraph.command import main; sys.exit(main(['cp', 'long', 'm.vol:/']))"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    copying = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError:  # a terminal ends with EIO
        pass
    os.close(terminal)

    assert copying.wait(30) == 0
    assert re.search(rb"long -> m\.vol:/long", shown)
    assert b"41.9" in shown
    assert run("cp", "long", "m.vol:/again") == (0, "", "")


def test_a_copy_of_a_volume_is_the_same_as_its_brick(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/f").write_text("x")
    os.link(tmp_path / "t/f", tmp_path / "t/g")
    run("cp", "-r", "t", "m.vol:/")
    with volgraph.open_sync("m.vol") as vol:
        assert vol.stat("/t/f").st_ino == vol.stat("/t/g").st_ino
