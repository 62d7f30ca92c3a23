"""Power loss of storage/posix, tried: every state that a disk may be left in is rebuilt, and a brick started on it.

    report = explore(recordings("xattr", scratch), scratch, seed=1, per_workload=40)
    assert not report.violations

A workload runs on a `RecordingDisk`. Each cut of it after a system call is a crash: of the process alone (everything
stays), and of the machine (a legal subset of what was not synced stays: `power_loss_model`). The brick that is started
on the state has to keep what was promised, have the rest old or new, and be whole inside: gfid, handle and name agree.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat as mode_bits
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import attrs

from ..graph import ROOT_GFID, Gfid
from ..graph.disk import Disk
from ..translators.storage.posix import Posix
from ..translators.storage.posix.sweeping import sweep
from .power_loss_judge import Expected
from .power_loss_model import Image, Log
from .power_loss_rebuild import rebuild
from .power_loss_recorder import RecordingDisk
from .power_loss_session import BOOT, Recorded, opened
from .power_loss_view import View, listed, view

NEXT_BOOT = "next boot"
LAST_BOOT = "the boot after"


def scratch_folder() -> str | None:
    """Where states are rebuilt fastest: in memory, if its file system takes a brick's attributes. None: anywhere."""
    with suppress(OSError), tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        os.setxattr(directory, "user.probe" if os.geteuid() else "trusted.probe", b"1")
        return "/dev/shm"
    return None


@attrs.define
class Violation:
    workload: str
    mode: str
    crash: str
    fault: str

    def __str__(self) -> str:
        return f"{self.workload} [{self.mode}] {self.crash}: {self.fault}"


@attrs.define
class Report:
    workloads: int = 0
    states: int = 0
    """Legal states that were met, the same one perhaps more than once."""
    distinct: int = 0
    """Those that were rebuilt and started."""
    crashes_in_mending: int = 0
    violations: list[Violation] = attrs.field(factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.workloads} workloads, {self.states} states, {self.distinct} distinct, {self.crashes_in_mending} of"
            f" them crashes while mending, {len(self.violations)} violations, {self.seconds:.1f} s"
        )


@attrs.frozen
class Crash:
    """After so many calls: the machine's, with these effects kept, or only the process's."""

    calls: int
    kept: frozenset[int]
    torn: int | None = None
    killed: bool = False

    def described(self, log: Log) -> str:
        if self.killed:
            return f"killed after call {self.calls}"
        lost = [number for number in range(log.made(self.calls)) if number not in self.kept]
        what = "; ".join(_words(log, number) for number in lost[:12])
        torn = "" if self.torn is None else f", torn: {_words(log, self.torn)}"
        return f"power lost after call {self.calls}, without {len(lost)} effects ({what}){torn}"


def _words(log: Log, number: int) -> str:
    return ", ".join(
        f"{key[0]} {' '.join(str(part) for part in key[1:])}={str(value)[:60]}" if key[0] != "database" else "commit"
        for key, value in log.effects[number].changes.items()
    )


