"""A spec as text: the volfile and the YAML form, such that reading the text gives the same spec."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .source import KEYWORDS, UNDECODABLE

if TYPE_CHECKING:
    from .spec import Volume, Word

FLOW_WIDTH_MAX = 100  # a longer list of subvolumes is written one to a line
SIMPLE_KEY_MAX = 1000  # YAML: a key of more than 1,024 characters needs the form with a question mark

_NEEDS_QUOTES = re.compile(r'[ \t"\\`]|\A\#|\A\Z|\$\{')
_ESCAPED_IN_STRING = re.compile(r'["\\`]|\$(?=\{)')
_PARAMETER_LIKE = re.compile(r"(\\*)\$\{")
_PLAIN_IN_YAML = re.compile(r"[A-Za-z_/][A-Za-z0-9_/.@%+-]*")
_NO_TEXT_ELSEWHERE = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])  # to other YAML readers


def to_vol(volumes: Iterable[Volume]) -> str:
    """The volumes as a volfile."""
    return "\n".join("".join(_volfile_lines(volume)) for volume in volumes)


def _volfile_lines(volume: Volume) -> Iterator[str]:
    yield f"volume {quote(volume.name.text)}\n"
    yield f"  type {quote(volume.type.text)}\n"
    for option in volume.options:
        yield f"  option {quote(option.key.text)} {quote(option.value.text)}\n"
    if volume.subvolumes:
        yield f"  subvolumes {' '.join(quote(word.text) for word in volume.subvolumes)}\n"
    yield "end-volume\n"


def quote(text: str) -> str:
    """`text` as one word of a volfile: bare where that is possible."""
    if text not in KEYWORDS and _NEEDS_QUOTES.search(text) is None:
        return text
    return '"' + _ESCAPED_IN_STRING.sub(r"\\\g<0>", text) + '"'


def to_yaml(volumes: Iterable[Volume]) -> str:
    """The volumes as YAML."""
    return "volumes:\n" + "".join("".join(_yaml_lines(volume)) for volume in volumes)


def _yaml_lines(volume: Volume) -> Iterator[str]:
    yield _entry("  ", volume.name, "")
    yield f"    type: {scalar(volume.type.text)}\n"
    if volume.options:
        yield "    options:\n"
        for option in volume.options:
            yield _entry("      ", option.key, f" {scalar(option.value.text)}")
    if volume.subvolumes:
        names = [scalar(word.text) for word in volume.subvolumes]
        flow = ", ".join(names)
        if len(flow) <= FLOW_WIDTH_MAX:
            yield f"    subvolumes: [{flow}]\n"
        else:
            yield "    subvolumes:\n"
            yield from (f"      - {name}\n" for name in names)


def _entry(indent: str, key: Word, value: str) -> str:
    name = scalar(key.text)
    if len(name) <= SIMPLE_KEY_MAX:
        return f"{indent}{name}:{value}\n"
    return f"{indent}? {name}\n{indent}:{value}\n"


def scalar(text: str) -> str:
    """`text` as a YAML scalar: plain where no YAML reader takes it for anything but text.

    Bytes that are no UTF-8 can stand in YAML only as `!!binary`.
    """
    if _PLAIN_IN_YAML.fullmatch(text) and text.lower() not in _NO_TEXT_ELSEWHERE:
        return text
    if UNDECODABLE.search(text):
        return f'!!binary "{base64.b64encode(text.encode(errors="surrogateescape")).decode()}"'
    if "${" in text:
        text = _PARAMETER_LIKE.sub(r"\1\1\\${", text)
    if not text.isprintable():
        return '"' + "".join(map(_escaped, text)) + '"'
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
