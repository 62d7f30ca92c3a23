"""The YAML form: the same specs, and the same errors at their places. With either of PyYAML's loaders."""

from pathlib import Path

import pytest
import yaml

from volgraph.volspec import Position, SpecError, load, parse, parse_yaml, yaml_form

MIRROR = """\
volumes:
  a:
    type: storage/posix
    options: {directory: /srv/a, o-direct: on, "size": 0x10}
  "b c":
    options:
      directory: '/srv/b'
    type: storage/posix
  mirror: {type: cluster/afr, subvolumes: [a, b c]}
"""


@pytest.fixture(autouse=True, params=["CSafeLoader", "SafeLoader"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(yaml_form, "_Loader", getattr(yaml, request.param, yaml.SafeLoader))
    return str(request.param)


def diagnostics(text: str | bytes) -> list[tuple[int, int, str]]:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text)
    return [(*p.position, p.message) for p in caught.value.problems if p.position is not None]


def test_it_is_the_same_spec_as_the_volfile() -> None:
    volfile = """
        volume a type storage/posix option directory /srv/a option o-direct on option size 0x10 end-volume
        volume "b c" type storage/posix option directory /srv/b end-volume
        volume mirror type cluster/afr subvolumes a "b c" end-volume
    """

    spec = parse_yaml(MIRROR, "mirror.yaml")

    assert spec == parse(volfile)
    assert (spec.top, spec.filename) == ("mirror", "mirror.yaml")


def test_every_word_knows_where_it_stood() -> None:
    a, b, mirror = parse_yaml(MIRROR).volumes.values()

    assert a.name.position == Position(2, 3)
    assert a.options[1].key.position == (4, 34)
    assert a.options[1].value.position == (4, 44)
    assert b.name.position == (5, 3)
    assert mirror.subvolumes[1].position == (9, 47)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("1", "1"),
        ("0o17", "0o17"),
        ("1.50", "1.50"),
        ("~", "~"),
        ("null", "null"),
        ("2001-01-01", "2001-01-01"),
        ('""', ""),
        ("''", ""),
        ('"a\\tb\\xe9"', "a\tbé"),
        (">-\n      a\n      b", "a b"),
        ("a\n      b", "a b"),
        ("=", "="),
        ("<<", "<<"),
        ("!!binary L3Nydi//", "/srv/\udcff"),
        ('!!binary "JHtkaXJ9"', "${dir}"),
    ],
)
def test_a_value_is_its_text(text: str, value: str) -> None:
    spec = parse_yaml(f"volumes:\n  a:\n   type: t\n   options:\n    k: {text}\n")

    assert spec.volumes["a"].option_map == {"k": value}


def option(value: str) -> str:
    return f"volumes: {{a: {{type: t, options: {{k: {value}}}}}}}"


