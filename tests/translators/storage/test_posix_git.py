"""A git repository in the brick of an ordinary user: git's objects are read-only files, it renames and links them, and
its `fsck` sees every bit. It comes and goes through the volume, and is worked on in the brick directory itself."""

import os
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest

import volgraph
from tests.translators.storage.ordinary_user import in_a_process_of_its_own, users_folder
from volgraph.translators import Memory, Posix

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def git(where: Path, *command: str) -> str:
    own = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    env = {"PATH": os.environ["PATH"], "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C", **own}
    done = subprocess.run(["git", "-C", str(where), *command], env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"git {' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def make_repository(place: Path) -> None:
    """Two branches, a merge, a program, a symlink, loose objects and a pack."""
    place.mkdir()
    git(place, "init", "--quiet", "--initial-branch", "main")
    for number in range(6):
        (place / f"file-{number}").write_text(f"{number}\n" * 500)
        git(place, "add", ".")
        git(place, "commit", "--quiet", "--message", f"number {number}")
        if number == 2:
            git(place, "switch", "--quiet", "--create", "side")
            (place / "program").write_text("#!/bin/sh\n")
            (place / "program").chmod(0o755)
            os.symlink("program", place / "link")
            git(place, "add", ".")
            git(place, "commit", "--quiet", "--message", "side")
            git(place, "switch", "--quiet", "main")
            git(place, "gc", "--quiet")
    git(place, "merge", "--quiet", "--no-edit", "side")


def assert_sound(place: Path, head: str) -> None:
    git(place, "fsck", "--full", "--strict")
    assert git(place, "rev-parse", "HEAD") == head
    assert git(place, "status", "--porcelain") == ""


async def scenario(folder: Path) -> None:
    source, brick = folder / "source", folder / "brick"
    brick.mkdir()
    make_repository(source)
    head = git(source, "rev-parse", "HEAD")
    git(folder, "clone", "--quiet", str(source), str(brick / "clone"))  # before there is a brick: it is adopted

    async with volgraph.open(Posix("brick", directory=str(brick))) as vol:
        await vol.copy_in(source, "/copy")
        await vol.copy_out("/clone", folder / "out-of-clone")
        await vol.rename("/clone", "/moved")
    for place in (brick / "copy", brick / "moved", folder / "out-of-clone"):
        assert_sound(place, head)

    (brick / "moved" / "file-0").write_text("changed in the brick directory\n")
    git(brick / "moved", "commit", "--quiet", "--all", "--message", "changed")
    git(brick / "moved", "gc", "--quiet", "--prune=now")
    head = git(brick / "moved", "rev-parse", "HEAD")
    async with volgraph.open(Posix("brick", directory=str(brick))) as vol:
        await vol.copy_out("/moved", folder / "out")
        assert_sound(folder / "out", head)
        await vol.rmtree("/moved")
        assert sorted(await vol.listdir("/")) == ["copy"]


async def nothing_much(folder: Path) -> None:
    """Loads what the ordinary user's process may not be able to read."""
    async with volgraph.open(Memory("m")) as vol:
        await vol.copy_in(folder, "/copy")
        await vol.copy_out("/copy", folder / "out")


@on_both
def test_a_repository_is_sound_after_every_way_in_and_out(backend: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    anyio.run(nothing_much, tmp_path / "in", backend=backend)
    with users_folder() as folder:
        in_a_process_of_its_own(lambda: str(anyio.run(scenario, folder, backend=backend)))
