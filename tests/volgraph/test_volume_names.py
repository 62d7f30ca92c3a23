"""Listings, trees, and errors of names, beyond what the comparison with `os` shows."""

import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePosixPath

import attrs
import pytest

import volgraph
from volgraph import Call, Loc, Translator, Volume, fail
from volgraph.graph import ChildDown, Entries, Fd, LookedUp, Removed
from volgraph.translators import Afr, Memory, Posix

pytestmark = pytest.mark.anyio


async def test_listings_answer_in_the_type_of_the_path(vol: Volume) -> None:
    await vol.mkdir(b"/\xff")
    await vol.write_bytes(b"/\xff/\xfe", b"")

    assert await vol.listdir("/") == ["\udcff"]
    assert await vol.listdir(b"/") == [b"\xff"]
    assert await vol.listdir(PurePosixPath("/\udcff")) == ["\udcfe"]
    assert [entry.path async for entry in vol.scandir("/")] == ["/\udcff"]
    assert [entry.path async for entry in vol.scandir(b"/\xff")] == [b"/\xff/\xfe"]
    assert [above async for above, _, _ in vol.walk(b"/")] == [b"/", b"/\xff"]


async def test_a_listing_of_what_is_no_directory_is_an_error_with_the_path(vol: Volume) -> None:
    await vol.write_bytes("/f", b"")
    for listing in (vol.listdir("/f"), anext(vol.scandir("/f")), anext(vol.walk("/f")), vol.rmtree("/f")):
        with pytest.raises(NotADirectoryError) as caught:
            await listing
        assert caught.value.filename == "/f"


async def test_scandir_knows_kinds_and_attributes_and_follows_nothing(vol: Volume) -> None:
    await vol.mkdir("/d")
    await vol.write_bytes("/f", b"12345")
    await vol.symlink("d", "/l")
    entries = {entry.name: entry async for entry in vol.scandir("/")}

    assert {name: (e.is_dir(), e.is_file(), e.is_symlink()) for name, e in entries.items()} == {
        "d": (True, False, False),
        "f": (False, True, False),
        "l": (False, False, True),
    }
    assert entries["f"].stat().st_size == 5
    assert entries["f"].inode() == (await vol.stat("/f")).st_ino
    assert os.fspath(entries["f"]) == "/f"


async def test_a_directory_of_many_names_is_listed_whole_and_once(vol: Volume) -> None:
    names = {f"{number:04}-{'x' * 200}" for number in range(800)}
    await vol.mkdir("/d")
    for name in names:
        await vol.symlink("t", f"/d/{name}")
    listed = await vol.listdir("/d")

    assert len(listed) == len(names)
    assert set(listed) == names


async def test_walk_top_down_leaves_out_what_the_caller_takes_out(vol: Volume) -> None:
    await vol.makedirs("/a/b")
    await vol.makedirs("/skip/deep")
    await vol.write_bytes("/a/f", b"")
    seen = []
    async for above, directories, others in vol.walk("/"):
        if "skip" in directories:
            directories.remove("skip")
        seen.append((above, directories, others))

    assert seen == [("/", ["a"], []), ("/a", ["b"], ["f"]), ("/a/b", [], [])]


async def test_walk_bottom_up_shows_a_directory_after_those_in_it(vol: Volume) -> None:
    await vol.makedirs("/a/b/c")

    assert [above async for above, _, _ in vol.walk("/", topdown=False)] == ["/a/b/c", "/a/b", "/a", "/"]


async def test_rmtree_takes_everything_below_and_nothing_beside_or_behind_links(vol: Volume) -> None:
    await vol.makedirs("/gone/deep/deeper")
    await vol.write_bytes("/gone/deep/f", b"")
    await vol.mkdir("/kept")
    await vol.write_bytes("/kept/f", b"kept")
    await vol.symlink("../../kept", "/gone/deep/link")
    await vol.rmtree("/gone")

    assert await vol.listdir("/") == ["kept"]
    assert await vol.read_bytes("/kept/f") == b"kept"
    await vol.symlink("kept", "/link")
    with pytest.raises(NotADirectoryError):
        await vol.rmtree("/link")
    await vol.rmtree("/")
    assert await vol.listdir("/") == []


