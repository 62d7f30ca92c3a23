"""The alphabet of the workloads, and all short words over it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from ..graph import ROOT_GFID
from .power_loss_model import Log
from .power_loss_rebuild import rebuild
from .power_loss_recorder import RecordingDisk, recording
from .power_loss_session import (
    BOOT,
    MINUS_ONE,
    Recorded,
    Session,
    Step,
    Workload,
    furnished,
    opened,
    record,
    stop,
)
from .power_loss_view import view


def _refuse(call: str) -> Workload:
    """A create in which this call fails: the disk is full in the middle of it."""

    def create(session: Session) -> None:
        assert session.disk is not None
        session.disk.refused[call] = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        session.create("n", "nnn", b"new")
        session.disk.refused.clear()

    return create


def _save(session: Session) -> None:
    """As editors do."""
    session.create("t", "t", b"saved", keep=True)
    session.fsync("t")
    session.rename("t", "a")
    session.fsyncdir()
    session.release("t")


def _unlink_open(session: Session) -> None:
    session.open("bb")
    session.unlink("b")
    session.unlink("d/b2")


LETTERS: Mapping[str, Workload] = {
    "create": lambda s: s.create("n", "nnn", b"new"),
    "create inside, marked": lambda s: s.create("d/m", "mm", b"marked", marked=True),
    "create, link refused": _refuse("link"),
    "create, xattr refused": _refuse("setxattr"),
    "mkdir": lambda s: s.mkdir("k", "k"),
    "mkdir inside": lambda s: s.mkdir("d/k", "kk"),
    "create in it": lambda s: s.create("k/i", "i", b"inside"),
    "symlink": lambda s: s.symlink("s", "s"),
    "fifo": lambda s: s.mkfifo("d/p", "pp"),
    "write": lambda s: s.write("a", b"WRITTEN LATER, AND LONGER", 4),
    "heal": lambda s: s.heal("rr", b"healed"),
    "truncate": lambda s: s.truncate("a", 3),
    "rename": lambda s: s.rename("a", "c"),
    "rename over": lambda s: s.rename("a", "b"),
    "rename away": lambda s: s.rename("a", "d/a"),
    "rename directory": lambda s: s.rename("d", "e/d"),
    "rename moved directory": lambda s: s.rename("e/d", "g"),
    "rename directory over": lambda s: s.rename("d", "e"),
    "rename directory over a full one": lambda s: s.rename("e", "d"),
    "link": lambda s: s.link("a", "d/l"),
    "unlink": lambda s: s.unlink("a"),
    "unlink one of two": lambda s: s.unlink("b"),
    "unlink open": _unlink_open,
    "rmdir": lambda s: s.rmdir("e"),
    "remove tree": lambda s: s.rmdir("d", tree=True),
    "blame": lambda s: s.blame("a"),
    "blame directory": lambda s: s.blame("d"),
    "absolve": lambda s: s.blame("bb", MINUS_ONE),
    "setxattr": lambda s: s.setxattr("a", "user.colour", b"red"),
    "fsync": lambda s: s.fsync("a"),
    "fsync new": lambda s: s.fsync("nnn"),
    "fdatasync": lambda s: s.fsync("a", data_only=True),
    "fsyncdir": lambda s: s.fsyncdir(),
    "fsyncdir inside": lambda s: s.fsyncdir("d"),
    "save": _save,
    "stop": stop,
}


def words(length: int) -> Iterator[tuple[str, ...]]:
    """All sequences of so many letters; the end of the brick comes last or not at all."""
    for word in product(LETTERS, repeat=length):
        if "stop" not in word[:-1]:
            yield word


def recordings(mode: str, scratch: str, chosen: Iterable[tuple[str, ...]]) -> Iterator[Recorded]:
    """Each word run on a brick of its own; crashes come while its last letter runs, as those before are words too."""
    base = furnished(mode, scratch)
    for word in chosen:

        def before(session: Session, letters: tuple[str, ...] = word[:-1]) -> None:
            for letter in letters:
                LETTERS[letter](session)

        yield record(", ".join(word), mode, base, scratch, before, LETTERS[word[-1]])


def starts(mode: str, scratch: str) -> Iterator[Recorded]:
    """A brick is started and used: for the first time, in a directory that nobody has synced, and once more. Crashes
    come from the start on."""
    for name, base in (("first start", None), ("later start", furnished(mode, scratch))):
        with tempfile.TemporaryDirectory(dir=scratch) as directory:
            disk = recording(directory, BOOT)
            if base is not None:
                disk = RecordingDisk(Log(base), rebuild(base, directory), BOOT)
            with opened(directory, mode, disk) as brick:
                session = Session(brick, disk)
                session.steps.append(Step(0, view(brick), ("all", ROOT_GFID)))
                session.create("n", "nnn", b"new", keep=True)
                session.fsync("nnn")
                session.fsyncdir()
                calls = disk.log.calls
            yield Recorded(name, mode, disk.log.until(calls), session.steps, 0)
