"""What each node of a tree shows, put together from the images of the bricks below it; and what is wrong with that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from ..graph import Gfid
from .invariants import Image
from .tree import AFR, BRICK, UNIFY, Tree


def view(
    tree: Tree, images: Mapping[str, Image], excused: Mapping[str, frozenset[Gfid]] = MappingProxyType({})
) -> tuple[Image, list[str]]:
    """What a node shows, from the images of the bricks below it, and what contradicts itself there; but for what is
    excused, by afr."""
    if tree.type == BRICK:
        return images.get(tree.name, {}), []
    views = [view(child, images, excused) for child in tree.children]
    wrong = [text for _, found in views for text in found]
    if tree.type == AFR:
        first, name = views[0][0], tree.children[0].name
        for child, (image, _) in zip(tree.children, views, strict=True):
            for path in sorted(set(image) | set(first)):
                if image.get(path) != first.get(path) and not _left_alone(path, (image, first), excused.get(tree.name)):
                    wrong.append(
                        f"{tree.name}: {path} is {image.get(path)} on {child.name}, {first.get(path)} on {name}"
                    )
        return first, wrong
    together: dict[str, object] = {}
    for image, _ in views:
        together.update(image)
    return together, wrong  # type: ignore[return-value]


def _left_alone(path: str, images: Sequence[Image], gfids: Collection[Gfid] | None) -> bool:
    """Is this a copy of one of these objects, or a name in one of them?"""
    directory = path.rpartition("/")[0] or "/"
    return any(image[at].gfid in (gfids or ()) for image in images for at in (path, directory) if at in image)


def one_place(tree: Tree, images: Mapping[str, Image], excused: Collection[str]) -> Iterator[str]:
    """What of a unify is not in its one place, but for these paths."""
    for child in tree.children:
        yield from one_place(child, images, excused)
    if tree.type != UNIFY or tree.namespace is None:
        return
    names, _ = view(tree.namespace, images)
    views = [view(child, images)[0] for child in tree.children]
    for path in sorted(set(names).union(*views).difference(excused)):
        here = [shown[path] for shown in views if path in shown]
        entry = names.get(path)
        if entry is None:
            yield f"{tree.name}: {path} is on a child, and not in the namespace"
        elif len(here) != (len(views) if entry.kind == "directory" else 1):
            yield f"{tree.name}: {path}, a {entry.kind}, is on {len(here)} of {len(views)} children"
        elif any((item.kind, item.gfid) != (entry.kind, entry.gfid) for item in here):
            yield f"{tree.name}: {path} is not the same object everywhere"