async def test_makedirs_makes_all_and_accepts_a_directory_only_if_told(vol: Volume) -> None:
    await vol.makedirs("/a/b/c")
    await vol.makedirs("/a/b/c", exist_ok=True)

    with pytest.raises(FileExistsError):
        await vol.makedirs("/a/b/c")
    await vol.write_bytes("/f", b"")
    with pytest.raises(FileExistsError):
        await vol.makedirs("/f", exist_ok=True)


async def test_the_root_is_neither_removed_nor_moved(vol: Volume) -> None:
    refused = ((vol.rmdir("/"), errno.EBUSY), (vol.rename("/", "/x"), errno.EBUSY), (vol.unlink("/"), errno.EISDIR))
    for removal, code in refused:
        with pytest.raises(OSError) as caught:
            await removal
        assert caught.value.errno == code


async def test_forty_symlinks_are_followed_and_no_more(vol: Volume) -> None:
    await vol.write_bytes("/link0", b"end")
    for number in range(1, 42):
        await vol.symlink(f"link{number - 1}", f"/link{number}")

    assert await vol.read_bytes("/link40") == b"end"
    with pytest.raises(OSError) as caught:
        await vol.read_bytes("/link41")
    assert caught.value.errno == errno.ELOOP


async def test_an_absolute_target_begins_at_the_root_of_the_volume(vol: Volume) -> None:
    await vol.makedirs("/a/b")
    await vol.write_bytes("/f", b"top")
    await vol.symlink("/f", "/a/b/link")
    await vol.symlink("/../../..", "/a/b/up")

    assert await vol.read_bytes("/a/b/link") == b"top"
    assert await vol.read_bytes("/a/b/up/f") == b"top"


async def test_an_embedded_null_byte_is_a_value_error_as_with_os(scratch: Volume) -> None:
    with pytest.raises(ValueError, match="null byte"):
        await scratch.stat("/a\0b")


async def test_exists_is_no_for_what_is_not_there_and_an_error_for_what_cannot_be_told(scratch: Volume) -> None:
    await scratch.write_bytes("/f", b"")
    await scratch.symlink("/l", "/l")

    assert await scratch.exists("/f")
    for path in ("/no", "/f/x", "/l"):
        assert not await scratch.exists(path)
    with pytest.raises(OSError) as caught:
        await scratch.exists("/" + "x" * 256)
    assert caught.value.errno == errno.ENAMETOOLONG


@attrs.define(eq=False)
class Stale(Translator):
    """Answers ESTALE to the first so many removals."""

    times: int = attrs.field(default=1, kw_only=True)
    seen: int = attrs.field(default=0, init=False)

    async def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Removed:
        self.seen += 1
        if self.seen <= self.times:
            raise fail(errno.ESTALE, "gone")
        return await self.child.unlink(call, loc, xflags)


async def test_a_stale_object_is_looked_up_anew_once(anyio_backend: str) -> None:
    top = Stale("stale", (Memory("m"),))
    async with volgraph.open(top) as vol:
        await vol.write_bytes("/f", b"")
        await vol.unlink("/f")

        assert await vol.listdir("/") == []
        assert top.seen == 2


async def test_an_object_that_stays_stale_is_an_error_with_the_path(anyio_backend: str) -> None:
    top = Stale("stale", (Memory("m"),), times=2)
    async with volgraph.open(top) as vol:
        await vol.write_bytes("/f", b"")
        with pytest.raises(OSError) as caught:
            await vol.unlink("/f")

    assert (caught.value.errno, caught.value.filename, caught.value.__notes__) == (errno.ESTALE, "/f", ["from gone"])
    assert top.seen == 2


@attrs.define(eq=False)
class Ears(Translator):
    """Remembers every call of lookup by name."""

    heard: list[tuple[bytes, object]] = attrs.field(factory=list, init=False)

    def lookup(self, call: Call, loc: Loc) -> Awaitable[LookedUp]:
        if loc.named:
            self.heard.append((loc.name, call.asked("gfid-req")))
        return self.child.lookup(call, loc)


