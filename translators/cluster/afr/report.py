"""What healing found and did, for callers and people."""

from __future__ import annotations

import attrs

from ....graph import Gfid


@attrs.define
class HealItem:
    """One object with a mark on it. `blamed` are the children that missed something, `sources` those that have it.

    `path` is filled in by whoever knows names (the Volume API); `reason` says why it is not healed.
    """

    gfid: Gfid
    blamed: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    reason: str = ""
    path: bytes | None = None


@attrs.define
class HealReport:
    """`pending` waits for a child that is down; `split_brain` needs a person's decision; `failed` met an error."""

    healed: list[HealItem] = attrs.field(factory=list)
    pending: list[HealItem] = attrs.field(factory=list)
    split_brain: list[HealItem] = attrs.field(factory=list)
    failed: list[HealItem] = attrs.field(factory=list)

    def add(self, other: HealReport) -> None:
        self.healed += other.healed
        self.pending += other.pending
        self.split_brain += other.split_brain
        self.failed += other.failed

    @property
    def clean(self) -> bool:
        """Nothing is left to be healed."""
        return not (self.pending or self.split_brain or self.failed)
