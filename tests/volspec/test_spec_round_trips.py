"""Properties: what is printed reads back equal, and no text gives anything but a Spec or located errors."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from volgraph.volspec import Spec, SpecError, build, parse, parse_yaml

Values = tuple[str, str, Mapping[str, str], Sequence[str]]

# Pieces on which a printer or a lexer might slip.
PIECES = [
    *("volume", "type", "option", "subvolumes", "subvolumeS", "end-volume", "volumes:", "<<", "~", "on", "12", "0x1f"),
    *(
        " ",
        "\t",
        '"',
        "'",
        "\\",
        "`",
        "#",
        "$",
        "${",
        "${a}",
        "\\${a}",
        "$${",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "- ",
        "&",
    ),
    *("*", "!", "|", ">", "%", "@", "?", "=", "...", "---", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\xa0", "\xad"),
    *("\u2028", "\u2029", "\ufeff", "\ufffe", "\U0001f600", "é", "e\u0301", "\udcff", "\udcc3", "\udca9", "\udc80"),
]
NO_WORD_HOLDS = "\0\r\n"
words = st.one_of(
    st.text(st.characters(exclude_characters=NO_WORD_HOLDS, exclude_categories=["Cs"]), max_size=8),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    st.text("abc", min_size=1, max_size=2),
)


@st.composite
def graphs(draw: st.DrawFn) -> list[Values]:
    """Plain values of any graph, children before parents."""
    names = draw(st.lists(words, min_size=1, max_size=6, unique_by=_as_bytes))
    volumes: list[Values] = []
    for index, name in enumerate(names):
        options = draw(st.dictionaries(words, words, max_size=3).filter(lambda o: len({*map(_as_bytes, o)}) == len(o)))
        children = draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        volumes.append((name, draw(words), options, children))
    return volumes


def _as_bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


@given(graphs())
def test_any_graph_prints_and_parses_back_equal(values: list[Values]) -> None:
    spec = build(values)

    assert parse(spec.to_vol()) == spec
    assert parse_yaml(spec.to_yaml()) == spec


@given(graphs())
def test_any_graph_survives_being_written_to_a_file_as_bytes(values: list[Values]) -> None:
    spec = build(values)

    assert parse(_as_bytes(spec.to_vol())) == spec
    assert parse_yaml(spec.to_yaml().encode()) == spec


@given(graphs())
def test_printing_what_was_parsed_gives_the_same_text(values: list[Values]) -> None:
    spec = build(values)

    assert parse(spec.to_vol()).to_vol() == spec.to_vol()
    assert parse_yaml(spec.to_yaml()).to_yaml() == spec.to_yaml()
    assert parse(spec.to_vol()).to_yaml() == spec.to_yaml()


@given(graphs())
def test_the_dialect_1_3_reads_every_modern_volfile_as_the_modern_one_does(values: list[Values]) -> None:
    text = build(values).to_vol()

    assert parse(text, dialect="1.3") == parse(text)


@pytest.mark.parametrize("length", [1_000, 1_024, 100_000, 1 << 20])
def test_long_words_print_and_parse_back_too(length: int) -> None:
    spec = build([("a" * length, "t", {"k" * length: "v " * (length // 2)}, []), ("é" * 500, "t", {}, ["a" * length])])

    assert parse(spec.to_vol()) == spec
    assert parse_yaml(spec.to_yaml()) == spec


# --- anything at all

SPEC = b"""\
# comment `x`
volume a
  type storage/posix
  option directory "/srv/\\"a b\\""
end-volume
volume top
  type cluster/afr
  option k v
  subvolumes a
end-volume
"""
SPEC_YAML = b"""\
volumes:
  a: {type: storage/posix, options: {directory: "/srv/${d}", k: 'x'}}
  top:
    type: cluster/afr
    subvolumes:
    - a
