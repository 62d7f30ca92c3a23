"""debug/error-gen: fops that fail on request."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from ...graph import Translator, fail, option
from ...graph.options import OptionType, boolean, nearest, path, percent
from .fop_choice import fop_rates, rates, switched_on

R = TypeVar("R")
P = ParamSpec("P")

SHORT_WRITE = "short-write"
SHORT_WRITE_IN_GLUSTERFS = "GF_ERROR_SHORT_WRITE"

ERRNOS: dict[str, int] = {name: getattr(errno, name) for name in dir(errno) if name.startswith("E")}


def _error_name(value: str) -> str:
    if value in (SHORT_WRITE, SHORT_WRITE_IN_GLUSTERFS):
        return SHORT_WRITE
    name = value.upper()
    if name not in ERRNOS:
        close = nearest(name, list(ERRNOS)) or nearest(value.lower(), [SHORT_WRITE])
        raise ValueError(f"no errno is called '{value[:64]}'" + (f": did you mean '{close}'?" if close else ""))
    return name


def _checked(value: Any) -> str:
    """In Python `errno.EIO` will do as well as "EIO"."""
    if value not in errno.errorcode:
        raise ValueError(f"{value!r} is no errno")
    return errno.errorcode[value]


error_name = OptionType(f"errno name | {SHORT_WRITE}", _error_name, _checked)


@attrs.define(eq=False)
class ErrorGen(Translator):
    """Let some fops fail before they reach the child, so that nothing of them is done.

        volume faulty
          type debug/error-gen
          option failure 10
          option error-no EIO
          option enable writev:50,fsync
          option trigger-file /run/faulty
          subvolumes brick
        end-volume

    `failure` is the share of the chosen fops that fail, in percent: evenly spaced and counted for each fop by itself
    (10: the tenth, the twentieth, ...), or drawn with `random-failure`. `enable` chooses fops; one written as
    NAME:PERCENT has a rate of its own. With `trigger-file`, fops fail, and are counted, only while that file exists.

    `error-no short-write` makes a chosen writev write the first half of its data alone, and say so; it touches no
    other fop. A fop that is not chosen goes to the child as if this node were not there.
    """

    failure: float = option(percent, default=10.0, help="percent of the chosen fops that fail")
    error_no: str | int = option(error_name, default="EIO", help="what they fail with")
    enable: Sequence[str] | Mapping[str, float] = option(
        fop_rates,
        default=(),
        aliases=("error-fops",),
        help="fops that may fail, NAME:PERCENT for a rate; none: every one",
    )
    random_failure: bool = option(boolean, default=False, help="draw which fops fail instead of counting")
    trigger_file: str | None = option(path, default=None, help="fail only while this file exists")

    _errno: int | None = attrs.field(init=False, repr=False)
    """None: the write is short."""
    _rates: dict[str, float] = attrs.field(init=False, repr=False)
    _counts: dict[str, int] = attrs.field(init=False, repr=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._rates = rates(self.enable, self.failure)
        self._errno = None if self.error_no == SHORT_WRITE else ERRNOS[str(self.error_no)]
        if self._errno is None:
            self._rates = {name: rate for name, rate in self._rates.items() if name == "writev"}

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        others = [word for word in self.enable if word.partition(":")[0] != "writev"]
        if self._errno is None and others:
            return [("error-no", f"a {SHORT_WRITE} is of writev alone, not of {others[0]}", "enable writev, or no fop")]
        return ()

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        name = fop.__name__
        given: Sequence[Any] = args
        rate = self._rates.get(name)
        if rate is not None and switched_on(self.seams, self.trigger_file) and self._is_due(name, rate):
            if self._errno is not None:
                raise fail(self._errno, f"{self.name}: {name}")
            given = _first_half(*args)
        answer: Awaitable[R] = getattr(self.child, name)(*given, **kwargs)
        return answer

    def _is_due(self, name: str, rate: float) -> bool:
        if self.random_failure:
            return self.seams.random.random() * 100 < rate
        before = self._counts.get(name, 0)
        self._counts[name] = before + 1
        return int((before + 1) * rate / 100) > int(before * rate / 100)


def _first_half(call: Any, fd: Any, data: Any, *rest: Any) -> tuple[Any, ...]:
    """The arguments of a writev with less to write; of a single byte nothing can be left out."""
    return (call, fd, memoryview(data)[: max(1, len(data) // 2)], *rest)
