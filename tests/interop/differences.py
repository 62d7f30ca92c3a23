"""Where our replication leaves other marks than GlusterFS's: each difference by name, why, and what still holds.

python -m tests.interop.differences docs/changelogs.md
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from tests.interop.changelogs import Counters, Found, Marks
from tests.interop.histories import HISTORIES, WHILE_OPEN, History


@attrs.frozen
class Difference:
    """`holds` tells of one object on one brick, given what theirs and ours have left there, whether it is just that."""

    name: str
    why: str
    holds: Callable[[Found, Found], bool]


# --- everywhere ------------------------------------------------------------------------------------------------------

NAMES_TWICE = "names count twice"
NAMES_TWICE_WHY = (
    "GlusterFS lists each name that changed in an index of its own (`entry-changes`), and its healers look at those "
    "names alone, unless the data counter of the directory says that the list is not whole. We keep no such list: what "
    "we count for the names of a directory we count as its data, too."
)


def names_twice(found: Found) -> Found:
    """What GlusterFS leaves, as we write it."""
    if found.kind != "directory":
        return found
    marks: Marks = {
        key: (counters[2] or counters[0], *counters[1:]) if key != "dirty" else counters
        for key, counters in found.marks.items()
    }
    return Found(found.kind, marks)


# --- single objects --------------------------------------------------------------------------------------------------


def sign(counters: Counters) -> tuple[bool, ...]:
    return tuple(map(bool, counters))


def same_signs(theirs: Marks, ours: Marks) -> bool:
    return {key: sign(value) for key, value in theirs.items()} == {key: sign(value) for key, value in ours.items()}


def counted_once(theirs: Found, ours: Found) -> bool:
    doubled = {key: (2 * data, 2 * metadata, 2 * entry) for key, (data, metadata, entry) in ours.marks.items()}
    return theirs == Found(ours.kind, doubled)


def told_once(theirs: Found, ours: Found) -> bool:
    """Of what is not zero with theirs ours has exactly one."""
    return same_signs(theirs.marks, ours.marks) and all(sum(counters) == 1 for counters in ours.marks.values())


def only_ours_dirty(theirs: Found, ours: Found) -> bool:
    dirty = ours.marks.get("dirty", (0, 0, 0))
    return theirs == Found(ours.kind, without_dirty(ours)) and sum(dirty) == 1


def only_theirs_dirty(theirs: Found, ours: Found) -> bool:
    return ours == Found(theirs.kind, without_dirty(theirs))


def without_dirty(found: Found) -> Marks:
    return {key: counters for key, counters in found.marks.items() if key != "dirty"}


RENAMED_ONCE = Difference(
    "a rename is one change",
    "A rename within one directory counts twice with GlusterFS, once for each name; with us it is one change.",
    counted_once,
)
TOLD_ONCE = Difference(
    "a missed copy is told once",
    "While a file is open, a copy that misses several writes is put on record once, before the first of them is "
    "answered (decision 18). GlusterFS counts each write that does not join another.",
    told_once,
)
ANNOUNCED = Difference(
    "the shortcut needs good copies",
    "With `optimistic-change-log` on, we go without announcing a change only while every copy is known to be good. So "
    "the second change of names that a brick refuses has been announced, and that brick keeps the mark, as every "
    "refusing brick does without the shortcut.",
    only_ours_dirty,
)
MARKED = Difference(
    "what failed is marked",
    "With `optimistic-change-log` on, a change that failed below its quorum leaves on every copy that took part the "
    "mark that an announced one would have left. GlusterFS leaves one only where a change of names succeeded; where "
    "attributes were changed on a copy too few, it leaves none, and nobody finds the difference.",
    lambda theirs, ours: only_ours_dirty(theirs, ours) or counted_once(theirs, ours),
)
FSYNC_ENDS = Difference(
    "fsync takes the mark back",
    "With us nothing is left on record once fsync has answered. GlusterFS's fsync leaves a mark of its own for "
    "`post-op-delay-secs`.",
    only_theirs_dirty,
)
TRUNCATE_JOINS = Difference(
    "ftruncate shares the mark",
    "With us every change of contents shares the lock and the mark of those before it, and leaves them to those that "
    "come. With GlusterFS ftruncate ends that at once.",
    only_ours_dirty,
)
HEALED_BY_LOOKUP = Difference(
    "no name is healed by looking it up",
    "GlusterFS heals a name when a client looks it up: what was missed is there, or gone, before the next change, "
    "which then succeeds on both copies. With us a healer does that, and the copy is blamed once more.",
    lambda theirs, ours: theirs != ours,
)
COMES_BACK = Difference(
    "a refused unlink does not come back",
    "A brick that refuses to remove a name refuses GlusterFS's healing lookup too, which then takes the name for one "
    "that exists (EEXIST), and may make the file again on the copy that had removed it. With us it is gone: the blame "
    "on the directory says who is right.",
    lambda theirs, ours: theirs != ours,
)


def blamed_for_the_sync(theirs: Found, ours: Found) -> bool:
    data, metadata, entry = theirs.marks.get("1", (0, 0, 0))
    return ours == Found(theirs.kind, {**theirs.marks, "1": (data + 1, metadata, entry)})


UNSYNCED = Difference(
    "a copy that went before its fsync is blamed",
    "Bytes of a file were overwritten, and a copy went before it was asked to put them on its disk. Nobody knows "
    "whether it has kept them, so it is blamed. GlusterFS takes them for kept.",
    blamed_for_the_sync,
)

DIFFERENCES = (
    RENAMED_ONCE,
    TOLD_ONCE,
    ANNOUNCED,
    MARKED,
    FSYNC_ENDS,
    TRUNCATE_JOINS,
    HEALED_BY_LOOKUP,
    COMES_BACK,
    UNSYNCED,
)
OTHER_ANSWERS = (COMES_BACK,)
"""Those that a caller sees."""

ALL = "*"
"""Every object that is not named."""

RENAMES = {"rename": RENAMED_ONCE, "rename-over": RENAMED_ONCE}
REFUSED = {
    **RENAMES,
    "one-open-file/f": TOLD_ONCE,
    "unlink-and-create": COMES_BACK,
    "unlink-and-create/f": COMES_BACK,
}
WITHOUT_SHORTCUT: Mapping[str, Mapping[str, Difference]] = {
    "second_copy_away": RENAMES,
    "first_copy_away": RENAMES,
    "third_copy_away": RENAMES,
    "away_and_back": dict.fromkeys(("create-and-write/f", "rename", "rename/h"), HEALED_BY_LOOKUP),
    "one_away_then_the_other": {"rename": RENAMED_ONCE},
    "open_files_lose_a_copy": dict.fromkeys((f"{name}/f" for name in WHILE_OPEN), UNSYNCED),
    "client_killed_after_writes": {
        "fsync/f": FSYNC_ENDS,
        "write-and-fsync/f": FSYNC_ENDS,
        "ftruncate/f": TRUNCATE_JOINS,
    },
    "one_refuses": REFUSED,
    "both_refuse_differently": RENAMES,
    "brick_killed_in_the_midst": RENAMES,
    "brick_and_client_killed_in_the_midst": RENAMES,
    "two_of_three_refuse": RENAMES,
    "one_of_three_away_one_refuses": RENAMES,
}
WITH_SHORTCUT: Mapping[str, Mapping[str, Difference]] = {
    "second_copy_away": RENAMES,
    "one_refuses": {**REFUSED, "create-two": ANNOUNCED, "create-and-unlink": ANNOUNCED},
    "both_refuse_differently": {ALL: MARKED},
    "two_of_three_refuse": {ALL: MARKED},
}


def differences_of(history: History, optimistic: bool) -> Mapping[str, Difference]:
    """By path."""
    return (WITH_SHORTCUT if optimistic else WITHOUT_SHORTCUT).get(history.name, {})


# --- the page --------------------------------------------------------------------------------------------------------

HEAD = """\
# What is left on disk, beside GlusterFS

