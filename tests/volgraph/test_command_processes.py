"""Commands as real processes: serving until told to stop, pipes that break, interrupts, healing, the demo."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from volgraph.command import main

SERVED = """
volume brick
  type storage/posix
  option directory ${dir}/far
end-volume
volume server
  type protocol/server
  option listen-port ${port}
  option auth.addr.brick.allow 127.0.0.1
  subvolumes brick
end-volume
"""
MIRROR = """
volume near
  type storage/posix
  option directory ${dir}/near
end-volume
volume far
  type protocol/client
  option remote-host 127.0.0.1
  option remote-port ${port}
  option remote-subvolume brick
end-volume
volume mirror
  type cluster/afr
  subvolumes near far
end-volume
"""
COMMAND = [sys.executable, "-m", "volgraph"]


class Served:
    """A brick that a process of its own serves, in a folder; and the mirror over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        for name in ("near", "far"):
            (folder / name).mkdir()
        (folder / "served.vol").write_text(SERVED)
        (folder / "m.vol").write_text(MIRROR)

    def start(self) -> str:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", *self.settings, "served.vol"], cwd=self.folder, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])
        return line

    def end(self, number: int) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.process.stdout.close()
        return status

    @property
    def settings(self) -> list[str]:
        return [f"--set=dir={self.folder}", f"--set=port={self.port}"]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.chdir(tmp_path)
    served = Served(tmp_path)
    served.start()
    yield served
    assert served.process is not None
    if served.process.poll() is None:
        served.end(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_it_listens_and_ends_in_order_when_told(tmp_path: Path, number: int) -> None:
    served = Served(tmp_path)
    line = served.start()

    assert re.fullmatch(r"serving brick on 127\.0\.0\.1:\d+\n", line)
    assert served.end(number) == 0


def test_serving_a_spec_without_a_server_is_a_wrong_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.vol").write_text("volume m\n  type storage/memory\nend-volume\n")
    status = main(["serve", str(tmp_path / "m.vol")])

    assert (status, "nothing to serve" in capsys.readouterr().err) == (2, True)


def test_a_port_that_is_taken_is_one_line(served: Served, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/far").mkdir()
    again = subprocess.run(
        [*COMMAND, "serve", f"--set=dir={tmp_path}/other", f"--set=port={served.port}", "served.vol"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert again.returncode == 1
    assert again.stdout == ""
    assert again.stderr.startswith("volgraph: ")
    assert again.stderr.count("\n") == 1


def test_a_brick_that_is_lost_and_comes_back_is_told_and_healed(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: str, *arguments: str) -> tuple[int, str]:
        status = main([command, *served.settings, *arguments])
        out, error = capsys.readouterr()
        assert error == ""
        return status, out

    (tmp_path / "text").write_text("first\n")
    run("cp", "text", "m.vol:/text")
    up = run("status", "m.vol")
    served.end(signal.SIGKILL)
    (tmp_path / "text").write_text("second\n")
    run("cp", "text", "m.vol:/text")
    run("cp", "text", "m.vol:/new")
    _, down = run("status", "m.vol")
    _, info = run("heal", "--info", "m.vol")
    served.start()
    healed = run("heal", "m.vol")

    assert up[0] == 0
    assert up[1].splitlines()[0] == "mirror (cluster/afr) up, 0 to be healed"
    assert "far (protocol/client) down: " in down
    assert "pending      /new  blamed: far\n" in info
    assert healed[0] == 0
    assert healed[1].splitlines()[-1].endswith("0 pending, 0 in split-brain, 0 failed")
    for name in ("text", "new"):
        assert (tmp_path / "far" / name).read_text() == "second\n"


def test_output_that_nobody_reads_any_more_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "brick").mkdir()
    (tmp_path / "brick/big").write_bytes(bytes(8 << 20))
    spec = tmp_path / "p.vol"
    spec.write_text(f"volume p\n  type storage/posix\n  option directory {tmp_path}/brick\nend-volume\n")
    process = subprocess.Popen([*COMMAND, "cat", f"{spec}:/big"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr is not None
    error = process.stderr.read()
    process.stderr.close()

    assert process.wait(30) == 1
    assert error == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_trouble(tmp_path: Path, closed: str) -> None:
    (tmp_path / "brick").mkdir()
    (tmp_path / "brick/f").write_bytes(bytes(100_000))
    (tmp_path / "p.vol").write_text(
        f"volume p\n  type storage/posix\n  option directory {tmp_path}/brick\nend-volume\n"
    )
    for command in ("cat p.vol:/f", "show p.vol"):
        done = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} -m volgraph {command} {closed}"],
            cwd=tmp_path,
            capture_output=True,
        )
        assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "brick/f").read_bytes() == bytes(100_000)


def test_names_are_printed_whatever_the_encoding_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "brick").mkdir()
    for name in ("é".encode(), b"\xff", b"plain"):
        Path(os.fsdecode(os.fsencode(tmp_path / "brick") + b"/" + name)).touch()
    (tmp_path / "p.vol").write_text(
        f"volume p\n  type storage/posix\n  option directory {tmp_path}/brick\nend-volume\n"
    )
    done = subprocess.run(
        [*COMMAND, "ls", f"{tmp_path}/p.vol"], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == "plain\né\n".encode() + b"\xff\n"


def test_an_interrupt_has_status_130_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "m.vol").write_text(MIRROR)
    (tmp_path / "near").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = [f"--set=dir={tmp_path}", f"--set=port={mute.getsockname()[1]}"]
        process = subprocess.Popen(
            [*COMMAND, "ls", "--wait", "60", *settings, "m.vol"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        caller, _ = mute.accept()  # now it waits for an answer that does not come
        with caller:
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=30)

    assert (process.returncode, error) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_demo_that_is_told_to_end_leaves_no_process_and_no_folder(tmp_path: Path, number: int) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen([*COMMAND, "demo"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert demo.stdout is not None
    while not (line := demo.stdout.readline()).startswith(b"   process "):
        assert line
    server = int(line.split()[1].rstrip(b":"))
    demo.send_signal(number)
    _, error = demo.communicate(timeout=30)

    assert (demo.returncode, error) == (128 + number, b"")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def test_the_demo_keeps_its_promises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.run([*COMMAND, "demo", "--files", "60"], env=environment, capture_output=True, text=True)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.splitlines()[-1].startswith("Every promise held.")
    assert "near (storage/posix) up" in demo.stdout
    assert "far (protocol/client) down: 127.0.0.1: " in demo.stdout
    assert "BROKEN" not in demo.stdout
    assert "(missed by far)" in demo.stdout
    assert list(tmp_path.iterdir()) == []
