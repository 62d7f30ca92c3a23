"""Pictures of linked nodes: a tree for people, mermaid and dot for documents, JSON for programs. All are pure functions
of the nodes, and none recurses: specs may be deep."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from .graph import children_first
from .options import options_of
from .translator import Translator


@attrs.frozen
class Strokes:
    """What a tree is drawn with."""

    fork: str = "├── "
    end: str = "└── "
    bar: str = "│   "
    gap: str = "    "


ASCII = Strokes("|-- ", "`-- ", "|   ", "    ")


def label(node: Translator) -> str:
    return f"{node.name} ({node.type_name})"


def tree(top: Translator, describe: Callable[[Translator], str] = label, strokes: Strokes | None = None) -> str:
    """One line a node, children indented below it. A node with several parents is drawn whole once, then named."""
    strokes = strokes or Strokes()
    lines = []
    drawn: set[Translator] = set()
    todo = [(top, "", "")]
    while todo:
        node, lead, below = todo.pop()
        again = node in drawn and bool(node.below)
        lines.append(f"{lead}{describe(node)}{' (shown above)' if again else ''}")
        if again:
            continue
        drawn.add(node)
        for number, child in enumerate(reversed(node.below)):
            last = number == 0
            todo.append(
                (child, below + (strokes.end if last else strokes.fork), below + (strokes.gap if last else strokes.bar))
            )
    return "\n".join(lines)


def mermaid(top: Translator) -> str:
    """A mermaid flow chart. A dashed arrow leads to a node that an option names."""
    lines = ["graph TD"]
    numbers = _numbers(top)
    for node, number in numbers.items():
        lines.append(f'  n{number}["{_mermaid_text(node.name)}<br/>{_mermaid_text(node.type_name)}"]')
    for node, number in numbers.items():
        lines += [
            f"  n{number} {'-->' if child in node.children else '-.->'} n{numbers[child]}" for child in node.below
        ]
    return "\n".join(lines)


def dot(top: Translator) -> str:
    """A Graphviz digraph. A dashed arrow leads to a node that an option names."""
    lines = ["digraph volume {", "  node [shape=box];"]
    numbers = _numbers(top)
    for node, number in numbers.items():
        lines.append(f'  n{number} [label="{_dot_text(node.name)}\\n{_dot_text(node.type_name)}"];')
    for node, number in numbers.items():
        for child in node.below:
            style = "" if child in node.children else " [style=dashed]"
            lines.append(f"  n{number} -> n{numbers[child]}{style};")
    return "\n".join([*lines, "}"])


def as_json(top: Translator) -> str:
    """The top's name and every node, children first: name, type, options that are not at their default, children."""
    nodes = [
        {
            "name": node.name,
            "type": node.type_name,
            "options": options_set(node),
            "children": [child.name for child in node.children],
        }
        for node in children_first(top)
    ]
    return json.dumps({"top": top.name, "volumes": nodes}, indent=2)


def options_set(node: Translator) -> dict[str, Any]:
    """The options of a node that are not at their default, as JSON can hold them. Passwords are not told."""
    shown = {}
    for declared in options_of(type(node)):
        value = getattr(node, declared.field)
        default = declared.default.factory() if isinstance(declared.default, attrs.Factory) else declared.default  # type: ignore[arg-type]
        if value is not None and value != default:
            shown[declared.key] = "***" if "password" in declared.key else _plain(value)
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, Translator):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool) else str(value)


def _numbers(top: Translator) -> dict[Translator, int]:
    """The nodes from the top down, numbered: names may hold anything, numbers are safe identifiers."""
    return {node: number for number, node in enumerate(reversed(children_first(top)))}


def _mermaid_text(text: str) -> str:
    return "".join(char if char.isalnum() or char in " ./_-:" else f"#{ord(char)};" for char in text)


def _dot_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
