"""The YAML form of a spec.

    volumes:
      a:
        type: storage/posix
        options: {directory: /srv/a}
      mirror:
        type: cluster/afr
        subvolumes: [a, b]

Every value is taken as its text: `on`, `1` and `~` are the words that they are in a volfile. It is read from YAML's
events, never as objects: nothing is constructed, aliases and tags are refused (but `!!binary`, which YAML needs for
bytes that are no UTF-8), and the depth is limited.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import yaml

from .assembly import Assembly, Draft
from .errors import Problems, nearest, printable, shown
from .fill import Filler
from .lexer import Flawed
from .source import FIRST, Position
from .spec import Option, Word

DEPTH_MAX = 16

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where PyYAML was built with libyaml
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BINARY = "tag:yaml.org,2002:binary"
_VOLUME_KEYS = ("type", "options", "subvolumes")


class _Stop(Exception):
    """Nothing more can be read; the problem is noted."""


class YamlReader:
    """Reads one YAML text into an `Assembly`."""

    def __init__(self, text: str, filler: Filler, assembly: Assembly, problems: Problems) -> None:
        self._text = text
        self._filler = filler
        self._assembly = assembly
        self._problems = problems
        self._events: Iterator[yaml.Event] = iter(())
        self._place = FIRST  # of the last event

    def file(self) -> None:
        """Read all volumes."""
        if found := _UNPRINTABLE.search(self._text):
            self._unprintable(found)
            return
        try:
            self._events = yaml.parse(self._text, Loader=_Loader)
            self._document()
        except _Stop:
            pass
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = _position(mark) if mark else self._place
            hint = "look at the indentation, brackets and quotes here and above"
            self._problems.add(f"YAML: {printable(str(error.problem or error.context))}", place, hint)
        except (yaml.YAMLError, ValueError) as error:  # ValueError: an escape for no character, in the slow loader
            self._problems.add(f"YAML: {printable(str(error))}", self._place)

    def _unprintable(self, found: re.Match[str]) -> None:
        before = self._problems.source.split(self._text[: found.start()])
        code = ord(found[0])
        what = f"the byte 0x{code - 0xDC00:02x}, which is no UTF-8" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
        hint = r'write such a character as an escape in double quotes, "\x01", and other bytes as !!binary'
        self._problems.add(f"YAML: {what}, cannot stand in YAML", Position(len(before), len(before[-1]) + 1), hint)

    # --- the document, from the outside in

    def _document(self) -> None:
        self._next()  # the stream's start
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return
        event = self._next()
        if isinstance(event, yaml.MappingStartEvent):
            for key in self._keys(event, ("volumes",), "at the top of a spec"):
                if key == "volumes":
                    self._volumes()
        elif not (isinstance(event, yaml.ScalarEvent) and _is_nothing(event)):
            self._wrong(event, "a spec is a mapping", "write `volumes:` and the volumes below it, indented")
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._problems.add("a second document", self._place, "write all volumes below one `volumes:`")

    def _volumes(self) -> None:
        event = self._value()
        if not isinstance(event, yaml.MappingStartEvent):
            self._wrong(event, "`volumes` is a mapping of names to volumes", "write each as `NAME: {type: TYPE}`")
            return
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._volume(self._word(event, "a volume's name"))
            self._problems.volume = None

    def _volume(self, name: Word) -> None:
        draft = Draft(name if type(name) is Word else None, flawed=type(name) is Flawed)
        self._problems.volume = draft.name.text if draft.name is not None else None
        before = len(self._problems.found)
        event = self._value()
        if isinstance(event, yaml.MappingStartEvent):
            for key in self._keys(event, _VOLUME_KEYS, "of a volume"):
                if key == "type":
                    draft.type = self._word(self._value(), "a type")
                elif key == "options":
                    self._options(draft)
                elif key == "subvolumes":
                    self._subvolumes(draft)
        else:
            self._wrong(event, "a volume is a mapping", "write `{type: TYPE, options: {...}, subvolumes: [...]}`")
        draft.flawed |= len(self._problems.found) > before
        self._assembly.add(draft)

    def _options(self, draft: Draft) -> None:
        event = self._value()
        if not isinstance(event, yaml.MappingStartEvent):
            self._wrong(event, "`options` is a mapping", "write `{KEY: VALUE}`, or leave `options` out")
            return
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._word(event, "an option's key")
            value = self._word(self._value(), "an option's value")
            if type(key) is Word and type(value) is Word:
                draft.options.append(Option(key, value))

    def _subvolumes(self, draft: Draft) -> None:
        event = self._value()
        if not isinstance(event, yaml.SequenceStartEvent):
            self._wrong(event, "`subvolumes` is a list", "write `[NAME, NAME]`, or leave `subvolumes` out")
            return
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            word = self._word(event, "a subvolume's name")
            if type(word) is Word:
                draft.subvolumes.append(word)

    # --- parts

    def _keys(self, mapping: yaml.Event, known: tuple[str, ...], where: str) -> Iterator[str]:
        """The known keys of a mapping, each once. Whoever asks for the next has read the value of the last."""
        seen = set()
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            name = event.value if isinstance(event, yaml.ScalarEvent) else None
            if name in known and name not in seen:
                seen.add(name)
                yield name
                continue
            if name is None:
                self._wrong(event, "a key is one word", f"known here: {', '.join(known)}")
            elif name in seen:
                self._problems.add(f"a second `{name}` {where}", self._place, "keep one of them")
            else:
                near = nearest(name.lower(), known)
                hint = f"did you mean `{near}`?" if near else f"known here: {', '.join(known)}"
                self._problems.add(f"unknown key {shown(name)} {where}", self._place, hint)
            self._skip(self._next())

    def _word(self, event: yaml.Event, what: str) -> Word:
        """A scalar as the word it is; `Flawed` if it is none."""
        place = self._place
        if not isinstance(event, yaml.ScalarEvent):
            self._wrong(event, f"{what} is one word", "give a single value; one with special characters in quotes")
            return Flawed("", place)
        if event.tag == _BINARY:
            text = self._binary(event.value)
        elif _is_nothing(event):
            self._problems.add(f"{what} is missing", place, 'write "" for the empty word')
            text = None
        else:
            text = self._filler.scalar(event.value, place)
        return Flawed("", place) if text is None else Word(text, place)

    def _binary(self, text: str) -> str | None:
        try:
            octets = base64.b64decode("".join(text.split()), validate=True)
        except ValueError:
            self._problems.add("!!binary that is no base64", self._place, "give the bytes in base64")
            return None
        return self._filler.scalar(octets.decode(errors="surrogateescape"), self._place, parameters=False)

    def _wrong(self, event: yaml.Event, message: str, hint: str) -> None:
        """Note that `event` is of the wrong kind, and pass over all of it."""
        if isinstance(event, yaml.AliasEvent):
            message, hint = (
                "an alias (*), which a spec cannot have",
                "write the value again; quote it if it is meant as text",
            )
        self._problems.add(message, self._place, hint)
        self._skip(event)

    def _skip(self, event: yaml.Event) -> None:
        """Pass over `event`, which is in error, and all in it. Where that nests deep, give up: it may cost too much."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return
            if depth > DEPTH_MAX:
                raise _Stop
            event = self._next()

    def _value(self) -> yaml.Event:
        """The value of the key just read. Where nothing is written, its place is the key's."""
        key_place = self._place
        event = self._next()
        if isinstance(event, yaml.ScalarEvent) and _is_nothing(event):
            self._place = key_place
        return event

    def _next(self) -> yaml.Event:
        event = next(self._events)
        if event.start_mark is not None:
            self._place = _position(event.start_mark)
        tag = getattr(event, "tag", None)
        if tag is not None and not (tag == _BINARY and isinstance(event, yaml.ScalarEvent)):
            self._problems.add(f"the tag {shown(tag)}, which a spec cannot have", self._place, "remove it: all is text")
        return event


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _is_nothing(event: yaml.ScalarEvent) -> bool:
    """Whether a scalar is what stands where nothing was written."""
    return event.value == "" and event.implicit[0] and event.style in (None, "")
