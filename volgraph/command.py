"""The command line: `volgraph COMMAND ...`. Status 0: done, 1: an error, 2: a wrong command line, 128 and
more: ended by a signal."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .commands import demo, files, graphs, new, space, state, trees
from .commands.screen import complain, open_streams
from .commands.specs import Told, Usage
from .volspec import SpecError
from .volspec.errors import printable

MODULES = (graphs, new, files, trees, space, state, demo)

EPILOG = (
    "A path inside a volume is written SPEC:/path. A SPEC is a file, or gluster://HOST[:PORT]/ID: what a server hands"
    " out. `volgraph COMMAND --help` tells more of each."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    open_streams()
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    try:
        status = args.run(args)
        sys.stdout.flush()
    except Usage as error:
        print(f"volgraph: {printable(str(error))}", file=sys.stderr)
        return 2
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Told as told:
        return 128 + int(told.args[0])
    return int(status or 0)


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)} ({self.prog} --help tells more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="volgraph", description="Storage as a graph of translators.", epilog=EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in MODULES:
        module.register(commands)
    return parser


class _Version(argparse.Action):
    """Reads the version when it is asked for: that takes longer than all the rest of the command line."""

    def __call__(self, parser: argparse.ArgumentParser, *ignored: Any) -> None:
        from . import __version__

        print(f"volgraph {__version__}")
        parser.exit()


def _failed(error: OSError) -> int:
    if isinstance(error, BrokenPipeError) and error.filename is None:
        # Whoever read our output has gone. What is left in the buffer must not raise again when Python ends.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        return 1
    complain(error)
    return 1
