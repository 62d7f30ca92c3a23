"""The four shapes that a real tree is copied into, and what their bricks must hold together."""

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from tests.acceptance.brick_contents import Contents, contents, differences, entries, marks, spread, without_gfids
from volgraph.graph import Translator
from volgraph.translators import Afr, Unify

Bricks = Mapping[str, Translator]
Verdict = Callable[[Path, Contents], list[str]]


@attrs.frozen
class Shape:
    """`wrong` says, of a folder with all brick directories, where they differ from each other or from what the tree
    has become."""

    bricks: tuple[str, ...]
    build: Callable[[Bricks], Translator]
    wrong: Verdict


def mirror(bricks: Bricks) -> Translator:
    return Afr("mirror", [bricks["a"], bricks["b"]])


def binary_tree(bricks: Bricks) -> Translator:
    left, right = Afr("left", [bricks["a"], bricks["b"]]), Afr("right", [bricks["c"], bricks["d"]])
    return Afr("everywhere", [left, right])


def unify_over_mirrors(bricks: Bricks) -> Translator:
    first, second = Afr("first", [bricks["a"], bricks["b"]]), Afr("second", [bricks["c"], bricks["d"]])
    return Unify("all", [first, second], namespace=Afr("names", [bricks["m"], bricks["n"]]))


def mirror_of_unifies(bricks: Bricks) -> Translator:
    left = Unify("left", [bricks["a"], bricks["b"]], namespace=bricks["m"])
    right = Unify("right", [bricks["c"], bricks["d"]], namespace=bricks["n"])
    return Afr("mirror", [left, right])


# --- what must be equal ------------------------------------------------------------------------------------------


def all_copies(names: str) -> Verdict:
    """Every brick is a copy of the whole."""

    def wrong(folder: Path, expected: Contents) -> list[str]:
        first, *others = (contents(folder / name) for name in names)
        found = differences(without_gfids(first), expected)
        for other in others:
            found += differences(first, other)
        return found + _marks(folder, names)

    return wrong


def wrong_in_unify_over_mirrors(folder: Path, expected: Contents) -> list[str]:
    found: list[str] = []
    for one, other in ("ab", "cd", "mn"):
        found += differences(contents(folder / one), contents(folder / other))
    found += _wrong_in_unify(folder, "ac", "m", expected)
    return found + _marks(folder, "abcdmn")


def wrong_in_mirror_of_unifies(folder: Path, expected: Contents) -> list[str]:
    found = _wrong_in_unify(folder, "ab", "m", expected) + _wrong_in_unify(folder, "cd", "n", expected)
    left, right = (spread(folder / name for name in names)[0] for names in ("ab", "cd"))
    return found + differences(left, right) + _marks(folder, "abcdmn")


def _wrong_in_unify(folder: Path, storage: str, namespace: str, expected: Contents) -> list[str]:
    """Each file on one brick, each directory on all; the namespace has every name, and a directory's attributes."""
    whole, found = spread(folder / name for name in storage)
    names = contents(folder / namespace)
    found += differences(entries(whole, xattrs=False), entries(names, xattrs=False))
    for path, each in names.items():
        if each.kind == "directory":
            whole[path] = each
        elif each.kind == "file" and not each.contents.startswith("0 "):
            found.append(f"{path!r}: not empty in the namespace")
    return found + differences(without_gfids(whole), expected)


def _marks(folder: Path, names: str) -> list[str]:
    return [mark for name in names for mark in marks(folder / name)]


SHAPES = {
    "mirror": Shape(tuple("ab"), mirror, all_copies("ab")),
    "binary tree": Shape(tuple("abcd"), binary_tree, all_copies("abcd")),
    "unify over mirrors": Shape(tuple("abcdmn"), unify_over_mirrors, wrong_in_unify_over_mirrors),
    "mirror of unifies": Shape(tuple("abcdmn"), mirror_of_unifies, wrong_in_mirror_of_unifies),
}
