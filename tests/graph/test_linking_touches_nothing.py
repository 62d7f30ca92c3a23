"""A spec can be linked, and so checked, anywhere: no disk is looked at before the graph starts."""

from typing import Any

import pytest

from volgraph.graph import Graph, link
from volgraph.graph.disk import Disk
from volgraph.translators import Afr, Posix
from volgraph.volspec import parse

SPEC = """\
volume a
  type storage/posix
  option directory /srv/a
end-volume
volume b
  type storage/posix
  option directory /srv/b
  option io-mode worker
end-volume
volume mirror
  type cluster/afr
  subvolumes a b
end-volume
"""


@pytest.fixture
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"the disk was touched: {args}")

    for name in dir(Disk):
        if not name.startswith("_"):
            monkeypatch.setattr(Disk, name, touched)


@pytest.mark.usefixtures("no_disk")
def test_a_spec_is_linked_without_a_look_at_the_disk() -> None:
    assert [node.name for node in link(parse(SPEC)).nodes] == ["a", "b", "mirror"]


@pytest.mark.usefixtures("no_disk")
def test_a_stack_built_in_python_is_made_a_graph_without_a_look_at_the_disk() -> None:
    Graph(Afr("mirror", [Posix("a", directory="/srv/a"), Posix("b", directory="/srv/b")]))
