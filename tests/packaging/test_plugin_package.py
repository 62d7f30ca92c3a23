"""A translator of somebody else's, as a distribution of its own: installed as any other, found by its entry point, and
proved by its own tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, folder: Path, path: Path | None = None) -> str:
    env = dict(os.environ)
    env.pop("PYTEST_ADDOPTS", None)
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run([sys.executable, *map(str, command)], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_plugin_is_installed_found_and_proved_by_its_own_tests(tmp_path: Path) -> None:
    project, site = tmp_path / "plugin", tmp_path / "site"
    shutil.copytree(ROOT / "examples" / "plugin", project, ignore=shutil.ignore_patterns("__pycache__"))
    build = ("build", "--build-lib", site, "egg_info", "--egg-base", site)  # what an installer does, without a network
    site.mkdir()
    run("-c", "import setuptools; setuptools.setup()", "--quiet", *build, folder=project)
    (project / "upper.py").unlink()  # what is tested is what was installed

    told = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_upper.py", folder=project, path=site)
    shown = run("-m", "volgraph", "explain", "features/upper", folder=tmp_path, path=site)

    assert "2 passed" in told
    assert "Upper-case everything that is read." in shown
