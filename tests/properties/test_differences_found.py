"""What the model machine has found when it played for long, each as the shortest list of steps that showed it."""

from pathlib import Path

import pytest

from tests.properties.test_like_a_directory import STACKS, Bricks, Falling, as_user, on_both
from tests.translators.storage.ordinary_user import users_folder
from volgraph import testing
from volgraph.testing.like_a_directory_steps import Step
from volgraph.translators import Afr, Memory

LONG = b"long" * 64
"""A name of one byte too many."""

ANYBODY: dict[str, list[Step]] = {
    "a file to be made, with a slash behind it, through a link that leads to no name": [
        ("mkdir", b"d", 0o755),
        ("symlink", b"../" + LONG, b"d/b"),
        ("open", 2, b"d/b/", "w+b", 0o640),
    ],
    "the same, through a link that leads nowhere": [
        ("symlink", b"n/n", b"a"),
        ("write_bytes", b"a/", b""),
    ],
    "a directory to be made, with a dot behind it": [("mkdir", b"a/.", 0o755), ("listdir", b"")],
    "what is no directory, with a slash behind it": [
        ("write_bytes", b"f", b""),
        ("link", b"f", b"a/"),
        ("symlink", b"f", b"b/"),
        ("mknod", b"c/", 0o600, 0),
        ("listdir", b""),
    ],
    "a link to a file, with a slash behind it": [
        ("write_bytes", b"f", b"A"),
        ("symlink", b"f/", b"a"),
        ("stat", b"a"),
        ("read_bytes", b"a"),
        ("write_bytes", b"a", b"B"),
        ("truncate", b"a", 0),
    ],
    "a link with a slash behind it, to what could be made": [
        ("symlink", b"n/", b"a"),
        ("write_bytes", b"a", b"B"),
        ("read_bytes", b"a"),
    ],
    "a name that ends in dots, to be removed or moved": [
        ("makedirs", b"a/b"),
        ("unlink", b"a/."),
        ("unlink", b"no/."),
        ("rmdir", b"a/b/.."),
        ("rmdir", b"no/."),
        ("rename", b"a/.", b"c"),
        ("rename", b"no/.", b"c"),
        ("rename", b"no/d", b"a/."),
    ],
    "a name that cannot be, moved to where no way leads": [
        ("write_bytes", b"f", b""),
        ("rename", LONG, b"f/a"),
        ("rename", LONG, b"no/a"),
        ("rename", b"f/a", LONG),
    ],
    "a name that another file is moved to while it is listed": [
        ("open", 0, b"a", "ab", 0o600),
        ("write_bytes", b"b", b""),
        ("list_start", 1, b""),
        ("list_more", 1, 1),
        ("rename", b"b", b"a"),
    ],
    "the time of a link that the path to it leads through": [
        ("mkdir", b"a", 0o700),
        ("symlink", b"a", b"b"),
        ("utime", b"b/../b", 0, 981173106123456789, False),
    ],
}

ORDINARY_USER: dict[str, list[Step]] = {
    "a directory that may be read and not searched, with a dot behind it": [
        ("mkdir", b"a", 0o400),
        ("lstat", b"a/."),
        ("scandir", b"a/."),
        ("symlink", b"b", b"a/."),
        ("open", 1, b"a/.", "r+b", 0o600),
    ],
    "a file to be made, with a slash behind it, in such a directory": [
        ("mkdir", b"a", 0o400),
        ("write_bytes", b"a/f/", b""),
        ("mkdir", b"a/f/", 0o755),
    ],
    "a way that is shut, to be moved to where there is none": [
        ("mkdir", b"a", 0o400),
        ("rename", b"a/../a", b"no/."),
        ("rename", b"no/a", b"a/../a"),
    ],
    "a directory moved twice within one that may not be read": [
        ("makedirs", b"a/b"),
        ("chmod", b"a", 0o311),
        ("rename", b"a/b", b"a/c"),
        ("rename", b"a/c", b"a/..."),
        ("rename", b"a/...", b"a/.../b"),
        ("chmod", b"a", 0o755),
    ],
    "a directory shut while it is listed": [
        ("mkdir", b"a", 0o755),
        ("write_bytes", b"a/f", b""),
        ("list_start", 0, b"a"),
        ("chmod", b"a", 0),
        ("list_more", 0, 300),
        ("chmod", b"a", 0o755),
    ],
}

A_COPY_FALLS: dict[str, list[Step]] = {
    "in the middle of a listing": [
        ("mknod", b"f", 0o600, 0),
        ("link", b"f", b"n" * 255),
        ("list_start", 1, b""),
        ("list_more", 1, 300),
    ],
    "before an append": [("open", 0, b"f", "ab", 0o600), ("write", 0, b"A"), ("write", 0, b"B")],
}


@on_both
@pytest.mark.parametrize("name", STACKS)
def test_a_difference_that_was_found_is_none_any_more(name: str, backend: str, tmp_path: Path) -> None:
    bricks = Bricks(tmp_path)
    for steps in ANYBODY.values():
        testing.like_a_directory(
            lambda brick: brick, brick=lambda: STACKS[name](bricks), backend=backend, folder=tmp_path, replay=steps
        )


@on_both
@pytest.mark.parametrize("what", ORDINARY_USER)
def test_a_difference_that_an_ordinary_user_found_is_none_any_more(what: str, backend: str) -> None:
    with users_folder() as folder:
        as_user(lambda bricks: bricks.posix(), folder, backend, 0, None, replay=ORDINARY_USER[what])


@pytest.mark.parametrize("what", A_COPY_FALLS)
def test_a_difference_that_was_found_when_a_copy_fell_is_none_whenever_it_falls(what: str, tmp_path: Path) -> None:
    fops_left = iter(range(20, 90))

    def mirror() -> Afr:
        copies = [Memory("a"), Falling("fall", [Memory("b")], fops_left=next(fops_left)), Memory("c")]
        return Afr("m", copies, read_subvolume="fall")

    for _ in range(70):
        testing.like_a_directory(lambda brick: brick, brick=mirror, folder=tmp_path, replay=A_COPY_FALLS[what])
