"""cluster/unify as a spec writes it."""

from __future__ import annotations

import pytest

from volgraph.graph import State, link
from volgraph.translators.cluster.unify import Unify
from volgraph.volspec import SpecError, parse

SPEC = """
volume names
  type storage/memory
end-volume
volume left
  type storage/memory
end-volume
volume right
  type storage/memory
end-volume
volume one
  type cluster/unify
  option namespace {namespace}
  {options}
  subvolumes left right
end-volume
"""


def spec(options: str = "option scheduler rr", namespace: str = "names") -> str:
    return SPEC.replace("{options}", options).replace("{namespace}", namespace)


def problems(text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(SpecError) as caught:
        link(parse(text))
    return [(each.position.line if each.position else None, each.message) for each in caught.value.problems]


@pytest.mark.anyio
async def test_the_namespace_option_names_a_volume_which_is_started_and_told_of_its_parent() -> None:
    graph = link(parse(spec()))
    (top,) = graph.find(Unify)
    assert top.namespace is graph.node("names")
    assert graph.warnings == []
    async with graph:
        assert await graph.up(5)
        assert top.namespace.state is State.UP


def test_options_of_the_time_that_have_no_effect_are_warned_of() -> None:
    old = ("rr.limits.min-free-disk 5%", "rr.limits.min-disk-free 5%", "rr.refresh-interval 10", "inode-lru-limit 1000")
    graph = link(parse(spec("".join(f"option {each}\n" for each in (*old, "optimist on", "self-heal background")))))
    assert [warning.split("'")[1] for warning in graph.warnings] == [*(each.split()[0] for each in old), "optimist"]


def test_the_namespace_must_be_given_and_be_no_subvolume() -> None:
    assert problems(spec(namespace="left")) == [(13, "the namespace is one of the subvolumes")]
    assert problems(spec().replace("option namespace names", "")) == [
        (11, "cluster/unify needs option 'namespace'"),
    ]
    (found,) = problems(spec(namespace="nowhere"))
    assert found == (13, "option 'namespace' names no volume: 'nowhere'")


def test_other_schedulers_are_refused_where_they_stand() -> None:
    assert problems(spec("option scheduler alu")) == [(14, "scheduler 'alu' is not supported yet")]


def test_read_only_children_are_read_as_a_list() -> None:
    (top,) = link(parse(spec("option rr.read-only-subvolumes left"))).find(Unify)
    assert top.read_only_subvolumes == ("left",)
    found = problems(spec("option rr.read-only-subvolumes left,nowhere"))
    assert found == [(14, "'nowhere' is no child")]
