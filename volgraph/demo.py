"""The main job, narrated: a mirror of a local directory and of one served by another process, which dies in the middle
of a copy. Every claim that is printed is checked, and the exit status says whether all of them held."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat as mode_bits
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import attrs

from .commands.screen import strokes
from .graph import State, Translator
from .graph.render import label, tree
from .opening import open
from .volspec import Params, parse
from .volume import Volume

SERVED = """\
volume brick
  type storage/posix
  option directory ${dir}/far
end-volume

volume server
  type protocol/server
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port ${port}
  option auth.addr.brick.allow 127.0.0.1
  subvolumes brick
end-volume
"""

MIRROR = """\
volume near
  type storage/posix
  option directory ${dir}/near
end-volume

volume far
  type protocol/client
  option remote-host 127.0.0.1
  option remote-port ${port}
  option remote-subvolume brick
end-volume

volume mirror
  type cluster/afr
  subvolumes near far
end-volume
"""

ABOUT = """\
Files in two places: a directory here (near), and one that another process serves (far). Which copy is good, and what a
lost one has missed, is worked out in this process: no server in between, and none that knows of the other copy.
All of it happens in a temporary directory, and every line that says `ok` has been checked."""

FILES_MAX = 2000
FILES_MIN = 50
FILE_BYTES_MAX = 4 << 20
LEFT_OUT = frozenset(("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"))
START_SECONDS = 30.0
NAMES_SHOWN = 5


def say(text: str = "") -> None:
    print(text, flush=True)


def step(text: str) -> None:
    say(f"\n== {text}")


@attrs.define
class Server:
    """The second process: `volgraph serve`, killed and started again on the same port."""

    folder: Path
    port: int = 0
    process: anyio.abc.Process | None = None

    async def start(self) -> None:
        settings = (f"--set=dir={self.folder}", f"--set=port={self.port}")
        command = [sys.executable, "-m", "volgraph", "serve", str(self.folder / "served.vol"), *settings]
        self.process = await anyio.open_process(command, stderr=None, stdin=subprocess.DEVNULL)
        assert self.process.stdout is not None
        line = b""
        with anyio.fail_after(START_SECONDS):
            while not line.endswith(b"\n"):
                line += await self.process.stdout.receive()
        self.port = int(line.rsplit(b":", 1)[1])
        say(f"   process {self.process.pid}: {line.decode().strip()}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    async def stop(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            with anyio.CancelScope(shield=True):
                await self.process.aclose()
            self.process = None


@attrs.define
class Verdicts:
    """What was promised, and whether it held."""

    broken: list[str] = attrs.field(factory=list)

    def check(self, promise: str, found: list[str]) -> None:
        say(f"   {'ok    ' if not found else 'BROKEN'} {promise}")
        for each in found[:NAMES_SHOWN]:
            say(f"            {each}")
        if found:
            self.broken.append(promise)


async def demo(files_max: int = FILES_MAX) -> int:
    """Tell it, in a temporary directory that is gone afterwards. Gives the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="volgraph-demo-"))
    try:
        return await _demo(folder, files_max)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _demo(folder: Path, files_max: int) -> int:
    verdicts = Verdicts()
    say(ABOUT)
    for name in ("near", "far"):
        (folder / name).mkdir()
    (folder / "served.vol").write_text(SERVED)
    step(f"A second process serves the directory {folder}/far")
    async with _serving(folder) as server:
        params: Params = {"dir": folder, "port": server.port}
        step("A spec: mirror it with a local directory, from here, without a server in between")
        say(_indented(MIRROR.rstrip()))
        async with open(parse(MIRROR, "mirror.vol", params=params)) as volume:
            say()
            say(_indented(tree(volume.graph.top, strokes=strokes())))
            await _tell(volume, folder, server, verdicts, files_max)
    if verdicts.broken:
        say(f"\n{len(verdicts.broken)} promises were broken: {'; '.join(verdicts.broken)}")
        return 1
    say("\nEvery promise held. Next: `volgraph --help`, and the ten lines of Python in README.md.")
    return 0


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[Server]:
    server = Server(folder)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def _tell(volume: Volume, folder: Path, server: Server, verdicts: Verdicts, files_max: int) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    chosen = library_files(library, files_max)

    step(f"Copy a real tree into the mirror: {library}")
    await _copy(volume, library, "/library", chosen)
    verdicts.check("both bricks hold the same", differences(folder / "near", folder / "far"))

    step("Copy it once more, and kill the server (SIGKILL) in the middle")
    await _copy(volume, library, "/again", chosen, server)
    await _change(volume, sorted({path.relative_to(library).parts for path in chosen}))
    verdicts.check("every file of the copy can be read", await _unreadable(volume, library, "/again", chosen))

    step("The mirror went on with one copy; this is what the other has missed")
    say(_indented(tree(volume.graph.top, _with_state, strokes())))
    report = await volume.pending()
    for item in sorted(report.pending, key=lambda item: item.path or b"")[:NAMES_SHOWN]:
        say(f"   {os.fsdecode(item.path or item.gfid.text.encode())}  (missed by {', '.join(item.blamed)})")
    say(f"   {len(report.pending)} objects in all")
    verdicts.check("something is pending", [] if report.pending else ["nothing is"])

    step("The server comes back, and is healed")
    await server.stop()
    await server.start()
    await _up(volume, "far")
    began = time.monotonic()
    report = await volume.heal()
    say(f"   {time.monotonic() - began:.1f} s until nothing was left to heal")
    left = [*report.pending, *report.split_brain, *report.failed]
    verdicts.check("nothing is pending any more", [f"{item.path!r} {item.reason}" for item in left])
    verdicts.check("both bricks hold the same", differences(folder / "near", folder / "far"))
    verdicts.check("every file of the copy can be read", await _unreadable(volume, library, "/again", chosen))