ALONE = {
    "nothing": ("", 1, 1, "no volume"),
    "a comment": ("# nothing", 1, 1, "no volume"),
    "an empty document": ("---\n", 1, 1, "no volume"),
    "no volumes in it": ("volumes: {}", 1, 1, "no volume"),
    "volumes without any": ("volumes:\n", 1, 1, "`volumes` is a mapping"),
    "a list": ("- a", 1, 1, "a spec is a mapping"),
    "a word": ("volumes", 1, 1, "a spec is a mapping"),
    "volumes a list": ("volumes: [a]", 1, 10, "`volumes` is a mapping"),
    "another key": ("volumes: {a: {type: t}}\ntop: a", 2, 1, "unknown key 'top'"),
    "another volumes": ("volumes: {a: {type: t}}\nvolumes: {b: {type: t}}", 2, 1, "a second `volumes`"),
    "a volume that is a word": ("volumes: {a: t}", 1, 14, "a volume is a mapping"),
    "unknown key": ("volumes: {a: {type: t, option: {k: [v, {w: x}]}}}", 1, 24, "unknown key 'option'"),
    "key twice": ("volumes: {a: {type: t, type: u}}", 1, 24, "a second `type`"),
    "key that is a list": ("volumes: {a: {type: t, [x]: u}}", 1, 24, "a key is one word"),
    "name that is a list": ("volumes:\n  ? [x]\n  : {type: t}", 2, 5, "a volume's name is one word"),
    "type that is a list": ("volumes: {a: {type: [t]}}", 1, 21, "a type is one word"),
    "no type": ("volumes: {a: {}}", 1, 11, "volume 'a' has no type"),
    "type missing": ("volumes: {a: {type: }}", 1, 15, "a type is missing"),
    "options missing": ("volumes: {a: {type: t, options: }}", 1, 24, "`options` is a mapping"),
    "subvolumes a word": ("volumes: {a: {type: t, subvolumes: a}}", 1, 36, "`subvolumes` is a list"),
    "subvolume missing": ("volumes: {a: {type: t, subvolumes: [{b: c}]}}", 1, 37, "a subvolume's name is one word"),
    "value missing": (option(""), 1, 34, "an option's value is missing"),
    "value a mapping": (option("{a: b}"), 1, 37, "an option's value is one word"),
    "volume twice": ("volumes: {a: {type: t}, a: {type: t}}", 1, 25, "volume 'a' is defined again"),
    "option twice": (option("v, k: w"), 1, 40, "option 'k' is given twice"),
    "child not there": ("volumes: {a: {type: t, subvolumes: [b]}}", 1, 37, "'b' is not defined before"),
    "child later": ("volumes: {a: {type: t, subvolumes: [b]}, b: {type: t}}", 1, 37, "'b' is not defined before"),
    "itself": ("volumes: {a: {type: t, subvolumes: [a]}}", 1, 37, "has itself"),
    "child twice": ("volumes: {a: {type: t}, b: {type: t, subvolumes: [a, a]}}", 1, 54, "named twice"),
    "alias": (option("&x v, l: *x"), 1, 46, "an alias"),
    "alias of a volume": ("volumes: {a: &x {type: t}, b: *x}", 1, 31, "an alias"),
    "tag": (option("!!str v"), 1, 37, "the tag 'tag:yaml.org,2002:str'"),
    "local tag": (option("!x v"), 1, 37, "the tag '!x'"),
    "bare tag": (option("! v"), 1, 37, "the tag '!'"),
    "tag of a mapping": ("volumes: !!python/object:os.system {a: {type: t}}", 1, 10, "the tag 'tag:yaml"),
    "bad base64": (option("!!binary v"), 1, 37, "!!binary that is no base64"),
    "NUL": (option('"a\\0"'), 1, 37, "a NUL in a word"),
    "line feed": (option('"a\\n"'), 1, 37, "a line feed in a word"),
    "carriage return in bytes": (option("!!binary DQ=="), 1, 37, "a carriage return in a word"),
    "second document": ("volumes: {a: {type: t}}\n---\nvolumes: {}", 2, 1, "a second document"),
    "control character": ("volumes: {a: {type: \x01}}", 1, 21, "YAML: U+0001, cannot stand in YAML"),
    "lone surrogate": ("volumes: {a: {type: \ud800}}", 1, 21, "YAML: U+D800, cannot"),
    "open bracket": ("volumes: {a: {type: t}\n\n", 3, 1, "YAML: "),
    "tab for indentation": ("volumes:\n\ta: {type: t}", 2, 1, "YAML: "),
    "open quote": ("volumes: {a: {type: 't}}\n", 2, 1, "YAML: "),
    "unknown anchor": ("volumes: *x", 1, 10, "an alias"),
}


@pytest.mark.parametrize("case", ALONE)
def test_one_mistake_gives_one_diagnostic(case: str) -> None:
    text, line, column, fragment = ALONE[case]

    (found,) = diagnostics(text)

    assert found[:2] == (line, column)
    assert fragment in found[2]


def test_errors_of_their_own_are_all_reported_in_order_of_position() -> None:
    text = """\
volume: 1
volumes:
  a:
    options: {k: [1], k: 2, l: 3, l: 4}
  b:
    subvolumes: [c, b]
  c:
    type: !t x
    typ: y
  a: {type: t}
"""

    assert diagnostics(text) == [
        (1, 1, "unknown key 'volume' at the top of a spec"),
        (4, 18, "an option's value is one word"),
        (4, 35, "option 'l' is given twice"),
        (5, 3, "volume 'b' has no type"),
        (6, 18, "subvolume 'c' is not defined before its use"),
        (6, 21, "volume 'b' has itself as a subvolume"),
        (8, 11, "the tag '!t', which a spec cannot have"),
        (9, 5, "unknown key 'typ' of a volume"),
        (10, 3, "volume 'a' is defined again"),
    ]


def test_bytes_that_are_no_utf8_are_an_error_at_their_place() -> None:
    assert diagnostics(b"volumes:\n  a: {type: \xff}") == [
        (2, 13, "YAML: the byte 0xff, which is no UTF-8, cannot stand in YAML")
    ]


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "{a: ", "[[[[ {"])
def test_nesting_is_refused_before_it_costs_anything(opening: str) -> None:
    found = diagnostics("volumes: {a: {type: t, x: " + opening * 100_000 if opening[0] in "[{" else opening * 100_000)

    assert len(found) == 1


def test_aliases_cannot_multiply_a_text() -> None:
    lines = ["volumes:", "  a: &a0 {type: t}"]
    lines += [f"  x{i}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(12)]

    found = diagnostics("\n".join(lines))

    assert {message for _, _, message in found} == {"a volume is a mapping"}


def test_the_suffix_of_a_file_tells_its_form(tmp_path: Path) -> None:
    for name in ("m.yaml", "m.YML"):
        (tmp_path / name).write_text(MIRROR)
        assert load(tmp_path / name) == parse_yaml(MIRROR)
    (tmp_path / "m.vol").write_text(parse_yaml(MIRROR).to_vol())

    assert load(tmp_path / "m.vol") == parse_yaml(MIRROR)
    assert load(str(tmp_path / "m.vol")).filename == str(tmp_path / "m.vol")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.vol")
