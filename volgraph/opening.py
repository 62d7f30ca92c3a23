"""`volgraph.open`: from a spec, or from translators made in Python, to a Volume."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

from .errors import StrPath
from .fetching import SCHEME, fetched
from .graph import Graph, Seams, State, Translator, all_that_is_wrong, link
from .graph.capabilities import all_capabilities
from .volspec import Dialect, Problem, Spec, SpecError, load
from .volume import Volume

if TYPE_CHECKING:
    from .volspec import Params
    from .volume_sync import VolumeSync

Source: TypeAlias = StrPath | Spec | Translator
"""A path of a spec, `gluster://HOST[:PORT]/ID` (a server hands it out), a Spec, or a translator with all below it."""

Types: TypeAlias = Mapping[str, type[Translator]]


@asynccontextmanager
async def open(
    source: Source,
    top: str | None = None,
    wait: float = 10.0,
    params: Params | None = None,
    types: Types | None = None,
    dialect: Dialect = "modern",
    seams: Seams | None = None,
    label: str = "",
) -> AsyncIterator[Volume]:
    """Start a graph and give its Volume: `async with volgraph.open("mirror.vol") as vol`.

    Returns when every node has said that it is up or down, or after `wait` seconds. ENOTCONN, naming the nodes that are
    down and why, if the top is not up by then; SpecError for a spec that cannot be used. `top`: another volume of the
    spec than its last; `params` fill its `${name}`; `types`: classes of your own, by type name. With a `label`, errors
    of the volume name `label:path`.
    """
    if isinstance(source, str) and source.startswith(SCHEME):
        source = await fetched(source, wait, params, types, dialect, seams)
    async with graph_of(source, top, params, types, dialect, seams) as graph:
        await graph.heard_from_all(wait)
        if graph.top.state is not State.UP:
            raise not_connected(graph, wait)
        volume = Volume(graph, label=label)
        try:
            yield volume
        finally:
            volume.close()


@contextmanager
def open_sync(
    source: Source,
    top: str | None = None,
    wait: float = 10.0,
    params: Params | None = None,
    types: Types | None = None,
    dialect: Dialect = "modern",
    seams: Seams | None = None,
) -> Iterator[VolumeSync]:
    """`open` for programs without an event loop: the loop runs in a thread of its own."""
    from anyio.from_thread import start_blocking_portal

    from .volume_sync import VolumeSync

    with start_blocking_portal("asyncio", loop_options()) as portal:
        opened = portal.wrap_async_context_manager(open(source, top, wait, params, types, dialect, seams))
        with opened as volume:
            yield VolumeSync(volume, portal)


def loop_options() -> dict[str, bool]:
    """Of asyncio: uvloop where it is installed."""
    return {"use_uvloop": find_spec("uvloop") is not None}


def graph_of(
    source: Source,
    top: str | None = None,
    params: Params | None = None,
    types: Types | None = None,
    dialect: Dialect = "modern",
    seams: Seams | None = None,
) -> Graph:
    """The linked graph, not started. SpecError lists all that is wrong."""
    if isinstance(source, Translator):
        if top is not None or params:
            raise TypeError("top and params belong to a spec; a translator made in Python is its own top")
        return _checked(Graph(source, seams or Seams()))
    if not isinstance(source, Spec):
        try:
            source = load(os.fsdecode(source), params=params, dialect=dialect)
        except SpecError as error:
            raise all_that_is_wrong(error, types) from None
    return link(source, types=types, top=top, seams=seams)


def _checked(graph: Graph) -> Graph:
    """What link says of a spec, of nodes made in Python."""
    found: list[tuple[Translator, str, str]] = []
    able = all_capabilities(graph.nodes)
    seen: set[str] = set()
    for node in graph.nodes:
        if node.name in seen:
            found.append((node, f"several nodes are called '{node.name}'", "replication tells copies by their names"))
        seen.add(node.name)
        if len(set(node.children)) < len(node.children):
            found.append((node, "one of its children is given twice", "a copy of a copy is none"))
        low, high = node.children_allowed
        if len(node.children) < low or (high is not None and len(node.children) > high):
            found.append((node, f"{node.type_name} does not take {len(node.children)} children", "see its docstring"))
        found += [(node, message, hint) for _, message, hint in node.problems()]
        for child in node.below:
            if lacking := node.needs - able[child]:
                names = ", ".join(sorted(each.value for each in lacking))
                found.append((node, f"needs of '{child.name}' what it lacks: {names}", "use another child"))
    if found:
        raise SpecError(Problem(message, "<python>", None, node.name, hint) for node, message, hint in found)
    return graph


def not_connected(graph: Graph, waited: float) -> OSError:
    """Why the top is not up: the lowest nodes that are not, each with its reason."""
    silent = f"no answer in {waited:g} s"
    reasons: list[str] = []
    for node in graph.nodes:
        if node.state is State.UP:
            continue
        reason = node.down_reason or (silent if node.state is State.UNKNOWN else "down")
        if not any(reason in known for known in reasons):
            reasons.append(f"{node.name}: {reason}")
    return OSError(errno.ENOTCONN, f"{graph.top.name} is not up: {'; '.join(reasons)}")