async def _copy(volume: Volume, library: Path, goal: str, chosen: list[Path], server: Server | None = None) -> None:
    """Copy the chosen files. A server that is given is killed half-way."""
    wanted = {os.fspath(path) for path in chosen}
    wanted |= {os.fspath(folder) for path in chosen for folder in path.parents}
    copied = 0

    def progress(path: str, size: int) -> None:
        nonlocal copied
        copied += 1
        if server is not None and copied == len(chosen) // 2:
            server.kill()
            say(f"   killed after {copied} names, just behind {path}")

    began = time.monotonic()
    count = await volume.copy_in(library, goal, choose=lambda path: path in wanted, progress=progress)
    seconds = time.monotonic() - began
    links = f" and {count.symlinks} symlinks" if count.symlinks else ""
    rate = f"{count.files / seconds:.0f} files/s"
    say(f"   {count.files} files{links}, {count.bytes / 1e6:.1f} MB in {seconds:.1f} s ({rate})")


async def _change(volume: Volume, files: list[tuple[str, ...]]) -> None:
    """What else may happen while one brick is away: contents replaced, a directory renamed, another one removed."""
    folders = list(dict.fromkeys(parts[0] for parts in files if len(parts) > 1))
    replaced, moved, removed = "/".join(files[-1]), folders[0], folders[1]
    await volume.write_bytes(f"/library/{replaced}", b"written while one brick was away\n")
    await volume.rename(f"/library/{moved}", "/library/renamed")
    await volume.rmtree(f"/library/{removed}")
    say(f"   meanwhile, in /library: {replaced} replaced, {moved} renamed, {removed} removed")


async def _unreadable(volume: Volume, library: Path, goal: str, chosen: list[Path]) -> list[str]:
    """Files that cannot be read, or that differ from what was copied."""
    wrong = []
    for path in chosen:
        if path.is_symlink():
            continue
        inside = f"{goal}/{path.relative_to(library)}"
        try:
            if await volume.read_bytes(inside) != path.read_bytes():
                wrong.append(f"{inside}: other contents")
        except OSError as error:
            wrong.append(str(error))
    return wrong


def _with_state(node: Translator) -> str:
    reason = f": {node.down_reason}" if node.down_reason else ""
    return f"{label(node)} {node.state.value}{reason}"


async def _up(volume: Volume, name: str) -> None:
    with anyio.fail_after(START_SECONDS):
        while volume.graph.node(name).state is not State.UP:
            await volume.graph.next_change()


def library_files(library: Path, files_max: int) -> list[Path]:
    """The files of the standard library: no packages of others, no tests, no caches; evenly taken if there are more."""
    found = list(_sources(library))
    count = min(files_max, len(found))
    return [found[number * len(found) // count] for number in range(count)]


def _sources(library: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(library):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        for name in sorted(files):
            path = Path(folder, name)
            if not name.endswith(".pyc") and path.lstat().st_size <= FILE_BYTES_MAX:
                yield path


def differences(left: Path, right: Path) -> list[str]:
    """Where two bricks differ: names, types, modes, contents, targets of symlinks."""
    a, b = _contents(left), _contents(right)
    found = []
    for path in sorted(a.keys() | b.keys()):
        if path not in a or path not in b:
            found.append(f"{path}: only in {(left if path in a else right).name}")
        elif a[path] != b[path]:
            found.append(f"{path}: differs")
    return found


def _contents(brick: Path) -> dict[str, tuple[int, str]]:
    """By path: mode, and what the object holds. The brick's own records are left out."""
    found: dict[str, tuple[int, str]] = {}
    for folder, folders, files in os.walk(brick):
        if Path(folder) == brick and ".glusterfs" in folders:
            folders.remove(".glusterfs")
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            text = ""
            if mode_bits.S_ISLNK(mode):
                text = os.readlink(path)
            elif mode_bits.S_ISREG(mode):
                with Path(path).open("rb") as file:
                    text = hashlib.file_digest(file, "sha256").hexdigest()
            found[os.path.relpath(path, brick)] = (mode, text)
    return found


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())
