"""The command line: `volgraph COMMAND ...`. Status 0: done, 1: an error, 2: a wrong command line, 130: interrupted."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence

from .commands import demo, files, graphs, state, trees
from .commands.specs import Usage
from .volspec import SpecError

MODULES = (graphs, files, trees, state, demo)

EPILOG = "A path inside a volume is written SPEC:/path. `volgraph COMMAND --help` tells more of each."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    _let_names_through()
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    try:
        status = args.run(args)
        sys.stdout.flush()
    except Usage as error:
        print(f"volgraph: {error}", file=sys.stderr)
        return 2
    except SpecError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 130
    return int(status or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="volgraph", description="Storage as a graph of translators.", epilog=EPILOG)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in MODULES:
        module.register(commands)
    return parser


def _failed(error: OSError) -> int:
    if isinstance(error, BrokenPipeError) and error.filename is None:
        # Whoever read our output has gone. What is left in the buffer must not raise again when Python ends.
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        return 1
    print(f"volgraph: {describe(error)}", file=sys.stderr)
    return 1


def describe(error: OSError) -> str:
    """An error in one line: `mirror.vol:/a: No such file or directory`."""
    text = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        text = f"{name}: {text}"
    if error.errno in (errno.ENOTCONN, errno.EIO):  # which node it was helps here, and nowhere else
        text += "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return text


def _let_names_through() -> None:
    """A file name that is no text is printed as the bytes it is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
