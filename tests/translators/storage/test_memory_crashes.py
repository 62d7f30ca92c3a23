"""storage/memory without power: after any crash it is what a disk could hold, and what was synced is there."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import attrs
import pytest

from tests.translators.storage.memory_stores import opened
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Loc, XattropKind
from volgraph.testing.fop_bench import FopBench, at
from volgraph.translators.storage.memory import Item, Keep, Memory, MemoryStore
from volgraph.translators.storage.memory import journal as journal_module
from volgraph.translators.storage.memory.inode import Inode
from volgraph.translators.storage.memory.journal import Journal

pytestmark = pytest.mark.anyio


MODES: tuple[Keep, ...] = get_args(Keep)
MARK = "trusted.afr.other"
ONE = b"\0\0\0\1" + bytes(8)
PLACES = 3
STEPS = 40
SEEDS = 60
SEEDS_OF_A_SOAK = 3000


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Every answer is there at once, whatever the loop."""
    return "asyncio"


@attrs.define
class Written:
    """What a file may hold: what was synced last, and on top any of what was written since."""

    synced: bytes = b""
    since: list[tuple[int, bytes]] = attrs.field(factory=list)
    marks: list[bytes] = attrs.field(factory=lambda: [b""])
    """The counters it may bear: as synced last, or any value since."""

    def may_be(self, found: bytes) -> bool:
        end = max([len(self.synced), *(offset + len(data) for offset, data in self.since)])
        return len(self.synced) <= len(found) <= end and all(self._may_stand(at, found[at]) for at in range(len(found)))

    def _may_stand(self, at: int, byte: int) -> bool:
        old = self.synced[at] if at < len(self.synced) else 0
        return byte == old or any(
            offset <= at < offset + len(data) and data[at - offset] == byte for offset, data in self.since
        )


class Workload:
    """Random changes of a small tree, and the memory of what must survive."""

    def __init__(self, memory: Memory, seed: int) -> None:
        self.memory = memory
        self.bench = FopBench(memory)
        self.rng = random.Random(seed)
        self.files: dict[Gfid, Written] = {}
        self.safe: set[Gfid] = set()
        """Objects that had a name for good, and have not been removed or replaced since."""
        self.number = 0

    def run(self) -> None:
        steps = [self.make, self.make_directory, self.write, self.write, self.mark, self.rename, self.rename]
        steps += [self.remove, self.link, self.sync_one, self.sync_one_directory]
        for _ in range(STEPS):
            with suppress(OSError):  # what cannot be done
                self.rng.choice(steps)()
            if self.rng.random() < 0.05:
                self.sync_all()

    # --- what there is -----------------------------------------------------------------------------------------------

    def tree(self) -> list[tuple[Inode, bytes, Inode]]:
        """(directory, name, object) of every name."""
        store = self.memory.store
        return [(inode, name, child) for _, inode in store.walk() for name, child in inode.names.items()]

    def directory(self) -> Gfid:
        return self.rng.choice([ROOT_GFID, *(each.gfid for _, _, each in self.tree() if each.is_dir)])

    def spot(self) -> Loc:
        return at(self.directory(), b"%d" % self.rng.randrange(PLACES))

    def some(self, kind: str) -> tuple[Loc, Inode] | None:
        found = [(at(directory.gfid, name), each) for directory, name, each in self.tree() if getattr(each, kind)]
        return self.rng.choice(found) if found else None

    def at_place(self, loc: Loc) -> Inode | None:
        return self.memory.store.inodes[loc.parent].names.get(loc.name)

    # --- changes -----------------------------------------------------------------------------------------------------

    def fresh(self) -> Call:
        gfid = self.bench.new_gfid()
        return Call(xdata={"gfid-req": gfid, "user.made": gfid})

    def make(self) -> None:
        call = self.fresh()
        made = self.memory.mknod(call, self.spot(), 0o644, 0, 0)
        self.files[made.value.iatt.gfid] = Written()

    def make_directory(self) -> None:
        self.memory.mkdir(self.fresh(), self.spot(), 0o755, 0)

    def write(self) -> None:
        found = self.some("is_file")
        if found is not None:
            self.number += 1
            offset, data = self.rng.randrange(3) * 4, b"%c" % (self.number % 255 + 1) * self.rng.randint(1, 8)
            self.memory.writev(Call(), Fd(found[1].gfid), data, offset)
            self.files[found[1].gfid].since.append((offset, data))

    def mark(self) -> None:
        found = self.some("is_file")
        if found is not None:
            reply = self.memory.xattrop(Call(), Loc(found[1].gfid), XattropKind.ADD_ARRAY, {MARK: ONE})
            self.files[found[1].gfid].marks.append(reply.value.values[MARK])

    def link(self) -> None:
        found = self.some("is_file")
        if found is not None:
            self.memory.link(Call(), Loc(found[1].gfid), self.spot())

    def rename(self) -> None:
        found = self.some(self.rng.choice(["is_file", "is_dir"]))
        if found is None:
            return
        new = self.spot()
        replaced = self.at_place(new)
        self.memory.rename(Call(), found[0], new)
        if replaced is not None and replaced is not found[1]:
            self.safe.discard(replaced.gfid)

    def remove(self) -> None:
        found = self.some(self.rng.choice(["is_file", "is_dir"]))
        if found is None:
            return
        (self.memory.rmdir if found[1].is_dir else self.memory.unlink)(Call(), found[0])
        self.safe.discard(found[1].gfid)

    # --- to the disk -------------------------------------------------------------------------------------------------

    def sync_one(self) -> None:
        found = self.some("is_file")
        if found is not None:
            self.sync(found[1])

    def sync(self, inode: Inode) -> None:
        self.memory.fsync(Call(), Fd(inode.gfid))
        self.files[inode.gfid] = Written(inode.contents.read(0, 1 << 20), marks=[inode.xattrs.get(MARK, b"")])

    def sync_one_directory(self) -> None:
        self.memory.fsyncdir(Call(), Fd(self.directory()))

    def sync_all(self) -> None:
        for gfid, inode in list(self.memory.store.inodes.items()):
            if inode.is_dir:
                self.memory.fsyncdir(Call(), Fd(gfid))
            else:
                self.sync(inode)
        self.safe = set(self.memory.store.inodes)

    # --- afterwards --------------------------------------------------------------------------------------------------

    def broken(self) -> list[str]:
        """What a disk could not hold, or has lost."""
        store = self.memory.store
        names = self.tree()
        found = [f"{gfid} is lost" for gfid in self.safe if gfid not in store.inodes]
        found += [f"{each.gfid} is named twice" for _, _, each in names if each.is_dir and count(names, each) > 1]
        for gfid, inode in store.inodes.items():
            links = count(names, inode)
            if inode.is_dir:
                links = 2 + sum(1 for each in inode.names.values() if each.is_dir)
            if inode.st.st_nlink != links:
                found.append(f"{gfid}: {inode.st.st_nlink} links, {links} names")
            if gfid != ROOT_GFID and inode.xattrs.get("user.made") != gfid:
                found.append(f"{gfid} is half made")
            if inode.is_file:
                found += self.broken_file(gfid, inode)
        return found

    def broken_file(self, gfid: Gfid, inode: Inode) -> list[str]:
        written, contents = self.files[gfid], inode.contents.read(0, 1 << 20)
        found: list[str] = []
        if not written.may_be(contents):
            found.append(f"{gfid} holds {contents!r}, and may {written}")
        if inode.xattrs.get(MARK, b"") not in written.marks:
            found.append(f"{gfid} bears {inode.xattrs.get(MARK)!r}, and may {written.marks}")
        if inode.st.st_size != len(contents):
            found.append(f"{gfid}: size {inode.st.st_size} of {len(contents)} bytes")
        return found


