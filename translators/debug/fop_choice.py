"""Options that choose fops: lists of names, each with a rate of its own where wanted, and the file that switches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...graph import FOPS, Seams
from ...graph.options import OptionType, nearest, percent

GLUSTERFS_SPELLINGS = {"read": "readv", "write": "writev"}
"""Fops that GlusterFS's own lists call otherwise; it writes all names in either case."""


def fop_name(word: str) -> str:
    """The fop that a word of a list means. ValueError names the nearest one."""
    name = word.strip().lower()
    name = GLUSTERFS_SPELLINGS.get(name, name)
    if name not in FOPS:
        close = nearest(name, list(FOPS))
        raise ValueError(f"no fop is called '{word.strip()[:64]}'" + (f": did you mean '{close}'?" if close else ""))
    return name


def _fop_with_rate(word: str) -> str:
    """`writev` or `writev:50`, checked, in the one spelling."""
    name, colon, rate = word.partition(":")
    return f"{fop_name(name)}:{percent.read(rate.strip()):.12g}" if colon else fop_name(name)


def _list_of(read: Callable[[str], str]) -> Callable[[Iterable[str]], tuple[str, ...]]:
    def read_all(words: Iterable[str]) -> tuple[str, ...]:
        found = tuple(read(word) for word in words if word.strip())
        names = [word.partition(":")[0] for word in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"'{twice}' stands there twice")
        return found

    return read_all


def _words_of(value: Any) -> Iterable[str]:
    return [f"{name}:{rate}" for name, rate in value.items()] if isinstance(value, Mapping) else value


_names = _list_of(fop_name)
_names_with_rates = _list_of(_fop_with_rate)

fop_list = OptionType("comma list of fops", lambda text: _names(text.split(",")), _names)
"""Read as a tuple of names."""

fop_rates = OptionType(
    "comma list of fops, each as NAME or NAME:PERCENT",
    lambda text: _names_with_rates(text.split(",")),
    lambda value: _names_with_rates(_words_of(value)),
)
"""Read as a tuple of words: `("lookup", "writev:50")`. Python callers may give a mapping: `{"writev": 50}`."""


def rates(chosen: Iterable[str], usual: float) -> dict[str, float]:
    """Words of `fop_rates` -> percent by fop, without those that are never touched. No word means every fop."""
    found = {}
    for word in chosen or FOPS:
        name, _, rate = word.partition(":")
        found[name] = float(rate or usual)
    return {name: rate for name, rate in found.items() if rate > 0}


def switched_on(seams: Seams, trigger_file: str | None) -> bool:
    """Is there no trigger file to wait for, or does it exist?"""
    if trigger_file is None:
        return True
    try:
        seams.blocking.disk.stat(trigger_file)
    except OSError:
        return False
    return True
