"""Options are attrs fields: declared once, typed for Python callers, read from a spec's text, listed by `explain`.

    delay_ms: int = option(integer(low=0), default=0, help="milliseconds added to each read")

The spec writes `option delay-ms 5`. A Python caller passes `delay_ms=5`; text is read for both (`delay_ms="5"`).
The value types, and how their text is written, are GlusterFS's.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from .translator import Translator

METADATA_KEY = "volgraph.option"


@attrs.frozen
class OptionType:
    """How an option's text is read. `read` raises ValueError with a sentence that says what to write instead."""

    name: str
    read: Callable[[str], Any]
    check: Callable[[Any], Any] = lambda value: value


@attrs.frozen
class Option:
    """One declared option: `key` as a spec writes it (a `*` in it stands for any text), and its other spellings."""

    field: str
    key: str
    type: OptionType
    aliases: tuple[str, ...]
    default: Any
    help: str

    @property
    def required(self) -> bool:
        return self.default is attrs.NOTHING

    def matches(self, key: str) -> bool:
        return any(key == known or ("*" in known and fnmatch.fnmatchcase(key, known)) for known in self.keys)

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key, *self.aliases)

    @property
    def is_family(self) -> bool:
        """`auth.addr.*.allow`: the field holds a dict, by what stands for the star."""
        return "*" in self.key

    def member(self, key: str) -> str:
        """What stands for the star in a key of a family."""
        for known in self.keys:
            if "*" in known and fnmatch.fnmatchcase(key, known):
                before, after = known.split("*", 1)
                return key[len(before) : len(key) - len(after)]
        return ""


def option(
    type: OptionType, *, default: Any = attrs.NOTHING, key: str = "", aliases: Sequence[str] = (), help: str = ""
) -> Any:
    """Declare an option of a translator. Without a default it must be given. `None` as default means: not set."""
    family = "*" in key

    def convert(value: Any) -> Any:
        if family:
            return dict(value)
        if value is None or value is default:
            return value
        return type.read(value) if isinstance(value, str) else type.check(value)

    return attrs.field(
        default=attrs.Factory(dict) if family and default is attrs.NOTHING else default,
        converter=convert,
        kw_only=True,
        metadata={METADATA_KEY: (type, key, tuple(aliases), default, help)},
    )


_OPTIONS: dict[type[Translator], tuple[Option, ...]] = {}


def options_of(cls: type[Translator]) -> tuple[Option, ...]:
    """The options a type declares, in the order of their declaration."""
    known = _OPTIONS.get(cls)
    if known is None:
        known = _OPTIONS[cls] = tuple(_declared(cls))
    return known


