"""Bricks that sync too little, or in the wrong order: planted one at a time, and hunted by power loss.

    python -m volgraph.testing.power_loss_mutants

Each mutant breaks one function of storage/posix, and names the workloads in which a crash must show it. The unbroken
brick passes them all.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest import mock

import attrs

from ..graph import Acknowledged, Gfid
from ..graph.disk import Disk
from ..translators.storage.posix import Posix, contents, landfill, opening, sweeping
from ..translators.storage.posix.entries import PosixEntries
from ..translators.storage.posix.handles import handle_name
from ..translators.storage.posix.making import Making
from ..translators.storage.posix.marks import Marks
from ..translators.storage.posix.metadata import InodeMetadata
from ..translators.storage.posix.owner import Owner
from ..translators.storage.posix.places import Found, Place, Where
from ..translators.storage.posix.settling import Pending
from ..translators.storage.posix.sidecar import SidecarMetadata
from .power_loss import Report, explore, scratch_folder
from .power_loss_session import Recorded
from .power_loss_workloads import recordings, starts


@attrs.frozen
class Mutant:
    """`plant` breaks the code while it is entered; the workloads are words of letters, none: the very first start."""

    id: str
    broken: str
    plant: Callable[[], AbstractContextManager[object]]
    words: tuple[tuple[str, ...], ...] = ()
    mode: str = "xattr"


@attrs.frozen
class Hunted:
    mutant: Mutant
    report: Report

    @property
    def killed(self) -> bool:
        return bool(self.report.violations)

    def __str__(self) -> str:
        mutant, report = self.mutant, self.report
        if not self.killed:
            return f"{mutant.id}: SURVIVED {report.distinct} states: {mutant.broken}"
        found = report.violations[0]
        return (
            f"{mutant.id}: killed in {report.seconds:.2f} s, state {report.distinct}: {mutant.broken}\n"
            f"    {found.workload}: {found.fault}"
        )


# --- the mutants -----------------------------------------------------------------------------------------------------


def _fsyncdir_does_nothing() -> AbstractContextManager[object]:
    return mock.patch.object(contents, "_sync_names", return_value=Acknowledged())


def _fsyncdir_leaves_the_handles() -> AbstractContextManager[object]:
    return mock.patch.object(Pending, "sync", lambda self, disk, fd: setattr(self, "synced", True))


def _fsync_of_data_alone() -> AbstractContextManager[object]:
    sync = contents._sync

    def less(
        descriptor: int, disk: Disk, beside: InodeMetadata, gfid: Any, hidden: int, datasync: int, more: bool
    ) -> Any:
        return sync(descriptor, disk, beside, gfid, hidden, 1, more)

    return mock.patch.object(contents, "_sync", less)


def _sidecar_is_not_synced() -> AbstractContextManager[object]:
    return mock.patch.object(SidecarMetadata, "sync", return_value=None)


def _orphan_when_a_link_fails() -> AbstractContextManager[object]:
    return mock.patch.object(Making, "_undo", return_value=None)


def _rename_removes_the_handle_first() -> AbstractContextManager[object]:
    move = PosixEntries._move

    def hasty(self: PosixEntries, source: Any, *rest: Any) -> None:
        if source.is_dir:
            self.brick.handles.remove(source.gfid)
        move(self, source, *rest)

    return mock.patch.object(PosixEntries, "_move", hasty)


def _rename_in_two_steps() -> AbstractContextManager[object]:
    def move(self: PosixEntries, source: Any, *rest: Any) -> None:
        new_fd, old, new = rest[-3:]
        self.disk.link(old.name, new.name, src_dir_fd=source.dir_fd, dst_dir_fd=new_fd, follow_symlinks=False)
        self.disk.unlink(old.name, dir_fd=source.dir_fd)

    return mock.patch.object(PosixEntries, "_move", move)


def _named_before_it_is_whole() -> AbstractContextManager[object]:
    def hasty(self: Making) -> None:
        brick, handle = self.brick, handle_name(self.gfid)
        brick.handles.prepare(self.gfid)
        self._build(brick.fd, handle)
        brick.disk.link(handle, self.loc.name, src_dir_fd=brick.fd, dst_dir_fd=self.parent_fd, follow_symlinks=False)
        self._dress(brick.fd, handle)

    return mock.patch.object(Making, "_make_by_handle", hasty)


@contextmanager
def _clean_before_the_sync() -> Iterator[None]:
    def release(self: Owner) -> None:
        if self.fd >= 0:
            self._write(clean=True)
            self.disk.syncfs(self.fd)
            self.abandon()

    async def at_once(self: Posix) -> bool:
        return True

    with mock.patch.object(Owner, "release", release), mock.patch.object(Posix, "_written_back", at_once):
        yield


def _owner_is_not_synced() -> AbstractContextManager[object]:
    write = Owner._write

    def unsynced(self: Owner, clean: bool) -> None:
        with mock.patch.object(type(self.disk), "fsync", return_value=None):
            write(self, clean)

    return mock.patch.object(Owner, "_write", unsynced)


def _mode_file_is_not_synced() -> AbstractContextManager[object]:
    record = opening._record_mode

    def unsynced(disk: Disk, fd: int, mode: str) -> None:
        with mock.patch.object(type(disk), "fsync", return_value=None):
            record(disk, fd, mode)

    return mock.patch.object(opening, "_record_mode", unsynced)


def _begins_unsynced() -> AbstractContextManager[object]:
    return mock.patch.object(Owner, "begin", lambda self: self._write(clean=False))


def _trees_go_piecemeal() -> AbstractContextManager[object]:
    purge = landfill.purge

    def unsynced(brick: Any) -> None:
        with mock.patch.object(type(brick.disk), "fsync", return_value=None):
            purge(brick)

    return mock.patch.object(landfill, "purge", unsynced)


def _nothing_is_swept() -> AbstractContextManager[object]:
    return mock.patch.object(sweeping, "_check", return_value=None)


def _marks_are_not_listed() -> AbstractContextManager[object]:
    def unlisted(self: Marks, gfid: Gfid, at: Where, before: Any, values: Any, flags: int = 0) -> None:
        self.metadata.set_all(gfid, at, values, flags)

    return mock.patch.object(Marks, "count", unlisted)


def _lost_entries_stay_lost() -> AbstractContextManager[object]:
    return mock.patch.object(Marks, "relist", return_value=None)


def _rename_is_not_noted() -> AbstractContextManager[object]:
    return mock.patch.object(SidecarMetadata, "before_rename", return_value=None)


def _rename_is_noted_in_memory_alone() -> AbstractContextManager[object]:
    note = SidecarMetadata.before_rename

    def unsynced(self: SidecarMetadata, found: Found, new: Place) -> None:
        with mock.patch.object(SidecarMetadata, "sync", return_value=None):
            note(self, found, new)

    return mock.patch.object(SidecarMetadata, "before_rename", unsynced)


def _moves_are_not_settled() -> AbstractContextManager[object]:
    return mock.patch.object(SidecarMetadata, "settle", return_value=None)


MUTANTS = (
    Mutant("F60", "fsyncdir does nothing", _fsyncdir_does_nothing, (("mkdir", "fsyncdir"),)),
    Mutant(
        "handles",
        "fsyncdir leaves the handles of what it names",
        _fsyncdir_leaves_the_handles,
        (("mkdir", "fsyncdir"),),
    ),
    Mutant("fsync", "fsync syncs the data alone", _fsync_of_data_alone, (("setxattr", "fsync"),)),
    Mutant("sidecar", "fsync leaves the sidecar", _sidecar_is_not_synced, (("blame", "fsync"),), "sidecar"),
    Mutant(
        "F62",
        "a create whose link fails leaves its handle",
        _orphan_when_a_link_fails,
        (("create, link refused", "stop"),),
    ),
    Mutant(
        "F63",
        "a rename removes the handle of the directory first",
        _rename_removes_the_handle_first,
        (("rename directory over a full one",),),
    ),
    Mutant("I14", "a rename is a link and an unlink", _rename_in_two_steps, (("rename",),)),
    Mutant("half", "a file gets its name before its gfid and owner", _named_before_it_is_whole, (("create",),)),
    Mutant("clean", "the brick is said to be clean before it is synced", _clean_before_the_sync, (("rename", "stop"),)),
    Mutant("owner", "the owner's record is not synced", _owner_is_not_synced),
    Mutant("mode", "the file that says how metadata are kept is renamed unsynced", _mode_file_is_not_synced),
    Mutant("begin", "the folders of a new brick are not synced before it is used", _begins_unsynced),
    Mutant(
        "tree",
        "a tree's contents are removed before its own removal is synced",
        _trees_go_piecemeal,
        (("remove tree",),),
    ),
    Mutant("orphans", "nothing is swept after a crash", _nothing_is_swept, (("create",), ("unlink",))),
    Mutant("listed", "the heal index does not list what bears marks", _marks_are_not_listed, (("blame", "stop"),)),
    Mutant("listed again", "an entry that the heal index lost stays lost", _lost_entries_stay_lost, (("blame",),)),
    Mutant(
        "noted", "the sidecar is told of a rename afterwards", _rename_is_not_noted, (("rename directory",),), "sidecar"
    ),
    Mutant(
        "noted durably",
        "the sidecar is told of a rename before, but the disk is not",
        _rename_is_noted_in_memory_alone,
        (("rename directory",),),
        "sidecar",
    ),
    Mutant(
        "settled",
        "a directory is moved once more before the disk knows of the move before",
        _moves_are_not_settled,
        (("rename directory", "rename moved directory"),),
        "sidecar",
    ),
)


def hunt(mutant: Mutant, planted: bool = True) -> Hunted:
    """Plant it, and see whether it is found. (Or see that the unbroken brick passes.)"""
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch_folder()))
        if planted:
            stack.enter_context(mutant.plant())
        return Hunted(mutant, explore(_workloads(mutant, scratch), scratch, 1, 200, stop_at_first=True))


def _workloads(mutant: Mutant, scratch: str) -> Iterable[Recorded]:
    if mutant.words:
        return recordings(mutant.mode, scratch, mutant.words)
    return starts(mutant.mode, scratch)


def main() -> None:
    started = time.perf_counter()
    hunted = []
    for mutant in MUTANTS:
        hunted.append(hunt(mutant))
        print(hunted[-1], flush=True)
    killed = sum(each.killed for each in hunted)
    print(f"{killed} of {len(hunted)} killed in {time.perf_counter() - started:.1f} s")
    raise SystemExit(killed != len(hunted))


if __name__ == "__main__":
    main()
