"""What an afr can be told, and what it says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from ....graph import Capability, Translator, option
from ....graph import options as kinds
from .verdict import Quorum, quorum_of, risks_of


@attrs.define(eq=False)
class AfrSettings(Translator):
    """See `Afr`."""

    quorum_type: str = option(
        kinds.one_of("none", "fixed", "auto"), default="", help="auto for more than two children, else none"
    )
    quorum_count: int = option(kinds.integer(low=1), default=1, help="children needed, for quorum-type fixed")
    read_subvolume: str = option(kinds.text, default="", help="the child to read from, if its copy is good")
    choose_local: bool = option(kinds.boolean, default=True, help="read from a child on this host, where there is one")
    read_hash_mode: int = option(
        kinds.integer(low=0, high=3),
        default=1,
        help="how reads are spread over good copies: 0 the first, 1 by the file's gfid, 2 by gfid and client, 3 the one"
        " with the fewest reads under way",
    )
    strict_reads: bool = option(
        kinds.boolean,
        default=False,
        help="ask all children before each read, and answer only what a quorum holds for certain: nothing that was read"
        " once is ever unread",
    )
    eager_lock: bool = option(
        kinds.boolean, default=True, help="keep a file's lock for the next write, which then costs one round"
    )
    eager_entry_lock: str = option(
        kinds.one_of("auto", "on", "off"),
        default="auto",
        help="keep a directory's lock for the next change of its names, which then costs one round; where other clients"
        " change it, too, single names are locked for a while. auto: where all children are in this process. A healer"
        " of GlusterFS can reach any others, and brings removed names back where a brick went within that time",
    )
    post_op_delay: float = option(
        kinds.duration(low=0),
        default=1.0,
        key="post-op-delay-secs",
        help="how long, or up to twice as long, a file or directory stays locked for the next change; flush, fsync and"
        " other clients end it at once",
    )
    optimistic_change_log: bool = option(
        kinds.boolean,
        default=False,
        help="change names and attributes without announcing it first, while all copies are good: faster by two rounds;"
        " but a client that dies in the middle of a change leaves copies that differ, and no mark of it",
    )
    ensure_durability: bool = option(
        kinds.boolean, default=True, help="what was overwritten is fsynced before the marks that guard it are cleared"
    )
    laggard_timeout: float = option(
        kinds.duration(low=0),
        default=0.0,
        help="how long a child may lag behind a quorum that has answered, 0: for ever. Then the caller gets its answer,"
        " and the child is blamed for what it missed, and fenced until it has answered too or its connection is cut."
        " All clients of a volume should have it, and an afr above another a longer one",
    )
    self_heal_daemon: bool = option(kinds.boolean, default=True, help="heal when a child comes back")
    pending_names: tuple[str, ...] = option(
        kinds.words(),
        default=(),
        key="afr-pending-xattr",
        help="names in the changelog keys, one per child; the children's names unless given",
    )
    dirty_key: str = option(
        kinds.text, default="", key="afr-dirty-xattr", help="trusted.afr.dirty unless an afr lies below"
    )
    known_children: bool = option(
        kinds.boolean, default=True, help="children that are not known, by an id on each one's root, stay out"
    )
    replicate: str = option(kinds.text, default="", help="1.3's pattern: only *:N with N children is supported")

    children_allowed: ClassVar[tuple[int, int | None]] = (1, None)
    needs: ClassVar[frozenset[Capability]] = frozenset(
        (Capability.PARTIAL_WRITES, Capability.XATTRS, Capability.XATTROP, Capability.LOCKS)
    )
    ignored_options: ClassVar[frozenset[str]] = frozenset(
        (
            *(f"{what}-{about}" for what in ("data", "metadata", "entry") for about in ("self-heal", "change-log")),
            *("background-self-heal-count", "heal-wait-queue-length", "data-self-heal-algorithm", "self-heal", "debug"),
            *("data-self-heal-window-size", "quorum-reads", "lock-node", "pre-op-compat", "full-lock"),
            *("locking-scheme", "granular-entry-heal", "consistent-metadata", "iam-self-heal-daemon", "node-uuid"),
            *("iam-nfs-daemon", "heal-timeout", "shd-max-threads", "shd-wait-qlength", "use-anonymous-inode"),
            *("volume-id", "strict-readdir", "*-lock-server-count", "halo-*"),
        )
    )

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        """Options that do not fit the children."""
        found: list[tuple[str | None, str, str]] = []
        count, names = len(self.children), [child.name for child in self.children]
        if self.quorum_type == "fixed" and self.quorum_count > count:
            found.append(
                ("quorum-count", f"a quorum of {self.quorum_count} needs more than {count} children", f"1 to {count}")
            )
        if self.pending_names and len(self.pending_names) != count:
            found.append(("afr-pending-xattr", f"needs {count} names, one per child", f"write {','.join(names)}"))
        if self.read_subvolume and self.read_subvolume not in names:
            found.append(("read-subvolume", f"'{self.read_subvolume}' is no child", f"one of {', '.join(names)}"))
        if self.replicate and self.replicate != f"*:{count}":
            found.append(("replicate", f"'{self.replicate}' is not supported: every child gets a copy", f"*:{count}"))
        return found

    def warnings(self) -> Sequence[str]:
        return risks_of(self.asked_quorum)

    @property
    def asked_quorum(self) -> Quorum:
        """How many children must take part, as the options have it."""
        return quorum_of(self.quorum_type, self.quorum_count, len(self.children))