def _declared(cls: type[Translator]) -> Iterator[Option]:
    fields = attrs.fields(cls)
    forgotten = [name for name in cls.__dict__ if type(cls.__dict__[name]).__name__ == "_CountingAttr"]
    if forgotten:
        raise TypeError(f"{cls.__name__} declares options but lacks @attrs.define(eq=False): {', '.join(forgotten)}")
    for field in fields:
        declared = field.metadata.get(METADATA_KEY)
        if declared is not None:
            kind, key, aliases, default, help = declared
            if "*" in key and default is attrs.NOTHING:
                default = {}
            yield Option(field.name, key or field.name.replace("_", "-"), kind, aliases, default, help)


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word most like this one, for hints."""
    found = difflib.get_close_matches(word[:64], known, n=1, cutoff=0.6)
    return found[0] if found else None


# --- value types -------------------------------------------------------------------------------------------------


def _text(value: str) -> str:
    return value


text = OptionType("text", _text)


def one_of(*choices: str) -> OptionType:
    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(f"'{value}' is not one of {', '.join(choices)}")
        return value

    return OptionType(" | ".join(choices), read)


def _in_range(value: Any, low: float | None, high: float | None) -> Any:
    if (low is not None and value < low) or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
        raise ValueError(f"{value} is out of range: write {wanted}")
    return value


def integer(low: int | None = None, high: int | None = None) -> OptionType:
    def read(value: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            raise ValueError(f"'{value}' is not a whole number")
        return int(_in_range(int(value), low, high))

    return OptionType("integer", read, lambda value: _in_range(value, low, high))


_TRUE = frozenset(("1", "on", "yes", "true", "enable"))
_FALSE = frozenset(("0", "off", "no", "false", "disable"))


def _boolean(value: str) -> bool:
    lower = value.lower()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise ValueError(f"'{value}' is not a boolean: write on or off")


boolean = OptionType("boolean", _boolean, bool)

_SIZE_UNITS = {"": 0, "b": 0, "kb": 1, "mb": 2, "gb": 3, "tb": 4, "pb": 5}
_SIZE = re.compile(r"([0-9]{1,18})([kmgtp]?b)?", re.IGNORECASE)


def _size(value: str) -> int:
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"'{value}' is not a size: write a number with B, KB, MB, GB, TB or PB")
    return int(match[1]) * int(1024 ** _SIZE_UNITS[(match[2] or "").lower()])


def size(low: int | None = None, high: int | None = None) -> OptionType:
    """Bytes."""
    return OptionType(
        "size", lambda value: _in_range(_size(value), low, high), lambda value: _in_range(value, low, high)
    )


_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,9})?"


def _percent(value: str) -> float:
    match = re.fullmatch(rf"({_NUMBER})%?", value)
    if match is None or float(match[1]) > 100:
        raise ValueError(f"'{value}' is not a percentage: write a number from 0 to 100")
    return float(match[1])


percent = OptionType("percent", _percent, lambda value: _in_range(value, 0, 100))


@attrs.frozen
class Share:
    """A part of a whole: percent of it, or so many bytes."""

    percent: float | None = None
    bytes: int | None = None

    def of(self, whole: int) -> int:
        return self.bytes if self.bytes is not None else int(whole * (self.percent or 0) / 100)

    def __str__(self) -> str:
        """As a spec writes it."""
        return f"{self.percent or 0:g}%" if self.bytes is None else str(self.bytes)


def _share(value: str) -> Share:
    return Share(percent=_percent(value)) if value.endswith("%") else Share(bytes=_size(value))


share = OptionType("percent or size", _share)

_TIME_UNITS: dict[str, float] = {
    "": 1,
    "s": 1,
    "sec": 1,
    "secs": 1,
    "m": 60,
    "min": 60,
    "mins": 60,
    "h": 3600,
    "hr": 3600,
    "d": 86400,
}
_TIME_UNITS |= {"hrs": 3600, "days": 86400, "w": 604800, "wk": 604800, "ms": 0.001}


def duration(low: float | None = None, high: float | None = None) -> OptionType:
    """Seconds."""

    def read(value: str) -> float:
        match = re.fullmatch(rf"({_NUMBER})([a-z]*)", value)
        if match is None or match[2] not in _TIME_UNITS:
            raise ValueError(f"'{value}' is not a time: write seconds, or a number with ms, sec, min, hr or days")
        seconds = float(match[1]) * _TIME_UNITS[match[2]]
        return float(_in_range(seconds, low, high))

    return OptionType("time", read, lambda value: _in_range(value, low, high))


def _path(value: str) -> str:
    if not value.startswith("/") or "/../" in f"{value}/":
        raise ValueError(f"'{value}' is not an absolute path without '..'")
    return value


path = OptionType("absolute path", _path, lambda value: _path(str(value)))


def _uuid(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        raise ValueError(f"'{value}' is not a UUID")
    return value.lower()


uuid = OptionType("uuid", _uuid)


def _address(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:*?\[\]/%-]{1,255}", value):
        raise ValueError(f"'{value}' is not a host name or address")
    return value


address = OptionType("address", _address)


def words(separator: str = ",") -> OptionType:
    """A list of words."""
    return OptionType(
        "list", lambda value: tuple(word.strip() for word in value.split(separator) if word.strip()), tuple
    )


volume = OptionType("volume", _text)
"""The name of a volume defined earlier; link hands the translator the node itself."""


@attrs.frozen
class Wrong:
    """What is wrong with one option of a spec: with its value, or with the option as such."""

    message: str
    hint: str
    in_value: bool = False


def read_text(cls: type[Translator], given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Wrong]]:
    """Options as a spec gives them -> (fields of the translator, what is wrong, by the key as written)."""
    declared = options_of(cls)
    fields: dict[str, Any] = {}
    wrong: dict[str, Wrong] = {}
    seen: dict[str, str] = {}
    for key, value in given.items():
        known = next((each for each in declared if each.matches(key)), None)
        if known is None:
            if not _is_ignored(cls, key):
                wrong[key] = Wrong(f"unknown option '{key}'", _hint(key, declared))
            continue
        if not known.is_family and known.field in seen:
            wrong[key] = Wrong(f"'{key}' is another name of '{seen[known.field]}', given before", "keep one of them")
            continue
        seen[known.field] = key
        try:
            read = known.type.read(value)
        except ValueError as error:
            wrong[key] = Wrong(f"option '{key}': {error}", f"it takes: {known.type.name}", in_value=True)
            continue
        if known.is_family:
            fields.setdefault(known.field, {})[known.member(key)] = read
        else:
            fields[known.field] = read
    return fields, wrong


def ignored(cls: type[Translator], given: Mapping[str, str]) -> list[str]:
    """Keys that are accepted without effect."""
    declared = options_of(cls)
    return [key for key in given if not any(each.matches(key) for each in declared) and _is_ignored(cls, key)]


def missing(cls: type[Translator], given: Mapping[str, str]) -> list[Option]:
    """Options that must be given and were not."""
    return [each for each in options_of(cls) if each.required and not any(each.matches(key) for key in given)]


def _is_ignored(cls: type[Translator], key: str) -> bool:
    return any(key == each or ("*" in each and fnmatch.fnmatchcase(key, each)) for each in cls.ignored_options)


def _hint(key: str, declared: Sequence[Option]) -> str:
    known = [name for each in declared for name in each.keys]
    close = nearest(key, known)
    if close is not None:
        return f"did you mean '{close}'?"
    return f"it has: {', '.join(sorted(known))}" if known else "it takes no options"