def count(names: list[tuple[Inode, bytes, Inode]], inode: Inode) -> int:
    return sum(1 for _, _, each in names if each is inode)


async def crashed(seed: int, keep: Keep, lying: bool = False) -> tuple[list[str], dict[str, Item]]:
    """(what is broken, what is left) after random changes and a crash."""
    async with opened(MemoryStore(journal=True)) as (memory, _):
        memory.store.lying = lying
        workload = Workload(memory, seed)
        workload.run()
        before = memory.image()
        memory.crash(keep, random.Random(seed))
        memory.restart()
        broken = workload.broken()
        if keep == "all" and memory.image() != before:
            broken.append("a killed process lost something")
        return broken, memory.image()


# --- the invariant, and what it kills --------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", MODES)
async def test_after_any_crash_the_store_is_whole_and_what_was_synced_is_there(keep: Keep) -> None:
    for seed in range(SEEDS):
        broken, _ = await crashed(seed, keep)
        assert not broken, (seed, broken)


@pytest.mark.soak
@pytest.mark.parametrize("keep", MODES)
async def test_after_very_many_crashes_the_store_is_whole(
    keep: Keep, record_property: Callable[[str, object], None]
) -> None:
    for seed in range(1000, 1000 + SEEDS_OF_A_SOAK):
        broken, _ = await crashed(seed, keep)
        assert not broken, (seed, broken)
    record_property("crashes in memory", f"kept: {keep}: {SEEDS_OF_A_SOAK} crashes, each store whole")


def renames_in_two(self: MemoryStore, gone: Any, come: Any) -> None:
    assert self.journal is not None
    if gone:
        self.journal.add(journal_module.Names(gone, ()))
    if come:
        self.journal.add(journal_module.Names((), come))


def pin_without_xattrs(self: Inode) -> None:
    xattrs = {} if self.durable is None else self.durable.xattrs
    REAL_PIN(self)
    if self.durable is not None and MARK in self.xattrs:
        self.durable.xattrs = xattrs


