"""Every afr knows its children: an empty mount point, a replaced disk, another volume's brick are not taken for copies.

Each child that comes up is asked who it is (see `identities`). Ids are given out once, when every child has answered
and none has one (first use); from then on a child without an id, or with one that does not fit the others, stays out
until a person accepts it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio

from ....graph import ROOT_GFID, ROOT_LOC, Call, Done, Fd, LookedUp, State, Translator, fail
from .identities import ID_BYTES, Admission, Identity, admit
from .suspects import SUSPECT_KEY

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

log = logging.getLogger("volgraph.afr")

REFUSALS = (errno.EOPNOTSUPP, errno.EPERM, errno.EACCES, errno.EROFS)
"""Errors of a child that can never be known: the afr works without the check."""
NEVER_SYNCED = (*REFUSALS, errno.EINVAL)
"""Errors of fsyncdir by which a child says that it has nothing to sync."""
RETRY_SECONDS = 3.0
"""Between two looks at children that are up and take no part."""
QUIET_SECONDS = 10.0
INTERNAL_PID = -1
"""A call of the system's own, not of an application."""


class KnownChildren:
    """Asks each child that comes up who it is, and says who takes part. A child is not up before that."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self.said: dict[int, Identity | None] = {}
        self.heard: set[int] = set()
        """The children that have ever gone, or said something."""
        self._asked: dict[int, object] = {}
        self._writing: object | None = None
        self._wrote: dict[int, Identity] = {}
        """What each child was given, and has not shown yet."""
        self._closed = False
        self._troubles: dict[int, str] = {}
        """Of children that are up, and could not be asked, or given their ids."""
        self._admission = Admission(frozenset())
        self._fresh: tuple[bytes, ...] = ()
        self._refused = False
        self._watching = False

    @property
    def key(self) -> str:
        return self._afr.keys.identity

    @property
    def checking(self) -> bool:
        return self._afr.known_children and not self._refused

    @property
    def settled(self) -> bool:
        """Nothing is being found out."""
        return not self._asked and self._writing is None

    async def quiet(self) -> None:
        """Return once nothing is being found out; a child that hangs is not waited for longer than `QUIET_SECONDS`."""
        with anyio.move_on_after(QUIET_SECONDS):
            while not self.settled:
                await self._afr.graph.next_change()

    @property
    def reasons(self) -> dict[str, str]:
        """By name, why children that are up do not take part."""
        reasons = {**self._admission.reasons, **self._troubles}
        return {self._afr.children[child].name: reasons[child] for child in sorted(reasons)}

    def why_down(self) -> str:
        names = [child.name for child in self._afr.children]
        there = self.said.keys() | self._troubles.keys()
        away = [name for child, name in enumerate(names) if child not in there and child in self.heard]
        silent = [name for child, name in enumerate(names) if child not in there and child not in self.heard]
        words = [f"{', '.join(away)} down"] if away else []
        words += [f"no word yet from {', '.join(silent)}"] if silent else []
        words += [f"{name} is kept out: {reason}" for name, reason in self.reasons.items()]
        return f"{'first use needs every child' if self._admission.first_use else 'below quorum'}: {'; '.join(words)}"

    # --- what happens ------------------------------------------------------------------------------------------------

    def came(self, child: int) -> None:
        """A child is up: before it takes part it says who it is; but not where that does not matter."""
        if child in self.said or child in self._asked:
            return
        if not self.checking:
            self.heard.add(child)
            self.said[child] = None
            self._decide(better=True)
        self.ask(child)

    def went(self, child: int) -> None:
        self._afr.suspects.went(child)
        self._forget(child)
        self.heard.add(child)
        self._decide(better=False)

    def changed(self, child: int) -> None:
        """Below a child something came or went: it may be suspect now, or no more."""
        if child in self.said and child not in self._asked:
            self.ask(child)

    def close(self) -> None:
        """The graph is about to stop: nothing is asked any more."""
        self._closed = True

    def explain(self) -> None:
        """Why this afr is not up may have changed."""
        if self._afr.state is not State.UP:
            self._afr.down_reason = self.why_down()
        self._afr.graph.node_changed()

    def ask(self, child: int) -> None:
        """Look at the child's root, and decide anew; at that of a fenced one when its fence ends."""
        if self._closed or child in self._afr.laggards.fenced:
            return
        turn = self._asked[child] = object()
        call = Call(pid=INTERNAL_PID, xdata={self.key: ID_BYTES * (len(self._afr.children) + 1)})

        def answered(reply: LookedUp | None, error: OSError | None) -> None:
            if self._asked.get(child) is turn:
                del self._asked[child]
                self._answered(child, reply, error)

        self._wind(child, answered, Translator.lookup, call, ROOT_LOC)

    def _answered(self, child: int, reply: LookedUp | None, error: OSError | None) -> None:
        self.heard.add(child)
        if reply is None:
            if self.checking:
                self._in_trouble(child, f"its root cannot be looked up: {error and error.strerror}")
            return
        xdata = reply.xdata or {}
        news = self._afr.suspects.learn(child, bool(xdata.get(SUSPECT_KEY)))
        if self.checking:
            news = self._learn(child, Identity.read(xdata.get(self.key))) or news
        if news:
            self._decide(better=True)
        elif self.settled:
            self._afr.graph.node_changed()

    def _learn(self, child: int, identity: Identity | None) -> bool:
        """Take over who a child says it is; is it news?"""
        news = child not in self.said or self.said[child] != identity
        self.said[child] = identity
        self._troubles.pop(child, None)
        wrote = self._wrote.pop(child, None)
        if wrote not in (None, identity) and not news:
            self._work_without(child, "it does not keep it")
            return True
        if news and identity not in (None, wrote):
            self._ask_those_before(child)
        return news

    def _ask_those_before(self, child: int) -> None:
        """Another client may have given the ids out since those were asked that knew nothing."""
        for other in [each for each, identity in self.said.items() if identity is None]:
            if other != child and other not in self._asked:
                del self.said[other]
                self.ask(other)

    def _decide(self, better: bool) -> None:
        """`better`: somebody came, so that more may be possible."""
        afr = self._afr
        if not self.checking:
            self._admission = Admission(frozenset(self.said))
        else:
            names = [child.name for child in afr.children]
            if not self._fresh and not any(self.said.values()):
                self._fresh = tuple(self.new_id() for _ in names)
            serving = afr.up if afr.state is State.UP else ()
            self._admission = admit(names, self.said, serving, self._fresh)
        admission = self._admission
        if admission.write is None or afr.up - admission.admitted:
            afr.take_part(admission.admitted, better)
        if self._out and not self._watching:
            self._watching = True
            self._afr.tasks.start_daemon(self._watch())
        if admission.write is not None and self.settled:
            self._write(*admission.write)

    def _write(self, child: int, identity: Identity, flags: int) -> None:
        turn = self._writing = object()

        call, root = Call(pid=INTERNAL_PID), Fd(ROOT_GFID, is_dir=True)

        def written(_: object, error: OSError | None) -> None:
            if error is None:
                self._wind(child, opened, Translator.opendir, call, ROOT_LOC, root)
            else:
                done(error)

        def opened(_: object, error: OSError | None) -> None:
            if error is None:
                self._wind(child, synced, Translator.fsyncdir, call, root)
            else:
                done(error)

        def synced(_: object, error: OSError | None) -> None:
            self._afr.children[child].release(root)
            done(None if error is not None and error.errno in NEVER_SYNCED else error)

        def done(error: OSError | None) -> None:
            if self._writing is turn:
                self._writing = None
                self._written(child, identity, error)

        # One that a loss of power makes forget who it is would be kept out.
        self._wind(child, written, Translator.setxattr, call, ROOT_LOC, {self.key: identity.packed}, flags)

    def _written(self, child: int, identity: Identity, error: OSError | None) -> None:
        """Look again: what stands there counts, and another client may have been first."""
        if child not in self.said:
            self._decide(better=False)
        elif error is None or error.errno == errno.EEXIST:
            self._wrote[child] = identity
            self.ask(child)
        elif error.errno in REFUSALS:
            self._work_without(child, str(error.strerror))
            self._decide(better=True)
        else:
            self._in_trouble(child, f"its id cannot be written: {error.strerror}")

    def _work_without(self, child: int, reason: str) -> None:
        name = self._afr.children[child].name
        log.warning("%s: %s refuses %s (%s): children are not checked", self._afr.name, name, self.key, reason)
        self._refused = True

    def _in_trouble(self, child: int, reason: str) -> None:
        self._forget(child)
        self._troubles[child] = reason
        self._decide(better=False)

    @property
    def _out(self) -> set[int]:
        """The children that are up, and do not take part."""
        return self._admission.reasons.keys() | self._troubles.keys()

    async def _watch(self) -> None:
        """Ask again while somebody is out: trouble ends, and another client may have accepted a child, and told all."""
        while self._out:
            await self._afr.seams.clock.sleep(RETRY_SECONDS)
            for child in sorted((self.said.keys() | self._troubles.keys()) - self._asked.keys()):
                self.ask(child)
        self._watching = False

    def _forget(self, child: int) -> None:
        self.said.pop(child, None)
        self._asked.pop(child, None)
        self._troubles.pop(child, None)
        self._wrote.pop(child, None)

    def new_id(self) -> bytes:
        return self._afr.seams.new_gfid()

    def _wind(self, child: int, heard: Callable[[Any, OSError | None], None], fop: Any, *args: Any) -> None:
        """Call a fop of a child, and `heard` as soon as it has answered, be that at once."""
        node = self._afr.children[child]
        try:
            answer: Awaitable[Any] = getattr(node, fop.__name__)(*args)
        except OSError as error:
            heard(None, error)
            return
        if type(answer) is Done:
            heard(answer.value, None)
            return
        coming = self._afr.tasks.coming(answer)

        def settled() -> None:
            try:
                reply = coming.result()
            except OSError as error:
                heard(None, error)
            except Exception as bug:
                heard(None, fail(errno.EIO, f"{type(bug).__name__}: {bug}"))
            else:
                heard(reply, None)

        coming.when_settled(settled)
