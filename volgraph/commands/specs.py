"""What the commands share: the options that say how a spec is read, `SPEC:/path`, and opening a volume."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import attrs

from ..fetching import SCHEME, fetched
from ..graph import Graph, Translator, load_class
from ..opening import graph_of, loop_options, open
from ..volspec import Spec, load
from ..volume import Volume

WAIT_SECONDS = 10.0


class Usage(Exception):
    """The command line cannot be carried out as it is written."""


class Told(Exception):
    """A signal ended the command; its number is the argument."""


@attrs.frozen
class Inside:
    """`SPEC:/path`: a path inside the volume of a spec."""

    spec: str
    path: str

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return f"{self.spec}:{self.path}"

    def join(self, name: str) -> Inside:
        return Inside(self.spec, os.path.join(self.path, name))


def place(text: str) -> Inside | str:
    """A path inside a volume, or a local one. The first `:/` divides (of gluster://HOST/ID:/path the second); write a
    local path that has one as `./a:/b`."""
    scheme = SCHEME if text.startswith(SCHEME) else ""
    spec, divider, path = text.removeprefix(scheme).partition(":/")
    spec = scheme + spec
    if not divider or not spec or text.startswith("./"):
        return text
    return Inside(spec, "/" + path)


def inside(text: str) -> Inside:
    """A path inside a volume; a spec alone means its root."""
    found = place(text)
    return found if isinstance(found, Inside) else Inside(found, "/")


def add_command(commands: Any, name: str, help: str, description: str = "") -> argparse.ArgumentParser:
    """A command. `help` tells of it in the list of all; that, as a sentence, and `description` in its own --help."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=f"{help[0].upper()}{help[1:]}. {description}".strip()
    )
    return parser


def add_spec_options(parser: argparse.ArgumentParser, *, waits: bool = True) -> None:
    group = parser.add_argument_group("how the spec is read")
    group.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="fill ${NAME} in the spec", dest="params"
    )
    add_plugin_option(group)
    group.add_argument("--dialect", choices=("modern", "1.3"), default="modern", help="grammar of the volfile")
    group.add_argument("--top", metavar="VOLUME", help="use this volume of the spec, not the last")
    if waits:
        group.add_argument(
            "--wait",
            type=_seconds,
            default=WAIT_SECONDS,
            metavar="SECONDS",
            help="for the nodes to come up (default 10)",
        )


def add_plugin_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="[TYPE=]MODULE:CLASS",
        help="use a translator of your own; without TYPE it is the class's type_name, or features/<class-name>",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # nor is it "nan"
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds, 0 or more")
    return seconds


def params(args: argparse.Namespace) -> dict[str, str]:
    pairs = [text.partition("=") for text in args.params]
    for name, equals, value in pairs:
        if not name or not equals:
            raise Usage(f"--set {name}{equals}{value}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def plugins(args: argparse.Namespace) -> dict[str, type[Translator]]:
    """The classes named by --plugin, by type name. Their modules may lie in the current directory."""
    found: dict[str, type[Translator]] = {}
    if args.plugin and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for text in args.plugin:
        name, equals, reference = text.rpartition("=")
        try:
            cls = load_class(reference)
        except ValueError as error:
            raise Usage(f"--plugin {text}: {error}") from error
        found[name if equals else type_name(cls)] = cls
    return found


def type_name(cls: type[Translator]) -> str:
    """The type that a class of one's own stands for: what it says itself, else `features/` and its name in small
    letters: `UpperCase` is `features/upper-case`."""
    said = getattr(cls, "type_name", None)
    kebab = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
    return said if isinstance(said, str) else f"features/{kebab}"


async def read(args: argparse.Namespace, spec: str) -> Spec:
    """The spec of a file, or of a server."""
    if spec.startswith(SCHEME):
        wait = getattr(args, "wait", WAIT_SECONDS)
        return await fetched(spec, wait, params(args), plugins(args), args.dialect)
    return load(spec, params=params(args), dialect=args.dialect)


async def linked(args: argparse.Namespace, spec: str) -> Graph:
    """The graph of a spec, not started."""
    source = await read(args, spec) if spec.startswith(SCHEME) else spec
    return graph_of(source, args.top, params(args), plugins(args), args.dialect)


def opened(args: argparse.Namespace, spec: str) -> AbstractAsyncContextManager[Volume]:
    """The volume of a spec; errors name `SPEC:/path`."""
    return open(spec, args.top, args.wait, params(args), plugins(args), args.dialect, label=spec)


@asynccontextmanager
async def volumes(args: argparse.Namespace) -> AsyncIterator[Callable[[str], Awaitable[Volume]]]:
    """Gives the volume of a spec. Each is opened once, when it is first asked for, however many paths are in it."""
    async with AsyncExitStack() as stack:
        found: dict[str, Volume] = {}

        async def volume_of(spec: str) -> Volume:
            if spec not in found:
                found[spec] = await stack.enter_async_context(opened(args, spec))
            return found[spec]

        yield volume_of


def run(work: Callable[..., Awaitable[Any]], *args: object) -> Any:
    """Run a command's coroutine on asyncio, or uvloop where it is installed. Told, it ends in order: volumes are
    closed, what is temporary is removed."""
    return anyio.run(_until_told, work, *args, backend="asyncio", backend_options=loop_options())


async def _until_told(work: Callable[..., Awaitable[Any]], *args: object) -> Any:
    scope, told = anyio.CancelScope(), list[int]()

    def end(number: int) -> None:
        told.append(number)
        scope.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # whoever was started with nohup goes on
            loop.add_signal_handler(number, end, number)
    with scope:
        return await work(*args)
    raise Told(told[0])
