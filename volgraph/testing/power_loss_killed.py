"""A process killed for real: it works on a brick until SIGKILL comes, and the brick is judged as after any crash.

    report = kill_rounds("xattr", scratch, seed=1, seconds=10)
    assert not report.violations

A program is started once and forks a worker for each round. The worker plays fops that follow from a seed alone, and
writes down which one it is at; what was done before that one must all be there, and that one whole or not at all. What
it must look like is seen on another brick, on which the same fops are played.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..graph import ROOT_GFID
from ..graph.disk import Disk
from .power_loss import Report, Violation, faults
from .power_loss_judge import Expected
from .power_loss_session import MINUS_ONE, Session, Step, opened
from .power_loss_view import view

FOPS_MAX = 400
"""How many fops a worker plays before it begins to wait for its end."""
DELAY_MAX = 0.02
"""Seconds that it is left at work."""

_PROGRAM = "from volgraph.testing.power_loss_killed import serve; serve()"


class Player:
    """Plays fops on a few names, each by its number: the same ones wherever the seed is the same."""

    def __init__(self, session: Session, seed: int) -> None:
        self._session = session
        self._rng = random.Random(f"{seed}/fops")
        self._made = 0

    def play(self) -> None:
        rng, session = self._rng, self._session
        path, other = self._path(), self._path()
        gfid = f"g{rng.randrange(self._made + 1)}"
        what = rng.randrange(13)
        if what < 3:
            self._made += 1
            session.create(path, f"g{self._made}", marked=what == 0)
        elif what == 3:
            session.mkdir(rng.choice("uvw"), f"d{rng.choice('uvw')}")
        elif what in (4, 5):
            session.rename(path, other)
        elif what == 6:
            session.rename(rng.choice("uvw"), rng.choice("uvw"))
        elif what == 7:
            session.link(gfid, path)
        elif what in (8, 9):
            session.unlink(path)
        elif what == 10:
            session.rmdir(rng.choice("uvw"), tree=rng.random() < 0.5)
        elif what == 11:
            session.write(gfid, b"x" * rng.randrange(9), rng.randrange(4))
        else:
            session.blame(gfid, MINUS_ONE if rng.random() < 0.5 else b"\0\0\0\1" * 3)

    def _path(self) -> str:
        name = self._rng.choice("abc")
        return name if self._rng.random() < 0.6 else f"d{self._rng.choice('uvw')}/{name}"


def serve() -> None:
    """The program: for each line, `mode seed directory file`, fork a worker and print its pid; reap it, when told so by
    an empty line."""
    for line in sys.stdin:
        mode, seed, directory, file = line.split()
        pid = os.fork()
        if not pid:
            _work(mode, int(seed), directory, file)
        print(pid, flush=True)
        sys.stdin.readline()
        os.waitpid(pid, 0)
        print(flush=True)


def _work(mode: str, seed: int, directory: str, file: str) -> None:
    with open(file, "r+b") as shared, mmap.mmap(shared.fileno(), 8) as at, opened(directory, mode, Disk()) as brick:
        player = Player(Session(brick), seed)
        for number in range(1, FOPS_MAX):
            at[:8] = number.to_bytes(8, "big")
            player.play()
        signal.pause()


def kill_rounds(mode: str, scratch: str, seed: int, seconds: float) -> Report:
    """Kill workers until the time is up."""
    report, started = Report(), time.perf_counter()
    rng = random.Random(seed)
    with _program() as program:
        while time.perf_counter() - started < seconds and not report.violations:
            directory = tempfile.mkdtemp(dir=scratch)
            try:
                _round(program, mode, rng.randrange(1 << 30), rng.random() * DELAY_MAX, Path(directory), report)
            finally:
                shutil.rmtree(directory)
    report.seconds = time.perf_counter() - started
    return report


@contextmanager
def _program() -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdin=pipe, stdout=pipe, text=True, bufsize=1) as program:
        try:
            yield program
        finally:
            assert program.stdin is not None
            program.stdin.close()


def _round(program: subprocess.Popen[str], mode: str, seed: int, delay: float, folder: Path, report: Report) -> None:
    assert program.stdin is not None
    assert program.stdout is not None
    at = folder / "at"
    at.write_bytes(bytes(8))
    (folder / "brick").mkdir()
    program.stdin.write(f"{mode} {seed} {folder}/brick {at}\n")
    pid = int(program.stdout.readline())
    deadline = time.perf_counter() + 10
    while not any(at.read_bytes()) and time.perf_counter() < deadline:
        time.sleep(0.0005)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    program.stdin.write("\n")
    program.stdout.readline()
    number = int.from_bytes(at.read_bytes(), "big")
    expected = _expected(mode, seed, number, folder / "reference")
    report.workloads += 1
    report.states += 1
    report.distinct += number < FOPS_MAX - 1  # else it was waiting
    found = list(faults(str(folder / "brick"), mode, Disk(), expected))
    report.violations += [Violation(f"seed {seed}", mode, f"killed in fop {number}", fault) for fault in found]


def _expected(mode: str, seed: int, number: int, directory: Path) -> Expected:
    """What is there before the fop that was interrupted, and after it."""
    directory.mkdir()
    with opened(str(directory), mode, Disk()) as brick:
        player = Player(Session(brick), seed)
        for _ in range(number - 1):
            player.play()
        before = view(brick)
        steps = [Step(0, before, ("all", ROOT_GFID))]
        player.play()
        return Expected(steps, Step(1, view(brick)), killed=True, forgetful=False)
