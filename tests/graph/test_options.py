"""An option is a field: read from text, checked from Python, listed for people."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from volgraph.graph import Translator, option, options_of
from volgraph.graph.options import (
    OptionType,
    Share,
    boolean,
    duration,
    integer,
    missing,
    one_of,
    path,
    percent,
    read_text,
    share,
    size,
    text,
    uuid,
    words,
)


@attrs.define(eq=False)
class Sample(Translator):
    directory: str = option(path, help="where")
    delay_ms: int = option(integer(low=0, high=1000), default=5)
    mode: str = option(one_of("auto", "off"), default="auto", key="the-mode", aliases=("old.mode",))
    auth: dict[str, str] = option(text, key="auth.addr.*.allow", aliases=("auth.ip.*.allow",))
    ignored_options = frozenset(("cache-size", "transport.*"))


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (integer(), "-12", -12),
        (boolean, "Enable", True),
        (boolean, "0", False),
        (size(), "4KB", 4096),
        (size(), "3gb", 3 * 1024**3),
        (size(), "17", 17),
        (percent, "5%", 5.0),
        (percent, "12.5", 12.5),
        (share, "1%", Share(percent=1.0)),
        (share, "10MB", Share(bytes=10 * 1024**2)),
        (duration(), "10", 10.0),
        (duration(), "10min", 600.0),
        (duration(), "250ms", 0.25),
        (path, "/srv/a", "/srv/a"),
        (words(), "a, b,,c", ("a", "b", "c")),
        (words(":"), "x:y", ("x", "y")),
        (uuid, "5F0C3A52-9a0b-4d7e-8e64-0a1b2c3d4e5f", "5f0c3a52-9a0b-4d7e-8e64-0a1b2c3d4e5f"),
    ],
)
def test_text_is_read_as_glusterfs_reads_it(kind: OptionType, given: str, value: Any) -> None:
    assert kind.read(given) == value


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (integer(), "1.5"),
        (integer(), ""),
        (integer(), "9" * 30),
        (integer(low=1), "0"),
        (boolean, "maybe"),
        (size(), "4 KB"),
        (size(), "-1"),
        (size(high=10), "1KB"),
        (percent, "101"),
        (share, "x%"),
        (duration(), "10 parsecs"),
        (path, "srv/a"),
        (path, "/srv/../etc"),
        (one_of("a", "b"), "A"),
        (uuid, "5f0c3a52"),
    ],
)
def test_what_cannot_be_read_is_a_value_error_that_says_why(kind: OptionType, given: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        kind.read(given)


def test_a_python_caller_passes_values_or_text() -> None:
    assert Sample("s", directory="/x", delay_ms="7").delay_ms == 7  # type: ignore[arg-type]
    assert Sample("s", directory="/x", delay_ms=7).delay_ms == 7
    with pytest.raises(ValueError, match="out of range"):
        Sample("s", directory="/x", delay_ms=1001)


def test_a_spec_may_use_any_of_an_options_names_but_one_only() -> None:
    fields, wrong = read_text(Sample, {"directory": "/x", "old.mode": "off"})
    assert (fields, wrong) == ({"directory": "/x", "mode": "off"}, {})

    _, wrong = read_text(Sample, {"the-mode": "off", "old.mode": "auto"})
    assert "another name of 'the-mode'" in wrong["old.mode"].message


def test_a_family_of_options_is_a_dict_by_what_stands_for_the_star() -> None:
    fields, wrong = read_text(Sample, {"auth.addr.brick.allow": "*", "auth.ip.other.allow": "10.*"})
    assert (fields, wrong) == ({"auth": {"brick": "*", "other": "10.*"}}, {})


def test_an_option_without_default_is_required_and_one_known_elsewhere_is_ignored() -> None:
    assert [each.key for each in missing(Sample, {})] == ["directory"]

    fields, wrong = read_text(Sample, {"cache-size": "1MB", "transport.listen-backlog": "9"})
    assert (fields, wrong) == ({}, {})


def test_the_options_are_listed_in_the_order_of_their_declaration() -> None:
    assert [each.key for each in options_of(Sample)] == ["directory", "delay-ms", "the-mode", "auth.addr.*.allow"]


def test_options_without_the_attrs_decorator_are_a_clear_error() -> None:
    class Forgotten(Translator):
        delay: int = option(integer(), default=1)

    with pytest.raises(TypeError, match="Forgotten declares options but lacks"):
        options_of(Forgotten)
