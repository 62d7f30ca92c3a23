r"""What the letters of a word mean: escapes, parameters, and commands in back-ticks.

`${name}` is filled with a value that the caller gives. What is filled in is part of that one word whatever it holds: it
is never read again as spec text, so a value can neither add volumes nor parameters. The two letters `${` themselves are
written `\${`: in a volfile inside a string (`"\${"`), where a backslash makes any next character literal; in YAML with
the backslashes that stand directly before them doubled. Back-ticks are special in a volfile only.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping

from .errors import Problems, shown
from .source import FILE_SIZE_MAX, FORBIDDEN_CLASS, WORD_SIZE_MAX, Position, canonical, forbidden

COMMAND_OUTPUT_MAX = 64 << 10

Params = Mapping[str, str | int | os.PathLike[str]]
CommandRunner = Callable[[str], str]

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_PIECE = re.compile(
    rf"""
      (?P<escape>    \\ [^{FORBIDDEN_CLASS}]? )
    | (?P<command>   ` (?: [^`\\]++ | \\. )*+ ` )
    | (?P<tick>      ` )
    | (?P<parameter> \$\{{ {_NAME} \}} )
    | (?P<dollar>    \$\{{ )
    | (?P<forbidden> [{FORBIDDEN_CLASS}] )
    | [^\\`${FORBIDDEN_CLASS}]++ | \$
    """,
    re.VERBOSE | re.DOTALL,
)
_YAML_PARAMETER = re.compile(rf"(\\*)\$\{{({_NAME}\}})?")

_NO_COMMANDS = (
    r'write it as "\`" in a string; to run commands (never unasked), pass command_runner= to parse() or load()'
)


class Flaw(Exception):
    """A word has no meaning. Where it stands, and what to do about it."""

    def __init__(self, message: str, offset: int = 0, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.offset, self.hint = message, offset, hint


class Filler:
    """Reads words with one set of parameters. Each method gives the word's text, or None if it noted a problem."""

    def __init__(self, problems: Problems, params: Params | None, command_runner: CommandRunner | None) -> None:
        self._problems = problems
        self._params = {
            name: str(value) if isinstance(value, int) else os.fsdecode(value) for name, value in (params or {}).items()
        }
        self.unused = set(self._params)
        """The parameters that were given, and that no word has asked for yet."""
        self._run = command_runner
        self._command_failed = False
        self._room = FILE_SIZE_MAX

    def bare(self, raw: str, position: Position) -> str | None:
        """A bare word of a volfile."""
        return self._word(position, lambda: self._pieces(raw, quoted=False))

    def string(self, raw: str, position: Position) -> str | None:
        """A string of a volfile, whose inside is `raw` and whose quote stands at `position`."""
        return self._word(position, lambda: self._pieces(raw, quoted=True))

    def scalar(self, text: str, position: Position, *, parameters: bool = True) -> str | None:
        """A YAML scalar."""
        return self._word(position, lambda: self._scalar(text, parameters))

    def _word(self, position: Position, read: Callable[[], str]) -> str | None:
        try:
            text = canonical(read())
            if len(text) > WORD_SIZE_MAX:
                raise Flaw(f"a word of {len(text)} characters; {WORD_SIZE_MAX} at most")
        except Flaw as flaw:
            where = position._replace(column=position.column + flaw.offset)
            self._problems.add(flaw.message, where, flaw.hint)
            return None
        return text

    def _pieces(self, raw: str, *, quoted: bool) -> str:
        parts = []
        for piece in _PIECE.finditer(raw):
            text, offset = piece[0], piece.start() + quoted
            match piece.lastgroup:
                case None:
                    parts.append(text)
                case "escape" if quoted:
                    parts.append(text[1:])
                case "escape":
                    hint = r'write the word in quotes, with each backslash doubled: "a\\b"'
                    raise Flaw("a backslash outside a string", offset, hint)
                case "parameter":
                    parts.append(self._parameter(text[2:-1], offset))
                case "dollar":
                    hint = r'write ${name}, or "\${" in quotes for the two characters themselves'
                    raise Flaw("'${' does not begin a parameter", offset, hint)
                case "forbidden":
                    raise Flaw(f"{forbidden(text)} in a word", offset, "no name or value can hold it")
                case _:
                    parts.append(self._command(text, offset))
        return "".join(parts)

    def _scalar(self, text: str, parameters: bool) -> str:
        if wrong := forbidden(text):
            raise Flaw(f"{wrong} in a word", hint="no name or value can hold it")
        return _YAML_PARAMETER.sub(self._yaml_parameter, text) if parameters and "${" in text else text

    def _yaml_parameter(self, found: re.Match[str]) -> str:
        backslashes, name = found[1], found[2]
        half = "\\" * (len(backslashes) // 2)
        if len(backslashes) % 2:
            return half + "${" + (name or "")
        if name is None:
            hint = r"write ${name}, or \${ for the two characters themselves"
            raise Flaw("'${' does not begin a parameter", hint=hint)
        return half + self._parameter(name[:-1], 0)

    def _parameter(self, name: str, offset: int) -> str:
        value = self._params.get(name)
        if value is None:
            near = self._problems.nearest(name, self._params)
            given = f" ({shown(near)} is given)" if near is not None else ""
            hint = f"give it: --set {name}=VALUE, or params={{{name!r}: VALUE}} in Python{given}"
            raise Flaw(f"no value is given for the parameter {shown(name)}", offset, hint)
        self.unused.discard(name)
        if wrong := forbidden(value):
            raise Flaw(f"the value of the parameter {shown(name)} holds {wrong}", offset)
        return self._counted(value, offset)

    def _command(self, text: str, offset: int) -> str:
        if self._run is None:
            raise Flaw("a back-tick, which would run a command", offset, _NO_COMMANDS)
        if len(text) < 2:
            raise Flaw("a back-tick that is not closed on its line", offset, r'close it, or write "\`" in a string')
        if self._command_failed:  # its problem is noted already, and the spec is lost: run nothing more
            return ""
        try:
            output = self._run(text[1:-1])
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._command_failed = True
            raise Flaw(f"the command {shown(text)} failed: {shown(str(error))}", offset) from error
        if len(output) > COMMAND_OUTPUT_MAX:
            raise Flaw(f"the command {shown(text)} gave more than {COMMAND_OUTPUT_MAX} characters", offset)
        output = output.removesuffix("\n")
        if wrong := forbidden(output):
            raise Flaw(f"the output of the command {shown(text)} holds {wrong}", offset)
        return self._counted(output, offset)

    def _counted(self, filled_in: str, offset: int) -> str:
        self._room -= len(filled_in)
        if self._room < 0:
            raise Flaw(f"the parameters add more than {FILE_SIZE_MAX} characters to the spec", offset)
        return filled_in
