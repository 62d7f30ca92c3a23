"""Spec -> Graph: look up the types, read the options, connect the nodes. All problems are reported together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from ..volspec import Option, Problem, Spec, SpecError, Volume, Word
from ..volspec.errors import PROBLEMS_MAX
from . import options
from .capabilities import Capability, capabilities
from .graph import Graph
from .registry import KNOWN_TO_GLUSTERFS, Types
from .seams import Seams
from .translator import Translator


def link(
    spec: Spec,
    types: Mapping[str, type[Translator]] | None = None,
    top: str | None = None,
    seams: Seams | None = None,
) -> Graph:
    """Build the graph of a spec without starting it or touching a disk.

    `types` are classes of your own by type name, in front of the installed ones. `top` is another volume than the
    spec's last to use as the top. SpecError lists every problem with its position.
    """
    linker = _Linker(spec, Types(types))
    linker.link(spec.volumes.values())
    chosen = top if top is not None else spec.top
    if chosen not in spec.volumes:
        close = options.nearest(chosen, list(spec.volumes))
        hint = f"did you mean '{close}'?" if close else f"it has: {', '.join(list(spec.volumes)[:20])}"
        linker.problems.append(Problem(f"no volume '{chosen}' in this spec", spec.filename, None, None, hint, None))
    if linker.problems:
        raise SpecError(sorted(linker.problems, key=_position))
    graph = Graph(linker.nodes[chosen], seams or Seams(), linker.warnings)
    unused = set(spec.volumes) - {node.name for node in graph.nodes}
    graph.warnings += [f"parameter {name}: no ${{{name}}} in this spec" for name in sorted(spec.unused_params)]
    graph.warnings += [f"volume {name}: not used below {chosen}" for name in spec.volumes if name in unused]
    return graph


def all_that_is_wrong(error: SpecError, types: Mapping[str, type[Translator]] | None = None) -> SpecError:
    """An error of a text, with what link finds wrong in those volumes that could be read."""
    if error.partial is None:
        return error
    linker = _Linker(error.partial, Types(types), error.flawed)
    linker.link(volume for volume in error.partial.volumes.values() if volume.type.text)
    return SpecError(sorted([*error.problems, *linker.problems], key=_position))


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.position.line, problem.position.column) if problem.position is not None else (0, 0)


@attrs.define
class _Linker:
    spec: Spec
    types: Types
    flawed: frozenset[str] = frozenset()
    nodes: dict[str, Translator] = attrs.field(factory=dict)
    able: dict[Translator, frozenset[Capability]] = attrs.field(factory=dict)
    problems: list[Problem] = attrs.field(factory=list)
    warnings: list[str] = attrs.field(factory=list)

    def link(self, volumes: Iterable[Volume]) -> None:
        """Make the nodes, in order; what is wrong is noted, up to a limit."""
        for volume in volumes:
            if len(self.problems) >= PROBLEMS_MAX:
                self._problem(volume, volume.name, f"there are more errors; the first {PROBLEMS_MAX} are shown", None)
                return
            self._volume(volume)

    def _volume(self, volume: Volume) -> None:
        """Make the node of one volume, or note why it cannot be made. A volume above a broken one is checked as far
        as it can be: one mistake is reported once."""
        cls = self._class(volume)
        if cls is None:
            return
        fields, bad = options.read_text(cls, volume.option_map)
        written = {option.key.text: option for option in volume.options}
        for key, wrong in bad.items():
            word = written[key].value if wrong.in_value else written[key].key
            self._problem(volume, word, wrong.message, wrong.hint)
        self.warnings += [
            f"volume {volume.name.text}: option '{key}' has no effect here"
            for key in options.ignored(cls, volume.option_map)
        ]
        if cls.warning:
            self.warnings.append(f"volume {volume.name.text}: {volume.type.text}: {cls.warning}")
        excused = bad or volume.name.text in self.flawed
        found = [] if excused else list(self._absences(volume, cls))
        for message, hint in found:
            self._problem(volume, volume.name, message, hint)
        self._name_nodes(volume, cls, fields, written)
        children = tuple(self.nodes[child.text] for child in volume.subvolumes if child.text in self.nodes)
        if excused or found or len(children) < len(volume.subvolumes) or None in fields.values():
            return
        try:
            node = cls(volume.name.text, children, **fields)
        except ValueError as error:
            self._problem(volume, volume.name, str(error), "see volgraph explain " + volume.type.text)
            return
        node.type_name = volume.type.text
        for about, message, hint in node.problems():
            self._problem(volume, written[about].value if about in written else volume.name, message, hint)
        self.warnings += [f"volume {volume.name.text}: {text}" for text in node.warnings()]
        self._capabilities(volume, node)
        self.nodes[volume.name.text] = node

    def _class(self, volume: Volume) -> type[Translator] | None:
        name = volume.type.text
        try:
            return self.types[name]
        except KeyError:
            pass
        except ValueError as error:
            self._problem(volume, volume.type, str(error), "check the plugin's entry point")
            return None
        if name in KNOWN_TO_GLUSTERFS:
            self._problem(
                volume, volume.type, f"type '{name}' is known to GlusterFS, not supported here", "leave the volume out"
            )
            return None
        close = options.nearest(name, list(self.types))
        hint = f"did you mean '{close}'?" if close else "volgraph explain lists the types"
        self._problem(volume, volume.type, f"unknown type '{name}'", hint)
        return None

    def _absences(self, volume: Volume, cls: type[Translator]) -> Iterator[tuple[str, str]]:
        name = volume.type.text
        for absent in options.missing(cls, volume.option_map):
            yield f"{name} needs option '{absent.key}'", f"add: option {absent.key} <{absent.type.name}>"
        count = len(volume.subvolumes)
        if not cls.takes(count):
            yield (
                f"{name} takes {_wanted(*cls.children_allowed)}, not {count}",
                "add or remove names on its subvolumes line",
            )

    def _name_nodes(
        self, volume: Volume, cls: type[Translator], fields: dict[str, Any], written: Mapping[str, Option]
    ) -> None:
        """An option that names a volume gets the node. A broken node leaves None, and is not reported again."""
        for declared in options.options_of(cls):
            if declared.type is not options.volume or declared.field not in fields:
                continue
            name = fields[declared.field]
            fields[declared.field] = self.nodes.get(name)
            if name not in self.spec.volumes:
                key, value = next((key, option.value) for key, option in written.items() if declared.matches(key))
                close = options.nearest(name, list(self.spec.volumes))
                hint = f"did you mean '{close}'?" if close else "define that volume earlier in the file"
                self._problem(volume, value, f"option '{key}' names no volume: '{name}'", hint)

    def _capabilities(self, volume: Volume, node: Translator) -> None:
        for child in node.below:
            lacking = node.needs - self.able[child]
            if lacking:
                listed = ", ".join(sorted(each.value for each in lacking))
                self._problem(
                    volume, volume.name, f"needs of '{child.name}' what it lacks: {listed}", "use another child"
                )
        self.able[node] = capabilities(node, (self.able[child] for child in node.below))

    def _problem(self, volume: Volume, word: Word, message: str, hint: str | None) -> None:
        self.problems.append(self.spec.problem(message, word.position, volume.name.text, hint))


def _wanted(low: int, high: int | None) -> str:
    """How many subvolumes a type takes, in words."""
    if high == 0:
        return "no subvolumes"
    if low == high:
        return "one subvolume" if low == 1 else f"{low} subvolumes"
    return f"at least {low} subvolume{'s' * (low > 1)}" if high is None else f"{low} to {high} subvolumes"
