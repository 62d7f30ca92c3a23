"""What the founding text claims, each claim shown on real directories and real processes (docs/seed.md lists them)."""

import errno
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import volgraph
from tests.acceptance.brick_contents import contents, differences
from tests.acceptance.serving import Served, client
from volgraph.graph import State, Translator
from volgraph.translators import Afr, Posix, Unify

pytestmark = pytest.mark.anyio

TIMEOUT = 1.5
"""Seconds of silence after which a server counts as dead: GlusterFS called it transport-timeout."""
SOON = 5.0
"""A write that nothing delays takes milliseconds; a busy machine may stretch that, but far from the timeout of 42 s."""
UP_SECONDS = 60.0
Serve = Callable[[str], Served]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Real sockets: one loop is enough."""
    return "asyncio"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers over new directories; they end with the test."""
    with ExitStack() as servers:

        def start(name: str) -> Served:
            (tmp_path / name).mkdir()
            return servers.enter_context(Served.brick(tmp_path / name))

        yield start


def local(folder: Path, name: str) -> Posix:
    return Posix(name, directory=str(folder / name))


async def told(volume: volgraph.Volume, name: str, state: State) -> None:
    with anyio.fail_after(UP_SECONDS):
        while volume.graph.node(name).state is not state:
            await volume.graph.next_change()


async def heal(volume: volgraph.Volume) -> None:
    report = await volume.heal()
    assert (report.pending, report.split_brain, report.failed) == ([], [], [])


def assert_alike(*bricks: Path) -> None:
    first, *others = map(contents, bricks)
    assert first
    for other in others:
        assert differences(first, other) == []


# --- a server that dies, or falls silent -------------------------------------------------------------------------


async def seconds_of(work: AsyncIterator[object]) -> list[float]:
    """How long each step took."""
    took = []
    began = time.monotonic()
    async for _ in work:
        now = time.monotonic()
        took.append(now - began)
        began = now
    return took


async def test_a_killed_server_delays_no_write(serve: Serve, tmp_path: Path) -> None:
    """The client fails over by itself: there is no shared address, no heartbeat, and nothing to take over."""
    one, two = serve("one"), serve("two")
    mirror = Afr("mirror", [client("c1", one), client("c2", two)])
    async with volgraph.open(mirror) as volume, volume.open("/f", "wb") as file:

        async def writes() -> AsyncIterator[int]:
            for number in range(60):
                if number == 20:
                    one.kill()
                yield await file.write(b"%03d\n" % number)

        assert max(await seconds_of(writes())) < SOON
        await told(volume, "c1", State.DOWN)
        assert await volume.read_bytes("/f") == b"".join(b"%03d\n" % number for number in range(60))
        one.start()
        await told(volume, "c1", State.UP)
        await heal(volume)
    assert_alike(tmp_path / "one", tmp_path / "two")


async def test_a_silent_server_delays_one_write_by_the_timeout(serve: Serve, tmp_path: Path) -> None:
    one, two = serve("one"), serve("two")
    mirror = Afr("mirror", [client("c1", one, timeout=TIMEOUT), client("c2", two, timeout=TIMEOUT)])
    async with volgraph.open(mirror) as volume, volume.open("/f", "wb") as file:

        async def writes() -> AsyncIterator[int]:
            for number in range(40):
                if number == 10:
                    one.freeze()
                yield await file.write(b"%03d\n" % number)

        took = await seconds_of(writes())
        assert 0.9 * TIMEOUT < took.pop(10) < TIMEOUT + 1
        assert max(took) < 0.9 * TIMEOUT
        assert volume.graph.node("c1").state is State.DOWN
        one.thaw()
        await told(volume, "c1", State.UP)
        await heal(volume)
    assert_alike(tmp_path / "one", tmp_path / "two")


