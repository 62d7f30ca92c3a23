"""Every step of every change of names fails in every way: what is left is the tree before or after, whole (I14, I17).

A change is run once to count its fops; then again and again, each time with another fop failing in another way. After
it a new client comes to the same disks and looks at the volume, and the disks are scanned.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translators.cluster.unify_bench import Bench, Disks, Plan, breaches, error_of, unified
from volgraph.graph import ROOT_GFID, Gfid
from volgraph.translators.cluster.unify.intents import Intent, Unsettled, declare, settle

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """One loop is enough: nothing here runs at the same time as anything else."""
    return str(request.param)


Step = Callable[[Bench], Awaitable[object]]
Tree = dict[str, object]


async def nothing(bench: Bench) -> None:
    pass


async def one_file(bench: Bench) -> None:
    await bench.write("a", b"A")


async def two_files(bench: Bench) -> None:
    """On two children."""
    await bench.write("a", b"A")
    await bench.write("b", b"B")


async def two_files_of_one_child(bench: Bench) -> None:
    await bench.write("a", b"A")
    await bench.write("skip", b"")
    await bench.write("b", b"B")


async def linked_file(bench: Bench) -> None:
    await bench.write("a", b"A")
    await bench.link("a", "z")


async def linked_target(bench: Bench) -> None:
    await two_files(bench)
    await bench.link("b", "z")


async def full_directory(bench: Bench) -> None:
    await bench.mkdir("d")
    await bench.write("d/f", b"F")
    await bench.write("d/g", b"G")


async def two_directories(bench: Bench) -> None:
    await full_directory(bench)
    await bench.mkdir("e")


CHANGES: dict[str, tuple[Step, Step]] = {
    "create": (nothing, lambda bench: bench.create("a")),
    "create-over": (one_file, lambda bench: bench.create("a", os.O_RDWR)),
    "mknod": (nothing, lambda bench: bench.mkfifo("p")),
    "symlink": (nothing, lambda bench: bench.symlink("t", "s")),
    "mkdir": (nothing, lambda bench: bench.mkdir("d")),
    "link": (one_file, lambda bench: bench.link("a", "b")),
    "link-over": (two_files, lambda bench: bench.link("a", "b")),
    "unlink": (two_files, lambda bench: bench.unlink("a")),
    "unlink-one-of-two-names": (linked_file, lambda bench: bench.unlink("a")),
    "rmdir": (two_directories, lambda bench: bench.rmdir("e")),
    "rmdir-full": (two_directories, lambda bench: bench.rmdir("d")),
    "rename": (one_file, lambda bench: bench.rename("a", "b")),
    "rename-into-directory": (two_directories, lambda bench: bench.rename("d/f", "e/x")),
    "rename-over-other-child": (two_files, lambda bench: bench.rename("a", "b")),
    "rename-over-same-child": (two_files_of_one_child, lambda bench: bench.rename("a", "b")),
    "rename-over-linked": (linked_target, lambda bench: bench.rename("a", "b")),
    "rename-linked-onto-itself": (linked_file, lambda bench: bench.rename("a", "z")),
    "rename-directory": (full_directory, lambda bench: bench.rename("d", "x")),
    "rename-directory-over": (two_directories, lambda bench: bench.rename("d", "e")),
    "rename-directory-over-full": (two_directories, lambda bench: bench.rename("e", "d")),
}
FATES = ("refuse", "lose", "down", "die")


async def seen_afterwards(disks: Disks) -> Tree:
    """A client that knows nothing looks at every name that there is or may have been."""
    async with unified(disks=disks) as bench:
        tree = await bench.tree()
        assert breaches(disks) == []
        return tree


async def run(change: str, plan: Plan) -> tuple[Disks, Tree, OSError | None]:
    """The disks after a change, what was seen before it, and its error."""
    prepare, step = CHANGES[change]
    disks = Disks.blank(2)
    async with unified(disks=disks) as bench:
        await prepare(bench)
        before = await bench.tree()
    async with unified(disks=disks, plan=plan) as bench:
        plan.armed = False
        await bench.tree()  # the holders are known from here on
        plan.armed = True
        try:
            await step(bench)
        except OSError as error:
            return disks, before, error
    return disks, before, None


@pytest.mark.parametrize("change", CHANGES)
async def test_a_failure_at_any_fop_leaves_the_tree_before_or_after(change: str) -> None:
    plan = Plan()
    disks, before, error = await run(change, plan)
    after, fops = await seen_afterwards(disks), len(plan.seen)
    assert (after == before) == (error is not None) or change in ("create-over", "rename-linked-onto-itself")
    assert fops > 3

    for fate in FATES:
        for at in range(fops):
            plan = Plan(at, fate)
            disks, _, failed = await run(change, plan)
            found = await seen_afterwards(disks)
            struck = plan.seen[at]
            assert found in (before, after), (fate, at, struck, failed)
            if failed is None and error is None:
                assert found == after, (fate, at, struck, "a change that was reported done must be there")


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_nothing_disturbs_leaves_no_intent(change: str) -> None:
    disks, _, _ = await run(change, Plan())
    assert breaches(disks) == []


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_failed_can_be_done_again(change: str) -> None:
    plan = Plan()
    disks, _, error = await run(change, plan)
    after, fops = await seen_afterwards(disks), len(plan.seen)
    for at in range(fops):
        disks, _, _ = await run(change, Plan(at, "die"))
        async with unified(disks=disks) as bench:
            again = await error_of(CHANGES[change][1](bench))
        done = errno.ENOENT if change.startswith(("rename", "rm", "unlink")) else errno.EEXIST
        assert again in (None, done, error and error.errno), at
        assert await seen_afterwards(disks) == after, at


@pytest.mark.parametrize(
    "change", ["create", "unlink", "link", "rename", "rename-over-other-child", "rename-directory"]
)
async def test_settling_may_be_cut_short_too(change: str) -> None:
    """The client dies in the change, and the next one dies in each step of putting it right."""
    plan = Plan()
    disks, before, _ = await run(change, plan)
    after, fops = await seen_afterwards(disks), len(plan.seen)
    for at in range(fops):
        for second in range(120):
            disks, _, _ = await run(change, Plan(at, "die"))
            cut = Plan(second, "die")
            async with unified(disks=disks, plan=cut) as bench:
                assert await error_of(bench.tree()) in (None, errno.ENOTCONN)
            assert await seen_afterwards(disks) in (before, after), (at, second)
            if not cut.dead:
                break
        else:
            pytest.fail("settling takes more steps than this test cuts")


@pytest.mark.parametrize("change", CHANGES)
async def test_the_same_client_goes_on_when_the_node_that_went_down_is_back(change: str) -> None:
    plan = Plan()
    disks, before, _ = await run(change, plan)
    after, fops = await seen_afterwards(disks), len(plan.seen)
    prepare, step = CHANGES[change]
    for at in range(fops):
        disks, plan = Disks.blank(2), Plan(at, "down", armed=False)
        async with unified(disks=disks, plan=plan) as bench:
            await prepare(bench)
            await bench.tree()
            plan.armed = True
            await error_of(step(bench))
            for gate in (bench.namespace, *bench.gates):
                if not gate.on:
                    gate.turn(True)
            assert await bench.tree() in (before, after), at
        assert breaches(disks) == [], at


async def test_an_object_bears_one_intent_at_a_time() -> None:
    async with unified() as bench:
        await bench.write("a", b"A")
        gfid = (await bench.find("a")).gfid
        first, second = Intent(ROOT_GFID, b"a"), Intent(ROOT_GFID, b"x")
        await declare(bench.top, gfid, first)
        with pytest.raises(Unsettled) as caught:
            await declare(bench.top, gfid, second)
        assert caught.value.intent == first


async def test_an_intent_that_was_settled_meanwhile_is_left_alone_and_so_is_a_newer_one() -> None:
    async with unified() as bench:
        await bench.write("a", b"A")
        gfid = (await bench.find("a")).gfid
        newer = Intent(ROOT_GFID, b"a")
        await declare(bench.top, gfid, newer)
        await settle(bench.top, gfid, Intent(ROOT_GFID, b"x"))
        with pytest.raises(Unsettled) as caught:
            await declare(bench.top, gfid, newer)
        assert caught.value.intent == newer


@given(
    names=st.tuples(st.binary(min_size=1, max_size=255), st.binary(max_size=255)),
    gfids=st.tuples(*[st.binary(min_size=16, max_size=16).map(Gfid)] * 3),
)
def test_an_intent_reads_back_as_it_was_written(names: tuple[bytes, bytes], gfids: tuple[Gfid, Gfid, Gfid]) -> None:
    intent = Intent(gfids[0], names[0], gfids[1], names[1], gfids[2])
    assert Intent.decode(intent.encode()) == intent


@given(raw=st.binary(max_size=80))
def test_any_bytes_are_an_intent_or_eio(raw: bytes) -> None:
    try:
        assert Intent.decode(raw).encode() == raw
    except OSError as error:
        assert error.errno == errno.EIO  # noqa: PT017 (one of two outcomes)


async def test_a_mode_that_the_holder_refuses_does_not_show() -> None:
    async with unified() as bench:
        await bench.write("a", b"A")
        bench.plan.seen.clear()
        await bench.chmod("a", 0o640)
        bench.plan.at, bench.plan.fate = bench.plan.seen.index(("c0", "setattr")), "refuse"
        bench.plan.seen.clear()
        assert await error_of(bench.chmod("a", 0o600)) == errno.EIO
        assert (await bench.find("a")).mode & 0o777 == 0o640


@pytest.mark.parametrize("length", [256, 70_000])
async def test_a_name_that_is_too_long_is_refused_and_leaves_no_intent(length: int) -> None:
    name = "x" * length
    async with unified() as bench:
        await bench.write("a", b"A")
        steps: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: bench.create(name),
            lambda: bench.mkdir(name),
            lambda: bench.symlink("t", name),
            lambda: bench.link("a", name),
            lambda: bench.rename("a", name),
            lambda: bench.unlink(name),
        )
        for step in steps:
            assert await error_of(step()) == errno.ENAMETOOLONG
        assert breaches(bench.disks) == []
        assert await bench.tree() == {"a": b"A"}
