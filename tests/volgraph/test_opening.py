"""From a spec, a file or translators to a Volume; and what is said when that cannot be."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import anyio
import attrs
import pytest

import volgraph
from volgraph import SpecError, Translator
from volgraph.graph import EVERYTHING, ChildDown, ChildUp, Event, ParentUp
from volgraph.graph import options as kinds
from volgraph.translators import Afr, Distribute, Memory, PassThrough

pytestmark = pytest.mark.anyio

ONE = "volume m\n  type storage/memory\nend-volume\n"
TWO = ONE + "volume n\n  type storage/memory\nend-volume\n"


@attrs.define(eq=False)
class Slow(Translator):
    """A leaf that says up, down or nothing, when the test wants it."""

    children_allowed = (0, 0)
    leaf_capabilities = EVERYTHING
    says: str = volgraph.option(kinds.text, default="nothing")

    def notify(self, event: Event) -> None:
        if isinstance(event, ParentUp):
            if self.says == "up":
                self.rise(ChildUp(self))
            elif self.says != "nothing":
                self.rise(ChildDown(self, self.says))


async def test_a_path_a_spec_and_a_translator_open_alike(tmp_path: Path, anyio_backend: str) -> None:
    (tmp_path / "one.vol").write_text(ONE)
    (tmp_path / "one.yaml").write_text(volgraph.parse(ONE).to_yaml())
    path = tmp_path / "one.vol"
    sources = (str(path), bytes(path), tmp_path / "one.yaml", volgraph.parse(ONE), Memory("m"))
    for source in sources:
        async with volgraph.open(source) as vol:
            await vol.write_bytes("/f", b"x")
            assert (vol.graph.top.name, await vol.listdir("/")) == ("m", ["f"])


async def test_a_spec_opens_any_number_of_times_and_a_translator_once(anyio_backend: str) -> None:
    spec, node = volgraph.parse(ONE), Memory("m")
    async with volgraph.open(spec), volgraph.open(spec):
        pass
    async with volgraph.open(node):
        pass
    with pytest.raises(OSError) as caught:
        async with volgraph.open(node):
            pass

    assert caught.value.errno == errno.EBUSY


async def test_top_params_types_and_dialect_reach_the_spec(anyio_backend: str) -> None:
    class Mine(Translator):
        pass

    spec = volgraph.parse(TWO + "volume top\n  type my/own\n  subvolumes n\nend-volume\n")
    async with volgraph.open(spec, top="m", types={"my/own": Mine}) as vol:
        assert [node.name for node in vol.graph.nodes] == ["m"]
    async with volgraph.open(spec, types={"my/own": Mine}) as vol:
        assert isinstance(vol.graph.top, Mine)


async def test_params_fill_a_spec_that_is_loaded(tmp_path: Path, anyio_backend: str) -> None:
    (tmp_path / "p.vol").write_text("volume m\n  type storage/memory\n  option size-limit ${size}\nend-volume\n")
    for size in ("1MB", 1 << 20):
        async with volgraph.open(tmp_path / "p.vol", params={"size": size}) as vol:
            assert vol.graph.top.size_limit == 1 << 20  # type: ignore[attr-defined]
    with pytest.raises(SpecError, match="size"):
        async with volgraph.open(tmp_path / "p.vol"):
            pass


async def test_a_caller_s_own_error_comes_out_as_it_is(anyio_backend: str) -> None:
    with pytest.raises(KeyError):
        async with volgraph.open(Memory("m")):
            raise KeyError("mine")


async def test_a_time_limit_around_a_volume_ends_it_in_order(anyio_backend: str) -> None:
    with anyio.move_on_after(0.01) as scope:
        async with volgraph.open(Memory("m")) as vol:
            file = await vol.open("/f", "wb")
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert file.closed


async def test_open_returns_when_every_child_has_spoken_and_goes_on_without_one_that_is_down(
    anyio_backend: str,
) -> None:
    top = Afr("mirror", (Memory("near"), Slow("far", says="no route")), known_children=False)
    with anyio.fail_after(5):
        async with volgraph.open(top, wait=60) as vol:
            await vol.write_bytes("/f", b"one copy")
            assert vol.status().children[1].reason == "no route"


async def test_a_new_mirror_opens_only_with_every_child_and_says_which_one_is_missing(anyio_backend: str) -> None:
    with pytest.raises(OSError) as caught:
        async with volgraph.open(Afr("mirror", (Memory("near"), Slow("far", says="no route")))):
            pass

    assert caught.value.errno == errno.ENOTCONN
    assert "far: no route" in str(caught.value)
    assert "first use needs every child: far down" in str(caught.value)


async def test_a_top_that_is_down_is_an_error_that_names_each_cause(anyio_backend: str) -> None:
    top = Afr("mirror", (Slow("a", says="no such directory"), Slow("b", says="connection refused")))
    with pytest.raises(OSError) as caught:
        async with volgraph.open(top, wait=60):
            pass

    assert caught.value.errno == errno.ENOTCONN
    assert "mirror is not up" in str(caught.value)
    assert "a: no such directory" in str(caught.value)
    assert "b: connection refused" in str(caught.value)


async def test_silence_is_waited_for_and_then_named(anyio_backend: str) -> None:
    with pytest.raises(OSError, match=r"quiet: no answer in 0\.01 s") as caught:
        async with volgraph.open(PassThrough("top", (Slow("quiet"),)), wait=0.01):
            pass

    assert caught.value.errno == errno.ENOTCONN


async def test_nodes_made_in_python_are_checked_as_a_spec_is(anyio_backend: str) -> None:
    with pytest.raises(SpecError, match="does not take 2 children"):
        async with volgraph.open(Distribute("dht", (Memory("a"), Memory("b")))):
            pass


async def test_nodes_made_in_python_have_names_of_their_own(anyio_backend: str) -> None:
    child = Memory("a")
    for children, told in (((Memory("a"), Memory("a")), "several nodes are called 'a'"), ((child, child), "twice")):
        with pytest.raises(SpecError, match=told):
            async with volgraph.open(Afr("mirror", children)):
                pass


async def test_what_comes_later_is_refused_clearly(anyio_backend: str) -> None:
    async with volgraph.open(Memory("m")) as vol:
        with pytest.raises(OSError) as caught:
            await vol.heal(resolve="size")
        assert caught.value.errno == errno.EOPNOTSUPP
        with pytest.raises(OSError, match="no cluster/afr has a child 'm'") as caught:
            await vol.heal(accept="m")
        assert caught.value.errno == errno.EINVAL
    with pytest.raises(TypeError):
        async with volgraph.open(Memory("m"), top="n"):
            pass


async def test_a_missing_spec_is_an_error_with_its_name(anyio_backend: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        async with volgraph.open("/no/such.vol"):
            pass

    assert caught.value.filename == "/no/such.vol"


async def test_status_shows_the_graph_with_each_state(anyio_backend: str) -> None:
    top = Afr("mirror", (Memory("a"), Slow("b", says="away")), known_children=False)
    async with volgraph.open(top) as vol:
        status = vol.status()

    assert (status.name, status.state, [child.name for child in status.children]) == ("mirror", "up", ["a", "b"])
    assert [(child.state, child.reason) for child in status.children] == [("up", ""), ("down", "away")]


def test_importing_the_package_loads_no_translator_and_no_event_loop() -> None:
    code = "import sys, volgraph; print([m for m in ('anyio', 'attrs', 'volgraph.graph') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for module in (volgraph, volgraph.translators):
        for name in module.__all__:
            assert getattr(module, name) is not None
        assert set(module.__all__) <= set(dir(module))
        with pytest.raises(AttributeError):
            module.no_such_name  # noqa: B018
    assert volgraph.__version__[0].isdigit()
    assert os.path.basename(volgraph.__file__) == "__init__.py"