"""
TOKENS = [*(piece.encode(errors="surrogateescape") for piece in PIECES), b"\n", b"\r\n", b"\0", b"\r", b"a", b" a b "]

soup = st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join)
spaced_soup = st.lists(st.sampled_from(TOKENS), max_size=40).map(b" ".join)


@st.composite
def mutated(draw: st.DrawFn, text: bytes) -> bytes:
    """`text` with a few pieces taken out, put in, or moved."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 30)))
        put_in = draw(st.one_of(st.just(b""), st.sampled_from(TOKENS), st.binary(max_size=3), st.just(text[end:][:40])))
        text = text[:start] + put_in + text[end:]
    return text


def spec_or_located_errors(text: bytes | str, format: str, dialect: str = "modern") -> Spec | None:
    try:
        return parse(text, "f", dialect=dialect, format=format, params={"a": "x y"})  # type: ignore[arg-type]
    except SpecError as error:
        check_located(error, len(text) + 2)
        return None


def check_located(error: SpecError, end: int) -> None:
    places = [problem.position for problem in error.problems]

    assert places
    assert all(place and 1 <= place.line <= end and 1 <= place.column <= end for place in places)
    assert places == sorted(place for place in places if place is not None)
    assert str(error).replace("\n", "").isprintable()


@given(st.one_of(st.binary(max_size=60), soup, spaced_soup, mutated(SPEC)))
@example(b"\xef\xbb\xbf" + SPEC)
@example(b'volume a type "x\\')
@example(b"`" * 40)
def test_any_bytes_give_a_volfile_spec_or_located_errors(text: bytes) -> None:
    spec = spec_or_located_errors(text, "vol")
    old = spec_or_located_errors(text, "vol", "1.3")

    if spec is not None:
        assert spec == old
        assert parse(spec.to_vol()) == spec


@given(st.one_of(st.binary(max_size=60), soup, spaced_soup, mutated(SPEC_YAML)))
@example(b"\xef\xbb\xbf" + SPEC_YAML.replace(b"${d}", b""))
@example(b"\xff\xfev\0o\0l\0")
@example(b'"\\U00110000"')
@example(b'"\\ud800"')
@example(b"%YAML 9999999999999999999999.1\n---\n")
@example(b"%TAG ! tag:x,2000:\n--- !x {}\n")
def test_any_bytes_give_a_yaml_spec_or_located_errors(text: bytes) -> None:
    spec = spec_or_located_errors(text, "yaml")

    if spec is not None:
        assert parse_yaml(spec.to_yaml()) == spec


@given(st.text(st.characters(), max_size=30))
def test_any_text_gives_a_spec_or_located_errors(text: str) -> None:
    for format in ("vol", "yaml"):
        spec_or_located_errors(text, format)


def test_the_printed_forms_are_readable() -> None:
    spec = build(
        [
            ("a", "storage/posix", {"directory": "/srv/my files", "size": "64MB", "x": "${y}"}, []),
            ("b", "storage/posix", {"directory": "/srv/b", "on": "on", "note": ""}, []),
            ("mirror", "cluster/afr", {}, ["a", "b"]),
        ]
    )

    assert spec.to_vol() == (
        'volume a\n  type storage/posix\n  option directory "/srv/my files"\n  option size 64MB\n'
        '  option x "\\${y}"\nend-volume\n'
        "\n"
        'volume b\n  type storage/posix\n  option directory /srv/b\n  option on on\n  option note ""\nend-volume\n'
        "\n"
        "volume mirror\n  type cluster/afr\n  subvolumes a b\nend-volume\n"
    )
    assert spec.to_yaml() == (
        "volumes:\n"
        '  a:\n    type: storage/posix\n    options:\n      directory: "/srv/my files"\n      size: "64MB"\n'
        "      x: '\\${y}'\n"
        '  b:\n    type: storage/posix\n    options:\n      directory: /srv/b\n      "on": "on"\n      note: ""\n'
        "  mirror:\n    type: cluster/afr\n    subvolumes: [a, b]\n"
    )
