"""ls, cat, stat, cp, rm, mkdir, mv through `main`, on a mirror of two directories."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from volgraph.command import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(mirror_folder: Path) -> Path:
    return mirror_folder


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run one command; gives its status, output and complaints."""

    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        status = main([command, "--set", f"dir={folder}", *arguments])
        return status, *capfd.readouterr()

    return call


def test_a_file_goes_in_is_listed_shown_and_comes_out(run: Run, folder: Path) -> None:
    (folder / "text").write_text("some text\n")

    assert run("cp", "text", "m.vol:/") == (0, "", "")
    assert run("ls", "m.vol") == (0, "text\n", "")
    assert run("ls", "m.vol:/text") == (0, "/text\n", "")
    assert run("cat", "m.vol:/text") == (0, "some text\n", "")
    assert run("cp", "m.vol:/text", "back") == (0, "", "")
    assert (folder / "back").read_text() == (folder / "a/text").read_text() == "some text\n"


def test_trees_are_copied_with_r_only_and_into_a_directory_that_is_there(run: Run, folder: Path) -> None:
    (folder / "t/d").mkdir(parents=True)
    (folder / "t/d/f").write_text("x")
    status, _, error = run("cp", "t", "m.vol:/")

    assert (status, error) == (1, "volgraph: t: Is a directory (cp -r copies it)\n")
    assert run("cp", "-r", "t", "m.vol:/") == (0, "", "")
    assert run("cp", "-r", "m.vol:/t/d", "out") == (0, "", "")
    assert (folder / "out/f").read_text() == "x"


def test_cp_works_between_two_places_of_volumes(run: Run, folder: Path) -> None:
    (folder / "text").write_text("x")
    run("cp", "text", "m.vol:/one")

    assert run("cp", "m.vol:/one", "m.vol:/two") == (0, "", "")
    assert run("cat", "m.vol:/two")[1] == "x"


def test_nothing_is_copied_onto_or_into_itself(run: Run, folder: Path) -> None:
    (folder / "t/d").mkdir(parents=True)
    (folder / "t/f").write_text("x")
    run("cp", "-r", "t", "m.vol:/t")

    for source, target in (("/t/f", "/t/f"), ("/t", "/t/d/again"), ("/t", "/t/d")):
        status, _, error = run("cp", "-r", f"m.vol:{source}", f"m.vol:{target}")
        assert (status, error) == (1, f"volgraph: m.vol:{source}: Cannot be copied onto or into itself\n")
    assert run("cat", "m.vol:/t/f")[1] == "x"


def test_directories_are_made_moved_and_removed(run: Run) -> None:
    assert run("mkdir", "m.vol:/d") == (0, "", "")
    assert run("mkdir", "m.vol:/d") == (1, "", "volgraph: m.vol:/d: File exists\n")
    assert run("mkdir", "-p", "m.vol:/d/e/f") == (0, "", "")
    assert run("mkdir", "-p", "m.vol:/d/e/f") == (0, "", "")
    assert run("mv", "m.vol:/d/e", "m.vol:/moved") == (0, "", "")
    assert run("mv", "m.vol:/moved", "m.vol:/d") == (0, "", "")
    assert run("ls", "m.vol:/d") == (0, "moved\n", "")
    assert run("rm", "m.vol:/d") == (1, "", "volgraph: m.vol:/d: Is a directory (rm -r removes it)\n")
    assert run("rm", "-r", "m.vol:/d") == (0, "", "")
    assert run("rm", "-f", "m.vol:/d") == (0, "", "")
    assert run("ls", "m.vol:/") == (0, "", "")


def test_a_whole_volume_is_emptied_only_when_that_is_said(run: Run, folder: Path) -> None:
    run("mkdir", "-p", "m.vol:/d/e", "m.vol:/f")

    for root in ("/", "//", "/.", "/d/..", "/d/e/../.."):
        complaint = f"volgraph: m.vol:{root}: Is the whole volume (rm -r --everything empties it)\n"
        for flags in (["-r"], ["-r", "-f"], ["-r", "-f", "--wait", "5"]):
            assert run("rm", *flags, f"m.vol:{root}") == (1, "", complaint)
    assert run("rm", "--everything", "m.vol:/")[0] == 1  # a directory still needs -r
    assert run("ls", "m.vol") == (0, "d\nf\n", "")
    assert run("rm", "-r", "--everything", "m.vol:/d/..") == (0, "", "")
    assert run("ls", "m.vol") == (0, "", "")
    assert run("mkdir", "m.vol:/d") == (0, "", "")


