"""The grammar of the volfile.

    file    : volume+
    volume  : "volume" WORD type options? subvolumes? options? "end-volume"
    type    : "type" WORD
    options : ( "option" WORD WORD )+
    subvolumes : "subvolumes" WORD+

Line ends mean nothing to it; but where something is wrong, they tell what was meant. After an error it reads on at the
next keyword that begins a line, at `end-volume` or at `volume`, and is silent about the rest of the line in error, so
that each report is of an error of its own.

The dialect "1.3" lets the lines of a volume come in any order and number: subvolumes add up, and of an option given
twice the last value counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from .assembly import Assembly, Draft
from .errors import Problems, nearest, shown
from .lexer import Flawed, Keyword, Token
from .printer import quote
from .source import Position
from .spec import Option, Word

_EXPECTED = "expected `option`, `subvolumes` or `end-volume`"
_FORMS = {
    "volume": "write `volume NAME`",
    "type": "write `type CATEGORY/NAME`",
    "option": 'write `option KEY VALUE`; the empty value is ""',
    "subvolumes": "write `subvolumes NAME...`, or leave the line out",
}
_STATEMENTS = ("type", "option", "subvolumes", "end-volume")


class Parser:
    """Reads one volfile into an `Assembly`."""

    def __init__(self, tokens: Iterator[Token], assembly: Assembly, problems: Problems, *, any_order: bool) -> None:
        self._tokens = tokens
        self._assembly = assembly
        self._problems = problems
        self._any_order = any_order
        self._draft = Draft(None)  # the volume being read
        self._line = 0  # of the last token taken
        self._error_line = 0  # of the last token in error
        self._unclosed = 0  # volumes whose `end-volume` may still come, after a volume inside them
        self._token = next(tokens)

    def file(self) -> None:
        """Read all volumes."""
        while not self._at(""):
            if self._at("volume"):
                self._volume(self._take())
            else:
                self._outside()

    def _volume(self, keyword: Token) -> None:
        """One volume, of which `keyword` is taken (it may be a misspelt one)."""
        name = self._token
        draft = self._draft = Draft(name if type(name) is Word else None, flawed=not isinstance(keyword, Keyword))
        self._problems.volume = name.text if type(name) is Word else None
        self._word_after(keyword, "a name")
        while not isinstance(token := self._token, Keyword) or token.text not in ("volume", ""):
            if not isinstance(token, Keyword):
                self._unexpected_in_volume(token)
            elif token.text == "option":
                self._option()
            elif token.text == "type":
                self._type()
            elif token.text == "end-volume":
                break
            else:
                self._subvolumes()
        self._end()
        self._assembly.add(draft)
        self._problems.volume = None
        self._draft = Draft(None)

    def _end(self) -> None:
        """`end-volume`, or what stands where it should."""
        draft = self._draft
        if self._at("end-volume"):
            self._problems.volume = None  # what follows is outside
            self._take()
        elif draft.name is None or draft.flawed:
            return
        elif self._at("volume"):
            hint = "write `end-volume` before it: volumes do not nest, a parent names its children in `subvolumes`"
            message = f"`volume` inside volume {shown(draft.name.text)}, which has no `end-volume`"
            self._error(message, self._token, hint)
            self._unclosed += 1
        else:
            hint = "write `end-volume` on a line of its own after its last line"
            self._error(f"volume {shown(draft.name.text)} has no `end-volume`", draft.name, hint)

    def _type(self) -> None:
        keyword = self._take()
        word = self._word_after(keyword, "a type, such as storage/posix")
        draft = self._draft
        if word is None:
            return
        if draft.type is not None:
            if not (self._any_order and word == draft.type):
                self._error("a second `type` in one volume", keyword, f"it is {shown(draft.type.text)} above; keep one")
            return
        if (draft.options or draft.subvolumes) and not self._any_order:
            hint = 'move this line up, right below `volume` (or read the file in the dialect "1.3")'
            self._error("`type` must come first in a volume", keyword, hint)
        draft.type = word

    def _option(self) -> None:
        keyword = self._take()
        key = self._word_after(keyword, "a key and a value")
        if key is None:
            return
        value = self._word_after(keyword, f"a value for {shown(key.text)}")
        if type(key) is Word and type(value) is Word:
            self._draft.options.append(Option(key, value))

    def _subvolumes(self) -> None:
        draft = self._draft
        keyword = self._take()
        repeated = bool(draft.subvolumes) and not self._any_order
        if repeated:
            self._error("a second `subvolumes` in one volume", keyword, "write all names after the first")
        word = self._word_after(keyword, "the name of at least one volume")
        while word is not None:
            if type(word) is Word and not repeated:
                draft.subvolumes.append(word)
            if isinstance(self._token, Keyword) or self._is_misspelt_keyword(self._token):
                return
            word = self._word_after(keyword, "")

    def _word_after(self, keyword: Token, wanted: str) -> Word | None:
        """The next word of the statement that `keyword` began; None, and an error, where the statement stops short."""
        token = self._token
        if not isinstance(token, Keyword):
            self._take()
            if type(token) is Flawed:
                self._draft.flawed = True
            return token
        if not self._begins_line(token):
            hint = f'to use it as a word, write it in quotes: "{token.text}"'
            self._error(f"`{keyword.text}` needs {wanted}; `{token.text}` is a keyword", token, hint)
            self._take()
            return Flawed(token.text, token.position)
        if self._line != self._error_line:
            self._error(f"`{keyword.text}` needs {wanted}", keyword, _FORMS.get(keyword.text.lower()))
        return None

    def _unexpected_in_volume(self, word: Word) -> None:
        """A word where a keyword should be."""
        draft = self._draft
        continues = not self._begins_line(word)
        self._take()
        near = nearest(word.text.lower(), _STATEMENTS)
        whole = f"{draft.options[-1].value} {word}" if continues and draft.options else ""
        if near is not None:
            hint = f"did you mean `{near}`?"
        elif whole.isprintable() and 0 < len(whole) <= 80:
            hint = f"a value with blanks must be in quotes: {quote(whole)}"
        else:
            hint = "a word with blanks must be in quotes; a comment begins with #"
        expected = _EXPECTED if draft.type is not None else "expected `type`"
        self._error(f"{expected}, found {shown(word.text)}", word, hint)
        while not self._may_read_on():
            self._take()

    def _outside(self) -> None:
        """Something between volumes that is not `volume`."""
        self._problems.muted = not isinstance(self._token, Keyword)  # so that what follows a stray word is passed over
        token = self._take()
        self._problems.muted = False
        if isinstance(token, Keyword):
            self._keyword_outside(token)
            return
        hint = "write `volume NAME` first"
        if token.text == "volumes:":
            hint = "this looks like YAML: give the file a name that ends in .yaml"
        elif nearest(token.text.lower(), ["volume"]) and not isinstance(self._token, Keyword):
            self._error(f"expected `volume`, found {shown(token.text)}", token, "did you mean `volume`?")
            self._volume(token)
            return
        self._error(f"expected `volume`, found {shown(token.text)}", token, hint)
        self._assembly.name_lost |= self._skip_to_volume()

    def _keyword_outside(self, keyword: Keyword) -> None:
        if self._unclosed:  # the rest of a volume that another one stood in: reported there
            self._unclosed -= 1
        elif keyword.text == "end-volume":
            self._error("`end-volume` without a `volume`", keyword, "remove it, or begin the volume with `volume NAME`")
        else:
            self._error(f"`{keyword.text}` outside a volume", keyword, "begin the volume with `volume NAME`")
            self._assembly.name_lost = True
        if keyword.text != "end-volume":
            self._skip_to_volume()

    def _skip_to_volume(self) -> bool:
        """Pass over what belongs to no volume that can be told. Whether it looks like the inside of one."""
        inside = False
        self._problems.muted = True
        while not (self._at("volume") or self._at("end-volume") or self._at("")):
            inside |= isinstance(self._take(), Keyword)
        self._problems.muted = False
        if self._at("end-volume"):
            self._take()
            inside = True
        return inside

    def _is_misspelt_keyword(self, word: Word) -> bool:
        """Whether a word that begins its line was meant to be a keyword."""
        if not self._begins_line(word) or word.text in self._assembly.volumes:
            return False
        return self._problems.nearest(word.text.lower(), _STATEMENTS) is not None

    def _may_read_on(self) -> bool:
        """Whether the next token begins something that can be read whatever was wrong before it."""
        token = self._token
        if not isinstance(token, Keyword):
            return self._is_misspelt_keyword(token)
        return token.text in ("volume", "end-volume", "") or self._begins_line(token)

    def _begins_line(self, token: Token) -> bool:
        return _place(token).line != self._line

    def _at(self, text: str) -> bool:
        token = self._token
        return isinstance(token, Keyword) and token.text == text

    def _take(self) -> Token:
        token = self._token
        self._line = _place(token).line
        if type(token) is Flawed:
            self._error_line = self._line
        self._token = next(self._tokens)
        return token

    def _error(self, message: str, at: Token, hint: str | None) -> None:
        """Note a problem, unless there is one on that line already: it would be of the same mistake."""
        position = _place(at)
        self._draft.flawed = True
        if position.line != self._error_line:
            self._error_line = position.line
            self._problems.add(message, position, hint)


def _place(token: Token) -> Position:
    assert token.position is not None
    return token.position
