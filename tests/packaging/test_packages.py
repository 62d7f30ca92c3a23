"""The list of packages in pyproject.toml, the folders, and the committed links say the same."""

import os
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_DIR: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]
LINKED = sorted(package for package in PACKAGE_DIR if "." in package)
ENTRY_POINTS = PYPROJECT["project"]["entry-points"]["volgraph.translators"]


def packages_below(package: str, folder: Path) -> list[str]:
    """The package and all below it, by installed name. os.walk stays out of the links, as setuptools does."""
    found = []
    for path, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if name != "__pycache__"]
        if any(name.endswith(".py") for name in files):
            assert "__init__.py" in files, f"{path}: modules but no __init__.py"
            found.append(".".join((package, *Path(path).relative_to(folder).parts)))
    return found


def test_every_package_of_the_tree_is_listed_once_and_sorted() -> None:
    found = sorted(name for top, folder in PACKAGE_DIR.items() for name in packages_below(top, ROOT / folder))

    assert PYPROJECT["tool"]["setuptools"]["packages"] == found


@pytest.mark.parametrize("package", LINKED)
def test_a_link_below_volgraph_leads_to_the_folder_of_each_linked_package(package: str) -> None:
    link = ROOT / package.replace(".", "/")

    assert link.is_symlink()
    assert os.readlink(link) == f"../{PACKAGE_DIR[package]}"


def test_the_installed_entry_points_are_those_of_the_project_file() -> None:
    installed = {point.name: point.value for point in entry_points(group="volgraph.translators")}

    for name, value in ENTRY_POINTS.items():
        assert installed.get(name) == value, f"{name}: install the project again"


def test_every_entry_point_names_a_class_that_loads() -> None:
    for point in entry_points(group="volgraph.translators"):
        if point.name in ENTRY_POINTS:
            assert isinstance(point.load(), type), point


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    assert (ROOT / "volgraph" / "py.typed").is_file()
    assert "py.typed" in PYPROJECT["tool"]["setuptools"]["package-data"]["volgraph"]