The same histories are played through GlusterFS 10.3's own replication and through ours, each over the same bricks and
from the same volfile. Then every object of every brick is compared: whether it is there, its counters (data, metadata,
entry) for each copy and for changes of unknown outcome, and whether the indices name it; and what the caller was
answered. All is equal, but for what this page names; of that, the test says what still holds. Each history does one of
each operation (or those that matter to it) on objects of its own.

The tests are in `tests/interop/test_counters.py` (`make interop`). This page is written by
`python -m tests.interop.differences docs/changelogs.md`.

"""

TAIL = """
## Where GlusterFS's healer works on what our clients left

- Set `granular-entry-heal off` for it. What a copy missed it heals either way. But where a client of ours died in the
  midst of changing names, or could not tell what became of the change, there is only the mark `trusted.afr.dirty` on
  the directory: a granular healer then looks at the names on its own list, finds none, and takes the mark back, though
  the copies differ. Our own healer compares all names.
- Where a copy misses a move from one directory to another, that is first put on record on the object, under a key
  of our own, and taken back once both directories are told. A client that dies in between leaves it there, until our
  healer has healed everything (`volgraph heal --full`): GlusterFS's does not know it.
- Half done renames over another object, and of directories, it leaves as they are, also those of its own clients. Our
  healer ends them (`tests/interop/test_unfinished_is_healed.py`).
"""


def page() -> str:
    rows = ["| what happens | copies | bricks | `optimistic-change-log` | equal but for |", "|---|---|---|---|---|"]
    for history in HISTORIES:
        for optimistic in history.optimistic:
            names = sorted({each.name for each in differences_of(history, optimistic).values()})
            cells = (
                history.told,
                str(history.copies),
                "ours" if history.troubled else "GlusterFS",
                "on" if optimistic else "off",
                "; ".join(names),
            )
            rows.append(f"| {' | '.join(cells)} |")
    told = [f"- **{NAMES_TWICE}** (everywhere). {NAMES_TWICE_WHY}"]
    told += [f"- **{each.name}**. {each.why}" for each in DIFFERENCES]
    return HEAD + "\n".join(rows) + "\n\n## The differences\n\n" + "\n".join(told) + "\n" + TAIL


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
