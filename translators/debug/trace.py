"""debug/trace: one line for every fop that passes."""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from ...graph import FOPS, Coming, Done, Translator, option
from ...graph.options import integer, one_of
from ...graph.types import Call, Fd, Gfid, Loc
from .fop_choice import fop_list

R = TypeVar("R")
P = ParamSpec("P")

log = logging.getLogger("volgraph.trace")

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
TEXT_MAX = 200
"""Characters of one argument or result in a line."""


@attrs.define(eq=False)
class Trace(Translator):
    """Write one line per fop to the logger `volgraph.trace`, and keep the last ones.

        volume traced
          type debug/trace
          option log-level info
          option history 500
          option include-ops lookup,writev
          subvolumes brick
        end-volume

    A line names the node and the fop, its arguments (bytes of files as their number), the result or the errno, and
    the microseconds from the call to the answer. `lines` holds the last `history` of them, in the order of the answers.
    `include-ops` names the fops to write, `exclude-ops` those to leave out of them.
    """

    log_level: str = option(one_of(*LEVELS), default="debug", help="the level at which lines are logged")
    history: int = option(integer(low=0, high=1_000_000), default=1000, help="lines kept in memory")
    include_ops: Sequence[str] = option(fop_list, default=(), help="fops that are written; none: every one")
    exclude_ops: Sequence[str] = option(fop_list, default=(), help="fops that are not")

    lines: deque[str] = attrs.field(init=False, repr=False)
    _level: int = attrs.field(init=False, repr=False)
    _written: frozenset[str] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.lines = deque(maxlen=self.history)
        self._level = LEVELS[self.log_level]
        self._written = frozenset(self.include_ops or FOPS) - frozenset(self.exclude_ops)

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        """The fop starts when it is called, as if no trace were there: what was answered at once stays so."""
        if fop.__name__ not in self._written:
            unseen: Awaitable[R] = getattr(self.child, fop.__name__)(*args, **kwargs)
            return unseen
        began = self.seams.clock.time_ns()
        what = f"{fop.__name__}({', '.join([*map(shown, args), *(f'{k}={shown(v)}' for k, v in kwargs.items())])})"
        try:
            answer: Any = getattr(self.child, fop.__name__)(*args, **kwargs)
        except OSError as error:
            self._write(what, _errno(error), began)
            raise
        if type(answer) is Done:
            self._write(what, shown(answer.value), began)
        elif isinstance(answer, Coming):
            answer.when_settled(lambda: self._write(what, _settled(answer), began))
        else:
            return self._watched(answer, what, began)
        passed_on: Awaitable[R] = answer
        return passed_on

    async def _watched(self, answer: Awaitable[R], what: str, began: int) -> R:
        try:
            reply = await answer
        except OSError as error:
            self._write(what, _errno(error), began)
            raise
        except BaseException as error:
            self._write(what, type(error).__name__, began)
            raise
        self._write(what, shown(reply), began)
        return reply

    def _write(self, what: str, result: str, began: int) -> None:
        line = f"{self.name}: {what} -> {result} {max(self.seams.clock.time_ns() - began, 0) // 1000} us"
        self.lines.append(line)
        log.log(self._level, "%s", line)


def shown(value: object) -> str:
    """An argument or a result in few characters."""
    if isinstance(value, Gfid):
        return value.text
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Call):
        return _call(value)
    if isinstance(value, Loc):
        return f"{value.parent.text}/{_name(value.name)}" if value.name else value.gfid.text
    if isinstance(value, Fd):
        return f"fd {value.gfid.text}"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return _cut(f"{{{', '.join(f'{key!r}: {shown(each)}' for key, each in value.items())}}}")
    return _cut(_fields(value) if attrs.has(type(value)) else repr(value))


def _call(call: Call) -> str:
    """Who asks, and which xdata keys come along."""
    keys = f" {list(call.xdata)}" if call.xdata else ""
    owner = f" owner {call.lk_owner.hex()}" if call.lk_owner else ""
    return f"<{call.uid}:{call.gid}{owner}{_cut(keys)}>"


def _fields(value: Any) -> str:
    """A reply without what is empty, and without the whole of its attributes."""
    parts = []
    for field in attrs.fields(type(value)):
        content = getattr(value, field.name)
        if not content:
            continue
        if attrs.has(type(content)):
            content = content.gfid if hasattr(content, "gfid") else content
        parts.append(f"{field.name}={len(content) if isinstance(content, list) else _plain(content)}")
    return f"{type(value).__name__}({', '.join(parts)})"


def _plain(content: object) -> str:
    """Of a field: what may be long is shortened, the rest is left as it is."""
    short = isinstance(content, bytes | bytearray | memoryview | Mapping | Enum)
    return shown(content) if short else _cut(repr(content))


def _name(name: bytes) -> str:
    return _cut(repr(name)[2:-1])


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}..."


def _errno(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def _settled(answer: Coming[Any]) -> str:
    try:
        return shown(answer.result())
    except OSError as error:
        return _errno(error)
    except BaseException as error:
        return type(error).__name__
