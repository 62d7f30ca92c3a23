"""What a copy that broke off leaves: nothing of what it has made, and all that stood there before."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

import volgraph
from volgraph import Volume
from volgraph.command import main
from volgraph.translators import Memory

pytestmark = pytest.mark.anyio

MEBI = 1 << 20
FULL = "volume m\n  type storage/memory\n  option size-limit 2MB\nend-volume\n"
SLOW = """
volume p
  type storage/posix
  option directory ${dir}
end-volume
volume slow
  type debug/delay-gen
  option delay-percentage 100
  option delay-duration 100000
  option enable writev
  subvolumes p
end-volume
"""


@pytest.fixture
async def small(anyio_backend: str) -> object:
    """A volume with no room for more than 4 MiB."""
    async with volgraph.open(Memory("m", size_limit=4 * MEBI)) as volume:
        yield volume


async def breaks_off(copy: Callable[[], object]) -> OSError:
    with pytest.raises(OSError) as caught:
        await copy()  # type: ignore[misc]
    return caught.value


async def test_a_file_of_the_volume_that_stood_there_is_left_and_the_error_says_so(
    small: Volume, tmp_path: Path
) -> None:
    (tmp_path / "long").write_bytes(bytes(9 * MEBI))
    await small.write_bytes("/old", b"old")
    await small.link("/old", "/other")
    error = await breaks_off(lambda: small.copy_in(tmp_path / "long", "/old"))

    assert error.errno == errno.ENOSPC
    assert "/old is left incomplete" in error.__notes__
    assert await small.listdir("/") == ["old", "other"]
    assert (await small.stat("/old")).st_ino == (await small.stat("/other")).st_ino


@pytest.mark.parametrize("goal", ["hard", "soft", "dangling"])
async def test_links_that_lead_to_the_goal_are_left_and_the_error_says_so(
    small: Volume, tmp_path: Path, goal: str
) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "hard").hardlink_to(tmp_path / "old")
    (tmp_path / "soft").symlink_to("old")
    (tmp_path / "dangling").symlink_to("nowhere")
    await small.write_bytes("/f", bytes(3 * MEBI))

    def gone(path: str, size: int) -> None:
        raise OSError(errno.EIO, "The screen is gone")

    big = tmp_path / "big"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("volgraph.copying.TOLD_BYTES", 1)
        error = await breaks_off(lambda: small.copy_out("/f", tmp_path / goal, progress=gone))

    assert error.__notes__ == [f"{tmp_path}/{goal} is left incomplete"]
    assert not big.exists()
    assert sorted(set(os.listdir(tmp_path)) - {"nowhere"}) == ["dangling", "hard", "old", "soft"]
    assert (tmp_path / "hard").stat().st_nlink == 2
    assert (tmp_path / "soft").is_symlink()


async def test_what_another_has_put_at_the_goal_meanwhile_stays(scratch: Volume, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(40 * MEBI))

    def replace(path: str, size: int) -> None:
        os.unlink(tmp_path / "out")
        (tmp_path / "out").write_text("another's")
        raise OSError(errno.EIO, "The screen is gone")

    await scratch.copy_in(tmp_path / "long", "/long")
    error = await breaks_off(lambda: scratch.copy_out("/long", tmp_path / "out", progress=replace))

    assert (tmp_path / "out").read_text() == "another's"
    assert not hasattr(error, "__notes__")


async def test_an_interrupted_copy_leaves_what_stood_there_and_tells_it(scratch: Volume, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(40 * MEBI))
    await scratch.write_bytes("/old", b"old")
    told: list[OSError] = []
    with anyio.CancelScope() as scope:
        await scratch.copy_in(
            tmp_path / "long", "/old", progress=lambda path, size: scope.cancel(), on_error=told.append
        )

    assert scope.cancelled_caught
    assert await scratch.listdir("/") == ["old"]
    assert [(error.errno, error.filename) for error in told] == [(errno.EINTR, "/old")]


def test_the_error_line_of_cp_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.vol").write_text(
        f"volume p\n  type storage/posix\n  option directory {tmp_path}/brick\nend-volume\n"
    )
    (tmp_path / "full.vol").write_text(FULL)
    (tmp_path / "brick").mkdir()
    (tmp_path / "brick/f").write_bytes(bytes(MEBI))
    (tmp_path / "null").symlink_to("/dev/full")
    (tmp_path / "f").write_bytes(bytes(9 * MEBI))
    main(["cp", f"{tmp_path}/f", f"{tmp_path}/full.vol:/new"])
    new = capsys.readouterr().err
    main(["cp", f"{tmp_path}/m.vol:/f", f"{tmp_path}/null"])

    assert "No space left on device" in new
    assert "incomplete" not in new
    assert "incomplete" not in capsys.readouterr().err


def test_cp_that_is_interrupted_leaves_the_file_that_stood_there(tmp_path: Path) -> None:
    (tmp_path / "slow.vol").write_text(SLOW)
    (tmp_path / "brick").mkdir()
    (tmp_path / "brick/old").write_bytes(b"old")
    (tmp_path / "five").write_bytes(bytes(64 * MEBI))
    command = [sys.executable, "-m", "volgraph", "cp", "--set", f"dir={tmp_path}/brick", "five", "slow.vol:/old"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while (tmp_path / "brick/old").stat().st_size < MEBI and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)

    assert process.returncode == 130
    assert error == "volgraph: slow.vol:/old: Is left incomplete: the copy was interrupted\n"
    assert 0 < (tmp_path / "brick/old").stat().st_size < 64 * MEBI
