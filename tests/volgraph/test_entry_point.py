"""A translator of somebody else's package is found by its type name, once the package is installed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples/plugin"
SPEC = """
volume brick
  type storage/posix
  option directory {directory}
end-volume
volume loud
  type features/upper
  subvolumes brick
end-volume
"""


@pytest.fixture
def installed(install: Callable[[Path], Path]) -> Path:
    return install(PACKAGE)


def volgraph(*arguments: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    paths = [str(path) for path in (site, ROOT) if path is not None]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, "-m", "volgraph", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_an_installed_type_is_used_by_its_name(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "brick").mkdir()
    spec = tmp_path / "loud.vol"
    spec.write_text(SPEC.format(directory=tmp_path / "brick"))
    (tmp_path / "text").write_text("quiet text\n")
    copied = volgraph("cp", str(tmp_path / "text"), f"{spec}:/text", site=installed)
    shown = volgraph("cat", f"{spec}:/text", site=installed)
    explained = volgraph("explain", "features/upper", site=installed)

    assert (copied.returncode, copied.stderr) == (0, "")
    assert shown.stdout == "QUIET TEXT\n"
    assert "Upper-case everything that is read." in explained.stdout
    assert "readv" in explained.stdout


def test_without_the_package_the_type_is_unknown_and_located(tmp_path: Path) -> None:
    spec = tmp_path / "loud.vol"
    spec.write_text(SPEC.format(directory=tmp_path))
    refused = volgraph("check", str(spec))

    assert refused.returncode == 1
    assert f"{spec}:7:8: unknown type 'features/upper'" in refused.stderr


def test_a_type_that_two_packages_declare_is_an_error_where_it_is_used_alone(installed: Path, tmp_path: Path) -> None:
    record = installed / "other-1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (record / "entry_points.txt").write_text("[volgraph.translators]\nfeatures/upper = other:Upper\n")
    spec = tmp_path / "loud.vol"
    spec.write_text(SPEC.format(directory=tmp_path))
    refused = volgraph("check", str(spec), site=installed)
    listed = volgraph("explain", site=installed)

    assert refused.returncode == 1
    assert f"{spec}:7:8: several packages declare the type features/upper: " in refused.stderr
    assert (listed.returncode, listed.stderr) == (0, "")