def crashes(recorded: Recorded, rng: random.Random, most: int, every_max: int = 64) -> Iterator[Crash]:
    """Every end of the process, and at most so many of the machine."""
    log, last = recorded.log, recorded.steps[-1].calls
    for calls in range(recorded.first, last + 1):
        yield Crash(calls, frozenset(range(log.made(calls))), killed=True)
    found: dict[Crash, None] = {}
    for calls in range(last, recorded.first - 1, -1):
        for kept, torn in log.states(calls, rng, most // 4, every_max):
            found[Crash(calls, frozenset(kept), torn)] = None
    every = list(found)
    yield from every if len(every) <= most else rng.sample(every, most)


def explore(
    recordings: Iterable[Recorded], scratch: str, seed: int, most: int, mendings: int = 1, stop_at_first: bool = False
) -> Report:
    """Judge at most `most` crashes of the machine in each workload, all of the process, and `mendings` starts that are
    cut off in their turn."""
    report, started = Report(), time.perf_counter()
    for recorded in recordings:
        rng = random.Random(f"{seed}/{recorded.name}/{recorded.mode}")
        _Trial(recorded, scratch, rng, report).run(most, mendings, stop_at_first)
        report.workloads += 1
        if stop_at_first and report.violations:
            break
    report.seconds = time.perf_counter() - started
    return report


@attrs.define(eq=False)
class _Trial:
    """One workload, its crashes, and what becomes of them."""

    recorded: Recorded
    scratch: str
    rng: random.Random
    report: Report
    _met: set[object] = attrs.field(factory=set)

    def run(self, most: int, mendings: int, stop_at_first: bool) -> None:
        every = list(crashes(self.recorded, self.rng, most))
        cut_again = set(self.rng.sample(range(len(every)), min(mendings, len(every))))
        for number, crash in enumerate(every):
            self._judge(crash, number in cut_again)
            if stop_at_first and self.report.violations:
                return

    def _judge(self, crash: Crash, cut_again: bool) -> None:
        log = self.recorded.log
        image = log.image(crash.kept, crash.torn)
        expected = self._expected(crash)
        self.report.states += 1
        if self._is_new(image, expected, crash.killed):
            boot = BOOT if crash.killed else NEXT_BOOT
            self._start(image, boot, expected, crash.described(log))
            if cut_again:
                self._cut_mending(image, boot, crash)

    def _cut_mending(self, image: Image, boot: str, first: Crash) -> None:
        """The start after the crash is cut off too, by the end of the process or of the machine. Then what was lost
        at first, by a machine, is lost; what a process left behind may yet be."""
        log = self._mended(image, boot, self.recorded.log.until(first.calls) if first.killed else None)
        calls = self.rng.randrange(first.calls if first.killed else 0, log.calls + 1)
        kept, torn = self.rng.choice(list(log.states(calls, self.rng, 8, 1)))
        killed = self.rng.random() < 0.5
        if killed:
            kept, torn = set(range(log.made(calls))), None
        second = Crash(calls, frozenset(kept), torn, killed)
        self.report.crashes_in_mending += 1
        crash = f"{first.described(self.recorded.log)}; then {second.described(log)}"
        expected = self._expected(attrs.evolve(first, killed=first.killed and killed))
        self._start(log.image(kept, torn), boot if killed else LAST_BOOT, expected, crash)

    def _mended(self, image: Image, boot: str, before: Log | None) -> Log:
        """What a start on a state changes, behind what was changed `before` and may not yet be durable."""
        with self._rebuilt(image) as (directory, objects):
            disk = RecordingDisk(before or Log(attrs.evolve(image, objects=dict(image.objects))), objects, boot)
            with opened(directory, "auto", disk) as node:
                swept(node)
                calls = disk.log.calls
            return disk.log.until(calls)

    def _expected(self, crash: Crash) -> Expected:
        steps = [step for step in self.recorded.steps if step.calls <= crash.calls]
        rest = self.recorded.steps[len(steps) :]
        return Expected(steps, rest[0] if rest else None, crash.killed, self.recorded.mode == "sidecar")

    def _is_new(self, image: Image, expected: Expected, killed: bool) -> bool:
        known = (image.key(), len(expected.steps), expected.in_flight is None, killed)
        if known in self._met:
            return False
        self._met.add(known)
        return True

    # --- one start ---------------------------------------------------------------------------------------------------

    def _start(self, image: Image, boot: str, expected: Expected, crash: str) -> None:
        """Rebuild, start, judge."""
        self.report.distinct += 1
        with self._rebuilt(image) as (directory, _):
            try:
                found = list(faults(directory, self.recorded.mode, _Booted(boot), expected))
            except OSError as error:
                found = [f"{type(error).__name__}: {error}"]
        recorded = self.recorded
        self.report.violations += [Violation(recorded.name, recorded.mode, crash, fault) for fault in found]

    @contextmanager
    def _rebuilt(self, image: Image) -> Iterator[tuple[str, dict[int, int]]]:
        directory = tempfile.mkdtemp(dir=self.scratch)
        try:
            yield directory, rebuild(image, directory)
        finally:
            shutil.rmtree(directory)


def swept(node: Posix) -> None:
    """Let the sweep that is due after a crash come to its end."""
    for _ in sweep(node.brick):
        pass


class _Booted(Disk):
    def __init__(self, boot: str) -> None:
        self._boot = boot

    def boot_id(self) -> str:
        return self._boot


def faults(directory: str, mode: str, disk: Disk, expected: Expected) -> Iterator[str]:
    """Start a brick on what a crash has left, and say what is wrong with it."""
    with opened(directory, "auto", disk) as node:
        yield from _reachable(node, expected)
        if not node.brick.owner.swept:
            swept(node)
        found, suspect = view(node), node.suspect
        yield from expected.names(found)
        yield from expected.objects(found)
        yield from expected.unlisted(found, listed(node))
        if not suspect:
            yield from expected.lost(found)
        elif expected.killed:
            yield "suspect, though only the process ended"
        before = _inside(directory)
        swept(node)
        if _inside(directory) != before:
            yield "a second sweep finds something to do"
    yield from _whole(directory, mode, found)


def _reachable(node: Posix, expected: Expected) -> Iterator[str]:
    for gfid in expected.sure():
        try:
            node.brick.find(gfid)
        except OSError as error:
            yield f"its names are on the disk, but it is not found by its gfid: {error}"


def _inside(directory: str) -> list[str]:
    return sorted(f"{above}/{name}" for above, folders, names in os.walk(directory) for name in (*folders, *names))


def _whole(directory: str, mode: str, found: View) -> Iterator[str]:
    """A closed brick: every handle is of an object that has a name, and nothing lies about."""
    inside = f"{directory}/.glusterfs"
    for folder in ("unlink", "landfill", "volgraph.new"):
        if left := os.listdir(f"{inside}/{folder}"):
            yield f"left in {folder}: {left}"
    inodes = set()
    for above, folders, names in os.walk(directory):
        if above == directory:
            folders.remove(".glusterfs")
        inodes |= {os.lstat(f"{above}/{name}").st_ino for name in (*folders, *names)}
    for outer in os.listdir(inside):
        if len(outer) != 2:
            continue
        for inner in os.listdir(f"{inside}/{outer}"):
            for name in os.listdir(f"{inside}/{outer}/{inner}"):
                yield from _handle(f"{inside}/{outer}/{inner}/{name}", Gfid.from_text(name), inodes, found)
    if mode == "sidecar" and _says(inside) == "sidecar":
        yield from _rows(inside, found)


def _handle(path: str, gfid: Gfid, inodes: set[int], found: View) -> Iterator[str]:
    if gfid == ROOT_GFID:
        return
    st = os.lstat(path)
    if mode_bits.S_ISLNK(st.st_mode) and st.st_nlink == 1:
        if not os.path.exists(path):
            yield f"handle {gfid.text} leads nowhere: {os.readlink(path)}"
    elif st.st_ino not in inodes:
        yield f"handle {gfid.text} is of an object without a name"
    if gfid not in found.objects:
        yield f"handle {gfid.text} is of no object that callers see"


def _says(inside: str) -> str:
    with open(f"{inside}/volgraph.metadata") as file:
        return file.read().strip()


def _rows(inside: str, found: View) -> Iterator[str]:
    database = sqlite3.connect(f"{inside}/volgraph.sidecar")
    try:
        for table in ("objects", "xattrs", "lent"):
            for (gfid,) in database.execute(f"SELECT DISTINCT gfid FROM {table}"):
                if Gfid(gfid) not in found.objects:
                    yield f"the sidecar's {table} has {Gfid(gfid).text}, which is no object"
    finally:
        database.close()
