"""Listings: the names are the namespace's, so none is ever missing; what a file's entry tells is its holder's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from ....graph import Answers, Call, Entries, Entry, Fd, Gfid, Iatt, Loc, LookedUp, Translator, wind
from .verdict import checked, merged, only_bearer

if TYPE_CHECKING:
    from .unify import Unify

T = TypeVar("T")

AT_ONCE_MAX = 64
"""How many entries are asked for at the same time."""


async def readdirp(unify: Unify, call: Call, fd: Fd, size: int, offset: int) -> Entries:
    """An entry whose holder is down, or cannot be told, comes without attributes: a lookup of it says why."""
    page = await unify.namespace.readdirp(call, fd, size, offset)
    asking = unify.without_lone_keys(call)
    entries: list[Entry] = []
    for some in _slices(page.entries, AT_ONCE_MAX):
        started = [(entry, _ask(unify, asking, fd.gfid, entry)) for entry in some]
        for entry, answers in started:
            entries.append(entry if answers is None else await _completed(entry, answers))
    return Entries(entries, page.end, page.xdata)


def _ask(unify: Unify, call: Call, directory: Gfid, entry: Entry) -> Answers[LookedUp] | None:
    """The holder's attributes, on their way; None for a directory, which has them from the namespace."""
    if entry.iatt is None or entry.iatt.is_dir:
        return None
    known = unify.known.known(entry.iatt.gfid)
    children = [known.place] if known is not None and known.place is not None else unify.children
    return wind(children, Translator.lookup, call, Loc(parent=directory, name=entry.name))


async def _completed(entry: Entry, answers: Answers[LookedUp]) -> Entry:
    assert entry.iatt is not None
    iatt: Iatt | None = None
    xdata = None
    outcomes = await answers.all()
    try:
        bearer = only_bearer(entry.iatt.gfid, outcomes)
        if bearer is not None:
            held = checked(entry.iatt, bearer)
            iatt, xdata = merged(entry.iatt, held.iatt), held.xdata
    except OSError:
        pass
    return Entry(entry.name, entry.offset, entry.kind, entry.gfid, iatt, xdata)


def _slices(items: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    return (items[start : start + length] for start in range(0, len(items), length))