async def test_every_lookup_brings_a_fresh_gfid_for_what_a_brick_may_adopt(anyio_backend: str) -> None:
    top = Ears("ears", (Memory("m"),))
    async with volgraph.open(top) as vol:
        await vol.mkdir("/d")
        await vol.exists("/d/e")
    gfids = [gfid for _, gfid in top.heard]

    assert [name for name, _ in top.heard] == [b"d", b"d", b"e"]
    assert len(set(gfids)) == 3
    assert all(isinstance(gfid, bytes) and len(gfid) == 16 for gfid in gfids)


async def test_errors_of_two_paths_name_both(vol: Volume) -> None:
    await vol.mkdir("/d")
    await vol.write_bytes(b"/f", b"")
    for old, new, code in (("/f", "/d", errno.EISDIR), ("/f", "/no/f", errno.ENOENT), ("/no", b"/x", errno.ENOENT)):
        with pytest.raises(OSError) as caught:
            await vol.rename(old, new)
        assert (caught.value.errno, caught.value.filename, caught.value.filename2) == (code, old, new)
    with pytest.raises(FileExistsError) as caught:
        await vol.link("/f", "/d")
    assert (caught.value.filename, caught.value.filename2) == ("/f", "/d")


async def test_the_path_is_named_however_it_was_given(vol: Volume) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        await vol.mkdir(mode=0o700, path=PurePosixPath("/no/d"))

    assert caught.value.filename == "/no/d"


@attrs.define(eq=False)
class GoesWhileListing(Translator):
    """A child that goes down when a listing goes on with it; of those with one list, the first that is asked."""

    gone: list[str] = attrs.field(factory=list)

    def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        if offset and not self.gone:
            self.gone.append(self.name)
            self.rise(ChildDown(self, "gone"))
        if self.name in self.gone:
            raise fail(errno.ENOTCONN, self.name)
        return self.child.readdirp(call, fd, size, offset)


async def test_a_listing_whose_copy_goes_is_begun_again_on_another(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volgraph.listing.LISTING_BYTES", 300)
    gone: list[str] = []
    children = [GoesWhileListing(f"goes-{name}", (Memory(name),), gone=gone) for name in "abc"]
    async with volgraph.open(Afr("mirror", children)) as vol:
        for number in range(20):
            await vol.write_bytes(f"/{number}", b"")
        assert not gone
        names = await vol.listdir("/")

    assert len(gone) == 1
    assert sorted(names) == sorted(map(str, range(20)))


async def test_a_listing_that_no_copy_is_left_for_is_an_error_with_the_path(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volgraph.listing.LISTING_BYTES", 300)
    async with volgraph.open(GoesWhileListing("goes", (Memory("m"),))) as vol:
        for number in range(20):
            await vol.write_bytes(f"/{number}", b"")
        with pytest.raises(OSError) as caught:
            await vol.listdir("/")

    assert (caught.value.errno, caught.value.filename) == (errno.ENOTCONN, "/")


@pytest.mark.parametrize("name", [b"a/b", b"", b"../up", b"a\0b"])
async def test_a_listing_with_a_name_that_cannot_be_is_an_error(
    scratch: Volume, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    await scratch.write_bytes("/f", b"")
    top = scratch.graph.top
    real: Callable[..., Awaitable[volgraph.graph.Entries]] = top.readdirp

    async def lying(*args: object) -> volgraph.graph.Entries:
        reply = await real(*args)
        return volgraph.graph.Entries([attrs.evolve(entry, name=name) for entry in reply.entries], reply.end)

    monkeypatch.setattr(top, "readdirp", lying)
    with pytest.raises(OSError) as caught:
        await scratch.listdir("/")

    assert caught.value.errno == errno.EIO


async def test_an_error_names_what_the_caller_named_and_no_name_inside_the_brick(tmp_path: Path) -> None:
    async with volgraph.open(Posix("brick", directory=str(tmp_path))) as vol:
        with pytest.raises(OSError) as caught:
            await vol.symlink("x" * 4096, "/link")
    assert (caught.value.errno, caught.value.filename, caught.value.filename2) == (errno.ENAMETOOLONG, "/link", None)
    assert str(caught.value).endswith("File name too long: '/link'")
