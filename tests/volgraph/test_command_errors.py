"""Every command, given what it cannot use: one line that says why (a broken spec: its diagnosis), status 1 or 2, no
traceback, and nothing on standard output."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import volgraph
from volgraph.command import main

POSIX = "volume p\n  type storage/posix\n  option directory {directory}\nend-volume\n"
FAR = "volume p\n  type protocol/client\n  option remote-host 127.0.0.1\n  option remote-port {port}\n"
FAR += "  option remote-subvolume brick\nend-volume\n"
SERVED = POSIX + "volume s\n  type protocol/server\n  option listen-port 0\n  subvolumes p\nend-volume\n"

COMMANDS = {
    "check": ["{spec}"],
    "show": ["{spec}"],
    "ls": ["{spec}"],
    "tree": ["{spec}"],
    "df": ["{spec}"],
    "status": ["{spec}"],
    "heal": ["{spec}"],
    "serve": ["{spec}"],
    "stat": ["{spec}:/f"],
    "cat": ["{spec}:/f"],
    "mkdir": ["{spec}:/new"],
    "rm": ["{spec}:/f"],
    "mv": ["{spec}:/f", "{spec}:/g"],
    "cp": ["{spec}:/f", "out"],
}
OPENING = [name for name in COMMANDS if name not in ("check", "show")]
PATHS = ["ls", "tree", "df", "stat", "cat", "rm", "mv", "cp", "heal"]
OTHERS = {"explain", "new", "demo"}
DIAGNOSIS = re.compile(r"\S+\.vol:\d+:\d+: .*")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brick").mkdir()
    (tmp_path / "good.vol").write_text(SERVED.format(directory=tmp_path / "brick"))
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(command: str, spec: str, *more: str) -> tuple[int, str, str]:
        status = main([command, *more, *(each.format(spec=spec) for each in COMMANDS[command])])
        return status, *capsys.readouterr()

    return call


def one_line(error: str) -> bool:
    return error.startswith("volgraph") and error.count("\n") == 1 and error.endswith("\n")


def test_the_table_has_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])

    assert set(re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)) == {*COMMANDS, *OTHERS}


@contextmanager
def nobody() -> Iterator[None]:
    """Root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_spec_that_cannot_be_read(command: str, run: Run, folder: Path) -> None:
    (folder / "directory").mkdir()
    (folder / "secret.vol").write_text("")
    (folder / "secret.vol").chmod(0)

    assert run(command, "absent.vol") == (1, "", "volgraph: absent.vol: No such file or directory\n")
    assert run(command, "directory") == (1, "", "volgraph: directory: Is a directory\n")
    assert run(command, "good.vol/x") == (1, "", "volgraph: good.vol/x: Not a directory\n")
    with nobody():
        assert run(command, "secret.vol") == (1, "", "volgraph: secret.vol: Permission denied\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_spec_that_is_none(command: str, run: Run, folder: Path) -> None:
    for name, data in (
        ("binary", bytes(range(256))),
        ("empty", b""),
        ("words", b"not a spec"),
        ("noise", b"\xff" * 99),
    ):
        (folder / f"{name}.vol").write_bytes(data)
        status, out, error = run(command, f"{name}.vol")

        assert (status, out) == (1, "")
        assert DIAGNOSIS.match(error)
        assert error.count("\n") <= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_line(command: str, run: Run) -> None:
    for more, said in (
        (("--no-such-option",), "--no-such-option"),
        (("--set", "dir"), "--set dir: write NAME=VALUE"),
        (("--set", "=x"), "--set =x: write NAME=VALUE"),
        (("--plugin", "nowhere:Nothing"), "cannot load nowhere:Nothing"),
        (("--dialect", "2"), "--dialect"),
        (("--bad\nname",), "--bad?name"),
    ):
        status, out, error = run(command, "good.vol", *more)

        assert (status, out, one_line(error)) == (2, "", True), error
        assert said in error


@pytest.mark.parametrize("command", COMMANDS)
def test_another_top_that_is_not_there(command: str, run: Run) -> None:
    status, out, error = run(command, "good.vol", "--top", "nowhere")

    assert (status, out) == (1, "")
    assert "no volume 'nowhere' in this spec" in error


@pytest.mark.parametrize("command", OPENING)
def test_a_brick_without_its_directory(command: str, run: Run, folder: Path) -> None:
    (folder / "brick").rmdir()
    status, out, error = run(command, "good.vol")

    assert (status, out, one_line(error)) == (1, "", True), error
    assert f"{folder}/brick" in error
    assert "No such file or directory" in error


@pytest.mark.parametrize("command", OPENING)
def test_a_brick_that_somebody_has(command: str, run: Run, folder: Path) -> None:
    with volgraph.open_sync("good.vol", top="p"):  # a lock of ours is in our own way, too
        status, out, error = run(command, "good.vol")

    assert (status, out, one_line(error)) == (1, "", True), error
    assert f"brick {folder}/brick is in use by pid {os.getpid()} (" in error


@pytest.mark.parametrize("command", PATHS)
def test_a_path_that_is_not_there(command: str, run: Run) -> None:
    spec = "good.vol:/no" if COMMANDS[command] == ["{spec}"] else "good.vol"
    status, out, error = run(command, spec, "--top", "p")

    assert (status, out, one_line(error)) == (1, "", True), error
    assert error.startswith("volgraph: good.vol:/")
    assert error.endswith(": No such file or directory\n")


@pytest.mark.parametrize("command", ["cat", "mkdir", "rm", "mv"])
def test_a_path_without_its_spec(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main([command, *(["/f", "/g"] if command == "mv" else ["/f"])])
    out, error = capsys.readouterr()

    assert (status, out, error) == (2, "", "volgraph: /f: no path in a volume: write SPEC:/path\n")


@pytest.mark.parametrize("command", ["ls", "cat"])
def test_an_output_that_nobody_reads(command: str, folder: Path) -> None:
    with volgraph.open_sync("good.vol", top="p") as vol:
        vol.write_bytes("/f", bytes(200_000))
        for number in range(100):
            vol.symlink("x" * 1000, f"/link{number}")
    arguments = [each.format(spec="good.vol") for each in COMMANDS.get(command, [])]
    more = [] if command == "explain" else ["--top", "p"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "volgraph", command, *more, *arguments],
        cwd=folder,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("command", ["cp"])
def test_an_interrupt_while_a_server_is_silent(command: str, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        (folder / "far.vol").write_text(FAR.format(port=mute.getsockname()[1]))
        arguments = [each.format(spec="far.vol") for each in COMMANDS[command]]
        process = subprocess.Popen(
            [sys.executable, "-m", "volgraph", command, "--wait", "60", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        caller, _ = mute.accept()
        with caller:
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=30)

    assert (process.returncode, out, error) == (130, b"", b"")
