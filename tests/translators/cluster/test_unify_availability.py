"""A child or the namespace is down: an error, never ENOENT, never a short listing (I18)."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable

import pytest

from tests.translators.cluster.unify_bench import Bench, Gate, breaches, unified
from volgraph.graph import (
    ROOT_LOC,
    ChildChanged,
    ChildDown,
    ChildUp,
    Event,
    Fd,
    Graph,
    Loc,
    NewAttributes,
    State,
    Translator,
)
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory

pytestmark = pytest.mark.anyio

Step = Callable[[Bench], Awaitable[object]]


async def filled(bench: Bench) -> None:
    """`on0` and `d/on0` are on the first child, `on1` and `d/on1` on the second."""
    await bench.mkdir("d")
    await bench.mkdir("empty")
    for path in ("on0", "on1", "d/on0", "d/on1"):
        await bench.write(path, path.encode())


NEEDS_THE_FIRST_CHILD: dict[str, Step] = {
    "lookup": lambda bench: bench.find("on0"),
    "open": lambda bench: bench.open("on0"),
    "unlink": lambda bench: bench.unlink("on0"),
    "rename": lambda bench: bench.rename("on0", "new"),
    "rename over it": lambda bench: bench.rename("on1", "on0"),
    "link": lambda bench: bench.link("on0", "new"),
    "create over it": lambda bench: bench.create("on0", os.O_RDWR),
    "mkdir": lambda bench: bench.mkdir("new"),
    "rmdir": lambda bench: bench.rmdir("empty"),
    "rename of a directory": lambda bench: bench.rename("d", "new"),
    "chmod": lambda bench: bench.chmod("on0", 0o600),
}
GOES_ON_WITHOUT_IT: dict[str, Step] = {
    "lookup of another file": lambda bench: bench.find("on1"),
    "lookup of a directory": lambda bench: bench.find("d"),
    "read": lambda bench: bench.read("d/on1"),
    "write": lambda bench: bench.write("on1", b"x"),
    "create": lambda bench: bench.write("new", b"x"),
    "symlink": lambda bench: bench.symlink("t", "new"),
    "unlink": lambda bench: bench.unlink("on1"),
    "rename": lambda bench: bench.rename("on1", "d/new"),
    "rename over": lambda bench: bench.rename("on1", "d/on1"),
    "link": lambda bench: bench.link("on1", "new"),
    "chmod of a directory": lambda bench: bench.chmod("d", 0o700),
    "statfs": lambda bench: bench.top.statfs(bench.call, ROOT_LOC),
}


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("what", NEEDS_THE_FIRST_CHILD)
async def test_what_needs_a_child_that_is_down_is_enotconn_and_changes_nothing(what: str, known: bool) -> None:
    async with unified() as bench:
        await filled(bench)
        before = await bench.tree()
        if not known:
            bench.top.known.clear()
        bench.gates[0].turn(False)
        with pytest.raises(OSError) as caught:
            await NEEDS_THE_FIRST_CHILD[what](bench)
        assert caught.value.errno == errno.ENOTCONN

        bench.gates[0].turn(True)
        assert await bench.tree() == before
        assert breaches(bench.disks) == []


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("what", GOES_ON_WITHOUT_IT)
async def test_what_needs_no_child_that_is_down_goes_on(what: str, known: bool) -> None:
    async with unified() as bench:
        await filled(bench)
        if not known:
            bench.top.known.clear()
        bench.gates[0].turn(False)
        await GOES_ON_WITHOUT_IT[what](bench)

        bench.gates[0].turn(True)
        await bench.tree()
        assert breaches(bench.disks) == []


async def test_fds_on_a_child_that_is_down_are_enotconn() -> None:
    async with unified() as bench:
        await filled(bench)
        fd = await bench.open("on0")
        bench.gates[0].turn(False)
        attempts: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: bench.top.readv(bench.call, fd, 10, 0),
            lambda: bench.top.writev(bench.call, fd, b"x", 0),
            lambda: bench.top.fstat(bench.call, fd),
            lambda: bench.top.fsync(bench.call, fd),
            lambda: bench.top.fsetattr(bench.call, fd, NewAttributes(mode=0)),
        )
        for attempt in attempts:
            with pytest.raises(OSError) as caught:
                await attempt()
            assert caught.value.errno == errno.ENOTCONN


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
async def test_a_listing_has_all_names_and_no_attributes_of_what_is_on_a_child_that_is_down(known: bool) -> None:
    async with unified() as bench:
        await filled(bench)
        if not known:
            bench.top.known.clear()
        bench.gates[0].turn(False)
        entries = await bench.entries()
        assert sorted(entries) == ["d", "empty", "on0", "on1"]
        assert {name for name, iatt in entries.items() if iatt is None} == {"on0"}


async def test_names_that_do_not_exist_are_enoent_whoever_is_down() -> None:
    async with unified() as bench:
        bench.gates[0].turn(False)
        with pytest.raises(FileNotFoundError):
            await bench.find("none")


async def test_without_the_namespace_nothing_is_answered_as_missing() -> None:
    async with unified() as bench:
        await filled(bench)
        bench.namespace.turn(False)
        steps: dict[str, Step] = {**NEEDS_THE_FIRST_CHILD, **GOES_ON_WITHOUT_IT, "list": lambda bench: bench.entries()}
        del steps["statfs"]
        for what, step in steps.items():
            with pytest.raises(OSError) as caught:
                await step(bench)
            assert caught.value.errno == errno.ENOTCONN, what
        bench.namespace.turn(True)
        assert breaches(bench.disks) == []


async def test_syncing_a_directory_needs_every_child() -> None:
    async with unified() as bench:
        fd = Fd(ROOT_LOC.gfid, is_dir=True)
        await bench.top.opendir(bench.call, ROOT_LOC, fd)
        await bench.top.fsyncdir(bench.call, fd)
        bench.gates[1].turn(False)
        with pytest.raises(OSError) as caught:
            await bench.top.fsyncdir(bench.call, fd)
        assert caught.value.errno == errno.ENOTCONN


async def test_new_files_pass_over_a_child_that_is_down() -> None:
    async with unified(3) as bench:
        bench.gates[1].turn(False)
        for name in "abcd":
            await bench.write(name, b"")
        assert [bench.holders(name) for name in "abcd"] == [[0], [2], [0], [2]]


async def test_with_no_child_left_that_may_take_it_a_new_file_is_enotconn_and_leaves_no_entry() -> None:
    async with unified(read_only_subvolumes="c0") as bench:
        bench.gates[1].turn(False)
        with pytest.raises(OSError) as caught:
            await bench.create("f")
        assert caught.value.errno == errno.ENOTCONN
        assert "/f" not in bench.disks.namespace.image()


async def test_a_directory_whose_mode_was_changed_while_a_child_was_down_is_put_right_on_the_next_lookup() -> None:
    async with unified() as bench:
        await bench.mkdir("d")
        bench.gates[0].turn(False)
        await bench.chmod("d", 0o700)
        bench.gates[0].turn(True)
        assert breaches(bench.disks) == ["/d: child 0 has another mode or owner"]
        await bench.find("d")
        assert breaches(bench.disks) == []


# --- events --------------------------------------------------------------------------------------------------------


class Listener(Translator):
    """Writes down what its child says."""

    def notify(self, event: Event) -> None:
        if isinstance(event, (ChildUp, ChildDown, ChildChanged)):
            self.__dict__.setdefault("heard", []).append(type(event))
        super().notify(event)


async def test_it_is_up_with_the_namespace_and_one_child_and_tells_its_parent_of_each_other_change() -> None:
    nodes = [Gate(f"g{number}", (Memory(f"m{number}"),)) for number in range(3)]
    names, first, second = nodes
    listener = Listener("top", (Unify("u", [first, second], namespace=names),))
    async with Graph(listener):
        heard: list[type[Event]] = listener.__dict__["heard"]
        assert heard == [ChildUp]
        for gate, on, wanted in (
            (first, False, [ChildChanged]),
            (second, False, [ChildDown]),
            (first, True, [ChildUp]),
            (names, False, [ChildDown]),
            (second, True, []),
            (names, True, [ChildUp]),
        ):
            heard.clear()
            gate.turn(on)
            assert heard == wanted, (gate.name, on)
        assert listener.state is State.UP


class Silent(Memory):
    """Never says whether it is up."""

    def notify(self, event: Event) -> None:
        pass


class Impatient(Unify):
    async def _wait_for_first_words(self) -> None:
        self._patient = False
        self._tell()


async def test_a_child_that_says_nothing_does_not_hold_it_back_for_ever() -> None:
    top = Impatient("u", [Memory("a"), Silent("b")], namespace=Memory("n"))
    async with Graph(top) as graph:
        assert top.state is State.UNKNOWN
        assert await graph.up(5)
    down = Impatient("u", [Memory("a"), Memory("b")], namespace=Silent("n"))
    async with Graph(down) as graph:
        await graph.heard_from_top(5)
        assert (down.state, down.down_reason) == (State.DOWN, "n down")


async def test_a_file_that_is_made_while_the_answer_is_awaited_is_seen_by_a_lookup_by_gfid() -> None:
    async with unified() as bench:
        await bench.write("f", b"x")
        gfid = (await bench.find("f")).gfid
        bench.top.known.clear()
        assert (await bench.top.lookup(bench.call, Loc(gfid))).iatt.size == 1
        with pytest.raises(FileNotFoundError):
            await bench.top.lookup(bench.call, Loc(bench.graph.seams.new_gfid()))
