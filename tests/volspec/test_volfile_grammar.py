"""The volfile: what is accepted, and what it means."""

import pytest

from volgraph.volspec import Position, Spec, SpecError, parse

MIRROR = """\
# two bricks
volume a
  type storage/posix          # a comment
  option directory /srv/a#1
end-volume

volume "b c"
  type "storage/posix"
  option "directory" "/srv/b \\"c\\" \\\\ \\n"
  option "type" ""
end-volume

volume mirror
  type cluster/afr
  option data-self-heal on
  subvolumes a "b c"
  option metadata-self-heal off
end-volume
"""


def word(text: str, **arguments: object) -> str:
    """The value that `text` has as an option's value."""
    spec = parse(f"volume a type t option k {text} end-volume", **arguments)  # type: ignore[arg-type]
    return spec.volumes["a"].option_map["k"]


def test_volumes_options_and_subvolumes_are_read_in_order_and_the_last_volume_is_the_top() -> None:
    spec = parse(MIRROR, "mirror.vol")

    assert list(spec.volumes) == ["a", "b c", "mirror"]
    assert spec.top == "mirror"
    assert spec.filename == "mirror.vol"
    mirror = spec.volumes["mirror"]
    assert mirror.type.text == "cluster/afr"
    assert list(mirror.option_map.items()) == [("data-self-heal", "on"), ("metadata-self-heal", "off")]
    assert [child.text for child in mirror.subvolumes] == ["a", "b c"]


def test_every_word_knows_where_it_stood() -> None:
    spec = parse(MIRROR)

    a, b, mirror = spec.volumes.values()
    assert a.name.position == Position(2, 8)
    assert a.type.position == (3, 8)
    assert a.options[0].key.position == (4, 10)
    assert a.options[0].value.position == (4, 20)
    assert b.name.position == (7, 8)
    assert mirror.subvolumes[1].position == (16, 16)


def test_quotes_make_any_text_a_word_and_a_backslash_the_next_character_literal() -> None:
    b = parse(MIRROR).volumes["b c"]

    assert b.option_map == {"directory": '/srv/b "c" \\ n', "type": ""}


def test_line_ends_and_blanks_only_separate() -> None:
    one_line = " ".join(line.split("#")[0] for line in MIRROR.replace("/a#1", "/a").splitlines())
    many_lines = (
        MIRROR.replace("/a#1", "/a").replace("  option", "\toption\r\n").replace("subvolumes", "subvolumes\r\n\n")
    )

    assert parse(one_line) == parse(many_lines) == parse(MIRROR.replace("/a#1", "/a"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a#b", "a#b"),
        ('"#b"', "#b"),
        ("x # no `command` and no ${parameter} in a comment\n", "x"),
        ("volumes", "volumes"),
        ("Volume", "Volume"),
        ("*.html:2,*:1", "*.html:2,*:1"),
        ("5%", "5%"),
        ("$HOME", "$HOME"),
        ("a$", "a$"),
        ('"end-volume"', "end-volume"),
        ('"\\`date\\`"', "`date`"),
        ("a\x0b\x0c\x85\u2028\xa0b", "a\x0b\x0c\x85\u2028\xa0b"),
        ("'a'", "'a'"),
        ("été", "été"),
    ],
)
def test_a_word_is_taken_with_its_escapes_and_quotes_undone(text: str, value: str) -> None:
    assert word(text) == value


def test_a_quote_ends_a_bare_word() -> None:
    spec = parse('volume"a"type"t"option k"v"#end\nend-volume')

    assert spec.volumes["a"].option_map == {"k": "v"}


def test_subvolumes_may_end_in_a_capital() -> None:
    spec = parse("volume a type t end-volume volume b type t subvolumeS a end-volume")

    assert [child.text for child in spec.volumes["b"].subvolumes] == ["a"]


def test_a_volume_with_only_a_type_is_accepted() -> None:
    volume = parse("volume a\n type storage/memory\nend-volume").volumes["a"]

    assert (volume.options, volume.subvolumes) == ((), ())


def test_one_volume_may_have_several_parents() -> None:
    text = (
        "volume a type t end-volume volume b type t subvolumes a end-volume volume c type t subvolumes a b end-volume"
    )

    assert [child.text for child in parse(text).volumes["c"].subvolumes] == ["a", "b"]


def test_bytes_that_are_no_utf8_survive() -> None:
    spec = parse(b"volume a\n type t\n option directory /srv/\xff\xe9\nend-volume")

    assert spec.volumes["a"].option_map["directory"] == "/srv/\udcff\udce9"


def test_specs_are_equal_whatever_their_positions_and_differ_in_order_and_values() -> None:
    ab = "volume a type t end-volume volume b type t option k v end-volume"

    assert parse(ab) == parse("# comment\n" + ab, "other.vol")
    assert parse(ab) != parse("volume b type t option k v end-volume volume a type t end-volume")
    assert parse(ab) != parse(ab.replace("k v", "k w"))
    assert parse(ab) != parse(ab.replace("type t", 'type "t "'))
    assert parse(ab) != "not a spec"


OLD = """\
volume old
  subvolumes a
  option x 1
  subvolumes b c
  option y 2
  type cluster/afr
  option x 3
end-volume
"""
BRICKS = "".join(f"volume {name}\n  type storage/posix\nend-volume\n" for name in "abc")


def test_the_dialect_1_3_takes_lines_in_any_order_and_adds_subvolumes_up() -> None:
    old = parse(BRICKS + OLD, dialect="1.3").volumes["old"]

    assert old.type.text == "cluster/afr"
    assert [child.text for child in old.subvolumes] == ["a", "b", "c"]
    assert old.option_map == {"x": "3", "y": "2"}


def test_the_modern_dialect_refuses_what_1_3_takes() -> None:
    with pytest.raises(SpecError) as caught:
        parse(BRICKS + OLD)

    assert [(p.position and p.position.line, p.message) for p in caught.value.problems] == [
        (13, "a second `subvolumes` in one volume"),
        (15, "`type` must come first in a volume"),
        (16, "option 'x' is given twice"),
    ]


def test_the_dialect_1_3_refuses_two_different_types_and_an_undefined_child() -> None:
    with pytest.raises(SpecError) as caught:
        parse("volume a\n type t\n type t\n type u\n subvolumes z\nend-volume", dialect="1.3")

    assert [p.message for p in caught.value.problems] == [
        "a second `type` in one volume",
        "subvolume 'z' is not defined before its use",
    ]


def test_an_unknown_dialect_or_format_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="dialect"):
        parse(MIRROR, dialect="2.0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="format"):
        parse(MIRROR, format="json")  # type: ignore[arg-type]


def test_a_spec_survives_an_equal_copy() -> None:
    spec = parse(MIRROR)

    assert isinstance(spec, Spec)
    assert parse(spec.to_vol()) == spec
    assert spec.to_vol() == parse(spec.to_vol()).to_vol()