def test_long_listings_and_stat_tell_the_attributes(run: Run, folder: Path) -> None:
    (folder / "text").write_text("12345")
    os.chmod(folder / "text", 0o640)
    os.utime(folder / "text", ns=(0, 1_000_000_007))
    run("cp", "text", "m.vol:/text")
    status, out, _ = run("stat", "m.vol:/text")
    _, long, _ = run("ls", "-l", "m.vol:/")

    assert status == 0
    assert stat.filemode(stat.S_IFREG | 0o640) in out
    assert "size   5 bytes" in out
    assert ".000000007" in out
    assert long.startswith("-rw-r-----")
    assert long.endswith(" text\n")


def test_a_name_that_is_no_text_is_printed_as_the_bytes_it_is(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    Path(os.fsdecode(b"odd\xff")).write_text("x")
    main(["cp", "--set", f"dir={folder}", os.fsdecode(b"odd\xff"), "m.vol:/"])
    main(["ls", "--set", f"dir={folder}", "m.vol:/"])

    assert capfdbinary.readouterr() == (b"odd\xff\n", b"")


ODD_NAMES = {
    b"plain-1.txt": "plain-1.txt",
    b"two words": "'two words'",
    b"it's": '"it\'s"',
    b"it's $5": "'it'\\''s $5'",
    b"two\nlines": "'two'$'\\n''lines'",
    b"red\x1b[31m": "'red'$'\\033''[31m'",
    b"\t\rend": "''$'\\t\\r''end'",
    b"no\xfftext": "'no'$'\\377''text'",
    "süß".encode(): "süß",
}
"""Names, and what ls of the GNU tools shows on a terminal: what a shell would read back."""
TURNED = "a\u202eb".encode()
"""What follows is shown from right to left: ls lets it pass."""


def test_names_are_quoted_on_a_terminal_and_nowhere_else(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ls(*flags: str) -> bytes:
        assert main(["ls", "--set", f"dir={folder}", *flags, "m.vol:/t"]) == 0
        return capfdbinary.readouterr().out

    (folder / "t").mkdir()
    for name in (*ODD_NAMES, TURNED):
        (folder / "t" / os.fsdecode(name)).touch()
    os.symlink("some where", folder / "t/link")
    assert main(["cp", "--set", f"dir={folder}", "-r", "t", "m.vol:/t"]) == 0
    shown = {**ODD_NAMES, TURNED: "'a'$'\\342\\200\\256''b'", b"link": "link"}
    names = sorted(shown, key=os.fsdecode)
    raw = b"".join(name + b"\n" for name in names)

    assert ls() == raw
    assert b" link -> some where\n" in ls("-l")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ls().decode().splitlines() == [shown[name] for name in names]
    assert b" link -> 'some where'\n" in ls("-l")
    assert ls("-N") == raw
    assert b" link -> some where\n" in ls("-lN")


@pytest.mark.skipif(shutil.which("ls") is None, reason="NOT RUN: there is no ls to compare with")
def test_quoted_names_are_those_of_the_systems_ls(tmp_path: Path) -> None:
    for name in ODD_NAMES:
        (tmp_path / os.fsdecode(name)).touch()
    told = subprocess.run(
        ["ls", "--quoting-style=shell-escape", "-1"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    if told.returncode:
        pytest.skip("NOT RUN: ls is not that of the GNU tools")

    assert sorted(told.stdout.decode().splitlines()) == sorted(ODD_NAMES.values())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("cat", "m.vol:/no"), "m.vol:/no: No such file or directory"),
        (("cat", "m.vol:/"), "m.vol:/: Is a directory"),
        (("ls", "m.vol:/no/where"), "m.vol:/no/where: No such file or directory"),
        (("rm", "m.vol:/no"), "m.vol:/no: No such file or directory"),
        (("mv", "m.vol:/no", "m.vol:/new"), "m.vol:/no -> m.vol:/new: No such file or directory"),
        (("cat", "m.vol:/two\nlines\x1b[31m"), "m.vol:/two?lines?[31m: No such file or directory"),
        (("cp", "m.vol:/no", "here"), "m.vol:/no: No such file or directory"),
        (("cp", "not-here", "m.vol:/"), "not-here: No such file or directory"),
        (("cp", "m.vol", "m.vol:/no/where"), "m.vol:/no/where: No such file or directory"),
        (("ls", "no.vol:/"), "no.vol: No such file or directory"),
        (("ls", "gluster://host"), "gluster://host: Write gluster://HOST[:PORT]/ID"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_names_it(run: Run, arguments: tuple[str, ...], complaint: str) -> None:
    assert run(*arguments) == (1, "", f"volgraph: {complaint}\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("cat", "m.vol"), "m.vol: no path in a volume: write SPEC:/path"),
        (("cp", "one", "two"), "one of the two must be SPEC:/path"),
        (("mv", "m.vol:/a", "n.vol:/a"), "mv works within one volume"),
        (("mv", "m.vol:/a"), "SPEC:/new"),
        (("ls", "--plugin", "nowhere:Nothing", "m.vol"), "cannot load nowhere:Nothing"),
        (("ls", "--set", "dir", "m.vol"), "write NAME=VALUE"),
        (("ls", "--wait", "soon", "m.vol"), "argument --wait: 'soon' is no number of seconds"),
        (("ls", "--wait", "nan", "m.vol"), "argument --wait: 'nan' is no number of seconds"),
        (("ls", "--wait", "-1", "m.vol"), "argument --wait: '-1' is no number of seconds, 0 or more"),
        (("ls",), "the following arguments are required"),
    ],
)
def test_a_wrong_command_line_has_status_2_and_a_line_that_says_why(
    run: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    status, out, error = run(*arguments)

    assert (status, out) == (2, "")
    assert complaint in error
    assert "Traceback" not in error


def test_what_fails_at_one_place_keeps_no_other_from_being_done(run: Run) -> None:
    run("mkdir", "m.vol:/a", "m.vol:/b", "m.vol:/b/c")

    assert run("ls", "m.vol:/a", "m.vol:/no", "m.vol:/b") == (
        1,
        "m.vol:/a:\nm.vol:/b:\nc\n",
        "volgraph: m.vol:/no: No such file or directory\n",
    )
    assert run("rm", "-r", "m.vol:/no", "m.vol:/b")[0] == 1
    assert run("ls", "m.vol:/") == (0, "a\n", "")


def test_a_volume_is_opened_once_for_all_its_places(run: Run, folder: Path) -> None:
    (folder / "once.vol").write_text("volume m\n  type storage/memory\nend-volume\n")

    assert run("mkdir", "once.vol:/a", "once.vol:/a/b") == (0, "", "")


def test_links_are_shown_with_what_they_say(run: Run, folder: Path) -> None:
    os.symlink("some where", folder / "link")
    os.mkdir(folder / "t")
    os.rename(folder / "link", folder / "t/link")
    run("cp", "-r", "t", "m.vol:/t")

    assert run("ls", "-l", "m.vol:/t")[1].endswith(" link -> some where\n")
    assert run("stat", "m.vol:/t/link")[1].startswith("m.vol:/t/link -> some where\n")


def test_a_full_disk_below_a_local_copy_is_named(run: Run, folder: Path) -> None:
    (folder / "text").write_text("x")
    run("cp", "text", "m.vol:/text")

    assert run("cp", "m.vol:/text", "/dev/full") == (1, "", "volgraph: /dev/full: No space left on device\n")


def test_a_volume_that_is_down_is_one_line_that_says_why(run: Run, folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).rmdir()
    status, out, error = run("ls", "m.vol:/")

    assert (status, out) == (1, "")
    assert error.startswith("volgraph: mirror is not up: a: ")
    assert error.count("\n") == 1
