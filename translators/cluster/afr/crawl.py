"""Finding what is to be healed: the indices that bricks keep, or the whole tree; and the loop that heals it."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio.lowlevel
import attrs

from ....graph import ROOT_GFID, ROOT_LOC, Call, Coming, Entry, Gfid, Iatt, Loc, State, Translator, XattropKind
from .changelog import ZEROS
from .healing import Healing, NotNow, Result, SplitBrain, heal_object
from .healing_moves import forget_moves, speaks_of_moves
from .listing import entries_of, list_directory
from .reading import copies_of, look
from .report import HealItem, HealReport
from .verdict import contents_of, direction

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

HEALER_PID = -6
"""How bricks know a healer."""
INDICES = ("glusterfs.xattrop_index_gfid", "glusterfs.xattrop_dirty_gfid")
PASSES_MAX = 64
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 600.0
"""How long the healer pauses after an error; twice as long after each that follows, up to the second."""


async def index_of(node: Translator, call: Call) -> set[Gfid] | None:
    """What the bricks below `node` say has marks on it; None where one keeps no index that can be seen from here.

    Of a cluster the children that are up are asked: what one that is down knows is healed when it is back.
    """
    if len(node.below) > 1:
        everything: set[Gfid] = set()
        for below in node.below:
            if below.state is not State.UP:
                continue
            part = await index_of(below, call)
            if part is None:
                return None
            everything |= part
        return everything
    gfids: set[Gfid] = set()
    for index in INDICES:
        try:
            where = Gfid((await node.getxattr(call, ROOT_LOC, index)).values[index])
            gfids |= _gfids_of(await entries_of(node, call, where))
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOENT, errno.ESTALE):
                return None
            raise
    return gfids


def _gfids_of(entries: Iterable[Entry]) -> set[Gfid]:
    """Those that an index lists by their names; its own base file is none."""
    found: set[Gfid] = set()
    for entry in entries:
        with suppress(ValueError):
            found.add(Gfid.from_text(entry.name.decode()))
    return found


@attrs.define(eq=False)
class Run:
    """One heal of many objects, and what it has come to."""

    outcome: dict[Gfid, tuple[Result, HealItem]] = attrs.field(factory=dict)
    strays: dict[tuple[int, Gfid], Loc] = attrs.field(factory=dict)
    moved: set[Gfid] = attrs.field(factory=set)
    """Objects of which it is said that a copy missed a move."""

    @property
    def clean(self) -> bool:
        return all(result is Result.HEALED for result, _ in self.outcome.values())


@attrs.define(eq=False)
class Crawler:
    """One afr's healer: on request, and by itself when a child comes back."""

    afr: ReplicaSet
    trouble: str = attrs.field(init=False, default="")
    """For people: what broke off the last heal that was to heal all."""
    pause: float = attrs.field(init=False, default=PAUSE_SECONDS)
    _pausing: bool = attrs.field(init=False, default=False)
    _wanted: bool = attrs.field(init=False, default=False)
    _running: Coming[None] | None = attrs.field(init=False, default=None)
    _turn: anyio.Lock = attrs.field(init=False, factory=anyio.Lock)

    def wake(self) -> None:
        """A child came: heal in the background as soon as all are there."""
        self._wanted = True
        everybody = len(self.afr.up) == len(self.afr.children)
        if self.afr.self_heal_daemon and everybody and self._running is None:
            self._running = Coming()
            self.afr.tasks.start_daemon(self._background())

    async def _background(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                await self.heal(None, bool(self.afr.suspects.children))
                self.pause = PAUSE_SECONDS
        except OSError:
            self._wanted = True
            if not self._pausing:
                self._pausing = True
                self.afr.tasks.start_daemon(self._after_a_pause())
        finally:
            running, self._running = self._running, None
            if running is not None:
                running.resolve(None)

    async def _after_a_pause(self) -> None:
        """Try again; if all children are there then. Else the return of the one that went wakes us."""
        pause, self.pause = self.pause, min(2 * self.pause, PAUSE_SECONDS_MAX)
        await self.afr.seams.clock.sleep(pause)
        self._pausing = False
        if self._wanted:
            self.wake()

    async def rest(self) -> None:
        """Return once no healing is under way in the background."""
        while self._running is not None:
            with suppress(OSError):
                await self._running

    def call(self) -> Call:
        return Call(pid=HEALER_PID, lk_owner=self.afr.new_lock_owner())

    async def candidates(self, full: bool) -> set[Gfid]:
        """Objects that may have to be healed."""
        call = self.call()
        found: set[Gfid] = set()
        for number in sorted(self.afr.up):
            part = None if full else await index_of(self.afr.children[number], call)
            if part is None:
                return await self._tree()
            found |= part
        return found

    async def _tree(self) -> set[Gfid]:
        """Every object that any child has."""
        found = {ROOT_GFID}
        directories = deque([ROOT_GFID])
        while directories:
            gfid = directories.popleft()
            for number in sorted(self.afr.up):
                for iatt in await self.inside(number, gfid):
                    if iatt.gfid not in found:
                        found.add(iatt.gfid)
                        if iatt.is_dir:
                            directories.append(iatt.gfid)
        return found

    async def inside(self, child: int, gfid: Gfid) -> list[Iatt]:
        """What a child has in a directory; nothing where it has no such directory."""
        try:
            return [iatt for _, iatt in await list_directory(self.afr.children[child], self.call(), gfid)]
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE, errno.ENOTDIR):
                return []
            raise

    async def heal(self, gfid: Gfid | None, full: bool) -> HealReport:
        """Heal until a pass changes nothing more. Whoever asks while another heal is under way gets the next turn: two
        at once would only find each other's locks."""
        async with self._turn:
            if gfid is not None:
                return await self._heal(gfid, full)
            try:
                report = await (self._heal_fully() if full else self._heal(None, full))
            except OSError as error:
                self._set_trouble(f"has met: {error.strerror}")
                raise
            self._set_trouble("")
            return report

    def _set_trouble(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self.afr.graph.node_changed()

    async def _heal_fully(self) -> HealReport:
        suspects = self.afr.suspects
        try:
            await suspects.prepare()
            report = await self._heal(None, True)
            if report.clean:
                await suspects.healed()
        finally:
            suspects.filled.clear()
        return report

    async def _heal(self, gfid: Gfid | None, full: bool) -> HealReport:
        run = Run()
        await self._pass_over(run, {gfid} if gfid is not None else await self.candidates(full))
        if run.moved and gfid is None and run.clean:
            await self._forget_moves(run)
        return _report(run.outcome.values())

    async def _forget_moves(self, run: Run) -> None:
        moved = sorted(run.moved)

        async def heal_the_rest() -> bool:
            await self._pass_over(run, await self.candidates(False))
            return run.clean

        try:
            await forget_moves(self.afr, self.call(), moved, heal_the_rest)
        except OSError as error:
            run.outcome |= {each: (Result.FAILED, HealItem(each, reason=str(error))) for each in moved}

    async def _pass_over(self, run: Run, waiting: set[Gfid]) -> None:
        for _ in range(PASSES_MAX):
            retry, progress = set(), False
            queue = deque(sorted(waiting))
            while queue:
                await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
                each = queue.popleft()
                result, item, found, better = await self._heal_one(each, run)
                queue += found
                progress = progress or better or result is Result.HEALED
                if result in (Result.PENDING, Result.FAILED, Result.SPLIT):
                    retry.add(each)
                if result in (Result.HEALED, Result.PENDING, Result.FAILED, Result.SPLIT):
                    run.outcome[each] = (result, item)
                elif each in run.outcome and run.outcome[each][0] is not Result.HEALED:
                    del run.outcome[each]
            waiting = retry
            if not waiting or not progress:
                break

    async def _heal_one(self, gfid: Gfid, run: Run) -> tuple[Result, HealItem, list[Gfid], bool]:
        healing = Healing(self.afr, gfid, self.call(), run.strays)
        found: list[Gfid] = []
        reason = ""
        try:
            result = await heal_object(healing, found.append)
        except NotNow as error:
            result, reason = Result.PENDING, str(error)
        except SplitBrain as error:
            result, reason = Result.SPLIT, str(error)
        except OSError as error:
            result, reason = Result.FAILED, str(error)
        item = self._item(healing)
        item.reason = reason
        if speaks_of_moves(healing):
            run.moved.add(gfid)
        elif result in (Result.GONE, Result.NOTHING):
            await self._drop_stale(gfid, result)
        return result, item, found, healing.progress

    async def _drop_stale(self, gfid: Gfid, result: Result) -> None:
        """An index entry without a mark behind it goes: by its name where no child knows the object any more, else by
        an xattrop that adds nothing, upon which a brick looks at the marks again."""
        for number in sorted(self.afr.up):
            child, call = self.afr.children[number], self.call()
            with suppress(OSError):
                if result is Result.NOTHING:
                    zeros = dict.fromkeys((*self.afr.keys.pending, self.afr.keys.dirty), ZEROS)
                    await child.xattrop(call, Loc(gfid), XattropKind.ADD_ARRAY, zeros)
                    continue
                for index in INDICES:
                    where = Gfid((await child.getxattr(call, ROOT_LOC, index)).values[index])
                    with suppress(FileNotFoundError):
                        await child.unlink(call, Loc(parent=where, name=gfid.text.encode()))

    def _item(self, healing: Healing) -> HealItem:
        blamed: set[int] = set()
        for copy in healing.copies.values():
            blamed |= {other for other, counters in enumerate(copy.record.pending) if any(counters)}
        sources = set(healing.copies) - blamed
        return HealItem(
            healing.gfid, tuple(map(healing.name, sorted(blamed))), tuple(map(healing.name, sorted(sources)))
        )

    async def pending(self) -> HealReport:
        """Inspect every candidate without changing anything."""
        report = HealReport()
        for gfid in sorted(await self.candidates(False)):
            await anyio.lowlevel.checkpoint()
            healing = Healing(self.afr, gfid, self.call())
            outcomes = await look(self.afr, healing.call, healing.loc)
            healing.copies = copies_of(self.afr.keys, outcomes)
            if not any(copy.record.marked for copy in healing.copies.values()):
                continue
            item = self._item(healing)
            kinds = contents_of(next(iter(healing.copies.values())).iatt)
            if any(direction(healing.copies, kind, self.afr.quorum.majority).split for kind in kinds):
                item.reason = "every copy is blamed"
                report.split_brain.append(item)
            else:
                report.pending.append(item)
        return report


def _report(outcomes: Iterable[tuple[Result, HealItem]]) -> HealReport:
    report = HealReport()
    for result, item in outcomes:
        if result is Result.HEALED:
            report.healed.append(item)
        elif result is Result.PENDING:
            report.pending.append(item)
        elif result is Result.SPLIT:
            report.split_brain.append(item)
        else:
            report.failed.append(item)
    return report
