"""Who the children of an afr are, and what follows from what they say: the verdicts of `known_children`.

On each child's root stands `trusted.afr.<name of the afr>.volgraph-id`: the child's own id of 16 bytes, then the ids of
all children in order. The first child decides which ids count at first use: it gets the list first, with nobody's id in
front, and its own id last. So two clients that start at once agree, and a first use that was cut off is told from a
disk that was replaced.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

import attrs

ID_BYTES = 16
NOBODY = bytes(ID_BYTES)
CREATE = os.XATTR_CREATE


@attrs.frozen
class Identity:
    """What stands on one child's root. `own` is nobody's while the first use is under way."""

    own: bytes
    everyone: tuple[bytes, ...]

    @classmethod
    def read(cls, value: object) -> Identity | None:
        """None where there is none. What cannot be read is an identity that fits nowhere."""
        if not isinstance(value, (bytes, bytearray, memoryview)) or not value:
            return None
        ids = [bytes(value[at : at + ID_BYTES]) for at in range(0, len(value), ID_BYTES)]
        return cls(ids[0], tuple(ids[1:])) if len(ids[-1]) == ID_BYTES else cls(NOBODY, ())

    @property
    def packed(self) -> bytes:
        return self.own + b"".join(self.everyone)

    def at(self, child: int) -> bytes:
        """Who it says is at that place."""
        return self.everyone[child] if child < len(self.everyone) else NOBODY

    def fits(self, child: int) -> bool:
        return self.own != NOBODY and self.at(child) == self.own


Said = Mapping[int, Identity | None]
"""What the children that have answered say, by index; None: nothing."""


@attrs.frozen
class Admission:
    """Who may take part, why the others may not, and at first use what is to be written next."""

    admitted: frozenset[int]
    reasons: Mapping[int, str] = attrs.field(factory=dict)
    write: tuple[int, Identity, int] | None = None
    """The child, its identity, and the flags of setxattr."""
    first_use: bool = False


def admit(names: Sequence[str], said: Said, serving: Collection[int], fresh: Sequence[bytes]) -> Admission:
    """Decide. `names` are the children's, `serving` those that take part already, `fresh` ids to be given out."""
    ids = _ids_of_first_use(said, len(names), fresh)
    if ids is not None:
        return _first_use(said, ids, serving)
    admitted = agreeing(said, serving)
    reasons = {child: _why_not(names, child, said, admitted) for child in said if child not in admitted}
    return Admission(admitted, reasons)


def agreeing(said: Said, serving: Collection[int] = ()) -> frozenset[int]:
    """The children that stand at their places and know each other. Where they fall apart, those that serve already are
    right; then those that more agree with, among as many those with the first child."""
    placed = {child: identity for child, identity in said.items() if identity is not None and identity.fits(child)}

    def know(one: int, other: int) -> bool:
        a, b = placed[one], placed[other]
        return a.at(other) == b.own and b.at(one) == a.own

    friends = {child: sum(know(child, other) for other in placed) for child in placed}
    admitted: list[int] = []
    for child in sorted(placed, key=lambda child: (child not in serving, -friends[child], child)):
        if all(know(child, other) for other in admitted):
            admitted.append(child)
    return frozenset(admitted)


def _ids_of_first_use(said: Said, count: int, fresh: Sequence[bytes]) -> tuple[bytes, ...] | None:
    """The ids that are being given out; None if that is over."""
    if not any(said.values()):
        return tuple(fresh)
    first = said.get(0)
    if first is None or first.own != NOBODY or len(first.everyone) != count:
        return None
    others = {child: identity for child, identity in said.items() if child and identity is not None}
    own = all(identity == Identity(first.at(child), first.everyone) for child, identity in others.items())
    return first.everyone if own else None


def _first_use(said: Said, ids: tuple[bytes, ...], serving: Collection[int]) -> Admission:
    """Give out the ids, one child after the other. Somebody serves only if the first child was away for a while."""
    written = {child for child in said if said[child] == Identity(ids[child], ids)}
    admitted = frozenset(written) & frozenset(serving)
    missing = [child for child in range(len(ids)) if child not in said]
    if missing:
        return Admission(admitted, first_use=True)
    first, *others = [child for child in range(len(ids)) if child not in written]
    if said[0] is None:
        return Admission(admitted, write=(0, Identity(NOBODY, ids), CREATE), first_use=True)
    turn, flags = (others[0], CREATE) if others else (first, 0)
    return Admission(admitted, write=(turn, Identity(ids[turn], ids), flags), first_use=True)


def _why_not(names: Sequence[str], child: int, said: Said, admitted: Collection[int]) -> str:
    """For people. No comma stands in it: it goes into lists."""
    identity = said[child]
    if identity is None or identity == Identity(NOBODY, identity.everyone):
        return "it is not known here: a new disk or an empty mount point?"
    for place in range(min(len(names), len(identity.everyone))):
        if place != child and identity.at(place) == identity.own:
            return f"it is the copy that belongs at the place of {names[place]}"
    if admitted and identity.fits(child):
        return f"it does not belong together with {names[min(admitted)]}"
    return "it belongs to other copies than these"
