"""check, show, explain: what a spec says, without opening it."""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from typing import Any

from ..graph import Option, Translator, Types, options_of, render
from ..graph.options import nearest
from ..volspec import SpecError
from .facts import children_of, default_of, fops_of, listed, summary_of
from .pages import page
from .screen import complain, strokes, table
from .specs import Usage, add_command, add_plugin_option, add_spec_options, linked, plugins, read, run

FORMATS = ("tree", "mermaid", "dot", "json", "vol", "yaml")


def register(commands: Any) -> None:
    check_parser = add_command(
        commands,
        "check",
        "find what is wrong with specs, without touching a disk",
        "Errors are told with file, line and column; status 1 if there are any. Warnings are no errors.",
    )
    check_parser.add_argument("specs", nargs="+", metavar="SPEC")
    check_parser.set_defaults(run=lambda args: run(check, args))
    show_parser = add_command(commands, "show", "draw the graph of a spec, or print it in another form")
    show_parser.add_argument("spec", metavar="SPEC")
    show_parser.add_argument("--format", choices=FORMATS, default="tree")
    show_parser.set_defaults(run=lambda args: run(show, args))
    explain_parser = add_command(commands, "explain", "list the types, or tell all about one")
    explain_parser.add_argument("type", nargs="?", metavar="TYPE", help="such as storage/posix")
    add_plugin_option(explain_parser)
    explain_parser.add_argument("--format", choices=("text", "markdown"), default="text")
    explain_parser.set_defaults(run=explain)
    for parser in (check_parser, show_parser):
        add_spec_options(parser, waits=False)


async def check(args: argparse.Namespace) -> int:
    status = 0
    for spec in args.specs:
        try:
            graph = await linked(args, spec)
        except SpecError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        except OSError as error:
            complain(error)
            status = 1
            continue
        for warning in graph.warnings:
            print(f"{spec}: warning: {warning}", file=sys.stderr)
        count = len(graph.nodes)
        print(f"{spec}: ok, {count} volume{'' if count == 1 else 's'}, top {graph.top.name}")
    return status


async def show(args: argparse.Namespace) -> int:
    if args.format in ("vol", "yaml"):
        spec = await read(args, args.spec)
        print(spec.to_vol() if args.format == "vol" else spec.to_yaml(), end="")
        return 0
    top = (await linked(args, args.spec)).top
    match args.format:
        case "tree":
            print(render.tree(top, strokes=strokes()))
        case "mermaid":
            print(render.mermaid(top))
        case "dot":
            print(render.dot(top))
        case _:
            print(render.as_json(top))
    return 0


def explain(args: argparse.Namespace) -> int:
    types = Types(plugins(args))
    if args.type is None:
        if args.format == "markdown":
            raise Usage("explain --format markdown: of which TYPE?")
        table(("TYPE", "WHAT IT DOES"), [(name, _summary(types, name)) for name in types])
        return 0
    if args.type not in types:
        close = nearest(args.type, list(types))
        raise Usage(f"unknown type '{args.type}'" + (f"; did you mean '{close}'?" if close else ""))
    try:
        cls = types[args.type]
    except ValueError as error:
        raise Usage(str(error)) from error
    if args.format == "markdown":
        print(page(args.type, [args.type], cls), end="")
    else:
        _explain(args.type, cls)
    return 0


def _summary(types: Types, name: str) -> str:
    try:
        return summary_of(types[name])
    except ValueError as error:  # somebody's plugin that does not load hides no other type
        return f"({error})"


def _explain(name: str, cls: type[Translator]) -> None:
    print(f"{name}  ({cls.__module__}:{cls.__qualname__})\n")
    print(inspect.getdoc(cls) or "No description.", end="\n\n")
    for title, text in (
        ("subvolumes", children_of(cls)),
        ("can", listed(cls.leaf_capabilities)),
        ("needs", listed(cls.needs)),
        ("cannot", listed(cls.loses)),
        ("handles", fops_of(cls)),
        ("ignores", ", ".join(sorted(cls.ignored_options))),
    ):
        if text:
            print(_wrapped(title, text))
    declared = options_of(cls)
    if declared:
        print()
        table(("OPTION", "TYPE", "DEFAULT", "MEANING"), [_row(option) for option in declared])


def _wrapped(title: str, text: str) -> str:
    first, rest = f"{title:12}", " " * 12
    return textwrap.fill(text, 110, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _row(option: Option) -> tuple[str, str, str, str]:
    also = f" (also {', '.join(option.aliases)})" if option.aliases else ""
    return option.key, option.type.name, default_of(option), option.help + also
