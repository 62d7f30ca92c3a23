"""The oracles of a sweep see what is wrong, and nothing else."""

import errno

from volgraph.graph import ROOT_GFID, Gfid
from volgraph.testing.invariants import Image, Marks, Trial, any_child, broken_by
from volgraph.translators.storage.memory import Item

SICK = OSError(errno.EIO, "sick")
HERE, THERE, MOVED, FILE = (Gfid(bytes([number]) * 16) for number in range(2, 6))
BLAME = {"trusted.afr.b": (1, 0, 1)}


def directory(gfid: Gfid) -> Item:
    return Item("directory", 0o755, 0, 0, b"", {}, gfid)


def file(content: bytes) -> Item:
    return Item("file", 0o644, 0, 0, content, {}, FILE)


def tree(where: str, content: bytes = b"") -> Image:
    """A directory, with a file in it, somewhere."""
    return {
        "/": directory(ROOT_GFID),
        "/here": directory(HERE),
        "/there": directory(THERE),
        where: directory(MOVED),
        f"{where}/file": file(content),
    }


def another_name(where: str, item: Item) -> Image:
    return {**tree("/here/d"), where: item}


def unmarked(images: list[Image], *marked: Gfid) -> list[str]:
    marks: list[Marks] = [dict.fromkeys(marked, BLAME), {}]
    trial = Trial(["a", "b"], any_child, None, None, images=images, marks=marks)
    return [wrong for _, wrong in broken_by(trial, ["I06"])]


def test_equal_copies_need_no_mark() -> None:
    assert unmarked([tree("/here/d"), tree("/here/d")]) == []


def test_a_directory_that_stands_elsewhere_is_a_difference_of_the_two_directories_alone() -> None:
    images = [tree("/there/d"), tree("/here/d")]

    assert unmarked(images, HERE, THERE) == []
    assert len(unmarked(images, HERE)) == 1
    assert len(unmarked(images, MOVED, FILE)) == 2


def test_other_contents_are_a_difference_of_the_file_wherever_it_stands() -> None:
    images = [tree("/there/d", b"new"), tree("/here/d", b"old")]

    assert unmarked(images, HERE, THERE, FILE) == []
    assert len(unmarked(images, HERE, THERE)) == 1


def test_an_object_that_one_copy_lacks_is_a_difference_of_its_directory() -> None:
    images: list[Image] = [{"/": directory(ROOT_GFID), "/f": file(b"")}, {"/": directory(ROOT_GFID)}]

    assert unmarked(images, ROOT_GFID) == []
    assert len(unmarked(images, FILE)) == 1


def read_by(*values: bytes | OSError, split: bool = False) -> list[str]:
    """What is wrong if a change failed, and one after the other reads these."""
    blames = [{FILE: {"trusted.afr.b": DATA}}, {FILE: {"trusted.afr.a": DATA if split else ATTRIBUTES}}]
    trial = Trial(["a", "b"], any_child, b"old", b"new", error=SICK, marks=blames)
    trial.readings = [(f"reader {number}", value) for number, value in enumerate(values)]
    return [name for name, _ in broken_by(trial, ["I02", "I03", "I12"])]


def test_what_somebody_has_read_nobody_later_finds_undone() -> None:
    assert read_by(b"old", b"new", SICK, b"new") == []
    assert read_by(b"old", b"old") == []
    assert read_by(b"new", SICK, b"old") == ["I03"]


def test_where_each_copy_blames_the_other_nobody_reads() -> None:
    assert read_by(SICK, SICK, split=True) == []
    assert read_by(SICK, b"new", split=True) == ["I12"]


def placed(*images: Image) -> list[str]:
    trial = Trial(["a", "b"], any_child, None, None, images=images)
    return [wrong for _, wrong in broken_by(trial, ["I13"])]


def test_a_directory_has_one_parent_and_a_gfid_is_one_object() -> None:
    assert placed(tree("/here/d"), tree("/there/d")) == []
    assert placed(tree("/here/d"), another_name("/there/file", file(b""))) == []
    assert len(placed(tree("/here/d"), another_name("/there/d", directory(MOVED)))) == 1
    assert len(placed(another_name("/there/file", file(b"other bytes")))) == 1


DATA, ATTRIBUTES = (1, 0, 0), (0, 1, 0)
LEAVES = {"a": [0], "b": [1], "c": [2], "d": [3], "left": [0, 1], "right": [2, 3]}


def torn(*blames: tuple[int, str, tuple[int, ...]], copies: int = 2) -> bool:
    """Whether they are if the copies say this of each other: (who, of whom, which counters)."""
    marks: list[dict[Gfid, dict[str, tuple[int, ...]]]] = [{} for _ in range(copies)]
    for who, whom, counters in blames:
        marks[who].setdefault(FILE, {})[f"trusted.afr.{whom}"] = counters
    below = {name: leaves for name, leaves in LEAVES.items() if max(leaves) < copies}
    return Trial("abcd"[:copies], any_child, None, None, marks=marks, below=below).torn


def test_copies_are_torn_where_one_is_good_for_each_kind_of_change_and_none_for_all() -> None:
    assert torn((0, "b", DATA), (1, "a", ATTRIBUTES))
    assert not torn((0, "b", DATA), (1, "a", ATTRIBUTES), copies=3)
    assert torn((0, "b", DATA), (1, "a", ATTRIBUTES), (0, "right", DATA), copies=4)


def test_a_split_brain_is_not_torn_and_neither_is_a_copy_that_missed_everything() -> None:
    assert not torn((0, "b", DATA), (1, "a", DATA))
    assert not torn((0, "b", DATA), (0, "b", ATTRIBUTES))
    assert not torn()


def acks(error: OSError | None) -> list[str]:
    images: list[Image] = [tree("/here/d")] * 2
    trial = Trial(
        ["a", "b"],
        any_child,
        b"there",
        b"there",
        refusal=errno.EEXIST,
        error=error,
        held=[b"there"] * 2,
        images=images,
        marks=[{}, {}],
        readings=[("somebody", b"there")],
    )
    return [wrong for _, wrong in broken_by(trial, ["I01", "I02", "I04"])]


def test_what_must_be_refused_is_right_when_it_is() -> None:
    assert acks(FileExistsError(errno.EEXIST, "there")) == []
    assert acks(OSError(errno.EIO, "sick")) == []
    assert acks(None) == ["what had to be refused was acked"]
