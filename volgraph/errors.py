"""How a fop's error reaches the application: with the path that the application gave, after one fresh try."""

from __future__ import annotations

import errno
import functools
import inspect
import os
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

StrPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""A path inside a volume, as `os` takes paths."""


def fresh(method: Callable[P, Coroutine[Any, Any, R]], paths: int = 1) -> Callable[P, Coroutine[Any, Any, R]]:
    """Of a method whose first argument is a path: its errors name the path, and ESTALE is tried again once.

    ESTALE means that an object went between two steps (path -> gfid -> fop); the second try resolves the path anew.
    """

    @functools.wraps(method)
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            try:
                return await method(*args, **kwargs)
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
            return await method(*args, **kwargs)
        except OSError as error:
            volume, *given = inspect.signature(method).bind(*args, **kwargs).arguments.values()
            raise at_path(error, *map(volume._caller.named, given[:paths]))  # noqa: B904 (it is the same error)

    return run


fresh_pair = functools.partial(fresh, paths=2)
"""`fresh` of a method that takes two paths: its errors name both."""


def at_path(error: OSError, name: str | bytes, other: str | bytes | None = None) -> OSError:
    """The same error, naming what the application named. What it named before becomes a note."""
    if error.filename is not None and error.filename != name:
        error.add_note(f"from {error.filename}")
    error.filename = name
    if other is not None:
        error.filename2 = other
    elif error.filename2 is not None:
        del error.filename2  # the brick's own; None would be printed too
    return error