async def test_a_server_that_falls_silent_in_the_middle_of_a_write(serve: Serve, tmp_path: Path) -> None:
    """The write under way is the one that waits; it ends well, and nothing of it is lost."""
    one, two = serve("one"), serve("two")
    mirror = Afr("mirror", [client("c1", one, timeout=TIMEOUT), client("c2", two, timeout=TIMEOUT)])
    data = bytes(range(256)) * 4096 * 8
    async with volgraph.open(mirror) as volume, volume.open("/f", "wb") as file:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(file.write, data)
            while (tmp_path / "two/f").stat().st_size < len(data) // 4:
                await anyio.lowlevel.checkpoint()
            one.freeze()
            began = time.monotonic()
        assert 0.9 * TIMEOUT < time.monotonic() - began < TIMEOUT + 2
        assert await volume.read_bytes("/f") == data
        one.thaw()
        await told(volume, "c1", State.UP)
        await heal(volume)
    assert_alike(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one/f").read_bytes() == data


async def test_a_lock_outlives_the_server_that_died(serve: Serve) -> None:
    """Who holds a lock holds it on every brick: one that is left is enough, and the one that returns gives it to nobody
    else."""
    one, two = serve("one"), serve("two")

    def mirror() -> Translator:
        return Afr("mirror", [client("c1", one), client("c2", two)])

    async def is_refused(volume: volgraph.Volume) -> bool:
        async with volume.open("/f", "r+b") as file:
            try:
                async with file.lock(0, 10, wait=False):
                    return False
            except BlockingIOError:  # EAGAIN
                return True

    async with volgraph.open(mirror()) as mine, volgraph.open(mirror()) as theirs:
        await mine.write_bytes("/f", b"x" * 100)
        async with mine.open("/f", "r+b") as file, file.lock(0, 10):
            assert await is_refused(theirs)
            one.kill()
            for volume in (mine, theirs):
                await told(volume, "c1", State.DOWN)
            assert await is_refused(theirs)
            await file.pwrite(b"mine", 0)
            one.start()
            for volume in (mine, theirs):
                await told(volume, "c1", State.UP)
            assert await is_refused(theirs)
            await mine.heal("/")
            await file.pwrite(b"still mine", 0)  # by now it is locked there once more
            await file.fsync()
            two.kill()
            for volume in (mine, theirs):
                await told(volume, "c2", State.DOWN)
            assert await is_refused(theirs)
            await file.pwrite(b"mine again", 0)
        assert not await is_refused(theirs)


async def test_who_loses_its_lock_with_its_server_is_told(serve: Serve) -> None:
    one = serve("one")
    async with volgraph.open(client("c1", one)) as mine, volgraph.open(client("c1", one)) as theirs:
        await mine.write_bytes("/f", b"x" * 100)
        file = await mine.open("/f", "r+b")
        with pytest.raises(OSError) as lost:
            async with file.lock(0, 10):
                one.kill()
                for volume in (mine, theirs):
                    await told(volume, "c1", State.DOWN)
                one.start()
                for volume in (mine, theirs):
                    await told(volume, "c1", State.UP)
                async with theirs.open("/f", "r+b") as other, other.lock(0, 10, wait=False):
                    await file.pwrite(b"mine", 0)
        assert lost.value.errno == errno.EBADFD
        with pytest.raises(OSError):
            await file.close()
        assert await mine.read_bytes("/f") == b"x" * 100


# --- where the copies are ----------------------------------------------------------------------------------------


PLACES = {"local and remote": ("a", "b"), "several remote": ("", "ab"), "several local": ("abc", "")}
"""Which bricks are directories here, and which are served."""


@pytest.mark.parametrize("where", PLACES)
async def test_reads_writes_and_appends_go_on_without_a_brick(where: str, serve: Serve, tmp_path: Path) -> None:
    """The brick that is lost is a server that is killed, or a disk that is not there."""
    here, there = PLACES[where]
    servers = {name: serve(name) for name in there}
    for name in here:
        (tmp_path / name).mkdir()

    def mirror() -> Translator:
        remote = [client(name, server) for name, server in servers.items()]
        return Afr("mirror", [*(local(tmp_path, name) for name in here), *remote])

    async with volgraph.open(mirror()) as volume:
        for name in ("/kept", "/grows", "/deleted", "/obsolete"):
            await volume.write_bytes(name, b"before\n")
    (tmp_path / "b").rename(tmp_path / "away") if here == "abc" else servers["b"].kill()
    async with volgraph.open(mirror()) as volume:
        assert volume.graph.node("b").state is State.DOWN
        assert await volume.read_bytes("/kept") == b"before\n"
        async with volume.open("/grows", "ab") as file:
            await file.write(b"after\n")
        await volume.write_bytes("/obsolete", b"new\n")
        await volume.write_bytes("/new", b"new\n")
        await volume.unlink("/deleted")
    (tmp_path / "away").rename(tmp_path / "b") if here == "abc" else servers["b"].start()
    async with volgraph.open(mirror()) as volume:
        assert await volume.read_bytes("/grows") == b"before\nafter\n"
        await heal(volume)
    assert_alike(*(tmp_path / name for name in here + there))
    assert sorted(path.name for path in (tmp_path / "b").glob("[a-z]*")) == ["grows", "kept", "new", "obsolete"]


# --- which copy counts -------------------------------------------------------------------------------------------


@pytest.fixture
async def one_stayed_behind(tmp_path: Path, anyio_backend: str) -> Path:
    """Two bricks, of which `b` was away while everything happened that can happen to a file."""
    for name in "ab":
        (tmp_path / name).mkdir()
    async with volgraph.open(Afr("mirror", [local(tmp_path, "a"), local(tmp_path, "b")])) as volume:
        for name in ("/changed", "/cut", "/deleted"):
            await volume.write_bytes(name, b"the older text, which is longer")
    (tmp_path / "b").rename(tmp_path / "away")
    async with volgraph.open(Afr("mirror", [local(tmp_path, "a"), local(tmp_path, "b")])) as volume:
        await volume.write_bytes("/changed", b"the newer text")
        await volume.truncate("/cut", 3)
        await volume.unlink("/deleted")
        await volume.makedirs("/made/deep")
        await volume.write_bytes("/made/deep/file", b"made")
    (tmp_path / "away").rename(tmp_path / "b")
    return tmp_path


def unhealed(folder: Path) -> Translator:
    """It reads from `b` if it may, and heals nothing by itself."""
    return Afr("mirror", [local(folder, "a"), local(folder, "b")], read_subvolume="b", self_heal_daemon=False)


async def test_the_newest_copy_is_found_before_any_is_healed(one_stayed_behind: Path) -> None:
    async with volgraph.open(unhealed(one_stayed_behind)) as volume:
        assert await volume.read_bytes("/changed") == b"the newer text"
        assert await volume.read_bytes("/cut") == b"the"
        assert sorted(await volume.listdir("/")) == ["changed", "cut", "made"]
    assert (one_stayed_behind / "b/changed").read_bytes() == b"the older text, which is longer"


async def test_obsolete_copies_are_overwritten(one_stayed_behind: Path) -> None:
    async with volgraph.open(unhealed(one_stayed_behind)) as volume:
        await heal(volume)
    assert (one_stayed_behind / "b/changed").read_bytes() == b"the newer text"
    assert (one_stayed_behind / "b/cut").read_bytes() == b"the"


async def test_missing_copies_are_made(one_stayed_behind: Path) -> None:
    async with volgraph.open(unhealed(one_stayed_behind)) as volume:
        await heal(volume)
    assert (one_stayed_behind / "b/made/deep/file").read_bytes() == b"made"


async def test_copies_of_what_was_deleted_are_removed(one_stayed_behind: Path) -> None:
    async with volgraph.open(unhealed(one_stayed_behind)) as volume:
        await heal(volume)
    assert not (one_stayed_behind / "b/deleted").exists()


# --- bricks are plain directories --------------------------------------------------------------------------------


async def test_directories_that_were_full_before_become_a_mirror(tmp_path: Path) -> None:
    """Copies of one directory, made without us: their files get gfids when they are first met, the same on both."""
    for name in "ab":
        (tmp_path / name / "photos").mkdir(parents=True)
        (tmp_path / name / "photos/cat").write_bytes(b"meow")
        (tmp_path / name / "photos/link").symlink_to("cat")
    async with volgraph.open(Afr("mirror", [local(tmp_path, "a"), local(tmp_path, "b")])) as volume:
        assert sorted(await volume.listdir("/photos")) == ["cat", "link"]
        assert await volume.read_bytes("/photos/link") == b"meow"
        await volume.write_bytes("/photos/cat", b"purr")
        await volume.rename("/photos", "/pets")
    assert (tmp_path / "a/pets/cat").read_bytes() == b"purr"
    assert_alike(tmp_path / "a", tmp_path / "b")


async def test_a_directory_that_is_full_already_is_copied_to_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a/photos/old/older").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    for number in range(20):
        (tmp_path / f"a/photos/old/{number}").write_bytes(b"%d" % number)
    (tmp_path / "a/photos/old/older/cat").write_bytes(b"meow")
    (tmp_path / "a/photos/link").symlink_to("old/older/cat")
    (tmp_path / "a/photos/old/older/cat").chmod(0o640)
    async with volgraph.open(Afr("mirror", [local(tmp_path, "a"), local(tmp_path, "b")])) as volume:
        report = await volume.heal(accept="b")
        assert report.clean, report
        assert await volume.read_bytes("/photos/link") == b"meow"
    assert (tmp_path / "b/photos/old/older/cat").read_bytes() == b"meow"
    assert_alike(tmp_path / "a", tmp_path / "b")


async def test_files_are_read_directly_on_a_brick(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    async with volgraph.open(Afr("mirror", [local(tmp_path, "a"), local(tmp_path, "b")])) as volume:
        await volume.mkdir("/d")
        await volume.write_bytes("/d/f", b"as it is")
    assert (tmp_path / "a/d/f").read_bytes() == (tmp_path / "b/d/f").read_bytes() == b"as it is"


# --- unify -------------------------------------------------------------------------------------------------------


async def test_unify_shows_the_files_of_many_bricks_as_one_tree(tmp_path: Path) -> None:
    for name in ("a", "b", "names"):
        (tmp_path / name).mkdir()
    unify = Unify("all", [local(tmp_path, "a"), local(tmp_path, "b")], namespace=local(tmp_path, "names"))
    async with volgraph.open(unify) as volume:
        await volume.mkdir("/d")
        for number in range(10):
            await volume.write_bytes(f"/d/{number}", b"%d" % number)
        assert sorted(await volume.listdir("/d")) == [str(number) for number in range(10)]
        assert [await volume.read_bytes(f"/d/{number}") for number in range(10)] == [b"%d" % n for n in range(10)]
    held = [{path.name for path in (tmp_path / name / "d").iterdir()} for name in ("a", "b")]
    assert all(held)
    assert not held[0] & held[1]
    assert held[0] | held[1] == {path.name for path in (tmp_path / "names/d").iterdir()}
