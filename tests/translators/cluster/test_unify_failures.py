"""Every step of every change of names fails in every way: what is left is the tree before or after, whole (I14, I17).

A change is run once to count its fops; then again and again, each time with another fop failing in another way. After
it a new client comes to the same disks and looks at the volume, and the disks are scanned.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable

import pytest

from tests.translators.cluster.unify_bench import Bench, Disks, Plan, breaches, error_of, unified

pytestmark = pytest.mark.anyio

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