def pin_without_size(self: Inode) -> None:
    size = 0 if self.durable is None else self.durable.contents.size
    REAL_PIN(self)
    assert self.durable is not None
    self.durable.contents.size = size


REAL_PIN = Inode.pin

DEFECTS: dict[str, tuple[object, str, Any, Keep]] = {
    "a rename is two changes": (MemoryStore, "renamed", renames_in_two, "prefix"),
    "fsync forgets xattrs": (Inode, "pin", pin_without_xattrs, "synced"),
    "fsync forgets the size": (Inode, "pin", pin_without_size, "synced"),
    "fsync leaves older changes to come": (Journal, "synced", lambda self, inodes: None, "subset"),
    "names depend on nothing": (journal_module, "_needs", lambda change: set(), "subset"),
    "a moved name is pinned on one side": (MemoryStore, "sync_names", lambda self, each: each.pin(), "synced"),
}


@pytest.mark.parametrize("defect", DEFECTS)
async def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, instead, keep = DEFECTS[defect]
    monkeypatch.setattr(place, name, instead)
    assert any([(await crashed(seed, keep))[0] for seed in range(300)])


async def test_what_was_moved_into_new_directories_is_found_after_the_last_of_them_was_synced() -> None:
    async with opened(MemoryStore()) as (memory, bench):
        gfid = await bench.file(b"f", b"DATA")
        memory.fsync(Call(), Fd(gfid))
        memory.fsyncdir(Call(), Fd(ROOT_GFID))
        outer = await bench.directory(b"outer")
        inner = await bench.directory(b"inner", outer)
        memory.rename(Call(), at(ROOT_GFID, b"f"), at(inner, b"f"))
        memory.fsyncdir(Call(), Fd(inner))
        memory.crash("synced")
        memory.restart()

        assert memory.image()["/outer/inner/f"].content == b"DATA"


async def test_an_fsync_that_lies_is_found_out_by_a_power_loss() -> None:
    assert any([(await crashed(seed, "synced", lying=True))[0] for seed in range(20)])
    assert not any([(await crashed(seed, "all", lying=True))[0] for seed in range(20)])


@pytest.mark.parametrize("keep", MODES)
async def test_the_same_seed_leaves_the_same(keep: Keep) -> None:
    for seed in range(5):
        assert await crashed(seed, keep) == await crashed(seed, keep)
    if keep not in ("all", "synced"):
        assert len({repr(await unsynced(seed, keep)) for seed in range(30)}) > 3


async def unsynced(seed: int, keep: Keep) -> dict[str, Item]:
    """What a crash leaves of a few writes that were not synced."""
    async with opened(MemoryStore(journal=True)) as (memory, bench):
        gfid = await bench.file(b"f", bytes(8))
        memory.fsync(Call(), Fd(gfid))
        memory.fsyncdir(Call(), Fd(ROOT_GFID))
        for number in range(4):
            memory.writev(Call(), Fd(gfid), b"%d" % number * 4, 4 * number)
            memory.setxattr(Call(), Loc(gfid), {"user.a": b"%d" % number})
        memory.crash(keep, random.Random(seed))
        memory.restart()
        return memory.image()


# --- what each mode leaves -------------------------------------------------------------------------------------------


async def test_some_crash_keeps_a_write_that_came_after_one_it_loses() -> None:
    left = [(await unsynced(seed, "subset"))["/f"].content for seed in range(40)]

    assert any(b"0" not in content and b"3" in content for content in left)
    assert any(b"3" not in content and b"0" in content for content in left)


async def test_a_torn_write_leaves_its_beginning() -> None:
    left = {(await unsynced(seed, "torn"))["/f"].content for seed in range(40)}

    assert left <= {(b"0000111122223333"[:at]).ljust(8, b"\0") for at in range(16)}
    assert any(len(set(content[-2:])) == 1 and len(content) % 4 for content in left if len(content) > 8)


async def test_a_file_may_have_grown_before_its_data_came() -> None:
    left = [(await unsynced(seed, "sizes"))["/f"].content for seed in range(40)]

    assert all(len(content) == 16 for content in left)
    assert any(content.endswith(bytes(4)) for content in left)


async def test_without_a_journal_a_crash_keeps_all_or_what_was_synced() -> None:
    async with opened(MemoryStore()) as (memory, _):
        with pytest.raises(ValueError, match="journal"):
            memory.crash("subset", random.Random(1))


async def test_the_journal_is_bounded_and_what_leaves_it_is_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "JOURNAL_MAX", 10)
    async with opened(MemoryStore(journal=True)) as (memory, bench):
        gfid = await bench.file(b"f")
        for number in range(100):
            memory.writev(Call(), Fd(gfid), b"%d" % (number % 10), number)
        assert memory.store.journal is not None
        assert len(memory.store.journal.changes) <= 10
        memory.crash("synced")
        memory.restart()

        content = memory.image()["/f"].content
        assert len(content) >= 90
        assert content == (b"0123456789" * 10)[: len(content)]
