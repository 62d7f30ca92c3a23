"""What there is to tell about a type, in words."""

from __future__ import annotations

import inspect
from typing import Any

import attrs

from ..graph import FOPS, Option, Translator


def summary_of(cls: type[Translator]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def children_of(cls: type[Translator]) -> str:
    low, high = cls.children_allowed
    if high == 0:
        return "none"
    if low == high:
        return str(low)
    return f"{low} or more" if high is None else f"{low} to {high}"


def listed(capabilities: frozenset[Any]) -> str:
    return ", ".join(sorted(each.value for each in capabilities))


LEFT_MAX = 3
"""Of a type that handles nearly every fop, those that it does not are named."""


def fops_of(cls: type[Translator]) -> str:
    own = [name for name in FOPS if getattr(cls, name) is not getattr(Translator, name)]
    left = [name for name in FOPS if name not in own]
    if cls.relay is not Translator.relay or not left:
        return "every fop"
    if len(left) <= LEFT_MAX:
        return f"every fop but {', '.join(left)}"
    if own:
        return ", ".join(own)
    return "no fop: all go to its child" if cls.children_allowed[1] == 1 else "no fop"


def default_of(option: Option) -> str:
    """As a spec would write it."""
    value = option.default
    if option.required:
        return "required"
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return "" if value is None or value == {} else str(value)
