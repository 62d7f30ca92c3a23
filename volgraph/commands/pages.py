"""The page of a type, in markdown; and all of them, for the documentation:

python -m volgraph.commands.pages docs/translators
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..graph import Option, Translator, Types, options_of
from .facts import children_of, default_of, fops_of, listed, summary_of

EXAMPLE = re.compile(r"(?:^[ ]*volume \S+\n(?:.*\n)*?[ ]*end-volume[ ]*\n?)+", re.MULTILINE)
INDEX = "README.md"
MADE = "<!-- Made by `python -m volgraph.commands.pages docs/translators` from the code: change it there. -->\n"


def example_of(cls: type[Translator]) -> str:
    """The volume that a docstring opens with; "" where there is none."""
    found = EXAMPLE.search((inspect.getdoc(cls) or "") + "\n")
    return textwrap.dedent(found[0]).strip() + "\n" if found else ""


def page(title: str, names: list[str], cls: type[Translator]) -> str:
    """All about one class: `names` are the types that it stands for."""
    doc = (inspect.getdoc(cls) or "No description.") + "\n"
    found = EXAMPLE.search(doc)
    before, after = (doc[: found.start()], doc[found.end() :]) if found else (doc, "")
    parts = [f"# {title}\n", before.strip() + "\n"]
    if found:
        parts.append(f"```\n{example_of(cls)}```\n")
    if after.strip():
        parts.append(after.strip() + "\n")
    parts.append("".join(_facts([] if names == [title] else names, cls)))
    parts.append("## Options\n")
    parts.append(_options(cls))
    if "*" in cls.ignored_options:
        parts.append("Any option of GlusterFS is accepted, without effect.\n")
    elif cls.ignored_options:
        known = ", ".join(f"`{key}`" for key in sorted(cls.ignored_options))
        parts.append(f"Known to GlusterFS, and accepted without effect: {known}.\n")
    return "\n".join(parts)


def _facts(names: list[str], cls: type[Translator]) -> Iterator[str]:
    yield "| | |\n|---|---|\n"
    python = cls.__name__ if cls.__module__.startswith("volgraph.") else f"{cls.__module__}.{cls.__name__}"
    for title, text in (
        ("types", ", ".join(f"`{name}`" for name in names)),
        ("in Python", f"`volgraph.translators.{python}`" if python == cls.__name__ else f"`{python}`"),
        ("subvolumes", children_of(cls)),
        ("can", listed(cls.leaf_capabilities)),
        ("needs of them", listed(cls.needs)),
        ("cannot pass on", listed(cls.loses)),
        ("handles", fops_of(cls)),
    ):
        if text:
            yield f"| {title} | {text} |\n"


def _options(cls: type[Translator]) -> str:
    declared = options_of(cls)
    if not declared:
        return "None.\n"
    rows = "".join(_row(option) for option in declared)
    return f"| option | type | default | meaning |\n|---|---|---|---|\n{rows}"


def _row(option: Option) -> str:
    also = f"; also `{'`, `'.join(option.aliases)}`" if option.aliases else ""
    default = default_of(option)
    shown = default if default in ("", "required") else f"`{default}`"
    meaning = option.help + also
    return f"| `{option.key}` | {_cell(option.type.name)} | {shown} | {_cell(meaning)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


# --- all of them -----------------------------------------------------------------------------------------------------


def by_class(types: Mapping[str, type[Translator]]) -> dict[type[Translator], list[str]]:
    found: dict[type[Translator], list[str]] = {}
    for name in types:
        found.setdefault(types[name], []).append(name)
    return found


def home_of(cls: type[Translator]) -> str:
    """The type that a built-in class has by the place of its module: `cluster/afr`."""
    return "/".join(cls.__module__.replace("_", "-").split(".")[2:4])


def pages() -> dict[str, str]:
    """Every page of the built-in types, and the index, by the name of its file."""
    classes = {cls: names for cls, names in by_class(Types()).items() if cls.__module__.startswith("volgraph.")}
    made = {_file(cls): MADE + page(home_of(cls), names, cls) for cls, names in classes.items()}
    return {**made, INDEX: MADE + index(classes)}


def index(classes: Mapping[type[Translator], list[str]]) -> str:
    rows = []
    for cls in sorted(classes, key=home_of):
        names = ", ".join(f"`{name}`" for name in classes[cls])
        rows.append(f"| [{home_of(cls)}]({_file(cls)}) | {names} | {summary_of(cls)} |\n")
    return f"# Translators\n\n| page | types | what it does |\n|---|---|---|\n{''.join(rows)}"


def _file(cls: type[Translator]) -> str:
    return f"{home_of(cls).replace('/', '-')}.md"


def main(folder: str) -> None:
    for name, text in pages().items():
        (Path(folder) / name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
