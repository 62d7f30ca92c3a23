"""From a file, bytes or text to a Spec."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from .assembly import Assembly
from .errors import Problem, Problems, SpecError
from .fill import CommandRunner, Filler, Params
from .lexer import tokens
from .parser import Parser
from .source import FILE_SIZE_MAX, FIRST, VOLFILE_LINE_END, YAML_LINE_END, Source
from .spec import Spec
from .yaml_form import YamlReader

Dialect = Literal["modern", "1.3"]
Format = Literal["vol", "yaml"]

YAML_SUFFIXES = (".yaml", ".yml")
SCHEME = "gluster://"
"""Begins the name of a spec that a server hands out."""


def parse(
    text: str | bytes,
    filename: str = "<string>",
    dialect: Dialect = "modern",
    params: Params | None = None,
    format: Format = "vol",
    command_runner: CommandRunner | None = None,
) -> Spec:
    """The spec that `text` holds.

    `params` fills each `${name}`. `dialect="1.3"` takes the lines of a volume in any order and number. A command in
    back-ticks is an error unless `command_runner` is given: it gets the command's text and returns what stands for it.
    Raises `SpecError` with all that is wrong, each with its position.
    """
    if dialect not in ("modern", "1.3") or format not in ("vol", "yaml"):
        raise ValueError(f"dialect is 'modern' or '1.3' and format 'vol' or 'yaml', not {dialect!r} and {format!r}")
    if len(text) > FILE_SIZE_MAX:
        problems = Problems(Source(filename, ""))
        problems.add(f"a spec of more than {FILE_SIZE_MAX} bytes", FIRST)
        problems.raise_found()
    if isinstance(text, bytes):
        text = text.decode(errors="surrogateescape")
    with _collector_paused():
        return _read(text, filename, dialect, params, format, command_runner)


def _read(
    text: str,
    filename: str,
    dialect: Dialect,
    params: Params | None,
    format: Format,
    command_runner: CommandRunner | None,
) -> Spec:
    source = Source(filename, text, YAML_LINE_END if format == "yaml" else VOLFILE_LINE_END)
    problems = Problems(source)
    filler = Filler(problems, params, command_runner)
    loose = dialect == "1.3"
    assembly = Assembly(problems, last_option_wins=loose)
    if format == "yaml":
        YamlReader(text, filler, assembly, problems).file()
    else:
        Parser(tokens(text, filler, problems), assembly, problems, any_order=loose).file()
    spec = assembly.finish()
    spec.unused_params = frozenset(filler.unused)
    return spec


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without the garbage collector: it would go over all words again and again, and reading makes no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse_yaml(text: str | bytes, filename: str = "<string>", params: Params | None = None) -> Spec:
    """The spec that a YAML text holds. Raises `SpecError`."""
    return parse(text, filename, params=params, format="yaml")


def load(
    path: str | bytes | os.PathLike[str],
    params: Params | None = None,
    dialect: Dialect = "modern",
    command_runner: CommandRunner | None = None,
) -> Spec:
    """The spec in a file: YAML if its name ends in .yaml or .yml, else a volfile. Raises `SpecError` or `OSError`."""
    filename = os.fsdecode(path)
    if filename.startswith(SCHEME):
        hint = "volgraph.open takes it as it is; for a file of it: volgraph show URL --format vol >FILE"
        raise SpecError([Problem("load reads a file, and this spec is handed out by a server", filename, hint=hint)])
    with open(path, "rb") as file:
        text = file.read(FILE_SIZE_MAX + 1)
    format: Format = "yaml" if filename.lower().endswith(YAML_SUFFIXES) else "vol"
    return parse(text, filename, dialect, params, format, command_runner)
